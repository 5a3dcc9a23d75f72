"""Tracks what has been published of each order, so that every fill is published once, from the socket or from REST.

The socket can miss events, so an account's orders are also scanned over REST, one page at a time.
"""

from collections import OrderedDict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Context, Decimal
from itertools import chain
from typing import Any, Final, final

import orjson

from corral.accounts.schemas import order_response
from corral.alpaca.fields import instant
from corral.alpaca.items import UnreadableItem, count_unreadable, readable
from corral.alpaca.orders import Order, OrderQuery, OrderStatusFilter
from corral.alpaca.paging import Page, Place
from corral.stream.events import GAP, Kind, StreamEvent

RECONCILED: Final = "reconciled"
STATE: Final = "state"
MOST_ORDERS: Final = 5_000  # of each: open orders and finished ones
MOST_FINISHED_DUMPED: Final = 500
# Alpaca's final order statuses.
_OVER: Final = frozenset({"filled", "canceled", "expired", "rejected", "replaced"})
_CORRECTIONS: Final = frozenset({"trade_bust", "trade_correct"})  # the exchange cancels or corrects a fill
# A change of these is told.
_VISIBLE: Final = ("status", "qty", "notional", "filled_avg_price", "limit_price", "stop_price", "replaced_by")
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

    @property
    def has_scanned(self) -> bool:
        """Whether it knows which orders there were when the feed began."""
        return bool(self._floor)

    def look_back_to(self) -> str | None:
        """Orders submitted before this time no longer change, except for corrections; None before the first scan."""
        return min([entry.submitted for entry in self._open.values()] + [self._floor]) or None

    def look_back_for_corrections_to(self) -> str | None:
        """Like `look_back_to`, with finished orders whose fills were published: a fill may still be cancelled."""
        filled = [entry.submitted for entry in self._over.values() if entry.published and entry.submitted]
        look_back_to = self.look_back_to()
        return look_back_to and min([look_back_to, *filled])

    def dump(self) -> list[Any]:
        """Returns what it knows in JSON's types, without orders that were finished long ago."""
        finished = list(self._over.items())[-MOST_FINISHED_DUMPED:]
        return [self._floor, [_dumped(order_id, entry) for order_id, entry in [*self._open.items(), *finished]]]

    def load(self, dumped: Any) -> None:  # noqa: ANN401 - what `dump` returned
        self._floor, entries = dumped
        for order_id, *entry in entries:
            self._enter(order_id, _loaded(entry))

    def note(self, body: bytes) -> None:
        """Records an event that another process has published."""
        event = orjson.loads(body)
        seen, now = self._seen(event["id"]), _published(event)
        if seen is not None:
            now.is_corrected = seen.is_corrected or now.filled < seen.filled or (seen.is_over and not now.is_over)
        self._enter(event["id"], now)

    def entries(self) -> Iterator[tuple[str, _Entry]]:
        return chain(self._open.items(), self._over.items())

    def is_within(self, other: "OrderTracker", known: Container[str]) -> bool:
        """Whether `catch_up` is given all that `other` knows beyond this, by the last events of the `known` orders."""
        return all(
            order_id in known or not self._is_behind(entry, self._seen(order_id)) for order_id, entry in other.entries()
        )

    def ahead_of(self, other: "OrderTracker") -> set[str]:
        """Returns the orders of which more was told here than `other` knows, so that it may tell of them again."""
        return {order_id for order_id, entry in self.entries() if other.is_behind(order_id, entry)}

    def is_behind(self, order_id: str, entry: _Entry) -> bool:
        return self._is_behind(entry, self._seen(order_id))

    def catch_up(self, event: StreamEvent) -> StreamEvent | None:
        """Returns what is new in an event that another tracker has published of the same account."""
        fields = orjson.loads(event.body)
        seen, now = self._seen(event.about), _published(fields)
        is_correction = fields["event"] in _CORRECTIONS
        if not self._is_behind(now, seen, is_correction=is_correction):
            return None
        now.published = Decimal(0)
        if seen is not None:
            now.published = seen.published
            now.is_corrected = seen.is_corrected or now.filled < seen.filled or (seen.is_over and not now.is_over)
        since = _note_fills(now)
        self._enter(event.about, now)
        return replace(event, body=orjson.dumps({**fields, "filled_since": f"{since:f}"}))

    def _is_behind(self, now: _Entry, seen: _Entry | None, *, is_correction: bool = False) -> bool:
        if seen is None:
            return now.submitted > self._floor or not now.submitted
        return _is_later(now, seen, is_correction=is_correction)

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
        since = _note_fills(now)
        self.fills += since != 0
        self._enter(order.id, now)
        return order_event(event, order, since)

    def _seen(self, order_id: str) -> _Entry | None:
        return self._open.get(order_id) or self._over.get(order_id)

    def _enter(self, order_id: str, entry: _Entry) -> None:
        self._open.pop(order_id, None)
        self._over.pop(order_id, None)
        entries = self._over if entry.is_over else self._open
        entries[order_id] = entry
        if len(entries) > MOST_ORDERS:
            entries.popitem(last=False)


