"""The open sockets of the gateway, by the credential that their grants open."""

import asyncio
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from typing import Final, NamedTuple, TypeVar, final
from uuid import UUID

from websockets.frames import CloseCode

from corral.alpaca.leaks import LeakDetector
from corral.credentials.reader import STREAM, CredentialReader, OpenCredential
from corral.edge.client_address import Address
from corral.edge.websocket import WebSocket
from corral.errors import InternalError, Problem
from corral.gateway.problems import AccountKeysRefused, AccountPaused
from corral.grants.models import Grant
from corral.logs import get_logger
from corral.stream.feed import Feeds
from corral.stream.subscriptions import Subscription

MOST_OF_A_GRANT: Final = 20
MOST_OF_AN_ACCOUNT: Final = 500
LINGER_SECONDS: Final = 10.0  # that a room outlives its last socket, for a client that connects again
_CUT_SECONDS: Final = 0.3  # for a client to be told that its grant has ended

Key = TypeVar("Key")

_log = get_logger()


class Ending(NamedTuple):
    code: CloseCode
    reason: str


RESTARTING: Final = Ending(CloseCode.SERVICE_RESTART, "restarting")
MISSED: Final = Ending(CloseCode.SERVICE_RESTART, "updates may be missing")
UNAVAILABLE: Final = Ending(CloseCode.TRY_AGAIN_LATER, "try again later")
NOT_AUTHORIZED: Final = Ending(CloseCode.POLICY_VIOLATION, "not authorized")
TOO_MANY: Final = Ending(CloseCode.POLICY_VIOLATION, "connection limit exceeded")
KEY_FOUND: Final = Ending(CloseCode.INTERNAL_ERROR, "internal error")


@final
class RoomMember:
    """One authenticated socket."""

    __slots__ = ("address", "grant", "missed_pings", "room", "socket")

    def __init__(self, socket: WebSocket, grant: Grant, address: Address | None, room: "Room") -> None:
        self.socket = socket
        self.grant = grant
        self.address = address
        self.room = room
        self.missed_pings = 0

    def revoke(self) -> None:
        """Nothing is passed on from now on, and what has not been read yet is soon discarded."""
        self.socket.close(*NOT_AUTHORIZED)
        asyncio.get_running_loop().call_later(_CUT_SECONDS, self.socket.cut)


@final
class Room:
    """The sockets of one credential, and its place in the account's feed."""

    def __init__(self, feeds: Feeds, grant: Grant, credential: OpenCredential) -> None:
        self.grant = grant  # one that opens it, as it is stored now
        self.members: set[RoomMember] = set()
        self.hearing: dict[RoomMember, None] = {}
        self.closing: asyncio.TimerHandle | None = None
        self.is_closed = False
        self.subscription = _subscription(credential)
        self._feeds = feeds
        feeds.join(self.subscription)

    @property
    def account(self) -> Hashable:
        return self.subscription.credential.budget_key

    def grants(self) -> list[Grant]:
        return [self.grant, *(member.grant for member in self.members)]

    def use(self, credential: OpenCredential) -> None:
        """Takes the credential as it is stored now, with new keys perhaps. The account's feed goes on with it."""
        if credential.stored.revision == self.subscription.credential.stored.revision:
            return
        former, self.subscription = self.subscription, _subscription(credential)
        self._feeds.join(self.subscription)
        self._feeds.leave(former)

    async def hear(self, member: RoomMember) -> None:
        """Returns once all updates of the account come here. From then on they are passed on to this one, too."""
        await self._feeds.listen(self)
        self.hearing[member] = None

    def close(self) -> None:
        """From now on its keys are not used."""
        if self.is_closed:
            return
        self.is_closed = True
        if self.closing is not None:
            self.closing.cancel()
        self._feeds.unlisten(self)
        self._feeds.leave(self.subscription)

    async def pass_on(self, content: bytes, through: OpenCredential | None, *, is_text: bool) -> None:
        if await self._has_key(content, through):
            self._end_hearing(KEY_FOUND)
            return
        for member in self.hearing:
            (member.socket.send_text if is_text else member.socket.send_binary)(content)

    def end(self) -> None:
        """Updates are missing, so all who hear them had better look for themselves."""
        self._end_hearing(MISSED)

    def _end_hearing(self, ending: Ending) -> None:
        hearing, self.hearing = self.hearing, {}
        for member in hearing:
            member.socket.close(*ending)

    async def _has_key(self, content: bytes, through: OpenCredential | None) -> bool:
        """Alpaca knows the keys of the connection. The room's own may be others of the same account.

        Without `through`, another process has the connection and has looked for its keys.
        """
        own = self.subscription.credential
        for credential in (own,) if through is own or through is None else (own, through):
            try:
                async with credential.opened() as keys:
                    is_found = LeakDetector(*keys).finds_in(content)
            except InternalError:  # they do not open, which is logged
                return True
            if is_found:
                _log.error("alpaca_key_in_frame", credential_id=str(own.stored.id))
                return True
        return False


