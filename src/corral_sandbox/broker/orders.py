"""Orders: what a client requested, the orders made of it, and their status."""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field, replace
from decimal import ROUND_DOWN, Decimal
from operator import attrgetter
from typing import Literal
from uuid import UUID, uuid5

from corral_sandbox.market.assets import Asset
from corral_sandbox.market.money import BILLIONTH, ZERO, average
from corral_sandbox.market.time import ALWAYS, DAY, TradingWindow, window_from

Side = Literal["buy", "sell"]
OrderType = Literal["market", "limit", "stop", "stop_limit", "trailing_stop"]
TimeInForce = Literal["day", "gtc", "opg", "cls", "ioc", "fok"]
OrderClass = Literal["", "bracket", "oco", "oto", "mleg"]
Intent = Literal["buy_to_open", "buy_to_close", "sell_to_open", "sell_to_close"]
Role = Literal["entry", "take_profit", "stop_loss"]
Status = Literal[
    "accepted",
    "pending_new",
    "new",
    "partially_filled",
    "held",
    "filled",
    "canceled",
    "expired",
    "replaced",
    "rejected",
]

_GTC_DAYS = 90

OPEN: frozenset[Status] = frozenset({"accepted", "pending_new", "new", "partially_filled", "held"})


@dataclass(frozen=True, slots=True)
class StopLossLeg:
    stop_price: Decimal
    limit_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class OptionLeg:
    """A leg of a multi-leg order: `ratio` contracts for each one of the order's quantity."""

    asset: Asset
    side: Side
    ratio: Decimal
    intent: Intent | None = None


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What a client requested: a quantity or a notional in dollars. A multi-leg order has no asset of its own.

    The net price of a multi-leg order is negative if it is a credit.
    """

    side: Side
    type: OrderType
    time_in_force: TimeInForce
    asset: Asset | None = None
    quantity: Decimal | None = None
    notional: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_price: Decimal | None = None
    trail_percent: Decimal | None = None
    extended_hours: bool = False
    order_class: OrderClass = ""
    intent: Intent | None = None
    client_order_id: str | None = None
    take_profit: Decimal | None = None
    stop_loss: StopLossLeg | None = None
    legs: tuple[OptionLeg, ...] = ()

    @property
    def sign(self) -> int:
        return 1 if self.side == "buy" else -1

    @property
    def multiplier(self) -> int:
        return self.legs[0].asset.multiplier if self.asset is None else self.asset.multiplier

    @property
    def is_fractional(self) -> bool:
        return self.quantity is None or self.quantity % 1 != 0

    @property
    def trades_always(self) -> bool:
        return self.asset is not None and self.asset.asset_class == "crypto"

    @property
    def is_trailing(self) -> bool:
        return self.type == "trailing_stop"

    def trailing_stop(self, peak: Decimal) -> Decimal:
        """Returns the stop that belongs to a best price of `peak`."""
        trail = self.trail_price
        if trail is None:
            trail = peak * (self.trail_percent or ZERO) / 100
        return peak + trail * self.sign


@dataclass(frozen=True, slots=True)
class OrderOutcome:
    """What is to happen to an order whatever the market does, for tests.

    It is rejected, stays pending, is filled up to `quantity` and no further, or is filled as usual and then busted or
    corrected to `price` dollars. Rejection, bust and correction come `after` nanoseconds.
    """

    kind: Literal["rejected", "pending_new", "partially_filled", "trade_bust", "trade_correct"]
    quantity: Decimal = ZERO
    price: Decimal = ZERO
    after: int = 0


@dataclass(slots=True)
class OrderGroup:
    """The orders of a bracket, OTO or OCO. The others are shown as legs of `top`."""

    id: str
    top: Role
    members: dict[Role, "BrokerOrder"] = field(default_factory=dict["Role", "BrokerOrder"])

    def others(self, order: "BrokerOrder") -> "list[BrokerOrder]":
        return [member for member in self.members.values() if member is not order]

    def legs(self) -> "list[BrokerOrder]":
        return [member for role, member in self.members.items() if role != self.top]


OrderState = tuple[object, ...]  # what changes of an order after it has been submitted
_CHANGING = (
    *("status", "updated_at", "filled_at", "canceled_at", "expired_at", "failed_at", "replaced_at", "replaced_by"),
    *("filled_quantity", "filled_value", "peak", "busted_average"),
)
state_of: Callable[["BrokerOrder"], OrderState] = attrgetter(*_CHANGING)


@dataclass(slots=True, eq=False)
class BrokerOrder:
    """Times are nanoseconds since 1970. An order that `is_working` is matched from `ready_at` on."""

    id: str
    number: int
    client_order_id: str
    request: OrderRequest
    status: Status
    submitted_at: int
    ready_at: int
    updated_at: int
    expires_at: int | None = None
    filled_at: int | None = None
    canceled_at: int | None = None
    expired_at: int | None = None
    failed_at: int | None = None
    replaced_at: int | None = None
    replaces: str | None = None
    replaced_by: str | None = None
    filled_quantity: Decimal = ZERO
    filled_value: Decimal = ZERO
    is_working: bool = True
    is_triggered: bool = False
    peak: Decimal | None = None
    group: OrderGroup | None = None
    role: Role | None = None
    legs: tuple["BrokerOrder", ...] = ()
    ratio: Decimal | None = None
    outcome: OrderOutcome | None = None
    busted_average: Decimal | None = None

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    @property
    def left(self) -> Decimal | None:
        """The unfilled quantity, None for a notional order."""
        return None if self.request.quantity is None else self.request.quantity - self.filled_quantity

    def left_at(self, price: Decimal) -> Decimal:
        """Returns the unfilled quantity; for a notional order, what its remaining dollars buy at `price`."""
        if self.left is not None:
            return self.left
        dollars = (self.request.notional or ZERO) - self.filled_value
        return (dollars / price).quantize(BILLIONTH, ROUND_DOWN)

    @property
    def filled_average(self) -> Decimal | None:
        """Alpaca keeps the price of a fill that was busted."""
        return average(self.filled_value, self.filled_quantity) if self.filled_quantity else self.busted_average

    @property
    def is_exit(self) -> bool:
        return self.role in {"take_profit", "stop_loss"}

    @property
    def is_leg(self) -> bool:
        """Whether it is shown as a leg of another order."""
        return self.ratio is not None or (self.group is not None and self.role != self.group.top)

    @property
    def nested_legs(self) -> "list[BrokerOrder]":
        if self.group is not None and self.role == self.group.top:
            return self.group.legs()
        return list(self.legs)

    def take(self, quantity: Decimal, price: Decimal, at: int) -> None:
        """Adds a fill."""
        self.filled_quantity += quantity
        self.filled_value += quantity * price
        self.filled_at = self.updated_at = at

    def as_of(self, state: OrderState) -> "BrokerOrder":
        """Returns the order as it was when it was in this state."""
        order = copy(self)
        for name, value in zip(_CHANGING, state, strict=True):
            setattr(order, name, value)
        return order

    def take_back(self, quantity: Decimal, price: Decimal, at: int) -> None:
        """Removes a fill."""
        self.busted_average = self.filled_average
        self.filled_quantity -= quantity
        self.filled_value -= quantity * price
        self.updated_at = at


def window_of(order_request: OrderRequest, at: int) -> TradingWindow:
    """Returns when the order may trade: the window that `at` lies in, or the next."""
    return ALWAYS if order_request.trades_always else window_from(at, extended=order_request.extended_hours)


def can_trade(order_request: OrderRequest, at: int) -> bool:
    return window_of(order_request, at).opens <= at


def release_time(order_request: OrderRequest, at: int) -> int:
    """Returns when an order that is accepted at `at` is sent to the market."""
    if order_request.time_in_force == "opg":
        return next_opening(at)
    if order_request.time_in_force in {"ioc", "fok", "cls"}:
        return at
    return max(at, window_of(order_request, at).opens)


def _expiry(order_request: OrderRequest, at: int, window: TradingWindow) -> int | None:
    """Returns when an order that is placed at `at` expires, None if it does not."""
    if order_request.time_in_force in {"ioc", "fok"} or order_request.trades_always:
        return None
    if order_request.time_in_force == "opg":
        return next_opening(at)
    if order_request.time_in_force != "gtc":
        return window.closes
    return window_of(order_request, at + _GTC_DAYS * DAY).closes


def next_opening(at: int) -> int:
    window = window_from(at, extended=False)
    return window.opens if window.opens >= at else window_from(window.closes, extended=False).opens


class OrderFactory:
    """Makes the orders of one account. Ids follow from the account's id and a count."""

    def __init__(self, account_id: str) -> None:
        self._namespace = UUID(account_id)
        self._count = 0

    def new_id(self, kind: str) -> str:
        self._count += 1
        return self._id_of(f"{kind}/{self._count}")

    def make_with_legs(self, order_request: OrderRequest, now: int) -> list[BrokerOrder]:
        """Returns the order, followed by its exits or legs."""
        if order_request.order_class == "oco":
            return self._make_group(oco_requests(order_request), "take_profit", now)
        if order_request.order_class in {"bracket", "oto"}:
            return self._make_group({"entry": order_request, **exit_requests(order_request)}, "entry", now)
        order = self.make(order_request, now)
        order.legs = tuple(self._make_leg(order, index, now) for index in range(len(order_request.legs)))
        return [order, *order.legs]

    def make(self, order_request: OrderRequest, now: int) -> BrokerOrder:
        order_id = self.new_id("order")
        window = window_of(order_request, now)
        return BrokerOrder(
            id=order_id,
            number=self._count,
            client_order_id=order_request.client_order_id or self._id_of(f"client/{order_id}"),
            request=order_request,
            status="pending_new" if window.opens <= now else "accepted",
            submitted_at=now,
            ready_at=now,
            updated_at=now,
            expires_at=_expiry(order_request, now, window),
        )

    def _id_of(self, name: str) -> str:
        return str(uuid5(self._namespace, name))

    def _make_group(self, requests_by_role: dict[Role, OrderRequest], top: Role, now: int) -> list[BrokerOrder]:
        """The stop of an OCO works at once; other exits wait until the entry has filled."""
        group = OrderGroup(self.new_id("group"), top)
        for role, order_request in requests_by_role.items():
            order = group.members[role] = self.make(order_request, now)
            order.group, order.role = group, role
            if role != top:
                order.status = "held"
                order.is_working = top == "take_profit"
        return [group.members[top], *group.legs()]

    def _make_leg(self, order: BrokerOrder, index: int, now: int) -> BrokerOrder:
        part = order.request.legs[index]
        leg = self.make(leg_request(order.request, part), now)
        leg.ratio, leg.is_working = part.ratio, False
        return leg


