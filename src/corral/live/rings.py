"""The last events of one user, from which a stream that was away goes on."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, final

from corral.live.events import Frame

MOST_EVENTS: Final = 512
MOST_BYTES: Final = 128 * 1024
# A large account tells hundreds of positions at once: what is younger than this is kept beyond both, so that
# every stream has a chance to read it, up to a bound that holds always.
YOUNG_SECONDS: Final = 5.0
MOST_YOUNG_BYTES: Final = 4 * 1024 * 1024


@final
class Ring:
    """Frames in a row, the oldest forgotten first. The frame with the number `newest` is the last one."""

    __slots__ = ("_bytes", "_frames", "_monotonic", "_times", "newest")

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._frames: deque[Frame] = deque()
        self._times: deque[float] = deque()
        self._bytes = 0
        self.newest = 0

    def append(self, frame: Frame) -> None:
        now = self._monotonic()
        self._frames.append(frame)
        self._times.append(now)
        self._bytes += len(frame.text)
        self.newest += 1
        while self._is_too_much(now):
            self._times.popleft()
            self._bytes -= len(self._frames.popleft().text)

    def reaches(self, sequence: int) -> bool:
        """Whether all that came after the frame of this number is here."""
        return self.newest - len(self._frames) <= sequence <= self.newest

    def after(self, sequence: int) -> Iterator[Frame]:
        """All frames after the one of this number, of which `reaches` is true."""
        return (self._frames[index] for index in range(sequence - self.newest, 0))

    def _is_too_much(self, now: float) -> bool:
        if len(self._frames) == 1 or (len(self._frames) <= MOST_EVENTS and self._bytes <= MOST_BYTES):
            return False
        return self._bytes > MOST_YOUNG_BYTES or now - self._times[0] > YOUNG_SECONDS
