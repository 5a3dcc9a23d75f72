"""Formats times and days in the zone that the reader has chosen. `static/scripts/timestamps.js` has the same rules.

A day has its year only if that is not the current one, and a time names its zone. Daily points of a history and the
dates of activities are days of the exchange in every zone.
"""

from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

from corral.edge.field_types import in_utc
from corral.web.display import EXCHANGE_ZONE_NAME, current_display

EXCHANGE_ZONE: Final = ZoneInfo(EXCHANGE_ZONE_NAME)
_A_WEEK: Final = timedelta(days=6)  # later, the name of a weekday would be that of today
_FIRST_NAMED_YEAR: Final = 2010  # the names of a zone are those since then


def format_timestamp(timestamp: datetime | str, *, seconds: bool = False, now: datetime | str | None = None) -> str:
    """`09:30 ET` for today, `Nov 24, 09:30 ET` for another day, and `Nov 24, 2025, 09:30 ET` for another year."""
    local, today = _local(timestamp), _local(now or datetime.now(UTC))
    clock = f"{_clock(local, seconds=seconds)} {_zone_name(local)}"
    return clock if local.date() == today.date() else f"{_day(local, today.year)}, {clock}"


def format_short_timestamp(timestamp: str, *, now: datetime | None = None) -> str:
    """`09:30` for today, `Nov 24` for another day, and `Nov 24 '25` for another year, where there is little space."""
    local, today = _local(timestamp), _local(now or datetime.now(UTC))
    if local.date() == today.date():
        return _clock(local, seconds=False)
    return _short_day(local, today.year)


def format_full_timestamp(timestamp: datetime | str) -> str:
    """`Tue, Nov 24, 2026, 09:30:05 ET (UTC-5)`, which no other time shares, also when clocks are set back."""
    local = _local(timestamp)
    offset = f" ({_offset_name(local)})" if _zone_name(local) != _offset_name(local) else ""
    return f"{local:%a, %b %-d}, {local.year}, {_clock(local, seconds=True)} {_zone_name(local)}{offset}"


def format_exchange_time(at: str, *, now: datetime | None = None) -> str:
    """An intraday point, in the chosen zone: `2026-11-24T14:30:00Z` is `Tue, Nov 24, 09:30 ET`."""
    local = _local(at)
    return f"{local:%a}, {_day(local, _local(now or datetime.now(UTC)).year)}, {local:%H:%M} {_zone_name(local)}"


def format_coming_time(at: str, now: str) -> str:
    """`09:30 ET` for the day of `now`, `Mon 09:30 ET` for the next days, and `Mon, Nov 30, 09:30 ET` later."""
    local, today = _local(at), _local(now)
    clock = f"{_clock(local, seconds=False)} {_zone_name(local)}"
    if local.date() == today.date():
        return clock
    is_soon = local - today < _A_WEEK
    return f"{local:%a} {clock}" if is_soon else f"{local:%a}, {_day(local, today.year)}, {clock}"


def format_exchange_day(at: str, *, now: datetime | None = None) -> str:
    """The trading day of a daily point, which Alpaca dates at a time in the evening or at midnight: `Nov 24`."""
    return format_day(to_exchange_time(at).date(), now=now)


def format_day(day: date | str, *, now: datetime | None = None) -> str:
    """`2026-11-24` is `Nov 24` in 2026."""
    as_date = date.fromisoformat(day) if isinstance(day, str) else day
    return _day(as_date, _local(now or datetime.now(UTC)).year)


def format_short_day(day: str, *, now: datetime | None = None) -> str:
    """`Nov 24`, and `Nov 24 '25` of another year, where there is little space."""
    return _short_day(date.fromisoformat(day), _local(now or datetime.now(UTC)).year)


def to_exchange_time(at: str) -> datetime:
    return datetime.fromisoformat(at[:19] + "+00:00").astimezone(EXCHANGE_ZONE)


@cache
def zone_names(zone_name: str) -> dict[int, str]:
    """Returns the short names of a zone (`CET`, `CEST`) by the offset from UTC in minutes; New York is always `ET`.

    Zones without letters of their own are named after the offset. Browsers get the same names from here, because
    their own differ by language.
    """
    zone = ZoneInfo(zone_name)
    months = (
        datetime(year, month, 1, tzinfo=UTC).astimezone(zone)
        for year in range(_FIRST_NAMED_YEAR, datetime.now(UTC).year + 2)
        for month in range(1, 13)
    )
    names = {_offset(month): month.tzname() or "" for month in months}
    if zone_name == EXCHANGE_ZONE_NAME:
        return dict.fromkeys(names, "ET")
    return {offset: name for offset, name in names.items() if name.isalpha()}


def _local(timestamp: datetime | str) -> datetime:
    when = in_utc(datetime.fromisoformat(timestamp) if isinstance(timestamp, str) else timestamp)
    try:
        return when.astimezone(current_display().zone)
    except OverflowError:  # the end of the year 9999, which stands for PostgreSQL's infinity
        return when


def _day(day: date, current_year: int) -> str:
    return f"{day:%b %-d}" if day.year == current_year else f"{day:%b %-d}, {day.year}"


def _short_day(day: date, current_year: int) -> str:
    return f"{day:%b %-d}" if day.year == current_year else f"{day:%b %-d '%y}"


def _clock(local: datetime, *, seconds: bool) -> str:
    return f"{local:%H:%M:%S}" if seconds else f"{local:%H:%M}"


def _zone_name(local: datetime) -> str:
    names = zone_names(current_display().zone_name) if local.tzinfo is not UTC else {}
    return names.get(_offset(local), _offset_name(local))


def _offset_name(local: datetime) -> str:
    """`UTC+5:30`, or with a minus sign `UTC-5`."""
    hours, minutes = divmod(abs(_offset(local)), 60)
    if not hours and not minutes:
        return "UTC"
    sign = "+" if _offset(local) > 0 else "\N{MINUS SIGN}"
    return f"UTC{sign}{hours}" + (f":{minutes:02}" if minutes else "")


def _offset(local: datetime) -> int:
    offset = local.utcoffset()
    return int(offset.total_seconds() // 60) if offset else 0
