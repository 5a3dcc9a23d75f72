"""How an account's equity went over time.

Source: `GET /v2/account/portfolio/history` in https://docs.alpaca.markets/openapi/trading-api.json.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from corral.alpaca.errors import WrongShape
from corral.alpaca.moments import since_1970
from corral.alpaca.reading import date, decimal, decimals, present, read_object, text

_SECONDS: Final = re.compile(r"\d{1,12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """The window of time that begins at `at`. Alpaca leaves open what it has no value for."""

    at: str
    equity: str | None
    profit_loss: str | None
    profit_loss_pct: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PortfolioHistory:
    """`base_value` is what profit and loss are counted from: the equity at the close of `base_value_asof`, if told."""

    timeframe: str
    base_value: str | None
    base_value_asof: str | None
    points: tuple[HistoryPoint, ...]


class Timeframe(StrEnum):
    ONE_MINUTE = "1Min"
    FIVE_MINUTES = "5Min"
    FIFTEEN_MINUTES = "15Min"
    ONE_HOUR = "1H"
    ONE_DAY = "1D"


class IntradayReporting(StrEnum):
    MARKET_HOURS = "market_hours"
    EXTENDED_HOURS = "extended_hours"
    CONTINUOUS = "continuous"


class ProfitReset(StrEnum):
    PER_DAY = "per_day"
    NO_RESET = "no_reset"


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryQuery:
    """What is None, Alpaca chooses. `start` and `end` are moments in UTC; of them and `period` two at most."""

    period: str | None = None
    timeframe: Timeframe | None = None
    start: str | None = None
    end: str | None = None
    intraday_reporting: IntradayReporting | None = None
    pnl_reset: ProfitReset | None = None

    def parameters(self) -> Mapping[str, str]:
        chosen = {
            "period": self.period,
            "timeframe": self.timeframe,
            "start": self.start,
            "end": self.end,
            "intraday_reporting": self.intraday_reporting,
            "pnl_reset": self.pnl_reset,
        }
        return {name: str(value) for name, value in chosen.items() if value is not None}


def read_portfolio_history(body: bytes) -> PortfolioHistory:
    """Raises WrongShape for what is not a history, and for one whose columns differ in length."""
    fields = read_object(body)
    columns = [decimals(fields, name) for name in ("timestamp", "equity", "profit_loss", "profit_loss_pct")]
    if len({len(column) for column in columns}) > 1:
        raise WrongShape
    return PortfolioHistory(
        timeframe=present(text(fields, "timeframe")),
        base_value=decimal(fields, "base_value"),
        base_value_asof=date(fields, "base_value_asof"),
        points=tuple(map(_point, *columns)),
    )


def _point(
    seconds: str | None, equity: str | None, profit_loss: str | None, profit_loss_pct: str | None
) -> HistoryPoint:
    if seconds is None or not _SECONDS.fullmatch(seconds):
        raise WrongShape
    return HistoryPoint(present(since_1970(int(seconds))), equity, profit_loss, profit_loss_pct)