_EXITS: dict[Side, tuple[Side, Intent]] = {"buy": ("sell", "sell_to_close"), "sell": ("buy", "buy_to_close")}


def exit_requests(order_request: OrderRequest) -> dict[Role, OrderRequest]:
    """Returns the requests that close the position which the entry of a bracket or OTO opens."""
    side, intent = _EXITS[order_request.side]
    bare = replace(
        _without_prices(order_request), side=side, intent=intent, take_profit=None, stop_loss=None, client_order_id=None
    )
    exits: dict[Role, OrderRequest] = {}
    if order_request.take_profit is not None:
        exits["take_profit"] = replace(bare, type="limit", limit_price=order_request.take_profit)
    if order_request.stop_loss is not None:
        exits["stop_loss"] = stop_loss_request(bare, order_request)
    return exits


def oco_requests(order_request: OrderRequest) -> dict[Role, OrderRequest]:
    """Returns the two exits of an OCO; the first one is the order itself."""
    bare = replace(_without_prices(order_request), take_profit=None, stop_loss=None)
    return {
        "take_profit": replace(bare, type="limit", limit_price=order_request.take_profit),
        "stop_loss": replace(stop_loss_request(bare, order_request), client_order_id=None),
    }


def stop_loss_request(bare: OrderRequest, order_request: OrderRequest) -> OrderRequest:
    if order_request.stop_loss is None:
        raise AssertionError("an order with a stop has its price")
    kind = "stop" if order_request.stop_loss.limit_price is None else "stop_limit"
    return replace(
        bare, type=kind, stop_price=order_request.stop_loss.stop_price, limit_price=order_request.stop_loss.limit_price
    )


def leg_request(order_request: OrderRequest, leg: OptionLeg) -> OrderRequest:
    """Returns the request of one leg of a multi-leg order."""
    return replace(
        _without_prices(order_request),
        asset=leg.asset,
        side=leg.side,
        intent=leg.intent,
        quantity=order_request.quantity * leg.ratio if order_request.quantity else None,
        legs=(),
        client_order_id=None,
    )


def _without_prices(order_request: OrderRequest) -> OrderRequest:
    return replace(order_request, limit_price=None, stop_price=None, trail_price=None, trail_percent=None)
