"""The sandbox's time, which may run faster than everybody else's."""

import asyncio
import time
from collections.abc import Callable

from corral_sandbox.market import SECOND

# A clock of our own is a steady one; one that a test turns by hand has to be looked at again and again.
_NAP, _NAP_BESIDE_A_GIVEN_CLOCK = 1.0, 0.02


class Clock:
    """Begins at `start`, by default with the real time, and runs `speed` times as fast; it never goes back.

    Moments are nanoseconds since 1970. `real` answers the time outside, by default the machine's.
    """

    def __init__(self, *, start: int | None = None, speed: int = 1, real: Callable[[], int] | None = None) -> None:
        self.real = real or (time.time_ns if speed == 1 else _steady_clock())
        self._nap = _NAP if real is None else _NAP_BESIDE_A_GIVEN_CLOCK
        self._speed = speed
        self._started = self.real()
        self._start = self._latest = self._started if start is None else start

    def now(self) -> int:
        moment = self._start + (self.real() - self._started) * self._speed
        if moment > self._latest:  # noqa: PLR1730 - each request comes by here, and max() takes twice as long
            self._latest = moment
        return self._latest

    async def sleep_until(self, at: int) -> None:
        """Returns at once if `at` is past."""
        while (left := at - self.now()) > 0:  # noqa: ASYNC110 - time sets no event
            await asyncio.sleep(min(left / SECOND / self._speed, self._nap))


def _steady_clock() -> Callable[[], int]:
    """The real time of now, and from here on no correction of it, which `speed` would make a leap."""
    begun = time.time_ns() - time.monotonic_ns()
    return lambda: begun + time.monotonic_ns()
