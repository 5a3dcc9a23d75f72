"""What asks this process to end, and that it then ends in order: no PostgreSQL is left behind."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Final

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """SIGINT, SIGTERM, and SIGHUP of a terminal that was closed: `once` is set by the first, `twice` by the second."""

    def __init__(self) -> None:
        self.once, self.twice = asyncio.Event(), asyncio.Event()
        _handle(self._hear)

    def _hear(self) -> None:
        (self.twice if self.once.is_set() else self.once).set()


async def ended_in_order(work: Coroutine[Any, Any, None]) -> None:
    """Runs `work`, which the first signal cancels, so that what it opened is closed. It may handle them itself."""
    running = asyncio.ensure_future(work)
    signals: list[bool] = []

    def cancel_once() -> None:
        if not signals:
            signals.append(running.cancel())

    _handle(cancel_once)
    await running


def _handle(hear: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in ENDING:
        if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue  # as under nohup
        loop.add_signal_handler(number, hear)
