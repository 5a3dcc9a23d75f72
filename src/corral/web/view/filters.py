"""The query parameters of an account's pages: filters, sorting and page cursors, and links with changed parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Final
from urllib.parse import urlencode

from pydantic import BaseModel, BeforeValidator, Field

from corral.accounts.params import ActivitiesPageParams, OrdersPageParams
from corral.alpaca.orders import OrderStatusFilter
from corral.alpaca.paging import Direction
from corral.errors import InvalidRequest
from corral.web.display import current_display
from corral.web.view.equity import Period
from corral.web.view.lenient_params import STRICT, LenientParams
from corral.web.view.positions import Column

PAGE_ROWS: Final = 50

# The choices of the filter, by Alpaca's activity types.
ACTIVITY_FILTERS: Final[Mapping[str, str]] = {
    "FILL": "Trades",
    "DIV": "Dividends",
    "INT": "Interest",
    "FEE,CFEE": "Fees",
    "CSD,CSW,JNLC,TRANS": "Deposits and withdrawals",
}

# Other activity types are shown with Alpaca's code.
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
    "DIVNRA": "Dividend tax withheld",
    "MA": "Merger or acquisition",
    "OPASN": "Option assignment",
    "OPCSH": "Option cash settlement",
    "OPEXC": "Option exercise",
    "OPEXP": "Option expiration",
    "OPTRD": "Option delivery",
    "PTC": "Pass-through charge",
    "SPLIT": "Stock split",
}


def _none_for_empty(value: object) -> object:
    """A form sends an empty text for a field that was left empty."""
    return None if value == "" else value


Day = Annotated[date | None, BeforeValidator(_none_for_empty)]


class PageParams(LenientParams):
    """With `wait` the page waits for Alpaca until its timeout, for browsers without JavaScript."""

    wait: bool = False

    def link(self, **changed: object) -> str:
        """Returns the query of a link to the same page with some parameters changed, without default values."""
        params = type(self).model_validate(self.model_dump(exclude={"wait"}) | changed, context=STRICT)
        query = params.model_dump(mode="json", exclude_defaults=True)
        return f"?{urlencode({name: 'true' if value is True else value for name, value in query.items()})}"


class OverviewParams(PageParams):
    span: Period = Period.MONTH
    sort: str = Field("-value", pattern=f"^-?({'|'.join(Column)})$")

    @property
    def column(self) -> Column:
        return Column(self.sort.removeprefix("-"))

    @property
    def is_descending(self) -> bool:
        return self.sort.startswith("-")


class _ListParams(PageParams):
    """Days are those of the zone that the device shows; both are included."""

    since: Day = None
    to: Day = None
    direction: Direction = Direction.DESCENDING
    cursor: str | None = None

    def check_dates(self) -> None:
        """Raises InvalidRequest."""
        if self.since and self.to and self.since > self.to:
            raise InvalidRequest("“From” must not be later than “To”.")

    def common_api_params(self) -> dict[str, str | None]:
        return {
            "after": _start_of(self.since, timedelta(microseconds=-1)) if self.since else None,
            "until": _start_of(self.to, timedelta(days=1)) if self.to else None,
            "direction": self.direction.value,
        }


class OrdersFilter(_ListParams):
    status: OrderStatusFilter = OrderStatusFilter.ALL

    @property
    def is_filtered(self) -> bool:
        return bool(self.since or self.to or self.status is not OrderStatusFilter.ALL)

    def api_params(self) -> OrdersPageParams:
        """Raises InvalidRequest."""
        return OrdersPageParams.model_validate(
            {**self.common_api_params(), "status": self.status, "limit": PAGE_ROWS, "cursor": self.cursor}
        )


class ActivitiesFilter(_ListParams):
    kind: str = Field("", pattern=f"^({'|'.join(ACTIVITY_FILTERS)})?$")

    @property
    def is_filtered(self) -> bool:
        return bool(self.since or self.to or self.kind)

    def api_params(self) -> ActivitiesPageParams:
        """Raises InvalidRequest."""
        return ActivitiesPageParams.model_validate(
            {
                **self.common_api_params(),
                "activity_types": self.kind or None,
                "limit": PAGE_ROWS,
                "cursor": self.cursor,
            }
        )


@dataclass(frozen=True, slots=True)
class ColumnHeading:
    """Of a sortable column; `aria_sort` is empty unless the table is sorted by it."""

    name: str
    link: str
    aria_sort: str


COLUMN_NAMES: Final[Mapping[Column, str]] = {
    Column.SYMBOL: "Symbol",
    Column.VALUE: "Market value",
    Column.TODAY: "Today's P/L",
    Column.PROFIT: "Unrealized P/L",
    Column.RETURN: "Return",
    Column.WEIGHT: "Weight",
}


def column_headings(params: OverviewParams) -> dict[str, ColumnHeading]:
    """By column. The link of the sorted column reverses it; others sort numbers descending and symbols ascending."""
    return {column.value: _heading(params, column, name) for column, name in COLUMN_NAMES.items()}


def csv_query(api_params: BaseModel, *kept: str) -> str:
    """The filters of a list for the URL of its CSV file."""
    return urlencode(api_params.model_dump(mode="json", exclude_none=True, include=set(kept)))


def _heading(params: OverviewParams, column: Column, name: str) -> ColumnHeading:
    is_sorted = column is params.column
    descending = not params.is_descending if is_sorted else column is not Column.SYMBOL
    aria_sort = ("descending" if params.is_descending else "ascending") if is_sorted else ""
    return ColumnHeading(name, params.link(sort=f"{'-' if descending else ''}{column}"), aria_sort)


def _start_of(day: date, shift: timedelta) -> str:
    """The start of the day in UTC, shifted before the conversion: days may have 23 or 25 hours."""
    start = datetime.combine(day, time(), current_display().zone) + shift
    return start.astimezone(UTC).isoformat().replace("+00:00", "Z")
