"""What happened to an account: fills, and everything else that moves money or shares.

Source: `GET /v2/account/activities` in https://docs.alpaca.markets/openapi/trading-api.json.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from corral.alpaca.paging import Direction, Listing
from corral.alpaca.reading import Fields, date, decimal, moment, present, read_list, text

MOST_ACTIVITIES: Final = 100  # that Alpaca puts on one page
_LONGEST_ID: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeActivity:
    """A fill of an order, or of a part of one."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class NonTradeActivity:
    """A dividend, a fee, a transfer, …: `date` is the day on which it is settled, `created_at` when it was booked."""

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


Activity = TradeActivity | NonTradeActivity


class ActivityCategory(StrEnum):
    TRADE = "trade_activity"
    NON_TRADE = "non_trade_activity"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityQuery:
    """Which activities. `after` and `until` are moments in UTC at which they were booked.

    Alpaca takes either `types` or `category`, not both.
    """

    types: tuple[str, ...] = ()
    category: ActivityCategory | None = None
    after: str | None = None
    until: str | None = None
    direction: Direction = Direction.DESCENDING

    def parameters(self, *, limit: int, beyond: str | None = None) -> Mapping[str, str]:
        """For the address: at most `limit` activities, from the first one or from behind the one called `beyond`."""
        chosen = {
            "activity_types": ",".join(self.types) or None,
            "category": self.category.value if self.category else None,
            "after": self.after,
            "until": self.until,
            "direction": self.direction.value,
            "page_size": str(limit),
            "page_token": beyond,
        }
        return {name: value for name, value in chosen.items() if value is not None}


# A token stands for a place between two activities, and goes together with every filter.
ACTIVITY_LISTING: Final[Listing[Activity]] = Listing(MOST_ACTIVITIES, tie=None, is_within=lambda _: True)


def read_activities(body: bytes) -> tuple[Activity, ...]:
    """Reads the body of `GET /v2/account/activities`. Raises WrongShape if one activity in it is none."""
    return read_list(body, read_activity)


def read_activity(fields: Fields) -> Activity:
    """Raises WrongShape without an id or a type, for a fill that lacks a part of it, and for nonsense."""
    return _trade(fields) if fields.get("activity_type") == "FILL" else _non_trade(fields)


def _trade(fields: Fields) -> TradeActivity:
    return TradeActivity(
        id=present(text(fields, "id", longest=_LONGEST_ID)),
        activity_type=present(text(fields, "activity_type")),
        transaction_time=present(moment(fields, "transaction_time")),
        type=text(fields, "type"),
        side=present(text(fields, "side")),
        symbol=present(text(fields, "symbol")),
        qty=present(decimal(fields, "qty")),
        price=present(decimal(fields, "price")),
        cum_qty=decimal(fields, "cum_qty"),
        leaves_qty=decimal(fields, "leaves_qty"),
        order_id=text(fields, "order_id"),
        order_status=text(fields, "order_status"),
    )


def _non_trade(fields: Fields) -> NonTradeActivity:
    return NonTradeActivity(
        id=present(text(fields, "id", longest=_LONGEST_ID)),
        activity_type=present(text(fields, "activity_type")),
        activity_sub_type=text(fields, "activity_sub_type") or None,
        date=date(fields, "date"),
        created_at=moment(fields, "created_at"),
        net_amount=decimal(fields, "net_amount"),
        currency=text(fields, "currency") or None,
        symbol=text(fields, "symbol") or None,
        cusip=text(fields, "cusip") or None,
        qty=decimal(fields, "qty"),
        per_share_amount=decimal(fields, "per_share_amount"),
        group_id=text(fields, "group_id") or None,
        status=text(fields, "status") or None,
    )
