"""The query parameters of an account's pages: filters, sorting and page cursors, and links with changed parameters."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Final
from urllib.parse import urlencode
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, Field

from corral.accounts.params import ActivitiesPageParams, OrdersPageParams
from corral.alpaca.orders import AssetClass, OrderStatusFilter, OrderType, Side
from corral.alpaca.paging import Direction
from corral.web.display import current_display
from corral.web.view.activities import ACTIVITY_FILTERS
from corral.web.view.equity import Period
from corral.web.view.lenient_params import STRICT, LenientParams
from corral.web.view.positions import Column
from corral.web.view.times import format_day

PAGE_ROWS: Final = 50

STATUS_CHOICES: Final[Mapping[str, str]] = {"all": "All", "open": "Open", "closed": "Closed"}
SIDE_CHOICES: Final[Mapping[str, str]] = {"": "All", "buy": "Buy", "sell": "Sell"}
TYPE_CHOICES: Final[Mapping[str, str]] = {
    "": "All",
    "market": "Market",
    "limit": "Limit",
    "stop": "Stop",
    "stop_limit": "Stop limit",
    "trailing_stop": "Trailing stop",
}
ASSET_CHOICES: Final[Mapping[str, str]] = {
    "": "All",
    "us_equity": "Stocks",
    "us_option": "Options",
    "crypto": "Crypto",
}
KIND_CHOICES: Final[Mapping[str, str]] = {"": "All", **ACTIVITY_FILTERS}
_LONGEST_INPUT: Final = 200
_SYMBOLS: Final = re.compile(r"[A-Z0-9./]{1,24}(,[A-Z0-9./]{1,24}){0,19}", re.ASCII)


def _none_for_empty(value: object) -> object:
    """A form sends an empty text for a field that was left empty."""
    return None if value == "" else value


def _as_symbols(value: object) -> object:
    """Upper case and without blanks, as a symbol may be pasted."""
    return "".join(value.split()).upper() if isinstance(value, str) else value


Input = Annotated[str, Field(max_length=_LONGEST_INPUT)]
"""What was typed into a field. It may be wrong, and then is shown again with the error at the field."""


class PageParams(LenientParams):
    """With `wait` the page waits for Alpaca until its timeout, for browsers without JavaScript."""

    wait: bool = False

    def link(self, **changed: object) -> str:
        """Returns the query of a link to the same page with some parameters changed, without default values."""
        params = type(self).model_validate(self.model_dump(exclude={"wait"}) | changed, context=STRICT)
        query = params.model_dump(mode="json", exclude_defaults=True)
        return f"?{urlencode({name: 'true' if value is True else value for name, value in query.items()})}"


class SortParams(PageParams):
    """`sort` is a column, with a minus sign if it is sorted in descending order."""

    sort: str = Field("-value", pattern=f"^-?({'|'.join(Column)})$")

    @property
    def column(self) -> Column:
        return Column(self.sort.removeprefix("-"))

    @property
    def is_descending(self) -> bool:
        return self.sort.startswith("-")


class AccountOverviewParams(SortParams):
    span: Period = Period.MONTH


@dataclass(frozen=True, slots=True)
class ActiveFilter:
    """A filter that is set: its name and value in words, and the link to the list without it."""

    text: str
    link: str


class ListFilter(PageParams):
    """Days are those of the zone that the device shows; both are included. `errors` has what is wrong, by field."""

    symbol: Annotated[Input, BeforeValidator(_as_symbols)] = ""
    since: Input = ""
    to: Input = ""
    direction: Direction = Direction.DESCENDING
    cursor: str | None = None

    @property
    def errors(self) -> dict[str, str]:
        wrong = {name: "Enter a date, like 2026-11-24." for name in ("since", "to") if not self._is_day(name)}
        if not wrong and self.since and self.to and self.since > self.to:
            wrong["since"] = "“From” must not be later than “To”."
        if self.symbol and not _SYMBOLS.fullmatch(self.symbol):
            wrong["symbol"] = "Enter a symbol, like AAPL or BTC/USD."
        return wrong

    @property
    def is_filtered(self) -> bool:
        return bool(self.active_filters)

    @property
    def active_filters(self) -> list[ActiveFilter]:
        """Without those that are wrong."""
        texts = {name: text for name, text in self._texts().items() if name not in self.errors}
        default = type(self)()
        return [
            ActiveFilter(text, self.link(**{name: getattr(default, name)}, cursor=None)) for name, text in texts.items()
        ]

    @property
    def no_filters_link(self) -> str:
        return self.link(**{name: getattr(type(self)(), name) for name in self._texts()}, cursor=None)

    def ends_before(self, today: date) -> bool:
        """Whether its last day is over."""
        return bool(self.to and not self.errors) and _day_in(self.to) < today

    def common_api_params(self) -> dict[str, str | None]:
        return {
            "symbols": self.symbol or None,
            "after": _start_of(_day_in(self.since), timedelta(microseconds=-1)) if self.since else None,
            "until": _start_of(_day_in(self.to), timedelta(days=1)) if self.to else None,
            "direction": self.direction.value,
        }

    def _texts(self) -> dict[str, str]:
        """The filters that are set, in words."""
        days = {"since": "From", "to": "To"}
        return {
            **({"symbol": f"Symbol: {self.symbol.replace(',', ', ')}"} if self.symbol else {}),
            **{
                name: f"{word} {format_day(getattr(self, name))}"
                for name, word in days.items()
                if getattr(self, name) and self._is_day(name)
            },
        }

    def _is_day(self, name: str) -> bool:
        text = getattr(self, name)
        try:
            return not text or (len(text) == len("YYYY-MM-DD") and bool(_day_in(text)))
        except ValueError:
            return False


class OrdersFilter(ListFilter):
    status: OrderStatusFilter = OrderStatusFilter.ALL
    side: Annotated[Side | None, BeforeValidator(_none_for_empty)] = None
    type: Annotated[OrderType | None, BeforeValidator(_none_for_empty)] = None
    asset: Annotated[AssetClass | None, BeforeValidator(_none_for_empty)] = None

    def api_params(self) -> OrdersPageParams:
        """Raises InvalidRequest. To be called only without `errors`."""
        return OrdersPageParams.model_validate(
            {
                **self.common_api_params(),
                "status": self.status,
                "side": self.side,
                "type": self.type,
                "asset_class": self.asset,
                "limit": PAGE_ROWS,
                "cursor": self.cursor,
            }
        )

    def _texts(self) -> dict[str, str]:
        chosen = {
            "status": f"Status: {STATUS_CHOICES[self.status]}" if self.status is not OrderStatusFilter.ALL else "",
            "side": f"Side: {SIDE_CHOICES[self.side]}" if self.side else "",
            "type": f"Type: {TYPE_CHOICES[self.type]}" if self.type else "",
            "asset": ASSET_CHOICES[self.asset] if self.asset else "",
        }
        return {name: text for name, text in chosen.items() if text} | super()._texts()


class ActivitiesFilter(ListFilter):
    kind: str = Field("", pattern=f"^({'|'.join(ACTIVITY_FILTERS)})?$")
    order_id: UUID | None = None

    def api_params(self) -> ActivitiesPageParams:
        """Raises InvalidRequest. To be called only without `errors`."""
        return ActivitiesPageParams.model_validate(
            {
                **self.common_api_params(),
                "activity_types": self.kind or None,
                "order_id": self.order_id,
                "limit": PAGE_ROWS,
                "cursor": self.cursor,
            }
        )

    def _texts(self) -> dict[str, str]:
        chosen = {
            "kind": f"Type: {ACTIVITY_FILTERS[self.kind]}" if self.kind else "",
            "order_id": f"Order {str(self.order_id)[:8]}…" if self.order_id else "",
        }
        return {name: text for name, text in chosen.items() if text} | super()._texts()


@dataclass(frozen=True, slots=True)
class ColumnHeading:
    """Of a sortable column; phones show `short_name`. `aria_sort` is empty unless the table is sorted by it."""

    name: str
    short_name: str
    link: str
    aria_sort: str


COLUMN_NAMES: Final[Mapping[Column, str]] = {
    Column.SYMBOL: "Symbol",
    Column.VALUE: "Market value",
    Column.TODAY: "Today",
    Column.PROFIT: "Unrealized P/L",
    Column.RETURN: "Return",
    Column.WEIGHT: "Weight",
}

_SHORT_NAMES: Final[Mapping[Column, str]] = {Column.VALUE: "Value", Column.PROFIT: "P/L"}


def column_headings(params: SortParams) -> dict[str, ColumnHeading]:
    """By column. The link of the sorted column reverses it; others sort numbers descending and symbols ascending."""
    return {column.value: _heading(params, column, name) for column, name in COLUMN_NAMES.items()}


def csv_query(api_params: BaseModel, *kept: str) -> str:
    """The filters of a list for the URL of its CSV file."""
    return urlencode(api_params.model_dump(mode="json", exclude_none=True, include=set(kept)))


def _heading(params: SortParams, column: Column, name: str) -> ColumnHeading:
    is_sorted = column is params.column
    descending = not params.is_descending if is_sorted else column is not Column.SYMBOL
    aria_sort = ("descending" if params.is_descending else "ascending") if is_sorted else ""
    return ColumnHeading(
        name, _SHORT_NAMES.get(column, name), params.link(sort=f"{'-' if descending else ''}{column}"), aria_sort
    )


def _day_in(text: str) -> date:
    """Raises ValueError."""
    return date.fromisoformat(text)


def _start_of(day: date, shift: timedelta) -> str:
    """The start of the day in UTC, shifted before the conversion: days may have 23 or 25 hours."""
    start = datetime.combine(day, time(), current_display().zone) + shift
    return start.astimezone(UTC).isoformat().replace("+00:00", "Z")
