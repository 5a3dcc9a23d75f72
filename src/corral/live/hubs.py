"""One hub per user: all of their accounts' news in one numbered row, for all of their streams."""

import asyncio
import secrets
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final, Protocol, final
from uuid import UUID

from corral.credentials.models import CredentialVersion, SealedCredential
from corral.live.events import GAP, HEARTBEAT, Frame, News, event_id_of, event_text, problem_news, sequence_in
from corral.live.problems import CredentialSwitchedOff, TooManyStreams
from corral.live.rings import Ring
from corral.live.watchers import Watcher

MOST_STREAMS: Final = 64  # of one user
LINGER_SECONDS: Final = 5.0  # after the last stream, so that a browser that comes back finds no gap
HEARTBEAT_SECONDS: Final = 15.0


class Accounts(Protocol):
    """Where watchers go (`corral.live.feeds.Feeds`)."""

    def join(self, watcher: Watcher) -> None: ...

    def leave(self, watcher: Watcher) -> None: ...

    def mark(self, watcher: Watcher, *, is_refused: bool) -> None: ...

    def known(self, watcher: Watcher) -> Iterable[News]: ...


class Listener(Protocol):
    """A stream, as its hub sees it."""

    def wake(self) -> None: ...


@final
class Hub:
    """Lives while its user listens, and a little longer. Its epoch tells its numbers from those of another one."""

    __slots__ = (
        "_accounts",
        "_known_before",
        "_ring",
        "_timer",
        "_watchers",
        "beats",
        "epoch",
        "is_followed",
        "streams",
        "user_id",
    )

    def __init__(self, user_id: UUID, accounts: Accounts) -> None:
        self.user_id = user_id
        self.epoch = secrets.token_hex(8)
        self.beats = 0
        self.is_followed = False  # whether it has been brought to what its user has switched on
        self.streams: set[Listener] = set()
        self._accounts = accounts
        self._ring = Ring()
        self._watchers: dict[UUID, Watcher] = {}
        self._known_before: set[UUID] = set()
        self._timer = asyncio.get_running_loop().call_later(HEARTBEAT_SECONDS, self._beat)

    @property
    def is_open(self) -> bool:
        return not self._timer.cancelled()

    @property
    def newest(self) -> int:
        return self._ring.newest

    @property
    def versions(self) -> dict[UUID, CredentialVersion]:
        """What is watched, as of which version of its row."""
        return {
            credential_id: CredentialVersion(watcher.credential.revision, watcher.is_marked)
            for credential_id, watcher in self._watchers.items()
        }

    def watch(self, credential: SealedCredential) -> None:
        """Watches a credential that is new, was changed, or was switched on again. Raises for another user's."""
        if credential.user_id != self.user_id:
            raise ValueError("a credential of another user")
        before = self._watchers.get(credential.id)
        if before is not None and before.credential.revision == credential.revision:
            self._accounts.mark(before, is_refused=credential.refused_at is not None)
            return
        self._drop(credential.id)
        watcher = self._watchers[credential.id] = Watcher(credential, self._publish)
        if credential.id in self._known_before:
            watcher.tell(GAP)
        self._known_before.add(credential.id)
        self._accounts.join(watcher)

    def unwatch(self, credential_id: UUID) -> None:
        """Nothing more is told of it, not even what was told already and is read again."""
        self._drop(credential_id)
        self._append(credential_id, problem_news(CredentialSwitchedOff()), only_while_watched=False)

    def resume_at(self, last_event_id: str) -> int | None:
        """The number after which a reader that knows this event goes on; None when that cannot be told here."""
        sequence = sequence_in(last_event_id, self.epoch)
        return sequence if sequence is not None and self._ring.reaches(sequence) else None

    def reaches(self, sequence: int) -> bool:
        """Whether all that was told after this number is still here."""
        return self._ring.reaches(sequence)

    def texts_after(self, sequence: int) -> Iterator[bytes]:
        """One for each number, empty for what is not told any more. `reaches` must be true."""
        for frame in self._ring.after(sequence):
            yield frame.text if frame.credential_id is None or frame.credential_id in self._watchers else b""

    def state(self, *, after_gap: bool) -> Iterator[bytes]:
        """How all accounts stand, as of the newest number, ending with a heartbeat, which alone has an id.

        So a reader that breaks off in the middle has nothing to go on from, and begins anew.
        """
        sequence = self._ring.newest
        known: list[tuple[UUID | None, News]] = [(None, GAP)] if after_gap else []
        for credential_id, watcher in self._watchers.items():
            known += [(credential_id, news) for news in self._accounts.known(watcher)]
            known += [(credential_id, news) for news in watcher.troubles()]
        texts = (event_text(news, credential_id=whose, sequence=sequence) for whose, news in known)
        return chain(texts, [self.heartbeat()])

    def heartbeat(self) -> bytes:
        sequence = self._ring.newest
        event_id = event_id_of(self.epoch, sequence)
        return event_text(HEARTBEAT, credential_id=None, sequence=sequence, event_id=event_id)

    def close(self) -> None:
        """Lets go of the accounts. Its streams have ended."""
        self._timer.cancel()
        for credential_id in list(self._watchers):
            self._drop(credential_id)

    def _drop(self, credential_id: UUID) -> None:
        watcher = self._watchers.pop(credential_id, None)
        if watcher is not None:
            self._accounts.leave(watcher)

    def _publish(self, credential_id: UUID, news: News) -> None:
        self._append(credential_id, news, only_while_watched=True)

    def _append(self, credential_id: UUID, news: News, *, only_while_watched: bool) -> None:
        sequence = self._ring.newest + 1
        event_id = event_id_of(self.epoch, sequence)
        text = event_text(news, credential_id=credential_id, sequence=sequence, event_id=event_id)
        self._ring.append(Frame(credential_id if only_while_watched else None, text))
        self._wake()

    def _beat(self) -> None:
        self.beats += 1
        self._timer = asyncio.get_running_loop().call_later(HEARTBEAT_SECONDS, self._beat)
        self._wake()

    def _wake(self) -> None:
        for stream in self.streams:
            stream.wake()


@final
class Hubs:
    """The hubs of all who listen."""

    __slots__ = ("_accounts", "_hubs", "_linger_seconds")

    def __init__(self, accounts: Accounts, *, linger_seconds: float = LINGER_SECONDS) -> None:
        self._accounts = accounts
        self._linger_seconds = linger_seconds
        self._hubs: dict[UUID, Hub] = {}

    def __iter__(self) -> Iterator[Hub]:
        return iter(list(self._hubs.values()))

    def enter(self, user_id: UUID, stream: Listener) -> Hub:
        """The user's hub, with one stream more. Raises TooManyStreams."""
        hub = self._hubs.get(user_id)
        if hub is None:
            hub = self._hubs[user_id] = Hub(user_id, self._accounts)
        if len(hub.streams) >= MOST_STREAMS:
            raise TooManyStreams
        hub.streams.add(stream)
        return hub

    def leave(self, hub: Hub, stream: Listener) -> None:
        hub.streams.discard(stream)
        if not hub.streams:
            asyncio.get_running_loop().call_later(self._linger_seconds, self._close_if_alone, hub)

    def close(self) -> None:
        for hub in self:
            hub.close()
        self._hubs.clear()

    def _close_if_alone(self, hub: Hub) -> None:
        """Harmless when somebody came and left again meanwhile: that only shortens the wait."""
        if not hub.streams and self._hubs.get(hub.user_id) is hub:
            del self._hubs[hub.user_id]
            hub.close()
