"""The equity history of an account: the selectable periods and the summary of their points."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import ROUND_HALF_EVEN, Context, Decimal
from enum import StrEnum
from typing import Final, Literal

from corral.accounts.amounts import exact_sum
from corral.accounts.combined.equity import points_since_funding
from corral.accounts.params import HistoryParams
from corral.accounts.schemas import HistoryPointResponse, PortfolioHistoryResponse
from corral.alpaca.portfolio_history import IntradayReporting, ProfitReset, Timeframe
from corral.web.view.times import EXCHANGE_ZONE, to_exchange_time

MAX_ROWS: Final = 80  # of the table; the chart and the API have every point

_OPENS, _CLOSES = time(9, 30), time(16)
_STEP_SECONDS: Final[Mapping[str, int]] = {
    Timeframe.ONE_MINUTE: 60,
    Timeframe.FIVE_MINUTES: 300,
    Timeframe.FIFTEEN_MINUTES: 900,
    Timeframe.ONE_HOUR: 3600,
}
_EXACT: Final = Context(prec=4_096, rounding=ROUND_HALF_EVEN)
_FACTOR_PLACES: Final = Decimal("1e-6")


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


@dataclass(frozen=True, slots=True)
class CurrentEquity:
    """Equity now, with the time at which Alpaca said so."""

    equity: str
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EquityHistory:
    """`profit` and `profit_factor` are Alpaca's for the whole period, measured from its base value.

    `is_unfinished` means that the last point is from a day that has not closed. `current_at` is when the last point was
    the current equity, or None if it is from the history. `rows` are for the table, newest first: every `step`-th of
    the `points`.
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
    current_at: str | None = None


def history_params(period: Period) -> HistoryParams:
    """A day and a week include extended hours, and the profit is counted from the start of the period."""
    if period is Period.DAY:
        return _intraday(period, Timeframe.FIVE_MINUTES)
    if period is Period.WEEK:
        return _intraday(period, Timeframe.FIFTEEN_MINUTES)
    # Alpaca has no "all". It opened in 2018, so twenty years cover every account for now.
    alpaca_period = "20A" if period is Period.ALL else period.value
    return _params(period=alpaca_period, timeframe=Timeframe.ONE_DAY, pnl_reset=ProfitReset.NO_RESET)


def summarize_equity(
    history: PortfolioHistoryResponse, period: Period, now: datetime, *, current: CurrentEquity | None = None
) -> EquityHistory | None:
    """Returns None for a history without values, as that of an account opened today.

    With `current`, the last point is the current equity.
    """
    points = points_since_funding(history.items)
    if not points:
        return None
    if current is not None:
        points = with_current_equity(points, current, history.timeframe, history.base_value)
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
        current_at=current and current.at,
    )


def with_current_equity(
    points: Sequence[HistoryPointResponse], current: CurrentEquity, timeframe: str, base_value: str | None
) -> Sequence[HistoryPointResponse]:
    """Replaces the last point if it is of the same time window, and follows it otherwise.

    The profit changes by exactly as much as the equity. `static/scripts/equity_points.js` does the same.
    """
    last = points[-1]
    profit, factor = last.profit_loss, last.profit_loss_pct
    if profit is not None:
        profit = exact_sum([profit, current.equity, str(Decimal(last.equity or 0).copy_negate())])
        if base_value is not None and Decimal(base_value) > 0:
            quotient = _EXACT.divide(Decimal(profit), Decimal(base_value))
            factor = str(_EXACT.quantize(quotient, _FACTOR_PLACES))
    point = HistoryPointResponse(at=last.at, equity=current.equity, profit_loss=profit, profit_loss_pct=factor)
    if _window_of(current.at, timeframe) <= _window_of(last.at, timeframe):
        return [*points[:-1], point]
    return [*points, point.model_copy(update={"at": current.at})]


def market_hours(at: str) -> Literal["regular", "extended"]:
    """Regular hours are 9:30 to 16:00 in New York. Early closes are not known here."""
    return "regular" if _OPENS <= to_exchange_time(at).time() <= _CLOSES else "extended"


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


def _window_of(at: str, timeframe: str) -> int:
    """The number of the point's time window: of a few minutes, or the exchange's day."""
    local = to_exchange_time(at)
    seconds = _STEP_SECONDS.get(timeframe)
    return int(local.timestamp()) // seconds if seconds else local.toordinal()
