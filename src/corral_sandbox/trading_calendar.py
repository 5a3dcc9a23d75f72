"""When the New York Stock Exchange trades, computed by rule.

Source: NYSE Rule 7.2 and the exchange's yearly "Holidays & Trading Hours". Holidays are right from 1981
on, half days from 2013 on (before, the days around Independence Day and Christmas were halved otherwise).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")

_OPEN, _CLOSE, _EARLY_CLOSE = time(9, 30), time(16), time(13)
_EXTENDED_OPEN, _EXTENDED = time(4), timedelta(hours=4)
_DAY = timedelta(days=1)
_MONDAY, _THURSDAY, _SATURDAY, _SUNDAY = 0, 3, 5, 6

# Since when, and how many days after the trade.
_SETTLEMENT = ((date(2024, 5, 28), 1), (date(2017, 9, 5), 2), (date(1995, 6, 7), 3), (date.min, 5))

# Days on which the exchange stayed shut and no rule says so: storms, attacks, days of mourning.
_UNSCHEDULED_CLOSINGS = frozenset(
    map(
        date.fromisoformat,
        (
            *("1985-09-27", "1994-04-27", "2001-09-11", "2001-09-12", "2001-09-13", "2001-09-14", "2004-06-11"),
            *("2007-01-02", "2012-10-29", "2012-10-30", "2018-12-05", "2025-01-09"),
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Session:
    """One trading day; `opens` and `closes` carry New York's offset of that day."""

    day: date
    opens: datetime
    closes: datetime

    @property
    def extended_opens(self) -> datetime:
        return datetime.combine(self.day, _EXTENDED_OPEN, NEW_YORK)

    @property
    def extended_closes(self) -> datetime:
        """Four hours after the close, on half days too."""
        return self.closes + _EXTENDED


def new_york_time(at: int) -> datetime:
    """Answers the whole second of a moment in nanoseconds since 1970; sessions begin and end on whole seconds."""
    return datetime.fromtimestamp(at // 1_000_000_000, NEW_YORK)


def sessions_from(day: date) -> Iterator[Session]:
    """Answers every session from `day` on, that day included."""
    while True:
        if session := session_on(day):
            yield session
        day += _DAY


@lru_cache(maxsize=1_024)
def last_session_before(day: date) -> Session:
    day -= _DAY
    while not (session := session_on(day)):
        day -= _DAY
    return session


@lru_cache(maxsize=4_096)
def session_on(day: date) -> Session | None:
    """Answers the day's session, or None on a weekend or holiday."""
    if day.weekday() >= _SATURDAY or day in holidays(day.year):
        return None
    closes = _EARLY_CLOSE if _is_half_day(day) else _CLOSE
    return Session(day, datetime.combine(day, _OPEN, NEW_YORK), datetime.combine(day, closes, NEW_YORK))


def settlement_date(day: date) -> date:
    """Answers when a trade of a day is settled (SEC Rule 15c6-1 as it stood then), on days on which banks work."""
    days = next(days for since, days in _SETTLEMENT if day >= since)
    while days:
        day += _DAY
        days -= session_on(day) is not None and not _banks_rest(day)
    return day


@lru_cache(maxsize=256)
def holidays(year: int) -> frozenset[date]:
    """Answers the weekdays of a year on which there is no trading."""
    days = {
        _observed(date(year, 1, 1)),
        _nth(3, _MONDAY, year, 2),  # Washington's Birthday
        _easter(year) - 2 * _DAY,  # Good Friday
        _nth(1, _MONDAY, year, 6) - 7 * _DAY,  # Memorial Day, the last Monday of May
        _observed(date(year, 7, 4)),
        _nth(1, _MONDAY, year, 9),  # Labor Day
        _thanksgiving(year),
        _observed(date(year, 12, 25)),
    }
    if year >= 1998:  # noqa: PLR2004 - the first Martin Luther King Jr. Day that the exchange kept
        days.add(_nth(3, _MONDAY, year, 1))
    if year >= 2022:  # noqa: PLR2004 - the first Juneteenth that it kept
        days.add(_observed(date(year, 6, 19)))
    # New Year's Day on a Saturday is not made up for: the Friday before, of the old year, closes the books.
    return frozenset(day for day in days | _UNSCHEDULED_CLOSINGS if day.year == year)


def _banks_rest(day: date) -> bool:
    """On a day on which the exchange trades: Columbus Day and Veterans Day."""
    return day == _nth(2, _MONDAY, day.year, 10) or (day.month, day.day) == (11, 11)


def _is_half_day(day: date) -> bool:
    """Of a day that is a trading day."""
    return (
        day == _thanksgiving(day.year) + _DAY
        or ((day.month, day.day) == (7, 3) and day.weekday() <= _THURSDAY)
        or ((day.month, day.day) == (12, 24) and day.weekday() <= _THURSDAY)
    )


def _observed(holiday: date) -> date:
    if holiday.weekday() == _SATURDAY:
        return holiday - _DAY
    return holiday + _DAY if holiday.weekday() == _SUNDAY else holiday


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
