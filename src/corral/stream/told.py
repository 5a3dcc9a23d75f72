"""What has been told of an account in this process: what new readers begin with, and what must not be told again."""

from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, final

import orjson

from corral.alpaca.fields import instant
from corral.alpaca.orders import Order
from corral.stream.account_log import Loaded
from corral.stream.account_state import closed
from corral.stream.events import Described, Kind, StreamEvent
from corral.stream.news import Liveness, News, Trouble, read, written
from corral.stream.order_tracker import STATE, OrderTracker, is_over, order_event, state_event

if TYPE_CHECKING:
    from corral.stream.subscriptions import Part


MOST_ORDERS: Final = 100  # whose last event is kept
# Orders that ended so long before the account was last read are part of the state: a page may be older than that.
RECENTLY: Final = timedelta(minutes=5)


@final
class Told:
    """Keeps the last of each thing while Alpaca does not respond; a problem says that it is stale."""

    __slots__ = ("_account", "_positions", "is_live", "orders", "problems", "tracker")

    def __init__(self) -> None:
        self.tracker: Final = OrderTracker()
        self.problems: dict[Part, Described] = {}
        self.is_live = False  # whether all frames of the account's socket are passed on
        self.orders: OrderedDict[str, StreamEvent] = OrderedDict()  # the last event of each
        self._account: StreamEvent | None = None
        self._positions: dict[str, StreamEvent] = {}

    @classmethod
    def of(cls, loaded: Loaded) -> "Told | None":
        """Returns what had been told when it was loaded; None if a part of that is missing."""
        snapshot = loaded.snapshot
        entries = None if snapshot is None else loaded.after(snapshot.position)
        if snapshot is None or entries is None:
            return None
        try:
            told = cls._loaded(snapshot.told)
        except ValueError:  # of another release
            return None
        for entry in entries:
            for news in entry.news or ():
                told.follow(news)
        return told

    @classmethod
    def _loaded(cls, dumped: Any) -> "Told":  # noqa: ANN401 - what `dump` returned
        news, tracked = dumped
        told = cls()
        for each in news:
            told.take(read(each))
        told.tracker.load(tracked)
        return told

    def dump(self) -> list[Any]:
        """Returns all of it in JSON's types."""
        troubles = [Trouble(part, problem) for part, problem in self.problems.items()]
        news = [written(each) for each in [*self.events(), *self.orders.values(), *troubles, Liveness(self.is_live)]]
        return [news, self.tracker.dump()]

    def events(self) -> list[StreamEvent]:
        account = [] if self._account is None else [self._account]
        return account + list(self._positions.values())

    def state(self, since: datetime | None = None) -> list[StreamEvent]:
        """Returns what somebody has to be told who knows nothing of the account: with the orders that may matter.

        Somebody who knows what there was until `since` is told of all orders that have changed after it, too.
        """
        return [*self.events(), *map(state_event, self._orders_that_matter(since))]

    def closed_since(self, former: "Told") -> list[StreamEvent]:
        """Returns the events for positions that are no longer there."""
        positions = [event for event in former.events() if event.kind is Kind.POSITION]
        return [closed(event) for event in positions if event.about not in self._positions]

    def begin(self, orders: Iterable[Order]) -> list[StreamEvent]:
        """Keeps the last of the orders that there were when the account began to be watched.

        Returns those of which everybody has to be told.
        """
        last = sorted(orders, key=lambda order: (not is_over(order), order.updated_at or ""))[-MOST_ORDERS:]
        events = [order_event(STATE, order, Decimal(order.filled_qty or 0)) for order in last]
        for event in reversed(events):
            self._keep(event)
        return [state_event(event) for event in self._orders_that_matter() if event in events]

    def _orders_that_matter(self, since: datetime | None = None) -> list[StreamEvent]:
        """Returns the last events of orders that are open, or ended after `since` or shortly before the last read."""
        if self._account is None:
            return []
        read_at = datetime.fromisoformat(orjson.loads(self._account.body)["last_updated"])
        # Earlier by this, as clocks differ, and Alpaca may have told of a change some time after it.
        earliest = (min(read_at, since or read_at) - RECENTLY).isoformat()
        return [event for event in self.orders.values() if not event.is_last or _updated(event) >= earliest]

    def _keep(self, event: StreamEvent) -> None:
        """Keeps it as one that is older than all others."""
        if event.about not in self.orders:
            self.orders[event.about] = event
            self.orders.move_to_end(event.about, last=False)
            self._forget_oldest()

    def take(self, news: News) -> None:
        """Takes what is told. Whoever has worked out an event of an order has tracked the order, too."""
        if isinstance(news, StreamEvent):
            self._take_event(news)
        elif isinstance(news, Liveness):
            self.is_live = news.is_live
        elif isinstance(news, Trouble) and news.is_over:
            self.problems.pop(news.part, None)
        elif isinstance(news, Trouble):
            self.problems[news.part] = news.problem

    def follow(self, news: News) -> None:
        """Like `take`, for what another process tells."""
        self.take(news)
        if isinstance(news, StreamEvent) and news.kind is Kind.ORDER:
            self.tracker.note(news.body)

    def _take_event(self, event: StreamEvent) -> None:
        kind = event.kind
        if kind is Kind.ACCOUNT_DATA:
            self._account = event
        elif kind is Kind.POSITION and event.is_last:
            self._positions.pop(event.about, None)
        elif kind is Kind.POSITION:
            self._positions[event.about] = event
        elif kind is Kind.ORDER:
            self.orders[event.about] = event
            self.orders.move_to_end(event.about)
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        """Forgets one that is over, if there is any."""
        if len(self.orders) > MOST_ORDERS:
            over = (order_id for order_id, event in self.orders.items() if event.is_last)
            del self.orders[next(over, next(iter(self.orders)))]


def _updated(event: StreamEvent) -> str:
    updated_at = orjson.loads(event.body)["updated_at"]
    return instant(updated_at) if updated_at else ""
