"""One account's orders, and what becomes of them as time goes by.

Time is told by `advance`: what was due by then happens, at the very moments at which it was due. So it makes
no difference who looks, and how often: an account is a function of what was asked of it, and when.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal
from heapq import heappop, heappush
from typing import NamedTuple
from uuid import UUID, uuid5

from corral.sandbox.crossings import highest
from corral.sandbox.ledger import ZERO, Execution, Ledger, Position, State
from corral.sandbox.leg_tickets import exit_tickets, oco_tickets, strategy_ticket
from corral.sandbox.matching import PAUSE, Step, executions, expiry, is_tradable, left_at, next_step
from corral.sandbox.opening import Account
from corral.sandbox.orders import Group, Order, Role, Status, Ticket
from corral.sandbox.quotes import bounds_of, mirrored, quote


class Event(NamedTuple):
    """What the stream tells of an order as it happens, by Alpaca's names."""

    name: str
    at: int
    order: Order
    execution: Execution | None = None
    position: Decimal = ZERO


class Book:
    """`ledger` is what the account holds. `on_event` is called for each event, `on_change` when something is due."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.orders: dict[str, Order] = {}
        self.by_client_order_id: dict[str, Order] = {}
        self.ledger = Ledger(_opening(account))
        self.on_event: set[Callable[[Event], None]] = set()
        self.on_change: Callable[[Book], None] | None = None
        self._steps: dict[Order, Step] = {}
        self._due: list[tuple[int, int, Step, Order]] = []
        self._ids = UUID(str(account.profile["id"]))
        self._count = 0

    @property
    def state(self) -> State:
        return self.ledger.state

    @property
    def next_due(self) -> int | None:
        self._forget_settled()
        return self._due[0][0] if self._due else None

    def open_orders(self) -> Iterator[Order]:
        """Answers every open order, a leg also, in the order in which they came."""
        return (order for order in self._steps if order.is_open)

    def advance(self, now: int) -> None:
        """Lets happen what was due by `now`, in nanoseconds since 1970."""
        while (due := self.next_due) is not None and due <= now:
            _, _, step, order = heappop(self._due)
            self._take(order, step)

    def enter(self, ticket: Ticket, now: int) -> Order:
        """Takes an order that has passed every check. What happens to it at once happens with the next `advance`."""
        if ticket.order_class == "oco":
            return self._enter_group(oco_tickets(ticket), "take_profit", now)
        exits = exit_tickets(ticket) if ticket.order_class in {"bracket", "oto"} else {}
        if exits:
            return self._enter_group({"entry": ticket, **exits}, "entry", now)
        order = self._new_order(ticket, now)
        if ticket.legs:
            order.legs = tuple(self._new_leg(order, index, now) for index in range(len(ticket.legs)))
        self._begin(order, now)
        return order

    def cancel(self, order: Order, now: int) -> None:
        """Ends an open order, and those that go with it."""
        self._end(order, "canceled", now)
        self._tell_change()

    def replace(self, old: Order, ticket: Ticket, now: int) -> Order:
        """Puts a new order in the place of an open one."""
        new = self._new_order(ticket, now)
        new.replaces, old.replaced_by = old.id, new.id
        new.is_live, new.is_triggered, new.peak = old.is_live, old.is_triggered, old.peak
        if old.group is not None and old.role is not None:
            new.group, new.role = old.group, old.role
            old.group.members[old.role] = new
        was_held = old.status == "held"
        self._settle(old, "replaced", now)
        if was_held:
            new.status = "held"
            self._plan(new)
        else:
            self._begin(new, now)
        return new

    def best_price(self, order: Order, now: int) -> Decimal | None:
        """Answers how high the price was since a trailing stop came (for a purchase: how low), None for others."""
        if order.peak is None or not order.is_open or order.ready_at > now:
            return order.peak
        bounds = bounds_of(self.account.seed, order.ticket)
        if order.ticket.side == "sell":
            return highest(bounds, order.peak, order.ready_at, now)
        return -highest(mirrored(bounds), -order.peak, order.ready_at, now)

    def new_id(self, kind: str) -> str:
        self._count += 1
        return str(uuid5(self._ids, f"{kind}/{self._count}"))

    def _enter_group(self, tickets: dict[Role, Ticket], top: Role, now: int) -> Order:
        group = Group(self.new_id("group"), top)
        for role, ticket in tickets.items():
            order = self._new_order(ticket, now)
            order.group, order.role = group, role
            group.members[role] = order
            if role != top:
                order.status = "held"
                order.is_live = top == "take_profit"
        self._begin(group.members[top], now)
        for leg in group.legs():
            self._plan(leg)
        return group.members[top]

    def _new_order(self, ticket: Ticket, now: int) -> Order:
        order_id = self.new_id("order")
        order = Order(
            id=order_id,
            number=self._count,
            client_order_id=ticket.client_order_id or str(uuid5(self._ids, f"client/{order_id}")),
            ticket=ticket,
            status="pending_new" if is_tradable(ticket, now) else "accepted",
            submitted_at=now,
            ready_at=now,
            updated_at=now,
            expires_at=expiry(ticket, now),
        )
        self.orders[order.id] = order
        self.by_client_order_id[order.client_order_id] = order
        return order

    def _new_leg(self, order: Order, index: int, now: int) -> Order:
        part = order.ticket.legs[index]
        leg = self._new_order(strategy_ticket(order.ticket, part), now)
        leg.ratio, leg.is_live = part.ratio, False
        return leg

    def _begin(self, order: Order, now: int) -> None:
        if order.ticket.is_trailing and order.peak is None:
            order.peak = quote(self.account.seed, order.ticket, now)
        self._tell(order.status, now, order)
        self._plan(order)

    def _plan(self, order: Order) -> None:
        step = next_step(self.account.seed, order)
        if order.is_open:
            self._steps[order] = step or Step(order.ready_at, "look")
        if step is not None:
            heappush(self._due, (step.at, order.number, step, order))
        self._tell_change()

    def _forget_settled(self) -> None:
        while self._due and self._steps.get(self._due[0][3]) is not self._due[0][2]:
            heappop(self._due)

    def _take(self, order: Order, step: Step) -> None:
        order.ready_at = step.at
        order.peak = order.peak if step.peak is None else step.peak
        if step.does == "release":
            self._become(order, "new", step.at)
        elif step.does == "trigger":
            self._trigger(order, step.at)
        elif step.does == "execute":
            self._execute(order, step.at)
        elif step.does in {"cancel", "expire"}:
            self._end(order, "canceled" if step.does == "cancel" else "expired", step.at)
        if order.is_open:
            self._plan(order)

    def _become(self, order: Order, status: Status, at: int) -> None:
        order.status, order.updated_at = status, at
        for leg in order.legs:
            leg.status, leg.updated_at = status, at
        self._tell(status, at, order)

    def _trigger(self, order: Order, at: int) -> None:
        order.is_triggered = True
        if order.status == "held":
            self._become(order, "new", at)
            self._end_others(order, "canceled", at)

    def _execute(self, order: Order, at: int) -> None:
        price = quote(self.account.seed, order.ticket, at)
        for quantity in executions(order, price):
            if not self._can_pay(order, quantity, price):
                self._end(order, "canceled" if order.filled_quantity else "rejected", at)
                return
            self._fill(order, quantity, price, at)
        if order.role in {"take_profit", "stop_loss"}:
            self._end_others(order, "canceled", at)
        if order.status == "filled":
            self._settle_filled(order, at)
        elif order.ticket.time_in_force == "ioc":
            self._end(order, "canceled", at)
        order.ready_at = at + PAUSE

    def _can_pay(self, order: Order, quantity: Decimal, price: Decimal) -> bool:
        """A cash account cannot be lent anything, however the price has moved since the order came."""
        if self.account.multiplier > 1 or order.ticket.side == "sell":
            return True
        return quantity * price * order.ticket.multiplier <= self.state.cash

    def _fill(self, order: Order, quantity: Decimal, price: Decimal, at: int) -> None:
        order.take(quantity, price, at)
        order.status = "partially_filled" if left_at(order, price) else "filled"
        execution: Execution | None = None
        for leg in order.legs:
            part = quantity * (leg.ratio or ZERO)
            leg.take(part, leg_price := quote(self.account.seed, leg.ticket, at), at)
            leg.status = order.status
            self._record(leg, part, leg_price, at)
        if order.ticket.asset is not None:
            execution = self._record(order, quantity, price, at)
        self._tell("fill" if order.status == "filled" else "partial_fill", at, order, execution)

    def _record(self, order: Order, quantity: Decimal, price: Decimal, at: int) -> Execution:
        ticket = order.ticket
        execution = Execution(
            id=self.new_id("execution"),
            at=at,
            order_id=order.id,
            symbol=ticket.asset.symbol if ticket.asset else "",
            quantity=quantity * ticket.sign,
            price=price,
            cumulative=order.filled_quantity,
            left=ZERO if order.status == "filled" else left_at(order, price),
            multiplier=ticket.multiplier,
        )
        self.ledger.record(execution)
        return execution

    def _settle_filled(self, order: Order, at: int) -> None:
        self._steps.pop(order, None)
        if order.role != "entry" or order.group is None:
            return
        for leg in order.group.others(order):
            leg.is_live, leg.ready_at = True, at
            leg.expires_at = expiry(leg.ticket, at)
            if leg.role == "take_profit" or "take_profit" not in order.group.members:
                self._become(leg, "new", at)
            self._plan(leg)

    def _end_others(self, order: Order, status: Status, at: int) -> None:
        for other in order.group.others(order) if order.group else ():
            if other.is_open:
                self._settle(other, status, at)

    def _end(self, order: Order, status: Status, at: int) -> None:
        """Ends an order, and the others of its group with it."""
        self._settle(order, status, at)
        self._end_others(order, "canceled" if status == "rejected" else status, at)

    def _settle(self, order: Order, status: Status, at: int) -> None:
        for part in (order, *order.legs):
            part.status, part.updated_at = status, at
            if status == "canceled":
                part.canceled_at = at
            elif status == "expired":
                part.expired_at = at
            elif status == "replaced":
                part.replaced_at = at
            else:
                part.failed_at = at
        self._steps.pop(order, None)
        self._tell(status, at, order)

    def _tell(self, name: str, at: int, order: Order, execution: Execution | None = None) -> None:
        if not self.on_event:
            return
        held = self.state.positions.get(execution.symbol) if execution else None
        event = Event(name, at, order, execution, held.quantity if held else ZERO)
        for listener in tuple(self.on_event):
            listener(event)

    def _tell_change(self) -> None:
        if self.on_change is not None:
            self.on_change(self)


def _opening(account: Account) -> State:
    positions = {holding.symbol: Position(holding.quantity, holding.paid) for holding in account.holdings}
    return State(account.cash, positions)
