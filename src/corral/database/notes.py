"""Small writes that no answer waits for: when somebody was last seen, when a key was last used."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar, final

from corral.errors import Problem
from corral.logs import get_logger

_log = get_logger()

Key = TypeVar("Key", bound=Hashable)

EVERY_SECONDS = 1.0


@final
class Notebook(Generic[Key]):
    """Collects notes, each once, and writes them together a moment later: one round trip for a second's worth.

    Lives on one event loop. A note that gets lost because the database is away is not missed.
    """

    __slots__ = ("_noted", "_timer", "_write_many", "_writing")

    def __init__(self, write_many: Callable[[Sequence[Key]], Awaitable[None]]) -> None:
        self._write_many = write_many
        self._noted: dict[Key, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None

    def note(self, key: Key) -> None:
        self._noted[key] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(EVERY_SECONDS, self._begin)

    async def close(self) -> None:
        """Writes what is left, so that nothing meets a closed pool."""
        if self._timer is not None:
            self._timer.cancel()
            self._begin()
        if self._writing is not None:
            await self._writing

    def _begin(self) -> None:
        self._timer = None
        self._writing = asyncio.get_running_loop().create_task(self._write(self._writing))

    async def _write(self, earlier: asyncio.Task[None] | None) -> None:
        if earlier is not None:
            await earlier
        keys, self._noted = list(self._noted), {}
        try:
            await self._write_many(keys)
        except Problem as problem:
            _log.warning("notes_lost", notes=len(keys), code=problem.code)
