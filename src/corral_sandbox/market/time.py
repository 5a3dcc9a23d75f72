"""Time: timestamps, the sandbox's clock, and the trading calendar and hours of New York."""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from time import monotonic_ns, time_ns
from typing import NamedTuple
from zoneinfo import ZoneInfo

SECOND = 1_000_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND
NEW_YORK = ZoneInfo("America/New_York")

_NANOSECONDS = re.compile(r"\.\d{6}(\d{3})")  # Python drops the last three digits


def format_timestamp(at: int) -> str:
    """Returns RFC 3339 with nine decimals, as Alpaca writes the times of orders."""
    seconds, fraction = divmod(at, SECOND)
    return f"{format_seconds(seconds)}.{fraction:09}Z"


@lru_cache(maxsize=1_024)
def format_seconds(seconds: int) -> str:
    """Returns a whole second since 1970 in UTC, without the Z."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def format_optional_timestamp(at: int | None) -> str | None:
    return None if at is None else format_timestamp(at)


def to_nanoseconds(moment: datetime) -> int:
    """Converts a datetime with a time zone, exact to the microsecond."""
    return int(moment.replace(microsecond=0).timestamp()) * SECOND + moment.microsecond * 1_000


def parse_timestamp(text: str) -> int:
    """Reads an ISO 8601 timestamp or date, in UTC if it has no offset. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    fraction = _NANOSECONDS.search(text)
    return to_nanoseconds(moment) + (int(fraction[1]) if fraction else 0)


# The longest sleep between two looks at the clock; a test may turn the clock that it provides at any time.
_NAP, _NAP_BESIDE_A_GIVEN_CLOCK = 1.0, 0.02
FASTEST = 86_400  # a day a second
_MICROSECOND = 1_000


class ClockTurnedBackError(Exception):
    """Something has happened at a later time. The text says what to do."""


class Clock:
    """The sandbox's time: from `start` on, by default the real time, it runs `speed` times as fast.

    At speed 0 it stands still and is moved by `set` and, by a microsecond, by each change. It goes back only as far as
    to the latest change. Times are nanoseconds since 1970. `real` returns the real time, by default the
    machine's.
    """

    def __init__(self, *, start: int | None = None, speed: int = 1, real: Callable[[], int] | None = None) -> None:
        self.real = real or time_ns
        self._steady = real or _steady_clock()
        self._nap = _NAP if real is None else _NAP_BESIDE_A_GIVEN_CLOCK
        self._turned = asyncio.Event()  # a sleeper has to look again
        self.advances = asyncio.Lock()  # held while the clock is moved on
        self._beginning = start, speed
        self._changed_at = 0
        self._turn(self.real() if start is None else start, speed)

    @property
    def speed(self) -> int:
        return self._speed

    def now(self) -> int:
        moment = self._start + (self._elapsing() - self._started) * self._speed
        if moment > self._latest:  # noqa: PLR1730 - on the path of each request, and max() takes twice as long
            self._latest = moment
        return self._latest

    async def turn(self) -> None:
        """Returns when no advance is under way. What is done then without waiting comes before the next one."""
        if self.advances.locked():
            async with self.advances:
                pass

    def begin_change(self) -> int:
        """Returns the time of a request that changes something, which is later than that of every one before."""
        if self._speed == 0:
            self._latest = self._start = self._latest + _MICROSECOND
        self._changed_at = self.now()
        return self._changed_at

    def next_change(self) -> int:
        """Returns the time that `begin_change` would return, and changes nothing: for a request that may be refused."""
        return self.now() + (_MICROSECOND if self._speed == 0 else 0)

    def set(self, *, at: int | None = None, speed: int | None = None) -> None:
        """Raises ClockTurnedBackError."""
        moment = self.now() if at is None else at
        if moment < self._changed_at:
            raise ClockTurnedBackError(
                f"the clock cannot go back to {format_timestamp(moment)}: the last change was at "
                f"{format_timestamp(self._changed_at)}; POST /_reset goes back to the start"
            )
        self._turn(moment, self._speed if speed is None else speed)

    def note_change(self, at: int) -> None:
        """What happened at a time cannot be undone by going back."""
        self._changed_at = max(self._changed_at, at)

    def reset(self) -> None:
        """Goes back to the start."""
        start, speed = self._beginning
        self._changed_at = 0
        self._turn(self.real() if start is None else start, speed)

    async def nap_until(self, at: int) -> None:
        """Returns at `at` or before: look at the time again. `wake` ends the nap at once, and so does a move."""
        left = at - self.now()
        if left <= 0:
            return
        self._turned.clear()
        nap = self._nap if self._speed == 0 else min(left / SECOND / self._speed, self._nap)
        with suppress(TimeoutError):
            async with asyncio.timeout(nap):
                await self._turned.wait()

    def wake(self) -> None:
        self._turned.set()

    def _turn(self, at: int, speed: int) -> None:
        self._speed = speed
        # The real time may be corrected, which a speed would multiply.
        self._elapsing = self.real if speed == 1 else self._steady
        self._started = self._elapsing()
        self._start = self._latest = at
        self._turned.set()


