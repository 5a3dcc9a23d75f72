"""Counts the requests that an account has left this minute, so that none is sent only to be rejected.

Alpaca counts per account and minute, and every response has the numbers: `X-RateLimit-Limit`, `-Remaining` and
`-Reset` (Unix seconds), the headers in https://docs.alpaca.markets/openapi/trading-api.json.
"""

import itertools
import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple
from uuid import UUID

WINDOW_SECONDS: Final = 60
REQUESTS_PER_WINDOW: Final = 200  # the default: https://alpaca.markets/support/usage-limit-api-calls
MOST_REQUESTS_PER_WINDOW: Final = 1_000_000
MOST_ACCOUNTS: Final = 10_000
_WHOLE_NUMBER: Final = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class BudgetLeft:
    """The remaining requests of one account's minute, as far as known: other programs may use the account, too."""

    limit: int
    remaining: int
    resets_in_seconds: int


@dataclass(frozen=True, slots=True)
class Minute:
    """An account's minute as it stands. `number` tells it from the one before; `used` counts everybody's requests."""

    number: int
    limit: int
    used: int
    ends_in_seconds: float


@dataclass(slots=True)
class _Window:
    """One account's minute. `used` counts our requests, and those of others that Alpaca reports.

    `reserved` is what those who take without a reservation leave.
    """

    number: int
    ends_at: float
    limit: int = REQUESTS_PER_WINDOW
    used: int = 0
    reserved: int = 0
    held_until: float = 0.0

    def is_over(self, now: float) -> bool:
        return now >= self.ends_at and now >= self.held_until


class Part(NamedTuple):
    """A grant's part of the minute, as `gateway.fair_share.Share` has it. Seconds, the first one whole."""

    wait: int
    part: int
    remaining: int
    resets_in_seconds: float


