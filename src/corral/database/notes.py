"""Small writes that no answer waits for: when somebody was last seen, when a key was last used."""

import asyncio
from collections.abc import Coroutine
from typing import Any, final

import structlog

_log = structlog.get_logger("corral.database")


@final
class Notes:
    """Runs them in the background, and is waited for before the pool closes."""

    __slots__ = ("_under_way",)

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[None]] = set()

    def write(self, note: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(note)
        self._under_way.add(task)
        task.add_done_callback(self._written)

    async def close(self) -> None:
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=5)

    def _written(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        # A note that got lost (the database restarted just then) is no reason to refuse anybody.
        if not task.cancelled() and (error := task.exception()):
            _log.warning("note_lost", reason=type(error).__name__)
