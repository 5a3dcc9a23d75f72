"""How an account's equity went, as the page of the account tells it: the spans to choose from, and their points."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from enum import StrEnum
from typing import Final, Literal
from zoneinfo import ZoneInfo

from corral.accounts.params import HistoryParams
from corral.accounts.schemas import HistoryPointResponse, PortfolioHistoryResponse
from corral.alpaca.portfolio_history import IntradayReporting, ProfitReset, Timeframe

EXCHANGE_ZONE: Final = ZoneInfo("America/New_York")
MOST_ROWS: Final = 80  # of the table; the chart and the API have every point

_OPENS, _CLOSES = time(9, 30), time(16)


class Span(StrEnum):
    """By the names that Alpaca and every trader give them."""

    DAY = "1D"
    WEEK = "1W"
    MONTH = "1M"
    QUARTER = "3M"
    YEAR = "1A"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Equity:
    """`profit` and `profit_factor` are Alpaca's for the whole span, measured from its base value.

    `is_unfinished` says that the last point is of a day that is not over. `rows` are for a table, the newest
    first; `every` says which of the points they are.
    """

    span: Span
    is_intraday: bool
    is_unfinished: bool
    first: HistoryPointResponse
    last: HistoryPointResponse
    low: str
    high: str
    profit: str | None
    profit_factor: str | None
    rows: tuple[HistoryPointResponse, ...]
    every: int
    points: int


def history_question(span: Span) -> HistoryParams:
    """Within a day or a week with extended hours, and with profit counted from the start of all of it."""
    if span is Span.DAY:
        return _intraday(span, Timeframe.FIVE_MINUTES)
    if span is Span.WEEK:
        return _intraday(span, Timeframe.FIFTEEN_MINUTES)
    # Alpaca takes no "all". It opened in 2018, so twenty years reach back to everybody's start for a while.
    period = "20A" if span is Span.ALL else span.value
    return _question(period=period, timeframe=Timeframe.ONE_DAY, pnl_reset=ProfitReset.NO_RESET)


def equity_of(history: PortfolioHistoryResponse, span: Span, now: datetime) -> Equity | None:
    """None where there is nothing to tell, as with an account of today."""
    points = since_funding(history.items)
    if not points:
        return None
    worth = [point.equity for point in points if point.equity is not None]
    every = -(-len(points) // MOST_ROWS)
    is_intraday = history.timeframe != Timeframe.ONE_DAY
    return Equity(
        span=span,
        is_intraday=is_intraday,
        is_unfinished=not is_intraday and _is_before_the_close(now, of=exchange_day(points[-1].at)),
        first=points[0],
        last=points[-1],
        low=min(worth, key=Decimal),
        high=max(worth, key=Decimal),
        profit=points[-1].profit_loss,
        profit_factor=points[-1].profit_loss_pct,
        rows=tuple(points[::-1][::every]),
        every=every,
        points=len(points),
    )


def hours(at: str) -> Literal["regular", "extended"]:
    """Whether a moment is within the exchange's regular hours of 9:30 to 16:00. Early closes are not known here."""
    return "regular" if _OPENS <= at_the_exchange(at).time() <= _CLOSES else "extended"


def exchange_time(at: str) -> str:
    """`2026-11-24T14:30:00Z` is `Tue 24 Nov, 09:30`."""
    return f"{at_the_exchange(at):%a %-d %b, %H:%M}"


def exchange_day(at: str) -> str:
    """The trading day of a daily point: Alpaca names it by a moment of its evening, or by its midnight."""
    return at_the_exchange(at).date().isoformat()


def since_funding(points: Sequence[HistoryPointResponse]) -> Sequence[HistoryPointResponse]:
    """From the first point with money in it to the last with a value: before, the account was not yet there."""
    told = [point for point in points if point.equity is not None]
    first = next((index for index, point in enumerate(told) if Decimal(point.equity or 0)), len(told))
    return told[first:]


def at_the_exchange(at: str) -> datetime:
    return datetime.fromisoformat(at[:19] + "+00:00").astimezone(EXCHANGE_ZONE)


def _intraday(span: Span, timeframe: Timeframe) -> HistoryParams:
    return _question(
        period=span.value,
        timeframe=timeframe,
        intraday_reporting=IntradayReporting.EXTENDED_HOURS,
        pnl_reset=ProfitReset.NO_RESET,
    )


def _question(**chosen: object) -> HistoryParams:
    return HistoryParams.model_validate(chosen)


def _is_before_the_close(now: datetime, *, of: str) -> bool:
    here = now.astimezone(EXCHANGE_ZONE)
    return here.date().isoformat() == of and here.time() < _CLOSES