@final
class Rooms:
    """All of the process."""

    def __init__(self, feeds: Feeds, credentials: CredentialReader, admit: Callable[[UUID], None]) -> None:
        """`admit` has what enters watched, or raises InternalError."""
        self._feeds = feeds
        self._credentials = credentials
        self._admit = admit
        self._rooms: dict[tuple[UUID, UUID], Room] = {}
        self._of_grants: Counter[UUID] = Counter()
        self._of_accounts: Counter[Hashable] = Counter()

    def __iter__(self) -> Iterator[Room]:
        return iter(list(self._rooms.values()))

    def members(self) -> list[RoomMember]:
        return [member for room in self for member in room.members]

    def is_full(self, grant: Grant) -> bool:
        account = grant.stored.credential_type, grant.stored.account_id
        return self._of_grants[grant.id] >= MOST_OF_A_GRANT or self._of_accounts[account] >= MOST_OF_AN_ACCOUNT

    def enter(self, socket: WebSocket, grant: Grant, address: Address | None) -> RoomMember:
        """`refusal_of` the grant must be None."""
        self._admit(grant.user_id)
        key = grant.user_id, grant.credential_id
        room = self._rooms.get(key)
        if room is None:
            room = self._rooms[key] = Room(self._feeds, grant, self.opened(grant))
        if room.closing is not None:
            room.closing.cancel()
        member = RoomMember(socket, grant, address, room)
        room.members.add(member)
        self._of_grants[grant.id] += 1
        self._of_accounts[room.account] += 1
        return member

    def leave(self, member: RoomMember) -> None:
        room = member.room
        room.members.discard(member)
        room.hearing.pop(member, None)
        count_down(self._of_grants, member.grant.id)
        count_down(self._of_accounts, room.account)
        if not room.members and not room.is_closed:
            room.closing = asyncio.get_running_loop().call_later(LINGER_SECONDS, self.close_room, room)

    def close_room(self, room: Room) -> None:
        """Its sockets, if there are any, hear nothing more."""
        key = room.grant.user_id, room.grant.credential_id
        if self._rooms.get(key) is room:
            del self._rooms[key]
        room.hearing.clear()
        room.close()

    def close(self) -> None:
        for room in self:
            self.close_room(room)

    def opened(self, grant: Grant) -> OpenCredential:
        return self._credentials.open_row(grant.stored, STREAM)


def refusal_of(grant: Grant) -> Problem | None:
    """Why a grant that exists does not open its account now."""
    if grant.is_paused:
        return AccountPaused()
    return AccountKeysRefused() if grant.is_refused else None


def _subscription(credential: OpenCredential) -> Subscription:
    """It needs the account's socket, and nothing of what the pages ask Alpaca for."""
    return Subscription(credential, lambda _credential_id, _event: None, is_polled=False)


def count_down(counts: Counter[Key], key: Key) -> None:
    """One less, and nothing is kept of what has come to zero."""
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
