"""The orders of one account, and what happens to them over time.

`advance` lets everything happen that was due by a given time, at exactly the times at which it was due. So the state of
an account depends only on the requests that changed it and their times, not on who reads it or how often.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import replace
from decimal import Decimal
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from corral_sandbox.broker.fees import coin_fee
from corral_sandbox.broker.initial_state import AccountTerms, initial_trades
from corral_sandbox.broker.ledger import FILL, Execution, Ledger, LedgerPosition, LedgerState
from corral_sandbox.broker.matching import (
    LIQUIDITY,
    LIQUIDITY_RETURNS_AFTER,
    Depth,
    OrderStep,
    best_price,
    execution_price,
    executions,
    follows,
    next_step,
    quote,
)
from corral_sandbox.broker.orders import (
    BrokerOrder,
    OrderFactory,
    OrderOutcome,
    OrderRequest,
    OrderState,
    Status,
    state_of,
)
from corral_sandbox.broker.settlement import Settlement, settle_exercised, settle_expired
from corral_sandbox.market.money import ZERO
from corral_sandbox.market.option_contracts import OptionContract, contract_of
from corral_sandbox.market.prices import price

_EVENTS_KEPT = 10_000
_CLOSING: dict[str, Status] = {"cancel": "canceled", "expire": "expired", "reject": "rejected"}


class OrderEvent(NamedTuple):
    """A trade update, named as Alpaca names it. Those of an account are numbered from 1."""

    name: str
    at: int
    order: BrokerOrder
    execution: Execution | None = None
    position: Decimal = ZERO
    number: int = 0


EventListener = Callable[[OrderEvent], None]
ExecutionListener = Callable[["OrderManager", Execution], None]


class OrderManager:
    """`on_event` is called with each event, `on_execution` with each execution, settlement and fee, and `on_change`
    when the next due time may have changed. `open_orders` are those of now in the order of submission, exits included.
    """

    def __init__(self, terms: AccountTerms, depth: Depth = lambda: LIQUIDITY) -> None:
        self.terms = terms
        self._depth = depth
        self._opening_trades = initial_trades(terms)
        self.orders = {order.id: order for order, _ in self._opening_trades}
        self.by_client_order_id = {order.client_order_id: order for order, _ in self._opening_trades}
        self.ledger = Ledger(_initial_ledger_state(terms))
        self._past_events: deque[tuple[OrderEvent, OrderState]] = deque(maxlen=_EVENTS_KEPT)
        self.on_event: set[EventListener] = set()
        self.on_execution: set[ExecutionListener] = set()
        self.on_change: Callable[[OrderManager], None] | None = None
        self._next_steps: dict[BrokerOrder, OrderStep] = {}
        self.open_orders = self._next_steps.keys()
        self._due: list[tuple[int, int, OrderStep, BrokerOrder]] = []
        self._expiries = _expiries_of(terms)
        self._corrections: list[tuple[int, int, BrokerOrder]] = []
        self._events = 0
        self._do_not_exercise: set[str] = set()
        self._factory = OrderFactory(str(terms.profile["id"]))

    @property
    def has_no_orders(self) -> bool:
        return len(self.orders) == len(self._opening_trades)

    @property
    def next_due(self) -> int | None:
        self._drop_finished_steps()
        ends = [heap[0][0] for heap in (self._due, self._corrections, self._expiries) if heap]
        return min(ends, default=None)

    def executions(self) -> Iterator[Execution]:
        """Yields all executions in their order, from those of the initial holdings on."""
        yield from (execution for _, execution in self._opening_trades)
        yield from self.ledger.executions

    @property
    def execution_count(self) -> int:
        return len(self._opening_trades) + len(self.ledger.executions)

    def past_events(self) -> Iterator[OrderEvent]:
        """Yields the last events, the earliest first, each with its order as it was then."""
        for event, state in self._past_events:
            yield event._replace(order=event.order.as_of(state))

    def advance(self, now: int) -> None:
        """Processes everything that is due by `now`, in nanoseconds since 1970."""
        while (due := self.next_due) is not None and due <= now:
            if self._due and self._due[0][0] == due:
                _, _, step, order = heappop(self._due)
                self._perform(order, step)
            elif self._corrections and self._corrections[0][0] == due:
                at, _, order = heappop(self._corrections)
                self._correct(order, at)
            else:
                self._expire(*heappop(self._expiries))

    def pause_orders(self, symbols: AbstractSet[str], now: int) -> list[BrokerOrder]:
        """Returns the open orders that follow the prices of `symbols`, whose steps ahead count no more."""
        self.advance(now)
        orders = [order for order in self.open_orders if follows(order.request, symbols)]
        for order in orders:
            order.peak = best_price(self.terms.market, order, now)
        return orders

    def resume_orders(self, orders: Iterable[BrokerOrder], now: int) -> None:
        """Looks for the next steps of orders at the prices of now, and performs those that are due."""
        for order in orders:
            order.ready_at = max(order.ready_at, now)
            self._schedule_next_step(order)
        self.advance(now)

    def exercise(self, contract: OptionContract, now: int) -> None:
        """Exercises the whole position in a contract."""
        self._settle_option(settle_exercised(contract, self.ledger.state.quantity_of(contract.symbol)), now)

    def decline_exercise(self, contract: OptionContract) -> None:
        """Marks a contract to expire even if it is in the money."""
        self._do_not_exercise.add(contract.symbol)

    def place(self, order_request: OrderRequest, now: int, outcome: OrderOutcome | None = None) -> BrokerOrder:
        """Adds an order that has passed every check. It is first processed by the next `advance`."""
        order, *others = self._factory.make_with_legs(order_request, now)
        order.outcome = outcome
        if outcome is not None and outcome.kind == "pending_new":
            order.status = "pending_new"  # also while the market is closed
        for member in (order, *others):
            self._add(member)
        self._start(order, now)
        for other in others:
            if other.ratio is None:
                self._schedule_next_step(other)
        return order

    def cancel(self, order: BrokerOrder, now: int) -> None:
        """Cancels an open order and the others of its group."""
        self._close(order, "canceled", now)
        self._notify_change()

    def replace(self, old: BrokerOrder, order_request: OrderRequest, now: int) -> BrokerOrder:
        """Replaces an open order with a new one."""
        new = self._factory.make(order_request, now)
        self._add(new)
        new.replaces, old.replaced_by = old.id, new.id
        new.is_working, new.is_triggered = old.is_working, old.is_triggered
        if old.group is not None and old.role is not None:
            new.group, new.role = old.group, old.role
            old.group.members[old.role] = new
        was_held = old.status == "held"
        self._finish(old, "replaced", now)
        new.peak = old.peak
        if was_held:
            new.status = "held"
            self._schedule_next_step(new)
        else:
            self._start(new, now)
        return new

    def _add(self, order: BrokerOrder) -> None:
        self.orders[order.id] = order
        self.by_client_order_id[order.client_order_id] = order

    def _start(self, order: BrokerOrder, now: int) -> None:
        if order.request.type == "trailing_stop" and order.peak is None:
            order.peak = quote(self.terms.market, order.request, now)
        self._publish(order.status, now, order)
        self._schedule_next_step(order)

    def _schedule_next_step(self, order: BrokerOrder) -> None:
        step = next_step(self.terms.market, order, self._depth)
        if step is not None:
            self._next_steps[order] = step
            heappush(self._due, (step.at, order.number, step, order))
        elif order.is_open:
            self._next_steps[order] = OrderStep(order.ready_at, "look")
        self._notify_change()

    def _drop_finished_steps(self) -> None:
        while self._due and self._next_steps.get(self._due[0][3]) is not self._due[0][2]:
            heappop(self._due)

    def _perform(self, order: BrokerOrder, step: OrderStep) -> None:
        order.ready_at = step.at
        order.peak = order.peak if step.peak is None else step.peak
        if step.action == "release":
            self._set_status(order, "new", step.at)
        elif step.action == "trigger":
            self._trigger(order, step.at)
        elif step.action == "execute":
            self._execute(order, step.at)
        elif step.action in _CLOSING:
            self._close(order, _CLOSING[step.action], step.at)
        if order.is_open:
            self._schedule_next_step(order)

    def _set_status(self, order: BrokerOrder, status: Status, at: int) -> None:
        order.status, order.updated_at = status, at
        for leg in order.legs:
            leg.status, leg.updated_at = status, at
        self._publish(status, at, order)

    def _trigger(self, order: BrokerOrder, at: int) -> None:
        order.is_triggered = True
        if order.status == "held":
            self._set_status(order, "new", at)
            self._close_others(order, "canceled", at)

    def _execute(self, order: BrokerOrder, at: int) -> None:
        at_price = execution_price(self.terms.market, order, at)
        for quantity in executions(order, at_price, self._depth()):
            if not self._can_pay(order, quantity, at_price):
                self._close(order, "canceled" if order.filled_quantity else "rejected", at)
                return
            self._fill(order, quantity, at_price, at)
        if order.is_exit:
            self._close_others(order, "canceled", at)
        if order.status == "filled":
            self._settle_filled(order, at)
        elif order.request.time_in_force == "ioc":
            self._close(order, "canceled", at)
        order.ready_at = at + LIQUIDITY_RETURNS_AFTER

    def _can_pay(self, order: BrokerOrder, quantity: Decimal, price: Decimal) -> bool:
        """A cash account cannot borrow, even if the price has moved since the order was accepted."""
        if self.terms.multiplier > 1 or order.request.side == "sell":
            return True
        return quantity * price * order.request.multiplier <= self.ledger.state.cash

    def _fill(self, order: BrokerOrder, quantity: Decimal, price: Decimal, at: int) -> None:
        order.take(quantity, price, at)
        order.status = "partially_filled" if order.left_at(price) else "filled"
        execution: Execution | None = None
        for leg in order.legs:
            part = quantity * (leg.ratio or ZERO)
            leg.take(part, leg_price := quote(self.terms.market, leg.request, at), at)
            leg.status = order.status
            self._record(leg, part, leg_price, at)
        if order.request.asset is not None:
            execution = self._record(order, quantity, price, at)
        self._publish("fill" if order.status == "filled" else "partial_fill", at, order, execution)

    def _record(self, order: BrokerOrder, quantity: Decimal, price: Decimal, at: int) -> Execution:
        order_request = order.request
        execution = Execution(
            id=self._factory.new_id("execution"),
            at=at,
            order_id=order.id,
            symbol=order_request.asset.symbol if order_request.asset else "",
            quantity=quantity * order_request.sign,
            price=price,
            cumulative=order.filled_quantity,
            left=ZERO if order.status == "filled" else order.left_at(price),
            multiplier=order_request.multiplier,
        )
        self._enter(execution)
        if order_request.asset is not None and order_request.asset.asset_class == "crypto":
            fee = coin_fee(execution, self._factory.new_id("fee"))
            if fee is not None:
                self._enter(fee)
        if order_request.asset is not None and order_request.asset.contract is not None:
            heappush(self._expiries, (order_request.asset.contract.expires_at, execution.symbol))
        return execution

    def _expire(self, at: int, symbol: str) -> None:
        contract, held = contract_of(symbol), self.ledger.state.quantity_of(symbol)
        if contract is None or not held:
            return
        pays = price(self.terms.market, symbol, at)
        is_declined = symbol in self._do_not_exercise
        settlements = settle_expired(self.terms, self.ledger.state, contract, pays=pays, at=at, is_declined=is_declined)
        self._settle_option(settlements, at)

    def _settle_option(self, settlements: list[Settlement], at: int) -> None:
        for kind, symbol, quantity, at_price, multiplier in settlements:
            new_id = self._factory.new_id("settlement")
            self._enter(Execution(new_id, at, "", symbol, quantity, at_price, abs(quantity), ZERO, multiplier, kind))

    def _enter(self, execution: Execution) -> None:
        self.ledger.record(execution)
        for listener in tuple(self.on_execution):
            listener(self, execution)

    def _correct(self, order: BrokerOrder, at: int) -> None:
        """Busts every fill of an order, or corrects the price of the last one."""
        outcome = order.outcome
        if outcome is None:
            return
        for part in order.legs or (order,):
            fills = [fill for fill in self.ledger.executions if fill.order_id == part.id and fill.kind == FILL]
            if outcome.kind == "trade_bust":
                for fill in fills:
                    self._publish("trade_bust", at, part, self._take_back(part, fill, at))
            else:
                self._take_back(part, fills[-1], at)
                self._publish("trade_correct", at, part, self._fill_again(part, fills[-1], outcome.price, at))

    def _take_back(self, order: BrokerOrder, fill: Execution, at: int) -> Execution:
        order.take_back(abs(fill.quantity), fill.price, at)
        reversal = replace(
            fill,
            id=self._factory.new_id("execution"),
            at=at,
            quantity=-fill.quantity,
            cumulative=order.filled_quantity,
            left=ZERO,
            previous_id=fill.id,
        )
        self._enter(reversal)
        return reversal

    def _fill_again(self, order: BrokerOrder, fill: Execution, price: Decimal, at: int) -> Execution:
        order.take(abs(fill.quantity), price, at)
        corrected = replace(
            fill,
            id=self._factory.new_id("execution"),
            at=at,
            price=price,
            cumulative=order.filled_quantity,
            previous_id=fill.id,
        )
        self._enter(corrected)
        return corrected

    def _settle_filled(self, order: BrokerOrder, at: int) -> None:
        self._next_steps.pop(order, None)
        if order.outcome is not None and order.outcome.kind in {"trade_bust", "trade_correct"}:
            heappush(self._corrections, (at + order.outcome.after, order.number, order))
            self._notify_change()
        if order.role != "entry" or order.group is None:
            return
        for leg in order.group.others(order):
            leg.is_working, leg.ready_at = True, at
            if leg.role == "take_profit" or "take_profit" not in order.group.members:
                self._set_status(leg, "new", at)
            self._schedule_next_step(leg)

    def _close_others(self, order: BrokerOrder, status: Status, at: int) -> None:
        for other in order.group.others(order) if order.group else ():
            if other.is_open:
                self._finish(other, status, at)

    def _close(self, order: BrokerOrder, status: Status, at: int) -> None:
        """Closes an order and the others of its group."""
        self._finish(order, status, at)
        self._close_others(order, "canceled" if status == "rejected" else status, at)

    def _finish(self, order: BrokerOrder, status: Status, at: int) -> None:
        order.peak = best_price(self.terms.market, order, at)
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
        self._next_steps.pop(order, None)
        self._publish(status, at, order)

    def _publish(self, name: str, at: int, order: BrokerOrder, execution: Execution | None = None) -> None:
        held = self.ledger.state.positions.get(execution.symbol) if execution else None
        self._events += 1
        event = OrderEvent(name, at, order, execution, held.quantity if held else ZERO, self._events)
        self._past_events.append((event, state_of(order)))
        for listener in tuple(self.on_event):
            listener(event)

    def _notify_change(self) -> None:
        if self.on_change is not None:
            self.on_change(self)


def _expiries_of(terms: AccountTerms) -> list[tuple[int, str]]:
    """Returns a heap of the times at which the options of the initial holdings expire."""
    contracts = [contract_of(holding.symbol) for holding in terms.holdings]
    expiries = [(contract.expires_at, contract.symbol) for contract in contracts if contract is not None]
    heapify(expiries)
    return expiries


def _initial_ledger_state(terms: AccountTerms) -> LedgerState:
    positions = {holding.symbol: LedgerPosition(holding.quantity, holding.paid) for holding in terms.holdings}
    return LedgerState(terms.cash, positions)
