"""What has been told of an account in this process: what new readers begin with, and what must not be told again."""

from typing import TYPE_CHECKING, Any, Final, final

from corral.stream.account_log import Loaded
from corral.stream.events import Described, Kind, StreamEvent
from corral.stream.news import Liveness, News, Trouble, read, written
from corral.stream.order_tracker import OrderTracker

if TYPE_CHECKING:
    from corral.stream.subscriptions import Part


@final
class Told:
    """Keeps the last of each thing while Alpaca does not respond; a problem says that it is stale."""

    __slots__ = ("_account", "_positions", "is_live", "problems", "tracker")

    def __init__(self) -> None:
        self.tracker: Final = OrderTracker()
        self.problems: dict[Part, Described] = {}
        self.is_live = False  # whether all frames of the account's socket are passed on
        self._account: StreamEvent | None = None
        self._positions: dict[str, StreamEvent] = {}

    @classmethod
    def of(cls, loaded: Loaded) -> "Told | None":
        """Returns what had been told when it was loaded; None if a part of that is missing."""
        snapshot = loaded.snapshot
        entries = None if snapshot is None else loaded.after(snapshot.position)
        if snapshot is None or entries is None:
            return None
        told = cls._loaded(snapshot.told)
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
        news = [written(each) for each in [*self.events(), *troubles, Liveness(self.is_live)]]
        return [news, self.tracker.dump()]

    def events(self) -> list[StreamEvent]:
        account = [] if self._account is None else [self._account]
        return account + list(self._positions.values())

    def take(self, news: News) -> None:
        """Takes what is told, but for the orders: whoever works out their events has tracked them."""
        match news:
            case StreamEvent(kind=Kind.ACCOUNT_DATA):
                self._account = news
            case StreamEvent(kind=Kind.POSITION, is_last=True):
                self._positions.pop(news.about, None)
            case StreamEvent(kind=Kind.POSITION):
                self._positions[news.about] = news
            case Trouble(part, is_over=True):
                self.problems.pop(part, None)
            case Trouble(part, problem):
                self.problems[part] = problem
            case Liveness(is_live):
                self.is_live = is_live
            case _:
                pass

    def follow(self, news: News) -> None:
        """Like `take`, for what another process tells."""
        self.take(news)
        if isinstance(news, StreamEvent) and news.kind is Kind.ORDER:
            self.tracker.note(news.body)
