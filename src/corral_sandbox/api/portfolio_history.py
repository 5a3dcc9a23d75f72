"""GET /v2/account/portfolio/history: the equity of an account over time."""

import re
from calendar import monthrange
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Literal, cast

import orjson

from corral_sandbox.broker.accounts import TradingAccount
from corral_sandbox.broker.initial_state import AccountTerms
from corral_sandbox.errors import InvalidParameterError
from corral_sandbox.http.requests import Document, Request, as_choice, as_flag, as_timestamp
from corral_sandbox.market.money import format_amount
from corral_sandbox.market.time import (
    DAY,
    NEW_YORK,
    SECOND,
    TradingSession,
    TradingWindow,
    close_before,
    last_session_before,
    new_york_time,
    session_window,
    sessions_from,
    to_nanoseconds,
)

Reporting = Literal["market_hours", "extended_hours", "continuous"]

TIMEFRAMES = {"1Min": 60, "5Min": 300, "15Min": 900, "1H": 3_600, "1D": 86_400}  # in seconds

_PERIOD = re.compile(r"([1-9][0-9]{0,3})([DWMA])")
_DAYS = {"D": 1, "W": 7, "M": 30, "A": 365}  # as the rules for timeframes count them
_DAY = timedelta(days=1)
_WEEK, _MONTH = 7 * _DAY, 30 * _DAY
_EARLIEST, _LATEST = date(1970, 1, 1), date(2100, 12, 31)
_MOST_POINTS = 10_100  # a week, minute by minute around the clock
_SHARE = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class HistorySpan:
    """From `first` to `last`, both included, in nanoseconds since 1970."""

    first: int
    last: int
    timeframe: str
    reporting: Reporting


@dataclass(frozen=True, slots=True)
class _Point:
    """A step begins at `label`, in seconds since 1970; its equity is that of `at`, in nanoseconds."""

    label: int
    at: int
    day: date


def get_portfolio_history(request: Request) -> Document:
    """Takes all of Alpaca's parameters. `cashflow` is always empty, because there are no transfers.

    A daily step is labeled with the end of its extended session and has the equity of the close, as `last_equity` does.
    """
    request.account.order_manager.advance(request.now)
    query = request.query()
    span = read_span(query, request.now)
    is_reset = as_choice("pnl_reset", query.get("pnl_reset", "per_day"), "per_day", "no_reset") == "per_day"
    points = _points(span, request.now, request.account.terms)
    return _document(
        points,
        _Baselines(request.account, points),
        timeframe=span.timeframe,
        is_reset=is_reset and span.timeframe != "1D",
    )


class _Baselines:
    """The equity from which profit is counted: that of the previous close, or of a new account's first point."""

    def __init__(self, account: TradingAccount, points: list[_Point]) -> None:
        self._account = account
        self._first = points[0] if points else None
        self._by_day: dict[date, Decimal] = {}

    def equity_at(self, at: int) -> Decimal:
        return self._account.value_at(at).equity

    def asof(self, day: date) -> date | None:
        is_funded = self._account.terms.is_funded_at(close_before(day))
        return last_session_before(day).day if is_funded else None

    def of(self, day: date) -> Decimal:
        if day not in self._by_day:
            self._by_day[day] = self._load(day)
        return self._by_day[day]

    def _load(self, day: date) -> Decimal:
        if self.asof(day) is None and self._first:
            return self.equity_at(self._first.at)
        return self.equity_at(close_before(day))


def _document(points: list[_Point], baselines: _Baselines, *, timeframe: str, is_reset: bool) -> Document:
    if not points:
        return _arrays([], [], [], timeframe) | {"base_value": None}
    first_day = points[0].day
    bases = [baselines.of(point.day if is_reset else first_day) for point in points]
    equities = [baselines.equity_at(point.at) for point in points]
    asof = baselines.asof(first_day)
    return {
        **_arrays(points, equities, bases, timeframe),
        "base_value": _number(baselines.of(first_day)),
        **({"base_value_asof": asof.isoformat()} if asof else {}),
    }


def _arrays(points: list[_Point], equities: list[Decimal], bases: list[Decimal], timeframe: str) -> dict[str, object]:
    profits = [equity - base for equity, base in zip(equities, bases, strict=True)]
    shares = [
        _number((profit / base).quantize(_SHARE)) if base else None for profit, base in zip(profits, bases, strict=True)
    ]
    return {
        "timestamp": [point.label for point in points],
        "equity": [_number(equity) for equity in equities],
        "profit_loss": [_number(profit) for profit in profits],
        "profit_loss_pct": shares,
        "timeframe": timeframe,
        "cashflow": {},
    }


def _number(amount: Decimal) -> orjson.Fragment:
    """Writes a number with every digit: this endpoint has numbers where others have strings."""
    return orjson.Fragment(format_amount(amount))


