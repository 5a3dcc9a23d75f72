"""Notes that no answer waits for: each once, together, and never worth an error."""

import asyncio
from collections.abc import Sequence

import pytest

from corral.database.notes import Notebook
from corral.errors import DatabaseUnavailable


class Written:
    def __init__(self) -> None:
        self.notes: list[list[str]] = []
        self.is_away = False

    async def write_many(self, notes: Sequence[str]) -> None:
        if self.is_away:
            raise DatabaseUnavailable
        self.notes.append(list(notes))


async def test_notes_are_written_together_a_moment_later_and_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("corral.database.notes.EVERY_SECONDS", 0.01)
    written = Written()
    book = Notebook(written.write_many)
    for note in ("a", "b", "a"):
        book.note(note)
    assert written.notes == []
    await asyncio.sleep(0.05)
    assert written.notes == [["a", "b"]]
    book.note("a")
    await asyncio.sleep(0.05)
    assert written.notes == [["a", "b"], ["a"]]


async def test_closing_writes_what_is_left() -> None:
    written = Written()
    book = Notebook(written.write_many)
    await book.close()
    book.note("a")
    await book.close()
    await book.close()
    assert written.notes == [["a"]]


async def test_notes_that_a_database_away_did_not_take_are_not_missed() -> None:
    written = Written()
    book = Notebook(written.write_many)
    written.is_away = True
    book.note("lost")
    await book.close()
    written.is_away = False
    book.note("kept")
    await book.close()
    assert written.notes == [["kept"]]
