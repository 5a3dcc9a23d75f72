"""From when to when a portfolio history goes, and in what steps."""

import re
from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal, cast

from corral_sandbox.moments import SECOND, nanoseconds
from corral_sandbox.parameters import Invalid, as_choice, as_flag, as_moment
from corral_sandbox.trading_calendar import NEW_YORK, Session, last_session_before, new_york_time, sessions_from

Reporting = Literal["market_hours", "extended_hours", "continuous"]

TIMEFRAMES = {"1Min": 60, "5Min": 300, "15Min": 900, "1H": 3_600, "1D": 86_400}  # in seconds

_PERIOD = re.compile(r"([1-9][0-9]{0,3})([DWMA])")
_DAYS = {"D": 1, "W": 7, "M": 30, "A": 365}  # as the rules about timeframes count them
_DAY = timedelta(days=1)
_WEEK, _MONTH = 7 * _DAY, 30 * _DAY
_EARLIEST, _LATEST = date(1970, 1, 1), date(2100, 12, 31)


@dataclass(frozen=True, slots=True)
class Span:
    """`first` and `last`, both included, are nanoseconds since 1970."""

    first: int
    last: int
    timeframe: str
    reporting: Reporting


def read_span(query: Mapping[str, str], now: int) -> Span:
    """Alpaca's defaults, and its refusals of what does not go together.

    At most two of `start`, `end` and `period`, which is 1M by default; beyond 30 days there are only whole
    days. A span never reaches beyond `now`.
    """
    if {"start", "end", "period"} <= query.keys():
        raise Invalid("start, end and period may not be given together")
    start = as_moment("start", query["start"]) if "start" in query else None
    end = min(_end(query["end"]), now) if "end" in query else None
    number, unit = _period(query.get("period", "1M"))
    length = timedelta(days=number * _DAYS[unit])
    if start is not None and end is not None:
        length = timedelta(microseconds=(end - start) // 1_000)
    timeframe, reporting = _timeframe(query, length), _reporting(query)
    if start is not None:
        first, last = start, _shifted(start, number, unit) if end is None else end
    elif end is not None:
        first, last = _shifted(end, -number, unit), end
    else:
        first, last = _first_of_period(now, number, unit, reporting, is_daily=timeframe == "1D"), now
    if first > min(last, now):
        raise Invalid("start must not be after end, nor after now")
    return Span(first, min(last, now), timeframe, reporting)


def hours_of(session: Session, reporting: Reporting) -> tuple[int, int]:
    """Answers when a session begins and ends, in nanoseconds since 1970."""
    if reporting == "market_hours":
        return nanoseconds(session.opens), nanoseconds(session.closes)
    return nanoseconds(session.extended_opens), nanoseconds(session.extended_closes)


def _end(text: str) -> int:
    """A day as the end is included whole."""
    moment = as_moment("end", text)
    return moment + 86_400 * SECOND - 1 if len(text) == len("yyyy-mm-dd") and "-" in text else moment


def _period(text: str) -> tuple[int, str]:
    parts = _PERIOD.fullmatch(text)
    if parts is None:
        raise Invalid(f"invalid period: {text} is not a number and one of D, W, M and A")
    return int(parts[1]), parts[2]


def _first_of_period(now: int, number: int, unit: str, reporting: Reporting, *, is_daily: bool) -> int:
    """A period up to now has as its last day the one whose session last began.

    Its first is, in steps of a day, the next session's after its beginning, and in others the one before.
    """
    latest = last_session_before(new_york_time(now).date() + _DAY)
    if hours_of(latest, reporting)[0] > now:
        latest = last_session_before(latest.day)
    first_day = new_york_time(_shifted(nanoseconds(latest.opens), -number, unit)).date() + _DAY
    first = next(sessions_from(first_day)) if is_daily else last_session_before(first_day + _DAY)
    return hours_of(first, reporting)[0]


def _shifted(at: int, number: int, unit: str) -> int:
    moment = new_york_time(at)
    day = moment.date()
    if unit in "DW":
        day = date.fromordinal(day.toordinal() + number * _DAYS[unit])
    else:
        day = _months_later(day, number if unit == "M" else number * 12)
    return nanoseconds(datetime.combine(min(max(day, _EARLIEST), _LATEST), moment.time(), NEW_YORK))


def _months_later(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    year = min(max(year, _EARLIEST.year), _LATEST.year)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _timeframe(query: Mapping[str, str], length: timedelta) -> str:
    usual = "1Min" if length < _WEEK else "15Min" if length < _MONTH else "1D"
    timeframe = as_choice("timeframe", query.get("timeframe", usual), *TIMEFRAMES)
    if length > _MONTH and timeframe != "1D":
        raise Invalid(f"invalid timeframe: beyond 30 days it must be 1D, not {timeframe}")
    return timeframe


def _reporting(query: Mapping[str, str]) -> Reporting:
    usual = "extended_hours" if as_flag("extended_hours", query.get("extended_hours", "false")) else "market_hours"
    reporting = query.get("intraday_reporting", usual)
    return cast("Reporting", as_choice("intraday_reporting", reporting, "market_hours", "extended_hours", "continuous"))
