"""Account activities: fills, and everything else that moves money or shares.

Source: `GET /v2/account/activities` in https://docs.alpaca.markets/openapi/trading-api.json.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Final

from corral.alpaca.fields import Fields, Read, date, decimal, free_text, moment, read_array, text
from corral.alpaca.items import ItemForm, UnreadableItem, needed, read_items
from corral.alpaca.paging import Direction, Listing

MOST_ACTIVITIES: Final = 100  # the maximum on one page of Alpaca
_LONGEST_ID: Final = 128
_LONGEST_DESCRIPTION: Final = 1_000
_MOST_OTHER: Final = 32  # fields of an activity that Alpaca's documentation does not describe
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeActivity:
    """A fill or partial fill of an order. `other` has the fields that Alpaca does not document."""

    id: str
    activity_type: str
    transaction_time: str
    type: str | None
    side: str
    symbol: str
    qty: str
    price: str
    cum_qty: str | None
    leaves_qty: str | None
    order_id: str | None
    order_status: str | None
    description: str | None = None
    other: Mapping[str, str | bool] = field(default_factory=dict[str, str | bool])


@dataclass(frozen=True, slots=True, kw_only=True)
class NonTradeActivity:
    """A dividend, a fee, a transfer, …: `date` is the settlement date, `created_at` the booking time.

    `price` and `description` are in Alpaca's examples of fees and options, but not in its schema; `description` says
    what a fee is for. `other` has all other fields.
    """

    id: str
    activity_type: str
    activity_sub_type: str | None
    date: str | None
    created_at: str | None
    net_amount: str | None
    currency: str | None
    symbol: str | None
    cusip: str | None
    qty: str | None
    per_share_amount: str | None
    group_id: str | None
    status: str | None
    price: str | None = None
    description: str | None = None
    other: Mapping[str, str | bool] = field(default_factory=dict[str, str | bool])


Activity = TradeActivity | NonTradeActivity


class ActivityCategory(StrEnum):
    TRADE = "trade_activity"
    NON_TRADE = "non_trade_activity"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityQuery:
    """A filter for activities. `after` and `until` are booking times in UTC.

    Alpaca takes either `types` or `category`, not both, and has no filter for `symbols`.
    """

    types: tuple[str, ...] = ()
    category: ActivityCategory | None = None
    after: str | None = None
    until: str | None = None
    order_id: str | None = None
    symbols: tuple[str, ...] = ()
    direction: Direction = Direction.DESCENDING

    def parameters(self, *, limit: int, beyond: str | None = None) -> Mapping[str, str]:
        """Returns URL parameters: at most `limit` activities, from the first one or after the one with id `beyond`."""
        chosen = {
            "activity_types": ",".join(self.types) or None,
            "category": self.category.value if self.category else None,
            "after": self.after,
            "until": self.until,
            "order_id": self.order_id,
            "direction": self.direction.value,
            "page_size": str(limit),
            "page_token": beyond,
        }
        return {name: value for name, value in chosen.items() if value is not None}


def activity_listing(query: ActivityQuery) -> Listing[Activity | UnreadableItem]:
    """How Alpaca's list of these activities is paged through. A page token can be combined with every filter."""
    wanted = {_without_slash(symbol) for symbol in query.symbols}

    def is_of_symbols(activity: Activity | UnreadableItem) -> bool:
        symbol = activity.cells.get("symbol") if isinstance(activity, UnreadableItem) else activity.symbol
        return isinstance(symbol, str) and _without_slash(symbol) in wanted

    return Listing(MOST_ACTIVITIES, tie=None, is_within=lambda _: True, picks=is_of_symbols if wanted else None)


def _without_slash(symbol: str) -> str:
    """Alpaca writes pairs of coins with a slash or without it."""
    return symbol.replace("/", "")


def read_activities(body: bytes) -> tuple[Activity | UnreadableItem, ...]:
    """Reads the body of `GET /v2/account/activities`. Raises WrongShape, as `read_items` does."""
    return read_items(read_array(body), read_activity)


def read_activity(fields: Fields) -> Activity | UnreadableItem:
    """Raises WrongShape without an id, and for a fill without a symbol."""
    return _TRADE.read(fields) if fields.get("activity_type") == "FILL" else _NON_TRADE.read(fields)


def _other(known: Collection[str], fields: Fields, _name: str) -> Mapping[str, str | bool]:
    """Returns the other fields unchanged, without objects and arrays, which are not documented."""
    found = {
        name: str(value) if isinstance(value, str) else value
        for name, value in fields.items()
        if name not in known and _NAME.fullmatch(name) and _is_plain(value)
    }
    return dict(list(found.items())[:_MOST_OTHER])


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return 0 < len(value) <= _LONGEST_DESCRIPTION and value.isprintable()
    return isinstance(value, bool)


_ID: Final = needed(partial(text, longest=_LONGEST_ID))
_DESCRIPTION: Final = partial(free_text, longest=_LONGEST_DESCRIPTION)
_TRADE_FIELDS: Final[Mapping[str, Read[object]]] = {
    "activity_type": needed(text),
    "transaction_time": needed(moment),
    "type": text,
    "side": needed(text),
    "qty": needed(decimal),
    "price": needed(decimal),
    "cum_qty": decimal,
    "leaves_qty": decimal,
    "order_id": text,
    "order_status": text,
    "description": _DESCRIPTION,
}
_NON_TRADE_FIELDS: Final[Mapping[str, Read[object]]] = {
    "activity_type": needed(text),
    "activity_sub_type": text,
    "date": date,
    "created_at": moment,
    "net_amount": decimal,
    "currency": text,
    "cusip": text,
    "qty": decimal,
    "price": decimal,
    "per_share_amount": decimal,
    "group_id": text,
    "status": text,
    "description": _DESCRIPTION,
}
_TRADE: Final = ItemForm(
    TradeActivity,
    identity={"id": _ID, "symbol": needed(text)},
    fields={**_TRADE_FIELDS, "other": partial(_other, {"id", "symbol", *_TRADE_FIELDS})},
)
_NON_TRADE: Final = ItemForm(
    NonTradeActivity,
    identity={"id": _ID, "symbol": text},
    fields={**_NON_TRADE_FIELDS, "other": partial(_other, {"id", "symbol", *_NON_TRADE_FIELDS})},
)
