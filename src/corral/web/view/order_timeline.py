"""The life of an order as a timeline: what Alpaca says happened, and when Corral heard of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Context, Decimal
from operator import itemgetter
from typing import Final

from corral.accounts.order_life import OrderFills
from corral.accounts.schemas import OrderLegResponse, OrderResponse, TradeActivityResponse
from corral.alpaca.fields import instant, written_in_utc
from corral.stream.order_log import HeardEvent
from corral.web.view.orders import humanize, leg_role

_EXACT: Final = Context(prec=400)
_ENDS: Final = {"canceled": "Canceled", "expired": "Expired", "replaced": "Replaced", "rejected": "Rejected"}
_OVER: Final = frozenset({"filled", *_ENDS})
_LAST_WORDS: Final = frozenset({"Filled", *_ENDS.values()})
_FIRST_EVENTS: Final = frozenset({"new", "accepted", "pending_new", "held"})
# What the stream says and no field of an order does.
_EVENT_NAMES: Final = {
    "new": "Sent to the exchange",
    "accepted": "Accepted by Alpaca",
    "pending_new": "Sent to the exchange, not yet accepted there",
    "pending_cancel": "Cancel requested",
    "pending_replace": "Replacement requested",
    "done_for_day": "Done for the day",
    "held": "Held until the order it belongs to is filled",
    "order_cancel_rejected": "Cancel rejected",
    "order_replace_rejected": "Replacement rejected",
    "trade_bust": "Fill canceled by the exchange",
    "trade_correct": "Fill corrected by the exchange",
    "restated": "Changed by Alpaca",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that happened. `at` is Alpaca's time in UTC, or when Corral heard of it if Alpaca says no time.

    `leg` names the leg that it happened to. `total` is what was filled of the order, or of the leg, up to then.
    `replaced_by` is the id of the order that took its place. `heard_at` is when the stream reported it, in UTC.
    """

    at: str
    text: str
    order_id: str
    fill: TradeActivityResponse | None = None
    total: str | None = None
    leg: str = ""
    replaced_by: str | None = None
    heard_at: str | None = None
    was_watched: bool = False


@dataclass(frozen=True, slots=True)
class Timeline:
    """`was_heard`: Corral heard of at least one of the moments."""

    moments: tuple[Moment, ...]

    @property
    def was_heard(self) -> bool:
        return any(moment.heard_at for moment in self.moments)


def build_timeline(
    order: OrderResponse,
    filled: OrderFills,
    heard: Sequence[HeardEvent],
    was_watching: Callable[[datetime], bool],
) -> Timeline:
    """Returns everything that is known of the order and of its legs, the earliest first.

    `heard` are the events of the order and its legs; `was_watching` says whether Corral watched the account at a time.
    """
    moments = [*_of_one(order, filled.fills, ""), *_of_legs(order, filled.fills)]
    matched, left = _match(moments, heard)
    matched = [replace(one, was_watched=bool(one.heard_at) or was_watching(_parsed(one.at))) for one in matched]
    ends = {one.order_id: instant(one.at) for one in matched if one.text in _LAST_WORDS}
    placed = [((instant(one.at), 1), one) for one in matched]
    placed += [(_place_of(event, ends), _moment_of(event, order)) for event in left if event.event in _EVENT_NAMES]
    return Timeline(tuple(moment for _, moment in sorted(placed, key=itemgetter(0))))


def _place_of(event: HeardEvent, ends: Mapping[str, str]) -> tuple[str, int]:
    """Returns a sort key: when it was heard, but before the end of its order if the order was still open then."""
    at = instant(written_in_utc(event.heard_at))
    end = ends.get(event.order_id, at)
    return (end, 0) if event.status not in _OVER and at > end else (at, 1)


def _of_legs(order: OrderResponse, fills: Sequence[TradeActivityResponse]) -> Iterator[Moment]:
    """The legs of a multi-leg order are submitted and canceled with it, so only their fills are listed separately."""
    for leg in order.legs:
        name = leg.symbol or "" if order.order_class == "mleg" else leg_role(order, leg)
        moments = _of_one(leg, fills, name)
        yield from (one for one in moments if one.fill or (order.order_class != "mleg" and one.text != "Submitted"))


def _of_one(order: OrderLegResponse, fills: Sequence[TradeActivityResponse], leg: str) -> Iterator[Moment]:
    if order.submitted_at:
        yield Moment(order.submitted_at, "Submitted", order.id, leg=leg)
    own = [fill for fill in fills if fill.order_id == order.id]
    yield from _of_fills(order, own, leg)
    if order.filled_at and not own:
        yield Moment(order.filled_at, "Filled", order.id, total=order.filled_qty, leg=leg)
    ends = [(order.canceled_at, "canceled"), (order.expired_at, "expired"), (order.failed_at, "rejected")]
    yield from (Moment(at, _ENDS[status], order.id, leg=leg) for at, status in ends if at)
    if order.replaced_at:
        yield Moment(order.replaced_at, "Replaced", order.id, leg=leg, replaced_by=order.replaced_by)


def _of_fills(order: OrderLegResponse, fills: Sequence[TradeActivityResponse], leg: str) -> Iterator[Moment]:
    total = Decimal(0)
    for fill in fills:
        total = _EXACT.add(total, Decimal(fill.qty))
        text = "Filled" if fill.type == "fill" else "Partially filled"
        yield Moment(fill.transaction_time, text, order.id, fill, fill.cum_qty or f"{total:f}", leg)


def _match(moments: Sequence[Moment], heard: Sequence[HeardEvent]) -> tuple[list[Moment], list[HeardEvent]]:
    """Returns the moments with the time of the first event about each, and the events of no moment."""
    left = sorted(heard, key=lambda event: event.heard_at)
    matched: list[Moment] = []
    for moment in sorted(moments, key=lambda one: instant(one.at)):
        event = next((event for event in left if _tells_of(event, moment)), None)
        if event is not None:
            left = [one for one in left if one is not event or moment.fill is not None]
        matched.append(replace(moment, heard_at=written_in_utc(event.heard_at)) if event else moment)
    return matched, left


def _tells_of(event: HeardEvent, moment: Moment) -> bool:
    if event.order_id != moment.order_id:
        return False
    if moment.total is not None:
        return Decimal(event.filled_qty or 0) >= Decimal(moment.total)
    if moment.text == "Submitted":
        return event.event in _FIRST_EVENTS or (event.event == "reconciled" and event.status in _FIRST_EVENTS)
    return _ENDS.get(event.status) == moment.text


def _moment_of(event: HeardEvent, order: OrderResponse) -> Moment:
    at = written_in_utc(event.heard_at)
    leg = next((leg_role(order, leg) for leg in order.legs if leg.id == event.order_id), "")
    text = _EVENT_NAMES.get(event.event) or humanize(event.event)
    return Moment(at, text, event.order_id, leg=leg, heard_at=at, was_watched=True)


def _parsed(at: str) -> datetime:
    """To the second is enough to know whether Corral was watching."""
    return datetime.fromisoformat(f"{at[:19]}+00:00")
