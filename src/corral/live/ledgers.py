"""What has been told of each order, so that every fill is told once, from whichever side it was heard first."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Final, final

import orjson

from corral.accounts.schemas import order_response
from corral.alpaca.moments import instant
from corral.alpaca.orders import Order
from corral.live.events import Kind, News

RECONCILED: Final = "reconciled"
MOST_ORDERS: Final = 5_000  # of each: those that are open, and those that are over
# Alpaca's words for an order to which nothing happens any more.
_OVER: Final = frozenset({"filled", "canceled", "expired", "rejected", "replaced"})
_CORRECTIONS: Final = frozenset({"trade_bust", "trade_correct"})  # the exchange takes a fill back, or changes it
_EXACT: Final = Context(prec=200)


@dataclass(slots=True)
class _Entry:
    """An order as it was seen last, and how much of its fills the events have told together."""

    updated: str
    filled: Decimal
    is_over: bool
    visible: tuple[object, ...]
    submitted: str
    told: Decimal = Decimal(0)
    is_corrected: bool = False  # a fill was taken back: what is older than that is not believed any more


@final
class OrderLedger:
    """Alpaca tells of an order twice, over REST and over its socket, and neither is always ahead.

    Whatever comes in is news only if it is later than what was seen, so that both ends come to the same truth;
    and `filled_since` is counted from what was told, so that over all events of an order it adds up to the
    order's `filled_qty`.
    """

    __slots__ = ("_floor", "_open", "_over")

    def __init__(self) -> None:
        self._open: OrderedDict[str, _Entry] = OrderedDict()
        self._over: OrderedDict[str, _Entry] = OrderedDict()
        # Orders that were submitted up to here have been seen, or were over before anybody watched.
        self._floor = ""

    def look_back_to(self) -> str | None:
        """No order that was submitted before this moment can have news but a correction; None before the first look."""
        return min([entry.submitted for entry in self._open.values()] + [self._floor]) or None

    def look_back_for_corrections_to(self) -> str | None:
        """The same, with the orders that are over and of whose fills was told: a fill may still be taken back."""
        filled = [entry.submitted for entry in self._over.values() if entry.told and entry.submitted]
        look_back_to = self.look_back_to()
        return look_back_to and min([look_back_to, *filled])

    def begin(self, orders: Iterable[Order]) -> None:
        """What is there when somebody begins to watch, and is no news."""
        for order in orders:
            if order.id not in self._open and order.id not in self._over:
                self._enter(order.id, _entry_of(order))

    def reconcile(self, orders: Iterable[Order]) -> list[News]:
        """What is news in an answer over REST, in the order in which it happened."""
        by_time = sorted(orders, key=_updated)
        return [news for order in by_time if (news := self._reconcile_one(order)) is not None]

    def raise_floor(self, submitted: str) -> None:
        """All orders that were submitted up to this moment have been seen."""
        self._floor = max(self._floor, submitted)

    def learn(self, event: str, order: Order) -> News | None:
        """What is news in an event."""
        seen, now = self._seen(order.id), _entry_of(order)
        if seen is not None:
            now.told = seen.told
            if not _is_later(now, seen, is_correction=event in _CORRECTIONS):
                return None
            now.is_corrected = seen.is_corrected or now.filled < seen.filled or (seen.is_over and not now.is_over)
        return self._tell(event, order, now)

    def _reconcile_one(self, order: Order) -> News | None:
        if self._seen(order.id) is None and submitted_at(order) <= self._floor:
            self._enter(order.id, _entry_of(order))
            return None
        return self.learn(RECONCILED, order)

    def _tell(self, event: str, order: Order, now: _Entry) -> News:
        since = _EXACT.subtract(now.filled, now.told)
        now.told = now.filled
        self._enter(order.id, now)
        head = orjson.dumps({"event": event, "filled_since": f"{since:f}"})
        return News(Kind.ORDER, head[:-1] + b"," + order_response(order).model_dump_json().encode()[1:])

    def _seen(self, order_id: str) -> _Entry | None:
        return self._open.get(order_id) or self._over.get(order_id)

    def _enter(self, order_id: str, entry: _Entry) -> None:
        self._open.pop(order_id, None)
        self._over.pop(order_id, None)
        entries = self._over if entry.is_over else self._open
        entries[order_id] = entry
        if len(entries) > MOST_ORDERS:
            entries.popitem(last=False)


def submitted_at(order: Order) -> str:
    """Sorts as time does; empty where Alpaca does not say."""
    return instant(order.submitted_at) if order.submitted_at else ""


def _entry_of(order: Order) -> _Entry:
    filled = Decimal(order.filled_qty or 0)
    visible = (order.status, order.qty, order.notional, order.filled_avg_price, order.limit_price, order.stop_price)
    return _Entry(_updated(order), filled, order.status in _OVER, (*visible, order.replaced_by), submitted_at(order))


def _updated(order: Order) -> str:
    return instant(order.updated_at) if order.updated_at else ""


def _is_later(now: _Entry, seen: _Entry, *, is_correction: bool) -> bool:
    """Whether `now` is later than `seen`, and another.

    A later stamp of Alpaca's is always believed, also where it leads from more filled to less. With an equal or an
    earlier one, which REST and socket differ in, an order only ever goes on: unless a fill was taken back.
    """
    if now.filled == seen.filled and now.visible == seen.visible:
        return False
    if now.updated > seen.updated:
        return True
    if is_correction or seen.is_corrected:
        return is_correction and now.updated == seen.updated
    if now.is_over != seen.is_over:
        return now.is_over and now.filled >= seen.filled
    if now.updated < seen.updated or now.filled != seen.filled:
        return now.filled > seen.filled
    return True
