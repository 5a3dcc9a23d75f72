"""Who receives an account's events in this process, whichever process asks Alpaca for them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, final

from corral.alpaca.orders import Order
from corral.credentials.reader import OpenCredential
from corral.stream.events import GAP, Described, Kind, LogPosition, StreamEvent
from corral.stream.frame_listeners import FrameListeners
from corral.stream.news import FramesMissed, Handover, Liveness, News, SocketFrame, Trouble
from corral.stream.order_tracker import state_event
from corral.stream.subscriptions import Part, Subscription, Subscriptions
from corral.stream.told import Told

if TYPE_CHECKING:
    from corral.stream.order_tracker import OrderTracker


class Outlet(Protocol):
    """Where whoever asks Alpaca about an account says what is new: to all who receive its events, wherever they are."""

    def publish(self, events: Iterable[StreamEvent]) -> None: ...

    def refresh(self, event: StreamEvent) -> None:
        """Newer state that differs in nothing that anybody has to be told."""
        ...

    def note_tracked(self, begun: Sequence[Order] | None) -> None:
        """A scan of the orders is done. `begun` are those that were there before the first one."""
        ...

    def report(self, part: Part, problem: Described | None) -> None:
        """A problem that has begun or goes on, and with None that there is none."""
        ...

    async def pass_on(self, content: bytes, through: OpenCredential, *, is_text: bool) -> None:
        """A frame of Alpaca's socket. `through` is the credential with whose keys that was opened."""
        ...

    def set_live(self, *, is_live: bool) -> None:
        """Whether all frames from now on are passed on."""
        ...

    def end_frames(self) -> None:
        """Something has been missed that cannot be told."""
        ...


