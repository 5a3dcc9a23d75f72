"""Portfolio history: an account's equity over time.

Source: `GET /v2/account/portfolio/history` in https://docs.alpaca.markets/openapi/trading-api.json.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from corral.alpaca.errors import Fault, WrongShape
from corral.alpaca.fields import (
    NumberAsWritten,
    array,
    date,
    decimal,
    if_readable,
    read_object,
    required,
    since_1970,
    text,
)
from corral.alpaca.items import ItemForm, UnreadableItem, read_items, readable

_SECONDS: Final = re.compile(r"\d{1,12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """The time window that starts at `at`. None if Alpaca has no value."""

    at: str
    equity: str | None
    profit_loss: str | None
    profit_loss_pct: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PortfolioHistory:
    """`base_value` is the equity that profit and loss are measured from, at the close of `base_value_asof` if given."""

    timeframe: str
    base_value: str | None
    base_value_asof: str | None
    entries: tuple[HistoryPoint | UnreadableItem, ...]

    @property
    def points(self) -> Sequence[HistoryPoint]:
        """Returns the readable points."""
        return readable(self.entries)


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
    """Alpaca chooses what is None. `start` and `end` are times in UTC; at most two of them and `period` may be set."""

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
    """Raises WrongShape for anything but a history, for columns of different lengths, for points without a readable
    time, and if more than half of the points are unreadable.

    A null column has no values.
    """
    fields = read_object(body)
    moments = [_moment(seconds) for seconds in array(fields, "timestamp")]
    unknown: list[object] = [None] * len(moments)
    columns = {name: unknown if fields.get(name) is None else array(fields, name) for name in _COLUMNS}
    for name, column in columns.items():
        if len(column) != len(moments):
            raise WrongShape(Fault.DIFFERENT_LENGTHS, name)
    rows = (
        {"at": at, **dict(zip(columns, row, strict=True))} for at, *row in zip(moments, *columns.values(), strict=True)
    )
    return PortfolioHistory(
        timeframe=required(text, fields, "timeframe"),
        base_value=if_readable(decimal, fields, "base_value"),
        base_value_asof=if_readable(date, fields, "base_value_asof"),
        entries=read_items(rows, _POINT.read),
    )


def _moment(seconds: object) -> str:
    if isinstance(seconds, NumberAsWritten) and _SECONDS.fullmatch(seconds) and (at := since_1970(int(seconds))):
        return at
    raise WrongShape(Fault.NOT_A_TIME, "timestamp")


_COLUMNS: Final = ("equity", "profit_loss", "profit_loss_pct")
_POINT: Final = ItemForm(
    HistoryPoint, identity={"at": lambda fields, name: fields[name]}, fields=dict.fromkeys(_COLUMNS, decimal)
)
