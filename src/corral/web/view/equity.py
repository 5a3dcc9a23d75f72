"""The equity history of an account: the selectable periods and the summary of their points."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import StrEnum
from typing import Final, Literal

from corral.accounts.params import HistoryParams
from corral.accounts.schemas import HistoryPointResponse, PortfolioHistoryResponse
from corral.alpaca.portfolio_history import IntradayReporting, ProfitReset, Timeframe
from corral.web.view.times import EXCHANGE_ZONE, to_exchange_time

MAX_ROWS: Final = 80  # of the table; the chart and the API have every point

_OPENS, _CLOSES = time(9, 30), time(16)


class Period(StrEnum):
    """Alpaca's names for them, as in the URL of the page."""

    DAY = "1D"
    WEEK = "1W"
    MONTH = "1M"
    QUARTER = "3M"
    YEAR = "1A"
    ALL = "all"

    @property
    def label(self) -> str:
        """On the button that selects it."""
        return {Period.YEAR: "1Y", Period.ALL: "All"}.get(self, self.value)

    @property
    def description(self) -> str:
        """What the gain is for."""
        return _DESCRIPTIONS[self]


_DESCRIPTIONS: Final = {
    Period.DAY: "past day",
    Period.WEEK: "past week",
    Period.MONTH: "past month",
    Period.QUARTER: "past 3 months",
    Period.YEAR: "past year",
    Period.ALL: "all time",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EquityHistory:
    """`profit` and `profit_factor` are Alpaca's for the whole period, measured from its base value.

    `is_unfinished` means that the last point is from a day that has not closed. `rows` are for the table, newest
    first: every `step`-th of the `points`.
    """

    period: Period
    is_intraday: bool
    is_unfinished: bool
    first: HistoryPointResponse
    last: HistoryPointResponse
    low: str
    high: str
    profit: str | None
    profit_factor: str | None
    rows: tuple[HistoryPointResponse, ...]
    step: int
    points: int


def history_params(period: Period) -> HistoryParams:
    """A day and a week include extended hours, and the profit is counted from the start of the period."""
    if period is Period.DAY:
        return _intraday(period, Timeframe.FIVE_MINUTES)
    if period is Period.WEEK:
        return _intraday(period, Timeframe.FIFTEEN_MINUTES)
    # Alpaca has no "all". It opened in 2018, so twenty years cover every account for now.
    alpaca_period = "20A" if period is Period.ALL else period.value
    return _params(period=alpaca_period, timeframe=Timeframe.ONE_DAY, pnl_reset=ProfitReset.NO_RESET)


def summarize_equity(history: PortfolioHistoryResponse, period: Period, now: datetime) -> EquityHistory | None:
    """Returns None for a history without values, as that of an account opened today."""
    points = points_since_funding(history.items)
    if not points:
        return None
    equities = [point.equity for point in points if point.equity is not None]
    step = -(-len(points) // MAX_ROWS)
    is_intraday = history.timeframe != Timeframe.ONE_DAY
    return EquityHistory(
        period=period,
        is_intraday=is_intraday,
        is_unfinished=not is_intraday and _is_before_close(now, day=to_exchange_time(points[-1].at).date()),
        first=points[0],
        last=points[-1],
        low=min(equities, key=Decimal),
        high=max(equities, key=Decimal),
        profit=points[-1].profit_loss,
        profit_factor=points[-1].profit_loss_pct,
        rows=tuple(points[::-1][::step]),
        step=step,
        points=len(points),
    )


def market_hours(at: str) -> Literal["regular", "extended"]:
    """Regular hours are 9:30 to 16:00 in New York. Early closes are not known here."""
    return "regular" if _OPENS <= to_exchange_time(at).time() <= _CLOSES else "extended"


def points_since_funding(points: Sequence[HistoryPointResponse]) -> Sequence[HistoryPointResponse]:
    """Leaves out points without a value, and zeros from before the account was funded."""
    known = [point for point in points if point.equity is not None]
    first = next((index for index, point in enumerate(known) if Decimal(point.equity or 0)), len(known))
    return known[first:]


def _intraday(period: Period, timeframe: Timeframe) -> HistoryParams:
    return _params(
        period=period.value,
        timeframe=timeframe,
        intraday_reporting=IntradayReporting.EXTENDED_HOURS,
        pnl_reset=ProfitReset.NO_RESET,
    )


def _params(**values: object) -> HistoryParams:
    return HistoryParams.model_validate(values)


def _is_before_close(now: datetime, *, day: date) -> bool:
    local = now.astimezone(EXCHANGE_ZONE)
    return local.date() == day and local.time() < _CLOSES