def _points(span: HistorySpan, now: int, terms: AccountTerms) -> list[_Point]:
    if span.timeframe == "1D":
        points = _days(span, now)
    elif span.reporting == "continuous":
        points = _around_the_clock(span, now)
    else:
        points = _in_sessions(span, now)
    found = list(islice((point for point in points if terms.is_funded_at(point.at)), _MOST_POINTS + 1))
    if len(found) > _MOST_POINTS:
        raise InvalidParameterError(f"invalid timeframe: more than {_MOST_POINTS} points; choose a longer one")
    return found


def _sessions(span: HistorySpan) -> Iterator[TradingSession]:
    """Yields the sessions of a span, up to its last day."""
    last = new_york_time(span.last)
    for session in sessions_from(new_york_time(span.first).date()):
        if session.day > last.date():
            return
        yield session


def _days(span: HistorySpan, now: int) -> Iterator[_Point]:
    for session in _sessions(span):
        if _hours(session, span.reporting).opens <= now:
            at = min(_hours(session, "market_hours").closes, now)
            yield _Point(_hours(session, "extended_hours").closes // SECOND, at, session.day)


def _in_sessions(span: HistorySpan, now: int) -> Iterator[_Point]:
    step = TIMEFRAMES[span.timeframe] * SECOND
    for session in _sessions(span):
        opens, closes = _hours(session, span.reporting)
        for label in range(opens, min(closes, span.last) + 1, step):
            if label + step > span.first:
                yield _Point(label // SECOND, min(label + step, closes, now), session.day)


def _around_the_clock(span: HistorySpan, now: int) -> Iterator[_Point]:
    step = TIMEFRAMES[span.timeframe] * SECOND
    for label in range(span.first // step * step, span.last + 1, step):
        yield _Point(label // SECOND, min(label + step, now), new_york_time(label).date())


def read_span(query: Mapping[str, str], now: int) -> HistorySpan:
    """Applies Alpaca's defaults and raises its errors for parameters that exclude each other.

    At most two of `start`, `end` and `period` (default 1M) may be given; beyond 30 days the timeframe must be 1D.
    A span never reaches beyond `now`.
    """
    if {"start", "end", "period"} <= query.keys():
        raise InvalidParameterError("start, end and period may not be given together")
    start = as_timestamp("start", query["start"]) if "start" in query else None
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
        raise InvalidParameterError("start must not be after end, nor after now")
    return HistorySpan(first, min(last, now), timeframe, reporting)


def _hours(session: TradingSession, reporting: Reporting) -> TradingWindow:
    return session_window(session, extended=reporting != "market_hours")


def _end(text: str) -> int:
    """Reads the end; a date includes the whole day."""
    moment = as_timestamp("end", text)
    return moment + DAY - 1 if len(text) == len("yyyy-mm-dd") and "-" in text else moment


def _period(text: str) -> tuple[int, str]:
    parts = _PERIOD.fullmatch(text)
    if parts is None:
        raise InvalidParameterError(f"invalid period: {text} is not a number and one of D, W, M and A")
    return int(parts[1]), parts[2]


def _first_of_period(now: int, number: int, unit: str, reporting: Reporting, *, is_daily: bool) -> int:
    """Returns the start of a period that ends now. Its last day is that of the session that began last.

    Its first day is that of the next session in daily steps, and of the session before in shorter ones.
    """
    latest = last_session_before(new_york_time(now).date() + _DAY)
    if _hours(latest, reporting).opens > now:
        latest = last_session_before(latest.day)
    first_day = new_york_time(_shifted(_hours(latest, "market_hours").opens, -number, unit)).date() + _DAY
    first = next(sessions_from(first_day)) if is_daily else last_session_before(first_day + _DAY)
    return _hours(first, reporting).opens


def _shifted(at: int, number: int, unit: str) -> int:
    moment = new_york_time(at)
    day = moment.date()
    if unit in "DW":
        day = date.fromordinal(day.toordinal() + number * _DAYS[unit])
    else:
        day = _months_later(day, number if unit == "M" else number * 12)
    return to_nanoseconds(datetime.combine(min(max(day, _EARLIEST), _LATEST), moment.time(), NEW_YORK))


def _months_later(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    year = min(max(year, _EARLIEST.year), _LATEST.year)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _timeframe(query: Mapping[str, str], length: timedelta) -> str:
    default = "1Min" if length < _WEEK else "15Min" if length < _MONTH else "1D"
    timeframe = as_choice("timeframe", query.get("timeframe", default), *TIMEFRAMES)
    if length > _MONTH and timeframe != "1D":
        raise InvalidParameterError(f"invalid timeframe: beyond 30 days it must be 1D, not {timeframe}")
    return timeframe


def _reporting(query: Mapping[str, str]) -> Reporting:
    default = "extended_hours" if as_flag("extended_hours", query.get("extended_hours", "false")) else "market_hours"
    reporting = query.get("intraday_reporting", default)
    return cast("Reporting", as_choice("intraday_reporting", reporting, "market_hours", "extended_hours", "continuous"))
