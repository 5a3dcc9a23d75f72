"""One hub per user: the events of all of their accounts, numbered in one sequence, for all of their streams."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Final, Protocol, final
from uuid import UUID

from corral.credentials.models import CredentialVersion
from corral.credentials.reader import OpenCredential
from corral.stream.account_log import Entry
from corral.stream.events import (
    GAP,
    HEARTBEAT,
    Frame,
    Kind,
    LogPosition,
    StreamEvent,
    event_id_of,
    event_text,
    joined,
    new_epoch,
    problem_event,
    sequence_in,
)
from corral.stream.order_log import OrderLog
from corral.stream.problems import CredentialSwitchedOff, TooManyStreams
from corral.stream.replay import Replay, replay
from corral.stream.selection import StreamSelection
from corral.stream.subscriptions import Subscription

MOST_EVENTS: Final = 512
MOST_BYTES: Final = 128 * 1024
# A large account has hundreds of positions at once: younger frames than this are kept beyond both limits, so that
# every stream has time to read them, up to a final limit.
YOUNG_SECONDS: Final = 5.0
MOST_YOUNG_BYTES: Final = 4 * 1024 * 1024


@final
class ReplayBuffer:
    """The last frames, from which an interrupted stream resumes. `newest` is the number of the last one."""

    __slots__ = ("_bytes", "_frames", "_monotonic", "_times", "newest")

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._frames: deque[Frame] = deque()
        self._times: deque[float] = deque()
        self._bytes = 0
        self.newest = 0

    def append(self, frame: Frame) -> None:
        now = self._monotonic()
        self._frames.append(frame)
        self._times.append(now)
        self._bytes += len(frame.text)
        self.newest += 1
        while self._is_too_much(now):
            self._times.popleft()
            self._bytes -= len(self._frames.popleft().text)

    def reaches(self, sequence: int) -> bool:
        """Whether all frames after this number are here."""
        return self.newest - len(self._frames) <= sequence <= self.newest

    def after(self, sequence: int) -> Iterator[Frame]:
        """Returns all frames after this number, for which `reaches` must be true."""
        return (self._frames[index] for index in range(sequence - self.newest, 0))

    def _is_too_much(self, now: float) -> bool:
        if len(self._frames) == 1 or (len(self._frames) <= MOST_EVENTS and self._bytes <= MOST_BYTES):
            return False
        return self._bytes > MOST_YOUNG_BYTES or now - self._times[0] > YOUNG_SECONDS


MOST_STREAMS: Final = 64  # per user
LINGER_SECONDS: Final = 5.0  # after the last stream, so that a browser that reconnects has no gap
HEARTBEAT_SECONDS: Final = 15.0


class AccountFeeds(Protocol):
    """The feeds that subscriptions join (`corral.stream.feed.Feeds`)."""

    @property
    def is_shared(self) -> bool:
        """Whether other processes may tell the same."""
        ...

    def join(self, subscription: Subscription) -> None: ...

    def leave(self, subscription: Subscription) -> None: ...

    def mark(self, subscription: Subscription, *, is_refused: bool) -> None: ...

    def want_positions(self, subscription: Subscription, *, is_wanted: bool) -> None: ...

    def known(self, subscription: Subscription, since: datetime | None) -> Iterable[StreamEvent]: ...

    async def told_between(
        self, subscription: Subscription, after: LogPosition, until: LogPosition
    ) -> Sequence[Entry] | None: ...


class Listener(Protocol):
    """An open stream, as its hub sees it."""

    @property
    def selection(self) -> StreamSelection: ...

    def wake(self) -> None: ...


@final
class Hub:
    """Lives while its user has an open stream, and a little longer. `epoch` identifies its numbers."""

    __slots__ = (
        "_buffer",
        "_feeds",
        "_known_before",
        "_log",
        "_subscriptions",
        "_timer",
        "epoch",
        "heartbeats",
        "is_loaded",
        "streams",
        "user_id",
    )

    def __init__(self, user_id: UUID, feeds: AccountFeeds, log: OrderLog | None = None) -> None:
        self.user_id = user_id
        self._log = log or OrderLog()
        self.epoch = new_epoch()
        self.heartbeats = 0
        self.is_loaded = False  # whether its user's active credentials have been subscribed to
        self.streams: set[Listener] = set()
        self._feeds = feeds
        self._buffer = ReplayBuffer()
        self._subscriptions: dict[UUID, Subscription] = {}
        self._known_before: set[UUID] = set()
        self._timer = asyncio.get_running_loop().call_later(HEARTBEAT_SECONDS, self._beat)

    @property
    def is_open(self) -> bool:
        return not self._timer.cancelled()

    @property
    def newest(self) -> int:
        return self._buffer.newest

    @property
    def versions(self) -> dict[UUID, CredentialVersion]:
        """Returns the subscribed credentials with the versions of their rows."""
        return {
            credential_id: CredentialVersion(subscription.credential.stored.revision, subscription.is_marked_refused)
            for credential_id, subscription in self._subscriptions.items()
        }

    def add(self, stream: Listener) -> None:
        self.streams.add(stream)
        self._say_whose_positions_are_wanted()

    def remove(self, stream: Listener) -> None:
        self.streams.discard(stream)
        self._say_whose_positions_are_wanted()

    def subscribe(self, credential: OpenCredential) -> None:
        """Subscribes to a credential that is new, changed or resumed. Raises ValueError for another user's."""
        stored = credential.stored
        if stored.user_id != self.user_id:
            raise ValueError("a credential of another user")
        before = self._subscriptions.get(stored.id)
        if before is not None and before.credential.stored.revision == stored.revision:
            self._feeds.mark(before, is_refused=stored.refused_at is not None)
            return
        self._drop(stored.id)
        subscription = self._subscriptions[stored.id] = Subscription(credential, self._publish)
        if before is None and self._is_known_to_miss(stored.id):
            subscription.publish(problem_event(CredentialSwitchedOff(), resolved=True))
        if stored.id in self._known_before:
            subscription.publish(GAP)
        self._known_before.add(stored.id)
        self._log.begin(self.user_id, stored.id)
        subscription.wants_positions = self._wants_positions(stored.id)
        self._feeds.join(subscription)

    def unsubscribe(self, credential_id: UUID) -> None:
        """No further event of it is sent, not even one published before that is still in the buffer."""
        self._drop(credential_id)
        self._append(credential_id, problem_event(CredentialSwitchedOff()), is_final=True)

    def resume_at(self, last_event_id: str) -> int | None:
        """Returns the number after which a client with this event resumes; None if later events are no longer here."""
        sequence = sequence_in(last_event_id, self.epoch)
        return sequence if sequence is not None and self._buffer.reaches(sequence) else None

    def missing(self, selection: StreamSelection) -> list[UUID]:
        """Returns the selected accounts that are not among the subscribed ones."""
        return sorted((selection.credential_ids or frozenset()) - self._subscriptions.keys())

    def reaches(self, sequence: int) -> bool:
        """Whether all events after this number are still here."""
        return self._buffer.reaches(sequence)

    def texts_after(self, sequence: int, selection: StreamSelection) -> Iterator[bytes]:
        """Returns one text for each number, empty for events that are not selected or must no longer be sent.

        `reaches` must be true.
        """
        for frame in self._buffer.after(sequence):
            may_be_sent = frame.is_final or frame.credential_id is None or frame.credential_id in self._subscriptions
            yield frame.text if may_be_sent and selection.includes(frame.kind, frame.credential_id) else b""

    def state(self, selection: StreamSelection, *, after_gap: bool, since: datetime | None = None) -> Iterator[bytes]:
        """Returns the known state of the selected accounts as of the newest number. Only the final heartbeat has an id.

        It has all orders that have changed after `since`.

        So a client that is interrupted in the middle has no id to resume from, and starts again.
        """
        sequence = self._buffer.newest
        known: list[tuple[UUID | None, StreamEvent]] = [(None, GAP)] if after_gap else []
        for credential_id, subscription in self._subscriptions.items():
            known += [(credential_id, event) for event in self._feeds.known(subscription, since)]
            known += [(credential_id, event) for event in subscription.problems()]
        known += [(missing, problem_event(CredentialSwitchedOff())) for missing in self.missing(selection)]
        texts = (
            event_text(event, credential_id=whose, sequence=sequence)
            for whose, event in known
            if selection.includes(event.kind, whose)
        )
        return chain(texts, [self.heartbeat()])

    async def replay(self, places: Mapping[bytes, LogPosition], selection: StreamSelection) -> Replay:
        """Returns what a client has missed that was at another process. `places` are those in its last event's id."""
        return await replay(
            places,
            subscriptions=self._subscriptions,
            logs=self._feeds,
            epoch=self.epoch,
            newest=lambda: self._buffer.newest,
            selection=selection,
        )

    def heartbeat(self) -> bytes:
        sequence = self._buffer.newest
        return event_text(HEARTBEAT, credential_id=None, sequence=sequence, event_id=self._event_id(sequence))

    def close(self) -> None:
        """Leaves all feeds. To be called after its streams have ended."""
        self._timer.cancel()
        for credential_id in list(self._subscriptions):
            self._drop(credential_id)

    def _drop(self, credential_id: UUID) -> None:
        subscription = self._subscriptions.pop(credential_id, None)
        if subscription is not None:
            self._feeds.leave(subscription)
            self._log.end(self.user_id, credential_id)

    def _is_known_to_miss(self, credential_id: UUID) -> bool:
        """Whether a stream may have been told that this account is paused or removed."""
        selections = (stream.selection.credential_ids or () for stream in self.streams)
        return credential_id in self._known_before or any(credential_id in selected for selected in selections)

    def _wants_positions(self, credential_id: UUID) -> bool:
        return any(stream.selection.includes(Kind.POSITION, credential_id) for stream in self.streams)

    def _say_whose_positions_are_wanted(self) -> None:
        for credential_id, subscription in self._subscriptions.items():
            self._feeds.want_positions(subscription, is_wanted=self._wants_positions(credential_id))

    def _publish(self, credential_id: UUID, event: StreamEvent) -> None:
        if not event.is_state:
            self._log.record(self.user_id, credential_id, event)
        self._append(credential_id, event)

    def _append(self, credential_id: UUID, event: StreamEvent, *, is_final: bool = False) -> None:
        sequence = self._buffer.newest + 1
        event_id = self._event_id(sequence)
        text = event_text(event, credential_id=credential_id, sequence=sequence, event_id=event_id)
        self._buffer.append(Frame(event.kind, credential_id, text, is_final))
        self._wake()

    def _event_id(self, sequence: int) -> str:
        """Of the newest event: what a client has received that has come so far, of each account."""
        if not self._feeds.is_shared:
            return event_id_of(self.epoch, sequence)
        return event_id_of(self.epoch, sequence, joined(each.place for each in self._subscriptions.values()))

    def _beat(self) -> None:
        self.heartbeats += 1
        self._timer = asyncio.get_running_loop().call_later(HEARTBEAT_SECONDS, self._beat)
        self._wake()

    def _wake(self) -> None:
        for stream in self.streams:
            stream.wake()


