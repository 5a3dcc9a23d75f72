"""Signals that stop this process, and an orderly shutdown that leaves no PostgreSQL running."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Final

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """SIGINT, SIGTERM and SIGHUP (a closed terminal): the first sets `once`, the second `twice`."""

    def __init__(self) -> None:
        self.once, self.twice = asyncio.Event(), asyncio.Event()
        _handle(self._note)

    def _note(self) -> None:
        (self.twice if self.once.is_set() else self.once).set()


async def run_until_signal(work: Coroutine[Any, Any, None]) -> None:
    """Runs `work`. The first signal cancels it, so that it closes what it opened. It may install its own handlers."""
    running = asyncio.ensure_future(work)
    signals: list[bool] = []

    def cancel_once() -> None:
        if not signals:
            signals.append(running.cancel())

    _handle(cancel_once)
    await running


def _handle(on_signal: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue  # as under nohup
        loop.add_signal_handler(number, on_signal)
