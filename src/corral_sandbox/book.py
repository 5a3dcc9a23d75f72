"""One account's orders, and what becomes of them as time goes by.

Time is told by `advance`: what was due by then happens, at the very moments at which it was due. So it makes
no difference who looks, and how often: an account is a function of what was asked of it, and when.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal
from heapq import heappop, heappush
from typing import NamedTuple

from corral_sandbox.ledger import ZERO, Execution, Ledger, Position, State
from corral_sandbox.market import price
from corral_sandbox.matching import PAUSE, Step, best_price, executions, left_at, next_step
from corral_sandbox.opening import Account
from corral_sandbox.opening_history import opening_trades
from corral_sandbox.option_contracts import Contract, contract_of
from corral_sandbox.order_making import OrderMaker
from corral_sandbox.orders import Order, Status, Ticket
from corral_sandbox.quotes import quote
from corral_sandbox.settlement import Settlement, quantity_of, settle_exercised, settle_expired


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
        self._opening_trades = opening_trades(account)
        self.orders = {order.id: order for order, _ in self._opening_trades}
        self.by_client_order_id = {order.client_order_id: order for order, _ in self._opening_trades}
        self.ledger = Ledger(_opening(account))
        self.on_event: set[Callable[[Event], None]] = set()
        self.on_change: Callable[[Book], None] | None = None
        self._steps: dict[Order, Step] = {}
        self._due: list[tuple[int, int, Step, Order]] = []
        self._expiries: list[tuple[int, str]] = []
        self._declined: set[str] = set()
        self._maker = OrderMaker(str(account.profile["id"]))

    @property
    def state(self) -> State:
        return self.ledger.state

    @property
    def has_opened_only(self) -> bool:
        return len(self.orders) == len(self._opening_trades)

    @property
    def next_due(self) -> int | None:
        self._forget_settled()
        ends = [heap[0][0] for heap in (self._due, self._expiries) if heap]
        return min(ends, default=None)

    def open_orders(self) -> Iterator[Order]:
        """Answers every open order, a leg also, in the order in which they came."""
        return (order for order in self._steps if order.is_open)

    def executions(self) -> Iterator[Execution]:
        """Answers everything that was ever done, in that order, also on the day on which the account opened."""
        yield from (execution for _, execution in self._opening_trades)
        yield from self.ledger.executions

    def advance(self, now: int) -> None:
        """Lets happen what was due by `now`, in nanoseconds since 1970."""
        while (due := self.next_due) is not None and due <= now:
            if self._due and self._due[0][0] == due:
                _, _, step, order = heappop(self._due)
                self._take(order, step)
            else:
                self._expire(*heappop(self._expiries))

    def exercise(self, contract: Contract, now: int) -> None:
        """Turns all that is held of a contract into shares, or shares into cash."""
        self._settle_option(settle_exercised(contract, quantity_of(self.state, contract.symbol)), now)

    def decline_exercise(self, contract: Contract) -> None:
        """Lets a contract expire even if it is in the money."""
        self._declined.add(contract.symbol)

    def enter(self, ticket: Ticket, now: int) -> Order:
        """Takes an order that has passed every check. What happens to it at once happens with the next `advance`."""
        order, *others = self._maker.make_family(ticket, now)
        for member in (order, *others):
            self._file(member)
        self._begin(order, now)
        for other in others:
            if other.ratio is None:
                self._plan(other)
        return order

    def cancel(self, order: Order, now: int) -> None:
        """Ends an open order, and those that go with it."""
        self._end(order, "canceled", now)
        self._tell_change()

    def replace(self, old: Order, ticket: Ticket, now: int) -> Order:
        """Puts a new order in the place of an open one."""
        new = self._maker.make(ticket, now)
        self._file(new)
        new.replaces, old.replaced_by = old.id, new.id
        new.is_live, new.is_triggered = old.is_live, old.is_triggered
        if old.group is not None and old.role is not None:
            new.group, new.role = old.group, old.role
            old.group.members[old.role] = new
        was_held = old.status == "held"
        self._settle(old, "replaced", now)
        new.peak = old.peak
        if was_held:
            new.status = "held"
            self._plan(new)
        else:
            self._begin(new, now)
        return new

    def _file(self, order: Order) -> None:
        self.orders[order.id] = order
        self.by_client_order_id[order.client_order_id] = order

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
        each = quote(self.account.seed, order.ticket, at)
        for quantity in executions(order, each):
            if not self._can_pay(order, quantity, each):
                self._end(order, "canceled" if order.filled_quantity else "rejected", at)
                return
            self._fill(order, quantity, each, at)
        if order.is_exit:
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
            id=self._maker.new_id("execution"),
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
        if ticket.asset is not None and ticket.asset.contract is not None:
            heappush(self._expiries, (ticket.asset.contract.expires_at, execution.symbol))
        return execution

    def _expire(self, at: int, symbol: str) -> None:
        contract, held = contract_of(symbol), quantity_of(self.state, symbol)
        if contract is None or not held:
            return
        pays = price(self.account.seed, symbol, at)
        is_declined = symbol in self._declined
        settlements = settle_expired(self.account, self.state, contract, pays=pays, at=at, is_declined=is_declined)
        self._settle_option(settlements, at)

    def _settle_option(self, settlements: list[Settlement], at: int) -> None:
        for kind, symbol, quantity, each, multiplier in settlements:
            new_id = self._maker.new_id("settlement")
            self.ledger.record(Execution(new_id, at, "", symbol, quantity, each, abs(quantity), ZERO, multiplier, kind))

    def _settle_filled(self, order: Order, at: int) -> None:
        self._steps.pop(order, None)
        if order.role != "entry" or order.group is None:
            return
        for leg in order.group.others(order):
            leg.is_live, leg.ready_at = True, at
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
        order.peak = best_price(self.account.seed, order, at)
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