class Budgets:
    """The windows of all accounts with requests within the last minute. Others use no memory.

    What this process counts is all there is; `SharedBudgets` counts for several processes.
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._windows: OrderedDict[Hashable, _Window] = OrderedDict()
        self._numbers = itertools.count(1)

    async def take(self, key: Hashable, *, leaving: int = 0) -> int:
        """As `take_alone`, for all processes that count together."""
        return self.take_alone(key, leaving=leaving)

    async def take_part(
        self,
        key: Hashable,  # noqa: ARG002 - one process decides alone
        grant_id: UUID,  # noqa: ARG002 - as above
        *,
        is_closing: bool,  # noqa: ARG002 - as above
        alone: Mapping[UUID, int],  # noqa: ARG002 - as above
        alone_closing: int,  # noqa: ARG002 - as above
    ) -> Part | None:
        """Counts one request of a grant if it may be made now. Returns None if this process has to decide it alone.

        `alone` is what this process has counted of each grant in its own minute, and `alone_closing` of it for closing.
        """
        return None

    def take_alone(self, key: Hashable, *, leaving: int = 0, is_reserved: bool = False) -> int:
        """Counts one request and returns 0, or returns after how many seconds (1 to 60) there is one to take.

        Callers that can wait leave the last `leaving` requests of a minute to others. All leave what is reserved,
        except those for whom it is.
        """
        now = self._monotonic()
        window = self._window(key, now)
        if now < window.held_until:
            return _whole_seconds(window.held_until - now)
        if window.used >= window.limit - (leaving if is_reserved else max(leaving, window.reserved)):
            return _whole_seconds(window.ends_at - now)
        window.used += 1
        return 0

    def minute(self, key: Hashable) -> Minute:
        now = self._monotonic()
        window = self._window(key, now)
        return Minute(window.number, window.limit, window.used, max(window.ends_at, window.held_until) - now)

    def reserve(self, key: Hashable, requests: int) -> None:
        """Keeps so many of this minute's requests for those who take with a reservation."""
        self._window(key, self._monotonic()).reserved = requests

    def left(self, key: Hashable) -> BudgetLeft | None:
        """Returns None for an account without a request within the last minute."""
        now = self._monotonic()
        window = self._windows.get(key)
        if window is None or window.is_over(now):
            return None
        remaining = 0 if now < window.held_until else max(window.limit - window.used, 0)
        return BudgetLeft(window.limit, remaining, _whole_seconds(max(window.ends_at, window.held_until) - now))

    def give_back(self, key: Hashable, grant_id: UUID | None = None) -> None:  # noqa: ARG002 - all are one count here
        """Returns one request, of this grant or of the owner, if it never reached Alpaca."""
        if (window := self._windows.get(key)) is not None and window.used:
            window.used -= 1

    def update(self, key: Hashable, headers: Mapping[str, str]) -> bool:
        """Applies a response's plausible `X-RateLimit-…` headers. Other programs may use the same account.

        Returns whether they said more than what was counted here.
        """
        if (window := self._windows.get(key)) is None:
            return True
        before = window.number, window.limit, window.used, round(window.ends_at)
        self._apply(window, headers)
        return before != (window.number, window.limit, window.used, round(window.ends_at))

    def counted(self, key: Hashable) -> tuple[Minute, float] | None:
        """Returns the minute under way, and for how many seconds Alpaca accepts nothing. None if there is none."""
        now = self._monotonic()
        window = self._windows.get(key)
        if window is None or window.is_over(now):
            return None
        minute = Minute(window.number, window.limit, window.used, max(window.ends_at - now, 0.0))
        return minute, max(window.held_until - now, 0.0)

    def follow(
        self,
        key: Hashable,
        *,
        number: int,
        limit: int,
        used: int,
        reserved: int,
        ends_in_seconds: float,
        held_seconds: float,
    ) -> None:
        """Makes an account's window a copy of the one that all processes share."""
        now = self._monotonic()
        window = self._window(key, now)
        window.number, window.limit, window.used, window.reserved = number, limit, used, reserved
        window.ends_at, window.held_until = now + ends_in_seconds, now + held_seconds

    def _apply(self, window: _Window, headers: Mapping[str, str]) -> None:
        limit = _number(headers.get("X-RateLimit-Limit"))
        if limit is not None and 0 < limit <= MOST_REQUESTS_PER_WINDOW:
            window.limit = limit
        remaining = _number(headers.get("X-RateLimit-Remaining"))
        reset_in = self._reset_in(headers)
        if remaining is None or (reset_in is not None and reset_in <= 0):
            return  # responses may arrive out of order: a late one describes a window that is over
        told = max(window.limit - remaining, 0)  # headers may say that more remains than the limit
        if self._begins_anew(window, reset_in):
            window.number, window.used, window.reserved = next(self._numbers), told, 0
        else:
            window.used = max(window.used, told)

    def hold(self, key: Hashable, headers: Mapping[str, str]) -> int:
        """After a 429: blocks requests until Alpaca accepts them again, and returns after how many seconds."""
        now = self._monotonic()
        window = self._window(key, now)
        reset_in = max(self._reset_in(headers) or 0, 0)
        seconds = _whole_seconds(self._retry_after(headers) or reset_in or window.ends_at - now)
        window.held_until = max(window.held_until, now + seconds)
        return seconds

    def polite_seconds(self, key: Hashable) -> float:
        """Returns the seconds to wait between periodic requests.

        They use at most half of a minute's requests, and at most half of those that are left.
        """
        now = self._monotonic()
        window = self._windows.get(key)
        if window is None or window.is_over(now):
            return 2 * WINDOW_SECONDS / REQUESTS_PER_WINDOW
        left = max(window.limit - window.used, 1)
        return 2 * max(WINDOW_SECONDS / window.limit, (window.ends_at - now) / left)

    def _window(self, key: Hashable, now: float) -> _Window:
        window = self._windows.get(key)
        if window is None or window.is_over(now):
            self._forget(now)
            window = self._windows[key] = _Window(next(self._numbers), ends_at=now + WINDOW_SECONDS)
            self._windows.move_to_end(key)
        return window

    def _forget(self, now: float) -> None:
        while self._windows:
            oldest = next(iter(self._windows.values()))
            if len(self._windows) < MOST_ACCOUNTS and not oldest.is_over(now):
                return
            self._windows.popitem(last=False)

    def _begins_anew(self, window: _Window, reset_in: float | None) -> bool:
        if reset_in is None:
            return False
        ends_at = self._monotonic() + reset_in
        is_later = ends_at > window.ends_at + 1
        window.ends_at = ends_at
        return is_later

    def _reset_in(self, headers: Mapping[str, str]) -> float | None:
        """Also None for a time more than a window away: then the clocks differ, and ours is used."""
        reset = _number(headers.get("X-RateLimit-Reset"))
        seconds = math.inf if reset is None else reset - self._wall()
        return seconds if abs(seconds) <= WINDOW_SECONDS + 1 else None

    def _retry_after(self, headers: Mapping[str, str]) -> float | None:
        """RFC 9110 §10.2.3: seconds, or a date."""
        text = headers.get("Retry-After")
        seconds = _number(text)
        if text is None or seconds is not None:
            return seconds
        try:
            return parsedate_to_datetime(text).timestamp() - self._wall()
        except (ValueError, OverflowError):
            return None


def _whole_seconds(seconds: float) -> int:
    return max(1, min(WINDOW_SECONDS, math.ceil(seconds)))


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and _WHOLE_NUMBER.fullmatch(text) else None
