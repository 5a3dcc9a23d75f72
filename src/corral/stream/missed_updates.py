"""What Alpaca's socket would have said while it was away, made from what Alpaca shows over REST afterwards.

Nothing is guessed: where orders and fills do not add up, there is no answer.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal
from typing import Final, NamedTuple, cast, final

import orjson

from corral.alpaca.errors import WrongShape
from corral.alpaca.fields import Fields, decimal, instant, moment, required, text

MOST_ORDERS: Final = 10_000  # remembered for an account
_MOST_TOLD: Final = 2_000  # events whose frame may still arrive
_EXACT: Final = Context(prec=60)
_PRICE: Final = Decimal("0.000001")
_ZERO: Final = Decimal(0)
# The time of the events that have one of their own in an order.
_TIMES: Final[Mapping[str, str]] = {
    "canceled": "canceled_at",
    "expired": "expired_at",
    "replaced": "replaced_at",
    "rejected": "failed_at",
}
_OVER: Final = frozenset({"filled", "canceled", "expired", "replaced", "rejected"})
_FILLED: Final = frozenset({"filled", "partially_filled"})
_WAITING: Final = frozenset({"accepted", "held", "pending_new", "pending_review", "accepted_for_bidding"})
_UNDECIDED: Final = frozenset({"pending_cancel", "pending_replace"})  # how Alpaca decided is not in an order
_NOT_YET: Final = ("filled_at", "canceled_at", "expired_at", "failed_at", "replaced_at", "replaced_by")
_SYMBOLS_WITH_FEES: Final = "/"  # of coins, a part of what is bought is the fee

Key = tuple[str, str]


class Irreconcilable(Exception):  # noqa: N818 - named after the condition
    """What is shown over REST does not say what happened."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What Alpaca shows of an account. `fills` are those since the newest one that was known, the newest first.

    `positions` are None if no position is needed.
    """

    orders: Sequence[Fields]
    fills: Sequence[Fields]
    positions: Sequence[Fields] | None = None


class MissedUpdate(NamedTuple):
    """`data` is what stands in Alpaca's frame."""

    key: Key
    data: Mapping[str, object]

    @property
    def frame(self) -> bytes:
        return orjson.dumps({"stream": "trade_updates", "data": self.data})


@dataclass(slots=True)
class _Told:
    """What was last said of an order."""

    status: str
    filled: Decimal
    average: str | None


@dataclass(slots=True)
class _Step:
    """One event, before it is known which of its order is the last."""

    name: str
    at: str
    status: str
    filled: str
    average: str | None
    fill: Fields | None = None


@dataclass(slots=True)
class _Life:
    order: Fields
    steps: list[_Step] = field(default_factory=list["_Step"])


