"""Requests per minute and account."""

from collections import Counter
from dataclasses import dataclass

from corral_sandbox.market import SECOND

_MINUTE = 60 * SECOND


@dataclass(frozen=True, slots=True)
class Allowance:
    """Where an account stands after a request. `reset` is in whole seconds since 1970."""

    limit: int
    remaining: int
    reset: int
    is_exceeded: bool

    def headers(self) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset),
        }


class RateLimit:
    """Counts by the minute of the clock; what is kept goes with the minute."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._minute = 0
        self._spent: Counter[str] = Counter()

    def spend(self, key_id: str, now: int) -> Allowance:
        if now // _MINUTE != self._minute:
            self._minute = now // _MINUTE
            self._spent.clear()
        self._spent[key_id] += 1
        remaining = self._per_minute - self._spent[key_id]
        return Allowance(self._per_minute, max(remaining, 0), (self._minute + 1) * 60, is_exceeded=remaining < 0)
