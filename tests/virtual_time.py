"""Runs a coroutine in virtual time: whatever waits on the event loop's clock waits no real time."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class _Selector(selectors.SelectSelector):
    """Instead of sleeping until the next timer is due, it turns the clock to that moment."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("nothing is left that could happen")
        if not ready and timeout is not None and timeout > 0:
            self.now += timeout
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def run_in_virtual_time(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """For what needs no network and no other process. Called outside of any loop."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(coroutine)
