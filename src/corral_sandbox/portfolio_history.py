"""GET /v2/account/portfolio/history: what the account was worth, step by step."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from itertools import islice

import orjson

from corral_sandbox.answers import Document
from corral_sandbox.history_span import TIMEFRAMES, Span, hours_of, read_span
from corral_sandbox.moments import SECOND, nanoseconds
from corral_sandbox.money import in_writing
from corral_sandbox.parameters import Invalid, as_choice
from corral_sandbox.requests import Request
from corral_sandbox.trading_calendar import Session, last_session_before, new_york_time, sessions_from

EquityAt = Callable[[int], Decimal]

_MOST_POINTS = 10_100  # a week, minute by minute around the clock
_SHARE = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class _Point:
    """`label`, in seconds since 1970, is where a step begins; `at`, in nanoseconds, is when its equity is read."""

    label: int
    at: int
    day: date


def portfolio_history_page(request: Request) -> Document:
    """Takes all of Alpaca's parameters. No money comes or goes here, so that `cashflow` is empty, whatever is asked.

    A day's step is labelled with the end of its extended session, and ends at the close, as `last_equity` does.
    """
    request.customer.book.advance(request.now)
    query = request.query()
    span = read_span(query, request.now)
    is_reset = as_choice("pnl_reset", query.get("pnl_reset", "per_day"), "per_day", "no_reset") == "per_day"
    opened = datetime.fromisoformat(str(request.customer.account.profile["created_at"]))
    points = _points(span, request.now, nanoseconds(opened))
    return _document(
        points,
        _Baselines(partial(_equity_at, request), nanoseconds(opened), points),
        timeframe=span.timeframe,
        is_reset=is_reset and span.timeframe != "1D",
    )


class _Baselines:
    """What profit is measured by: the equity at the close before, or at the first point of a young account."""

    def __init__(self, equity_at: EquityAt, opened: int, points: list[_Point]) -> None:
        self.equity_at = equity_at
        self._opened = opened
        self._first = points[0] if points else None
        self._by_day: dict[date, Decimal] = {}

    def asof(self, day: date) -> date | None:
        session = last_session_before(day)
        return session.day if nanoseconds(session.closes) >= self._opened else None

    def of(self, day: date) -> Decimal:
        if day not in self._by_day:
            self._by_day[day] = self._load(day)
        return self._by_day[day]

    def _load(self, day: date) -> Decimal:
        if self.asof(day) is None and self._first:
            return self.equity_at(self._first.at)
        return self.equity_at(nanoseconds(last_session_before(day).closes))


def _equity_at(request: Request, at: int) -> Decimal:
    return request.customer.worth_at(at).equity


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
    """Alpaca writes numbers here, where it writes texts elsewhere; these have every digit, too."""
    return orjson.Fragment(in_writing(amount))


def _points(span: Span, now: int, opened: int) -> list[_Point]:
    if span.timeframe == "1D":
        points = _days(span, now)
    elif span.reporting == "continuous":
        points = _around_the_clock(span, now)
    else:
        points = _in_sessions(span, now)
    found = list(islice((point for point in points if point.at >= opened), _MOST_POINTS + 1))
    if len(found) > _MOST_POINTS:
        raise Invalid(f"invalid timeframe: more than {_MOST_POINTS} points; choose a longer one")
    return found


def _sessions(span: Span) -> Iterator[Session]:
    """Answers those of the days of a span that have begun."""
    last = new_york_time(span.last)
    for session in sessions_from(new_york_time(span.first).date()):
        if session.day > last.date():
            return
        yield session


def _days(span: Span, now: int) -> Iterator[_Point]:
    for session in _sessions(span):
        if hours_of(session, span.reporting)[0] <= now:
            at = min(nanoseconds(session.closes), now)
            yield _Point(int(session.extended_closes.timestamp()), at, session.day)


def _in_sessions(span: Span, now: int) -> Iterator[_Point]:
    step = TIMEFRAMES[span.timeframe] * SECOND
    for session in _sessions(span):
        opens, closes = hours_of(session, span.reporting)
        for label in range(opens, min(closes, span.last) + 1, step):
            if label + step > span.first:
                yield _Point(label // SECOND, min(label + step, closes, now), session.day)


def _around_the_clock(span: Span, now: int) -> Iterator[_Point]:
    step = TIMEFRAMES[span.timeframe] * SECOND
    for label in range(span.first // step * step, span.last + 1, step):
        yield _Point(label // SECOND, min(label + step, now), new_york_time(label).date())
