"""How long to wait before something that failed is tried again."""

import random
from typing import Final, final

LONGEST_EXPONENT: Final = 16


@final
class Backoff:
    """Waits of growing length with full jitter: seconds between 0 and `first`, then 2 · `first`, up to `longest`."""

    __slots__ = ("_first", "_longest", "failures")

    def __init__(self, *, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self.failures = 0

    def next_seconds(self) -> float:
        bound = min(self._longest, self._first * 2 ** min(self.failures, LONGEST_EXPONENT))
        self.failures += 1
        return random.uniform(0, bound)  # noqa: S311 - spreads load, guards nothing

    def reset(self) -> None:
        self.failures = 0