@final
class ToldOrders:
    """The state of an account's orders, as those who listen know it."""

    __slots__ = ("_later", "_orders", "floor", "is_complete", "newest_fill")

    def __init__(self) -> None:
        self._orders: OrderedDict[str, _Told] = OrderedDict()
        self._later: OrderedDict[Key, None] = OrderedDict()  # told from REST; their frames are not told again
        self.floor = ""  # orders submitted up to this instant were known or over when listening began
        self.newest_fill: str | None = None
        self.is_complete = False

    def begin(self, orders: Iterable[Fields], newest_fill: str | None) -> None:
        """Takes the state in which nothing has been missed yet. What frames have said meanwhile counts more."""
        for order in orders:
            self.floor = max(self.floor, _submitted(order))
            self._orders.setdefault(_id(order), _told(order))
        self.newest_fill = newest_fill
        self.is_complete = len(self._orders) < MOST_ORDERS

    def open_orders(self) -> list[str]:
        return [order_id for order_id, told in self._orders.items() if told.status not in _OVER]

    def note(self, data: Fields) -> None:
        """Remembers what a frame says of its order. One that cannot be read is not remembered."""
        order = _order_in(data)
        if order is None:
            return
        try:
            self._enter(_id(order), _told(order))
        except WrongShape:
            return

    def is_repeated(self, data: Fields) -> bool:
        """Whether this frame was told from REST before it arrived. Each is so at most once."""
        key = key_of(data)
        if key is None or key not in self._later:
            return False
        del self._later[key]
        return True

    def missed(self, shown: Shown, arrived: Iterable[Key]) -> list[MissedUpdate]:
        """Returns the events that were missed, in their order, without those that `arrived` and what follows them.

        Raises Irreconcilable and WrongShape.
        """
        by_order = _fills_by_order(shown.fills)
        lives = [self._life(order, by_order.get(_id(order), [])) for order in sorted(shown.orders, key=_submitted)]
        positions = _Positions(shown)
        arrived = set(arrived)
        updates = [update for life in lives for update in _without_arrived(_written(life, positions), arrived)]
        return sorted(updates, key=lambda update: instant(str(update.data["timestamp"])))

    def conclude(self, shown: Shown, told: Iterable[MissedUpdate]) -> None:
        """Remembers what was shown, and what was told of it."""
        for order in shown.orders:
            if _id(order) not in self._orders and _submitted(order) <= self.floor:
                self._enter(_id(order), _told(order))
        self.floor = max([self.floor, *map(_submitted, shown.orders)])
        if shown.fills:
            self.newest_fill = _id(shown.fills[0])
        for update in told:
            self.note(update.data)
            order_id, name = update.key
            earlier = _WAITING if name == "new" else _UNDECIDED if name in _OVER else ()
            for each in (name, *earlier):
                self._later[order_id, each] = None
        while len(self._later) > _MOST_TOLD:
            self._later.popitem(last=False)

    def _life(self, order: Fields, fills: Sequence[Fields]) -> _Life:
        """What has happened to an order since it was last spoken of."""
        told = self._orders.get(_id(order))
        life = _Life(order)
        if told is None and _submitted(order) <= self.floor:
            return life  # it was over before anybody listened
        now = _told(order)
        if told is None:
            told = _begun(life, now, fills)
        elif told.status in _UNDECIDED and now.status not in _OVER and now.status != told.status:
            raise Irreconcilable
        elif told.status in _WAITING and fills:
            life.steps.append(_Step("new", _moment(fills[0], "transaction_time"), "new", "0", None))
        _add_fills(life, told, fills)
        if now.filled != (Decimal(life.steps[-1].filled) if life.steps else told.filled):
            raise Irreconcilable
        is_told = (life.steps[-1].status if life.steps else told.status) == now.status
        if not is_told and now.status not in _FILLED:
            name = now.status
            life.steps.append(_Step(name, _time_of(order, name), name, _decimal(order, "filled_qty"), now.average))
        return life

    def _enter(self, order_id: str, told: _Told) -> None:
        self._orders.pop(order_id, None)
        self._orders[order_id] = told
        if len(self._orders) > MOST_ORDERS:
            _, forgotten = self._orders.popitem(last=False)
            self.is_complete = self.is_complete and forgotten.status in _OVER


def key_of(data: Fields) -> Key | None:
    """What tells an event from all others: for a fill, how much of its order is filled."""
    order, event = _order_in(data), data.get("event")
    if order is None or not isinstance(event, str):
        return None
    try:
        return _id(order), _fill_key(_decimal(order, "filled_qty")) if event in {"fill", "partial_fill"} else event
    except WrongShape:
        return None


def _order_in(data: Fields) -> Fields | None:
    order: object = data.get("order")
    return cast("Fields", order) if isinstance(order, dict) else None


def _fill_key(filled: str) -> str:
    return f"filled {Decimal(filled).normalize():f}"


def _begun(life: _Life, now: _Told, fills: Sequence[Fields]) -> _Told:
    """A new order: it waits, or was new before anything else happened to it."""
    if now.status == "rejected" or (now.status in _WAITING and not fills):
        return _Told("", _ZERO, None)  # its status is its first event
    life.steps.append(_Step("new", moment(life.order, "submitted_at") or _time_of(life.order, ""), "new", "0", None))
    return _Told("new", _ZERO, None)


