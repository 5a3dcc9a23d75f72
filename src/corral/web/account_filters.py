"""What can be asked for on the pages of one account: read from their addresses, and written into their links."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Final
from urllib.parse import urlencode

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from corral.accounts.params import ActivitiesPageParams, OrdersPageParams
from corral.alpaca.orders import OrderStatusFilter
from corral.alpaca.paging import Direction
from corral.errors import InvalidRequest
from corral.web.equity import EXCHANGE_ZONE, Span
from corral.web.holdings import Column

PAGE_ROWS: Final = 50

# What a person looks for, in Alpaca's words for it.
ACTIVITY_KINDS: Final[Mapping[str, str]] = {
    "FILL": "Trades",
    "DIV": "Dividends",
    "INT": "Interest",
    "FEE,CFEE": "Fees",
    "CSD,CSW,JNLC,TRANS": "Deposits and withdrawals",
}

# Of one activity, where Alpaca's own name for it is a riddle.
ACTIVITY_NAMES: Final[Mapping[str, str]] = {
    "DIV": "Dividend",
    "INT": "Interest",
    "FEE": "Fee",
    "CFEE": "Crypto fee",
    "CSD": "Deposit",
    "CSW": "Withdrawal",
    "JNLC": "Cash journal",
    "JNLS": "Stock journal",
    "TRANS": "Cash transfer",
    "DIVNRA": "Tax on a dividend",
    "MA": "Merger or acquisition",
    "OPASN": "Option assigned",
    "OPCSH": "Option settled in cash",
    "OPEXC": "Option exercised",
    "OPEXP": "Option expired",
    "OPTRD": "Option delivery",
    "PTC": "Pass-through charge",
    "SPLIT": "Split",
}


def _none_for_empty(value: object) -> object:
    """A form sends what was left open as an empty text."""
    return None if value == "" else value


Day = Annotated[date | None, BeforeValidator(_none_for_empty)]


class PageAsked(BaseModel):
    """`wait` is asked for by those who would rather see the page later than without a part of it."""

    model_config = ConfigDict(extra="forbid")

    wait: bool = False

    def address(self, **changed: object) -> str:
        """The query of a link to the same page with something else about it, without what is as usual."""
        chosen = type(self).model_validate(self.model_dump(exclude={"wait"}) | changed)
        query = chosen.model_dump(mode="json", exclude_defaults=True)
        return f"?{urlencode({name: 'true' if value is True else value for name, value in query.items()})}"


class OverviewAsked(PageAsked):
    span: Span = Span.MONTH
    sort: str = Field("-value", pattern=f"^-?({'|'.join(Column)})$")

    @property
    def column(self) -> Column:
        return Column(self.sort.removeprefix("-"))

    @property
    def is_descending(self) -> bool:
        return self.sort.startswith("-")


class _ListAsked(PageAsked):
    """Days are those of the exchange, and both are included."""

    since: Day = None
    to: Day = None
    direction: Direction = Direction.DESCENDING
    cursor: str | None = None

    def refuse_disorder(self) -> None:
        """Raises InvalidRequest, in the words of the form."""
        if self.since and self.to and self.since > self.to:
            raise InvalidRequest("“From” has to be no later than “To”. Nothing was asked for.")

    def bounds(self) -> dict[str, str | None]:
        return {
            "after": _moment(self.since, timedelta(microseconds=-1)) if self.since else None,
            "until": _moment(self.to, timedelta(days=1)) if self.to else None,
            "direction": self.direction.value,
        }


class OrdersAsked(_ListAsked):
    status: OrderStatusFilter = OrderStatusFilter.ALL

    def question(self) -> OrdersPageParams:
        """Raises InvalidRequest."""
        return OrdersPageParams.model_validate(
            {**self.bounds(), "status": self.status, "limit": PAGE_ROWS, "cursor": self.cursor}
        )


class ActivitiesAsked(_ListAsked):
    kind: str = Field("", pattern=f"^({'|'.join(ACTIVITY_KINDS)})?$")

    def question(self) -> ActivitiesPageParams:
        """Raises InvalidRequest."""
        return ActivitiesPageParams.model_validate(
            {**self.bounds(), "activity_types": self.kind or None, "limit": PAGE_ROWS, "cursor": self.cursor}
        )


@dataclass(frozen=True, slots=True)
class Heading:
    """Of a column that can be sorted; `aria_sort` is empty for those by which it is not."""

    name: str
    address: str
    aria_sort: str


_HEADINGS: Final[Mapping[Column, str]] = {
    Column.SYMBOL: "Symbol",
    Column.VALUE: "Value",
    Column.TODAY: "Today",
    Column.PROFIT: "Profit",
    Column.RETURN: "Return",
    Column.WEIGHT: "Weight",
}


def headings_of(asked: OverviewAsked) -> dict[str, Heading]:
    """By column. A column that is chosen again turns round; numbers begin with the greatest, names with A."""
    return {column.value: _heading(asked, column, name) for column, name in _HEADINGS.items()}


def csv_query(question: BaseModel, *kept: str) -> str:
    """The filters of a list as its file takes them."""
    return urlencode(question.model_dump(mode="json", exclude_none=True, include=set(kept)))


def _heading(asked: OverviewAsked, column: Column, name: str) -> Heading:
    is_chosen = column is asked.column
    descending = not asked.is_descending if is_chosen else column is not Column.SYMBOL
    aria_sort = ("descending" if asked.is_descending else "ascending") if is_chosen else ""
    return Heading(name, asked.address(sort=f"{'-' if descending else ''}{column}"), aria_sort)


def _moment(day: date, shift: timedelta) -> str:
    """The beginning of the exchange's day, shifted by the calendar, in UTC."""
    began = datetime.combine(day, time(), EXCHANGE_ZONE) + shift
    return began.astimezone(UTC).isoformat().replace("+00:00", "Z")