@final
class Audience:
    """Of one account. Delivers to the subscriptions whose own keys Alpaca has accepted in this process.

    `position` is that of the last entry of the account's log that was delivered; None if what was delivered is not in
    the log.
    """

    __slots__ = ("_ahead", "_late", "_ledger", "_subscriptions", "frames", "position", "told")

    def __init__(self, subscriptions: Subscriptions) -> None:
        self.frames = FrameListeners(subscriptions)
        self.told = Told()
        self.position: LogPosition | None = None
        self._subscriptions = subscriptions
        # What subscriptions here were told of orders, if that may differ from what the account's log says.
        self._ledger: OrderTracker | None = None
        # Of these orders, more was told here than is in the log. Until it is there, too, no position in the log says
        # what a client has received.
        self._ahead: set[str] = set()
        self._late: set[Subscription] = set()  # which have begun meanwhile, with what is in the log

    def known(self, subscription: Subscription, since: datetime | None) -> list[StreamEvent]:
        """As `Told.state`. Returns nothing for a subscription whose own keys have not been accepted yet.

        What cannot be told yet follows by itself.
        """
        if since is not None and not (subscription.is_accepted and self.told.tracker.has_scanned):
            subscription.knows_until = min(since, subscription.knows_until or since)
        return self.told.state(since) if subscription.is_accepted else []

    def accept(self, subscription: Subscription) -> None:
        """Its keys were accepted by a call of this process: from now on it receives events, after the known state."""
        subscription.position = self._shown_position()
        if self._ahead:
            self._late.add(subscription)
        if self._subscriptions.accept(subscription, self.told.state()):
            for part, problem in self.told.problems.items():
                subscription.report(part, problem)
            self._tell_rest(subscription)

    def publish(self, events: Iterable[StreamEvent]) -> None:
        for event in events:
            self.told.take(event)
            if self._ledger is None or event.kind is not Kind.ORDER:
                self._send(event)
            elif event.is_state:
                self._send_state([event])
                self._note_told(event.about)
            else:
                self._send_new(event, self._ledger.catch_up(event))
                self._note_told(event.about)

    def refresh(self, event: StreamEvent) -> None:
        self.told.take(event)

    def note_tracked(self, begun: Sequence[Order] | None) -> None:
        """Subscriptions have begun before the first scan, so the orders are not part of what they began with."""
        self._send_state(self.told.begin(begun or ()))
        self.tell_returned()

    def tell_returned(self) -> None:
        """Tells those who came back before the orders were known which ones have ended since their last event."""
        for subscription in self._subscriptions.accepted():
            self._tell_rest(subscription)

    def _tell_rest(self, subscription: Subscription) -> None:
        since = subscription.knows_until
        if since is not None and self.told.tracker.has_scanned:
            subscription.knows_until = None
            usual = {event.about for event in self.told.state()}
            for event in self.told.state(since):
                if event.kind is Kind.ORDER and event.about not in usual:
                    subscription.publish(event)

    def report(self, part: Part, problem: Described | None) -> None:
        if problem is None:
            self.told.problems.pop(part, None)
        else:
            self.told.problems[part] = problem
        for subscription in self._subscriptions.accepted():
            subscription.report(part, problem)

    async def pass_on(self, content: bytes, through: OpenCredential | None, *, is_text: bool) -> None:
        await self.frames.pass_on(content, through, is_text=is_text)

    def set_live(self, *, is_live: bool) -> None:
        self.told.is_live = is_live
        self.frames.set_live(is_live=is_live)

    def end_frames(self) -> None:
        self.frames.end()

    async def follow(self, news: Sequence[News], position: LogPosition) -> None:
        """Delivers an entry of the account's log that another process has written."""
        for index, each in enumerate(news):
            if index == len(news) - 1:  # the last one's position is that of the whole entry
                self.move(position)
            if isinstance(each, Handover):  # a new holder of the connection cannot know what the old one missed
                self.end_frames()
            self.told.follow(each)
            await self.deliver(each)

    async def deliver(self, news: News, through: OpenCredential | None = None) -> None:
        match news:
            case StreamEvent():
                self.publish([news])
            case Trouble(part, problem, is_over):
                self.report(part, None if is_over else problem)
            case SocketFrame(content, is_text):
                await self.pass_on(content, through, is_text=is_text)
            case Liveness(is_live):
                self.set_live(is_live=is_live)
            case FramesMissed():
                self.end_frames()
            case _:
                pass

    def move(self, position: LogPosition | None) -> None:
        self.position = position
        for subscription in self._subscriptions.accepted():
            subscription.position = self._shown_position()

    def begin_anew(self, told: Told, position: LogPosition | None) -> None:
        """Takes what was told elsewhere instead of what was told here.

        Subscriptions are told the difference. If it is not known exactly, that is a gap.
        """
        former, self.told = self.told, told
        self.move(position)
        self.frames.set_live(is_live=told.is_live)
        self.frames.end()
        events = self._difference(former)
        if events is None:
            events = [GAP, *told.state(), *self._missing_in_state()]
        self._note_state(events)
        self._ahead = set() if self._ledger is None else self._ledger.ahead_of(told.tracker)
        self._late.clear()
        self.move(position)
        for event in events:
            self._send(event)
        for part in former.problems.keys() | told.problems.keys():
            self.report(part, told.problems.get(part))

    def tell_gap(self) -> None:
        self._send_state([GAP, *self.told.state()])

    def has_told(self) -> bool:
        """Whether anybody here has been told something of the account, and is to be told the rest."""
        return any(self._subscriptions.accepted())

    def _shown_position(self) -> LogPosition | None:
        return None if self._ahead else self.position

    def _note_told(self, order_id: str) -> None:
        """An event of the order is in the log now."""
        if order_id in self._ahead and self._ledger is not None:
            self._ahead &= self._ledger.ahead_of(self.told.tracker)
            if not self._ahead:
                self._late.clear()
            self.move(self.position)

    def _difference(self, former: Told) -> list[StreamEvent] | None:
        if not self.has_told():
            self._ledger = None
            return []
        self._ledger = self._ledger or former.tracker
        if (
            self._late
            or not self._ledger.has_scanned
            or not self.told.tracker.has_scanned
            or not self._ledger.is_within(self.told.tracker, self.told.orders)
        ):
            return None
        orders = [self._ledger.catch_up(event) for event in self.told.orders.values()]
        return [*self.told.events(), *self.told.closed_since(former), *filter(None, orders)]

    def _missing_in_state(self) -> list[StreamEvent]:
        """Returns the orders of which less was told here, although they ended too long ago to be part of the state."""
        told, ledger = self.told, self._ledger
        if ledger is None:
            return []
        names = {event.about for event in told.state()}
        behind = (order_id for order_id, entry in told.tracker.entries() if ledger.is_behind(order_id, entry))
        return [state_event(told.orders[each]) for each in behind if each in told.orders and each not in names]

    def _note_state(self, events: Iterable[StreamEvent]) -> None:
        """How an order is, as a whole, replaces what was told of it before."""
        for event in events:
            if event.is_state and self._ledger is not None:
                self._ledger.note(event.body)

    def _send_state(self, events: Sequence[StreamEvent]) -> None:
        self._note_state(events)
        for event in events:
            self._send(event)

    def _send_new(self, event: StreamEvent, news: StreamEvent | None) -> None:
        """Sends what is new in an event, but to those who have been told less how its order is."""
        late = self._late if event.about in self._ahead else ()
        for subscription in self._subscriptions.accepted():
            if subscription in late:
                subscription.publish(state_event(event))
            elif news is not None:
                subscription.publish(news)

    def _send(self, event: StreamEvent) -> None:
        for subscription in self._subscriptions.accepted():
            subscription.publish(event)