@final
class Hubs:
    """The hubs of all users who have a stream open."""

    __slots__ = ("_feeds", "_hubs", "_linger_seconds", "_log")

    def __init__(
        self, feeds: AccountFeeds, log: OrderLog | None = None, *, linger_seconds: float = LINGER_SECONDS
    ) -> None:
        self._feeds = feeds
        self._log = log or OrderLog()
        self._linger_seconds = linger_seconds
        self._hubs: dict[UUID, Hub] = {}

    def __iter__(self) -> Iterator[Hub]:
        return iter(list(self._hubs.values()))

    def enter(self, user_id: UUID, stream: Listener) -> Hub:
        """Returns the user's hub, with one more stream. Raises TooManyStreams."""
        hub = self._hubs.get(user_id)
        if hub is None:
            hub = self._hubs[user_id] = Hub(user_id, self._feeds, self._log)
        if len(hub.streams) >= MOST_STREAMS:
            raise TooManyStreams
        hub.add(stream)
        return hub

    def leave(self, hub: Hub, stream: Listener) -> None:
        hub.remove(stream)
        if not hub.streams:
            asyncio.get_running_loop().call_later(self._linger_seconds, self._close_if_alone, hub)

    def close(self) -> None:
        for hub in self:
            hub.close()
        self._hubs.clear()

    def _close_if_alone(self, hub: Hub) -> None:
        """Harmless if a stream was opened and closed meanwhile: that only shortens the wait."""
        if not hub.streams and self._hubs.get(hub.user_id) is hub:
            del self._hubs[hub.user_id]
            hub.close()
