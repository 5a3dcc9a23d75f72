"""Tracks what has been published of each order, so that every fill is published once, from the socket or from REST.

The socket can miss events, so an account's orders are also scanned over REST, one page at a time.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Context, Decimal
from typing import Final, final

import orjson

from corral.accounts.schemas import order_response
from corral.alpaca.fields import instant
from corral.alpaca.items import UnreadableItem, count_unreadable, readable
from corral.alpaca.orders import Order, OrderQuery, OrderStatusFilter
from corral.alpaca.paging import Page, Place
from corral.stream.events import GAP, Kind, StreamEvent

RECONCILED: Final = "reconciled"
MOST_ORDERS: Final = 5_000  # of each: open orders and finished ones
# Alpaca's final order statuses.
_OVER: Final = frozenset({"filled", "canceled", "expired", "rejected", "replaced"})
_CORRECTIONS: Final = frozenset({"trade_bust", "trade_correct"})  # the exchange cancels or corrects a fill
_EXACT: Final = Context(prec=200)


@dataclass(slots=True)
class _Entry:
    """The last state of an order, and the sum of its published fills."""

    updated: str
    filled: Decimal
    is_over: bool
    visible: tuple[object, ...]
    submitted: str
    published: Decimal = Decimal(0)
    is_corrected: bool = False  # a fill was cancelled: older states are ignored


@final
class OrderTracker:
    """Alpaca reports an order twice, over REST and over its socket, and neither is always ahead.

    An update is published only if it is later than the last state. `filled_since` is the difference to what was
    published, so its sum over all events of an order is the order's `filled_qty`.
    """

    __slots__ = ("_floor", "_open", "_over", "fills")

    def __init__(self) -> None:
        self.fills = 0  # how many of the published events changed what is filled
        self._open: OrderedDict[str, _Entry] = OrderedDict()
        self._over: OrderedDict[str, _Entry] = OrderedDict()
        # Orders submitted up to this time have been seen, or were finished before the feed began.
        self._floor = ""

    def look_back_to(self) -> str | None:
        """Orders submitted before this time no longer change, except for corrections; None before the first scan."""
        return min([entry.submitted for entry in self._open.values()] + [self._floor]) or None

    def look_back_for_corrections_to(self) -> str | None:
        """Like `look_back_to`, with finished orders whose fills were published: a fill may still be cancelled."""
        filled = [entry.submitted for entry in self._over.values() if entry.published and entry.submitted]
        look_back_to = self.look_back_to()
        return look_back_to and min([look_back_to, *filled])

    def begin(self, orders: Iterable[Order]) -> None:
        """Records the orders that exist when the feed begins, without publishing them."""
        for order in orders:
            if order.id not in self._open and order.id not in self._over:
                self._enter(order.id, _entry_of(order))

    def reconcile(self, orders: Iterable[Order]) -> list[StreamEvent]:
        """Returns what is new in a REST response, in the order in which it happened."""
        by_time = sorted(orders, key=_updated)
        return [event for order in by_time if (event := self._reconcile_one(order)) is not None]

    def raise_floor(self, submitted: str) -> None:
        """Records that all orders submitted up to this time have been seen."""
        self._floor = max(self._floor, submitted)

    def update(self, event: str, order: Order) -> StreamEvent | None:
        """Returns what is new in an event of the socket."""
        seen, now = self._seen(order.id), _entry_of(order)
        if seen is not None:
            now.published = seen.published
            if not _is_later(now, seen, is_correction=event in _CORRECTIONS):
                return None
            now.is_corrected = seen.is_corrected or now.filled < seen.filled or (seen.is_over and not now.is_over)
        return self._publish(event, order, now)

    def _reconcile_one(self, order: Order) -> StreamEvent | None:
        if self._seen(order.id) is None and submitted_at(order) <= self._floor:
            self._enter(order.id, _entry_of(order))
            return None
        return self.update(RECONCILED, order)

    def _publish(self, event: str, order: Order, now: _Entry) -> StreamEvent:
        since = _EXACT.subtract(now.filled, now.published)
        now.published = now.filled
        self.fills += since != 0
        self._enter(order.id, now)
        head = orjson.dumps({"event": event, "filled_since": f"{since:f}"})
        return StreamEvent(Kind.ORDER, head[:-1] + b"," + order_response(order).model_dump_json().encode()[1:])

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
    """A sort key for the submission time; empty if Alpaca does not send it."""
    return instant(order.submitted_at) if order.submitted_at else ""


def _entry_of(order: Order) -> _Entry:
    filled = Decimal(order.filled_qty or 0)
    visible = (order.status, order.qty, order.notional, order.filled_avg_price, order.limit_price, order.stop_price)
    return _Entry(_updated(order), filled, order.status in _OVER, (*visible, order.replaced_by), submitted_at(order))


def _updated(order: Order) -> str:
    return instant(order.updated_at) if order.updated_at else ""


def _is_later(now: _Entry, seen: _Entry, *, is_correction: bool) -> bool:
    """Whether `now` differs from `seen` and is later.

    A later timestamp of Alpaca always counts, also if less is filled. With an equal or earlier one, in which REST and
    socket differ, an order can only progress, unless a fill was cancelled.
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


