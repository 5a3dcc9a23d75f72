"""An order: what was asked for, and what became of it."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from corral_sandbox.ledger import ZERO, average
from corral_sandbox.listing import Asset

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

OPEN: frozenset[Status] = frozenset({"accepted", "pending_new", "new", "partially_filled", "held"})


@dataclass(frozen=True, slots=True)
class StopLoss:
    stop_price: Decimal
    limit_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Leg:
    """A part of an order of several options: so many contracts of one for each of the order's quantity."""

    asset: Asset
    side: Side
    ratio: Decimal
    intent: Intent | None = None


@dataclass(frozen=True, slots=True)
class Ticket:
    """What was asked for. It has a quantity or, in dollars, a notional; an order of several options no asset.

    The net price of several options is what the buyer pays, and below zero when the sales bring more.
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
    stop_loss: StopLoss | None = None
    legs: tuple[Leg, ...] = ()

    @property
    def sign(self) -> int:
        return 1 if self.side == "buy" else -1

    @property
    def multiplier(self) -> int:
        return self.legs[0].asset.multiplier if self.asset is None else self.asset.multiplier

    @property
    def trades_always(self) -> bool:
        return self.asset is not None and self.asset.asset_class == "crypto"

    @property
    def is_trailing(self) -> bool:
        return self.type == "trailing_stop"

    def trailing_stop(self, peak: Decimal) -> Decimal:
        """Answers where the stop stands while the best price was `peak`."""
        trail = self.trail_price
        if trail is None:
            trail = peak * (self.trail_percent or ZERO) / 100
        return peak + trail * self.sign


@dataclass(slots=True)
class Group:
    """Orders that end each other: a bracket, an OTO or an OCO. `top` is the one that its legs are shown under."""

    id: str
    top: Role
    members: dict[Role, "Order"] = field(default_factory=dict["Role", "Order"])

    def others(self, order: "Order") -> "list[Order]":
        return [member for member in self.members.values() if member is not order]

    def legs(self) -> "list[Order]":
        return [member for role, member in self.members.items() if role != self.top]


@dataclass(slots=True, eq=False)
class Order:
    """Moments are nanoseconds since 1970. From `ready_at` on something may happen to an order that `is_live`."""

    id: str
    number: int
    client_order_id: str
    ticket: Ticket
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
    is_live: bool = True
    is_triggered: bool = False
    peak: Decimal | None = None
    group: Group | None = None
    role: Role | None = None
    legs: tuple["Order", ...] = ()
    ratio: Decimal | None = None

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    @property
    def left(self) -> Decimal | None:
        """The quantity that is not filled, or None where dollars were ordered."""
        return None if self.ticket.quantity is None else self.ticket.quantity - self.filled_quantity

    @property
    def filled_average(self) -> Decimal | None:
        return average(self.filled_value, self.filled_quantity) if self.filled_quantity else None

    @property
    def is_exit(self) -> bool:
        return self.role in {"take_profit", "stop_loss"}

    @property
    def is_leg(self) -> bool:
        """Whether it is shown under another order."""
        return self.ratio is not None or (self.group is not None and self.role != self.group.top)

    @property
    def nested_legs(self) -> "list[Order]":
        if self.group is not None and self.role == self.group.top:
            return self.group.legs()
        return list(self.legs)

    def take(self, quantity: Decimal, price: Decimal, at: int) -> None:
        """Counts a part of the order as done."""
        self.filled_quantity += quantity
        self.filled_value += quantity * price
        self.filled_at = self.updated_at = at