def order_event(event: str, order: Order, filled_since: Decimal) -> StreamEvent:
    head = orjson.dumps({"event": event, "filled_since": f"{filled_since:f}"})
    body = head[:-1] + b"," + order_response(order).model_dump_json().encode()[1:]
    return StreamEvent(Kind.ORDER, body, order.id, is_last=is_over(order))


def state_event(event: StreamEvent) -> StreamEvent:
    """Returns how an order is, from the last event about it: with all of its fills, which are added up from there."""
    fields = orjson.loads(event.body)
    body = orjson.dumps(fields | {"event": STATE, "filled_since": fields["filled_qty"] or "0"})
    return replace(event, body=body, is_state=True)


def is_over(order: Order) -> bool:
    return order.status in _OVER


def submitted_at(order: Order) -> str:
    """A sort key for the submission time; empty if Alpaca does not send it."""
    return instant(order.submitted_at) if order.submitted_at else ""


def _entry_of(order: Order) -> _Entry:
    filled = Decimal(order.filled_qty or 0)
    visible = tuple(getattr(order, name) for name in _VISIBLE)
    return _Entry(_updated(order), filled, is_over(order), visible, submitted_at(order))


def _published(event: Mapping[str, Any]) -> _Entry:
    """Reads an order as `_publish` has written it."""
    filled = Decimal(event["filled_qty"] or 0)
    moments = [instant(event[name]) if event[name] else "" for name in ("updated_at", "submitted_at")]
    visible = tuple(event[name] for name in _VISIBLE)
    return _Entry(moments[0], filled, event["status"] in _OVER, visible, moments[1], published=filled)


def _note_fills(now: _Entry) -> Decimal:
    """Returns what has been filled since the last event, and counts it as published."""
    since = _EXACT.subtract(now.filled, now.published)
    now.published = now.filled
    return since


def _dumped(order_id: str, entry: _Entry) -> list[Any]:
    filled, published = f"{entry.filled:f}", f"{entry.published:f}"
    visible, is_corrected = list(entry.visible), entry.is_corrected
    return [order_id, entry.updated, filled, entry.is_over, visible, entry.submitted, published, is_corrected]


def _loaded(values: Sequence[Any]) -> _Entry:
    updated, filled, is_over, visible, submitted, published, is_corrected = values
    return _Entry(updated, Decimal(filled), is_over, tuple(visible), submitted, Decimal(published), is_corrected)


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
        "_newest",
        "_oldest",
        "_pages",
        "_tracker",
        "begun",
        "is_done",
        "is_first",
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
        self.is_first = look_back_to is None
        self.begun: list[Order] = []  # those that existed when the feed began
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
        is_cut_off = page.goes_on is not None and not self.is_first and self._oldest > (self._goal or "")
        if not self.unreadable or is_cut_off:  # otherwise the next scan tries again to read it
            self._tracker.raise_floor(self._newest or "0")
        return [*events, GAP] if is_cut_off else events

    def _reconcile(self, orders: Sequence[Order]) -> list[StreamEvent]:
        if not self.is_first:
            return self._tracker.reconcile(orders)
        self._tracker.begin(orders)
        self.begun += orders
        return []

    def _turn(self, place: Place) -> None:
        if self.is_first and self.query.status is OrderStatusFilter.ALL:
            self.query, self.place = OrderQuery(status=OrderStatusFilter.OPEN), Place()
        else:
            self.place = place


def _a_second_before(moment: str | None) -> str | None:
    """Returns the time one second earlier, because Alpaca's bound is exclusive."""
    if moment is None or len(moment) < len(_SECOND):
        return None
    second = datetime.fromisoformat(moment[: len(_SECOND)]) - timedelta(seconds=1)
    return f"{second.isoformat()}Z"
