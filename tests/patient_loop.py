"""An event loop whose clock stands still while the machine is busy.

The tests' services, brokers and clients share one process and one loop. On its clock only waiting takes time: what the
processor needs for them does not count, nor does a late wake-up, and whatever has arrived is dealt with before a timer
runs out. So "within 0.3 seconds" means the same on an idle machine and on one that does ten other things. Time on
this clock never passes faster than real time.
"""

import asyncio
import selectors
import time

# After a wait in which something arrived, the next timer is still to come; after one in which nothing did, it is due.
_JUST_BELOW, _JUST_ABOVE = 0.999, 0.000_1


class _WaitingTime(selectors.DefaultSelector):
    """Adds up how long it waited, never more than it was asked to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = time.monotonic()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        began = time.monotonic()
        ready = super().select(timeout)
        waited = time.monotonic() - began
        if timeout is None:
            self.seconds += waited
        elif timeout > 0:
            self.seconds += min(waited, timeout * _JUST_BELOW if ready else timeout + _JUST_ABOVE)
        return ready


class PatientLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._waiting_time = _WaitingTime()
        super().__init__(self._waiting_time)

    def time(self) -> float:
        return self._waiting_time.seconds
