"""Writes that no answer waits for: each once, together, and never worth an error."""

import asyncio
from collections.abc import Sequence

import pytest

from corral.database.batching import WriteBehindBuffer
from corral.errors import DatabaseUnavailable


class Written:
    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.is_away = False

    async def write_many(self, keys: Sequence[str]) -> None:
        if self.is_away:
            raise DatabaseUnavailable
        self.batches.append(list(keys))


async def test_writes_are_batched_and_each_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("corral.database.batching.FLUSH_SECONDS", 0.01)
    written = Written()
    buffer = WriteBehindBuffer(written.write_many)
    for key in ("a", "b", "a"):
        buffer.add(key)
    assert written.batches == []
    await asyncio.sleep(0.05)
    assert written.batches == [["a", "b"]]
    buffer.add("a")
    await asyncio.sleep(0.05)
    assert written.batches == [["a", "b"], ["a"]]


async def test_closing_writes_the_rest() -> None:
    written = Written()
    buffer = WriteBehindBuffer(written.write_many)
    await buffer.close()
    buffer.add("a")
    await buffer.close()
    await buffer.close()
    assert written.batches == [["a"]]


async def test_writes_lost_in_an_outage_are_no_error() -> None:
    written = Written()
    buffer = WriteBehindBuffer(written.write_many)
    written.is_away = True
    buffer.add("lost")
    await buffer.close()
    written.is_away = False
    buffer.add("kept")
    await buffer.close()
    assert written.batches == [["kept"]]