def _add_fills(life: _Life, told: _Told, fills: Sequence[Fields]) -> None:
    """Raises Irreconcilable if one is missing between the last that was told and the newest."""
    filled, paid = told.filled, _EXACT.multiply(told.filled, Decimal(told.average or 0))
    for fill in sorted(fills, key=lambda fill: Decimal(_decimal(fill, "cum_qty"))):
        total, qty = Decimal(_decimal(fill, "cum_qty")), Decimal(_decimal(fill, "qty"))
        if total <= told.filled:
            continue
        if _EXACT.subtract(total, qty) != filled:
            raise Irreconcilable
        filled, paid = total, _EXACT.add(paid, _EXACT.multiply(qty, Decimal(_decimal(fill, "price"))))
        is_whole = not Decimal(_decimal(fill, "leaves_qty"))
        average = f"{_EXACT.divide(paid, filled).quantize(_PRICE).normalize():f}"
        status = "filled" if is_whole else "partially_filled"
        at, name = _moment(fill, "transaction_time"), "fill" if is_whole else "partial_fill"
        life.steps.append(_Step(name, at, status, _decimal(fill, "cum_qty"), average, fill))


def _written(life: _Life, positions: "_Positions") -> list[MissedUpdate]:
    """The last event has the order as it is shown; earlier ones have it as it was."""
    updates: list[MissedUpdate] = []
    at = ""
    for step in life.steps:
        at = max(at, step.at, key=lambda each: instant(each) if each else "")
        order = {**life.order, "legs": None}
        if step is not life.steps[-1]:
            order |= dict.fromkeys((name for name in _NOT_YET if name in order), None)
            order |= {"status": step.status, "filled_qty": step.filled, "filled_avg_price": step.average}
            order["updated_at"] = at
        name = _fill_key(step.filled) if step.fill is not None else step.name
        execution = {} if step.fill is None else _execution(step.fill, positions)
        data = {"event": step.name, "timestamp": at, **execution, "order": order}
        updates.append(MissedUpdate((_id(life.order), name), data))
    return updates


def _execution(fill: Fields, positions: "_Positions") -> dict[str, object]:
    """An activity's id is a time and the id of the execution."""
    _, mark, execution_id = _id(fill).partition("::")
    position = positions.after(fill)
    return {
        **({"execution_id": execution_id} if mark else {}),
        "price": _decimal(fill, "price"),
        "qty": _decimal(fill, "qty"),
        **({} if position is None else {"position_qty": position}),
    }


def _without_arrived(updates: Sequence[MissedUpdate], arrived: set[Key]) -> Sequence[MissedUpdate]:
    """What follows a frame of the same order arrives as a frame, too, and in its turn."""
    orders = {order_id for order_id, _ in arrived}
    for index, update in enumerate(updates):
        if update.key in arrived:
            return updates[:index]
    if updates and updates[0].key[0] in orders:
        raise Irreconcilable  # the order has frames, and none of them is where it can be seen
    return updates


class _Positions:
    """What was held after each fill: what is held now, less the fills since."""

    def __init__(self, shown: Shown) -> None:
        self._after: dict[str, str] = {}
        if shown.positions is None:
            return
        held = {required(text, each, "symbol"): Decimal(_decimal(each, "qty")) for each in shown.positions}
        for fill in shown.fills:
            symbol = required(text, fill, "symbol")
            now = held.setdefault(symbol, _ZERO)
            self._after[_id(fill)] = f"{now:f}"
            qty = Decimal(_decimal(fill, "qty"))
            is_bought = required(text, fill, "side") == "buy"
            held[symbol] = _EXACT.subtract(now, qty if is_bought else -qty)

    def after(self, fill: Fields) -> str | None:
        """Returns None where it is not known exactly."""
        if _SYMBOLS_WITH_FEES in required(text, fill, "symbol"):
            return None
        return self._after.get(_id(fill))


def _fills_by_order(fills: Iterable[Fields]) -> dict[str, list[Fields]]:
    found: dict[str, list[Fields]] = {}
    for fill in fills:
        found.setdefault(required(text, fill, "order_id"), []).append(fill)
    return found


def _told(order: Fields) -> _Told:
    filled = Decimal(decimal(order, "filled_qty") or 0)
    return _Told(required(text, order, "status"), filled, decimal(order, "filled_avg_price"))


def _id(fields: Fields) -> str:
    return required(text, fields, "id")


def _submitted(order: Fields) -> str:
    at = moment(order, "submitted_at")
    return instant(at) if at else ""


def _time_of(order: Fields, event: str) -> str:
    own = moment(order, _TIMES[event]) if event in _TIMES else None
    return own or _moment(order, "updated_at")


def _moment(fields: Fields, name: str) -> str:
    return required(moment, fields, name)


def _decimal(fields: Fields, name: str) -> str:
    return required(decimal, fields, name)