MOST_PAGES: Final = 10  # of 500 orders; older open orders are not scanned
_SECOND: Final = "YYYY-MM-DDTHH:MM:SS"


@final
class OrderBackfill:
    """Scans the newest orders first, back to the oldest one that may have changed.

    The first scan publishes nothing: it records the newest page, and older open orders. A scan for corrections goes
    back to all orders whose fills were published. `unreadable` counts orders that were left out.
    """

    __slots__ = (
        "_goal",
        "_is_first",
        "_newest",
        "_oldest",
        "_pages",
        "_tracker",
        "is_done",
        "place",
        "query",
        "unreadable",
    )  # fmt: skip

    def __init__(self, tracker: OrderTracker, *, for_corrections: bool = False) -> None:
        self._goal = tracker.look_back_to()
        look_back_to = tracker.look_back_for_corrections_to() if for_corrections else self._goal
        self.query = OrderQuery(status=OrderStatusFilter.ALL, after=_a_second_before(look_back_to))
        self.place = Place()
        self.is_done = False
        self._is_first = look_back_to is None
        self._tracker = tracker
        self._newest = self._oldest = ""
        self._pages = 0
        self.unreadable = 0

    def take(self, page: Page[Order | UnreadableItem]) -> list[StreamEvent]:
        """Returns what is new on the requested page."""
        orders = readable(page.items)
        self._pages += 1
        self.unreadable += count_unreadable(page.items)
        moments = [moment for moment in map(submitted_at, orders) if moment]
        self._newest = max([self._newest, *moments])
        self._oldest = min(moments, default=self._oldest)
        events = self._reconcile(orders)
        if page.goes_on is not None and self._pages < MOST_PAGES:
            self._turn(page.goes_on)
            return events
        self.is_done = True
        is_cut_off = page.goes_on is not None and not self._is_first and self._oldest > (self._goal or "")
        if not self.unreadable or is_cut_off:  # otherwise the next scan tries again to read it
            self._tracker.raise_floor(self._newest or "0")
        return [*events, GAP] if is_cut_off else events

    def _reconcile(self, orders: Sequence[Order]) -> list[StreamEvent]:
        if not self._is_first:
            return self._tracker.reconcile(orders)
        self._tracker.begin(orders)
        return []

    def _turn(self, place: Place) -> None:
        if self._is_first and self.query.status is OrderStatusFilter.ALL:
            self.query, self.place = OrderQuery(status=OrderStatusFilter.OPEN), Place()
        else:
            self.place = place


def _a_second_before(moment: str | None) -> str | None:
    """Returns the time one second earlier, because Alpaca's bound is exclusive."""
    if moment is None or len(moment) < len(_SECOND):
        return None
    second = datetime.fromisoformat(moment[: len(_SECOND)]) - timedelta(seconds=1)
    return f"{second.isoformat()}Z"