def _steady_clock() -> Callable[[], int]:
    """Starts with the real time and ignores later corrections of it."""
    offset = time_ns() - monotonic_ns()
    return lambda: offset + monotonic_ns()


# The trading calendar of the New York Stock Exchange, computed by rule. Source: NYSE Rule 7.2 and the exchange's
# yearly "Holidays & Trading Hours". Holidays are right from 1981 on, half days from 2013 on: before, the days around
# Independence Day and Christmas were halved differently.
_OPEN, _CLOSE, _EARLY_CLOSE = time(9, 30), time(16), time(13)
_EXTENDED_OPEN, _EXTENDED = time(4), timedelta(hours=4)
_ONE_DAY = timedelta(days=1)
_MONDAY, _THURSDAY, _SATURDAY, _SUNDAY = 0, 3, 5, 6

# Since when, and how many days after the trade it settles.
_SETTLEMENT = ((date(2024, 5, 28), 1), (date(2017, 9, 5), 2), (date(1995, 6, 7), 3), (date.min, 5))

# Closings that follow no rule: storms, attacks, days of mourning.
_UNSCHEDULED_CLOSINGS = frozenset(
    map(
        date.fromisoformat,
        (
            *("1985-09-27", "1994-04-27", "2001-09-11", "2001-09-12", "2001-09-13", "2001-09-14", "2004-06-11"),
            *("2007-01-02", "2012-10-29", "2012-10-30", "2018-12-05", "2025-01-09"),
        ),
    ),
)


class TradingWindow(NamedTuple):
    """From `opens` on and before `closes`, in nanoseconds since 1970."""

    opens: int
    closes: int


ALWAYS = TradingWindow(0, 32_503_680_000 * SECOND)  # to the year 3000


@dataclass(frozen=True, slots=True)
class TradingSession:
    """One trading day; `opens` and `closes` are in New York's time."""

    day: date
    opens: datetime
    closes: datetime

    @property
    def extended_opens(self) -> datetime:
        return datetime.combine(self.day, _EXTENDED_OPEN, NEW_YORK)

    @property
    def extended_closes(self) -> datetime:
        """Four hours after the close, also on half days."""
        return self.closes + _EXTENDED


