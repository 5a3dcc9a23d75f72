"""What has been told of an account in this process: what new readers begin with, and what must not be told again."""

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, final

from corral.stream.account_log import Loaded
from corral.stream.account_state import closed
from corral.stream.events import Described, Kind, StreamEvent
from corral.stream.news import Liveness, News, Trouble, read, written
from corral.stream.order_tracker import OrderTracker

if TYPE_CHECKING:
    from corral.stream.subscriptions import Part


MOST_ORDERS: Final = 100  # whose last event is kept


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

    def closed_since(self, former: "Told") -> list[StreamEvent]:
        """Returns the events for positions that are no longer there."""
        positions = [event for event in former.events() if event.kind is Kind.POSITION]
        return [closed(event) for event in positions if event.about not in self._positions]

    def keep(self, event: StreamEvent) -> None:
        """Keeps the last event of an order that nobody has to be told of."""
        if event.about not in self.orders:
            self.orders[event.about] = event
            self.orders.move_to_end(event.about, last=False)
            if len(self.orders) > MOST_ORDERS:
                self.orders.popitem(last=False)

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
            if len(self.orders) > MOST_ORDERS:
                self.orders.popitem(last=False)