def new_york_time(at: int) -> datetime:
    """Converts nanoseconds since 1970, to the whole second; sessions begin and end on whole seconds."""
    return datetime.fromtimestamp(at // SECOND, NEW_YORK)


def sessions_from(day: date) -> Iterator[TradingSession]:
    """Yields every session from `day` on, that day included."""
    while True:
        if session := session_on(day):
            yield session
        day += _ONE_DAY


@lru_cache(maxsize=1_024)
def last_session_before(day: date) -> TradingSession:
    day -= _ONE_DAY
    while not (session := session_on(day)):
        day -= _ONE_DAY
    return session


@lru_cache(maxsize=4_096)
def session_on(day: date) -> TradingSession | None:
    """Returns the session of a day, None on a weekend or holiday."""
    if day.weekday() >= _SATURDAY or day in holidays(day.year):
        return None
    closes = _EARLY_CLOSE if _is_half_day(day) else _CLOSE
    return TradingSession(day, datetime.combine(day, _OPEN, NEW_YORK), datetime.combine(day, closes, NEW_YORK))


def settlement_date(day: date) -> date:
    """Returns when a trade of a day settles (SEC Rule 15c6-1 as of that day), counting days on which banks are open."""
    days = next(days for since, days in _SETTLEMENT if day >= since)
    while days:
        day += _ONE_DAY
        days -= session_on(day) is not None and not _banks_rest(day)
    return day


@lru_cache(maxsize=256)
def holidays(year: int) -> frozenset[date]:
    """Returns the weekdays of a year on which there is no trading."""
    days = {
        _observed(date(year, 1, 1)),
        _nth(3, _MONDAY, year, 2),  # Washington's Birthday
        _easter(year) - 2 * _ONE_DAY,  # Good Friday
        _nth(1, _MONDAY, year, 6) - 7 * _ONE_DAY,  # Memorial Day, the last Monday of May
        _observed(date(year, 7, 4)),
        _nth(1, _MONDAY, year, 9),  # Labor Day
        _thanksgiving(year),
        _observed(date(year, 12, 25)),
    }
    if year >= 1998:  # noqa: PLR2004 - the first Martin Luther King Jr. Day on which the exchange closed
        days.add(_nth(3, _MONDAY, year, 1))
    if year >= 2022:  # noqa: PLR2004 - the first Juneteenth on which it closed
        days.add(_observed(date(year, 6, 19)))
    # A New Year's Day on a Saturday is not observed on the Friday before, the last trading day of the old year.
    return frozenset(day for day in days | _UNSCHEDULED_CLOSINGS if day.year == year)


def _banks_rest(day: date) -> bool:
    """Whether banks are closed on a trading day: Columbus Day and Veterans Day."""
    return day in _bank_holidays(day.year)


@lru_cache(maxsize=256)
def _bank_holidays(year: int) -> frozenset[date]:
    return frozenset({_nth(2, _MONDAY, year, 10), date(year, 11, 11)})


def _is_half_day(day: date) -> bool:
    """Whether a trading day is a half day."""
    return (
        day == _thanksgiving(day.year) + _ONE_DAY
        or ((day.month, day.day) == (7, 3) and day.weekday() <= _THURSDAY)
        or ((day.month, day.day) == (12, 24) and day.weekday() <= _THURSDAY)
    )


def _observed(holiday: date) -> date:
    if holiday.weekday() == _SATURDAY:
        return holiday - _ONE_DAY
    return holiday + _ONE_DAY if holiday.weekday() == _SUNDAY else holiday


def _thanksgiving(year: int) -> date:
    return _nth(4, _THURSDAY, year, 11)


def _nth(n: int, weekday: int, year: int, month: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))


def _easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar (Meeus, Astronomical Algorithms, chapter 8)."""
    century, of_century = divmod(year, 100)
    golden = year % 19
    epact = (19 * golden + century - century // 4 - (century - (century + 8) // 25 + 1) // 3 + 15) % 30
    weekday = (32 + 2 * (century % 4) + 2 * (of_century // 4) - epact - of_century % 4) % 7
    correction = (golden + 11 * epact + 22 * weekday) // 451
    month, day = divmod(epact + weekday - 7 * correction + 114, 31)
    return date(year, month, day + 1)


def session_window(session: TradingSession, *, extended: bool) -> TradingWindow:
    """Returns the regular or the extended hours of a session."""
    return _windows_on(session.day)[extended]


def window_from(at: int, *, extended: bool) -> TradingWindow:
    """Returns the window that `at` lies in, or else the next."""
    windows = (session_window(session, extended=extended) for session in sessions_from(new_york_time(at).date()))
    return next(window for window in windows if window.closes > at)


def close_before(day: date) -> int:
    """Returns the close of the last session before a day, in nanoseconds since 1970."""
    return session_window(last_session_before(day), extended=False).closes


def close_before_today(now: int) -> int:
    """Returns the close of the last session before today in New York."""
    return close_before(new_york_time(now).date())


@lru_cache(maxsize=4_096)
def _windows_on(day: date) -> tuple[TradingWindow, TradingWindow]:
    """Returns the regular and the extended hours of a day with a session."""
    session = next(sessions_from(day))
    return (
        TradingWindow(to_nanoseconds(session.opens), to_nanoseconds(session.closes)),
        TradingWindow(to_nanoseconds(session.extended_opens), to_nanoseconds(session.extended_closes)),
    )
