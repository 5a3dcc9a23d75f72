"""Alpaca's trading socket for programs that have a grant: all updates of the orders of its account.

However many sockets an account has here, Alpaca has one: that of the account's feed, which the pages share.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from contextvars import Context
from typing import Final, final

from websockets.frames import CloseCode

from corral.audit.models import Action, Actor, ActorKind
from corral.audit.trail import AuditTrail
from corral.credentials.reader import CredentialReader
from corral.edge.client_address import Address, client_address
from corral.edge.csrf import origin_of
from corral.edge.middleware import Receive, Scope, Send
from corral.edge.websocket import WebSocket
from corral.errors import CrossOriginRefused, InternalError, MethodNotAllowed, Overloaded, Problem
from corral.gateway.event_streams import EventStreams
from corral.gateway.reads import Reads
from corral.gateway.requests import GrantedRequest
from corral.gateway.stream_messages import (
    Authenticate,
    Listen,
    Message,
    OtherAction,
    authorized,
    failed,
    listening,
    read_message,
    unauthorized,
)
from corral.gateway.stream_rooms import (
    NOT_AUTHORIZED,
    RESTARTING,
    TOO_MANY,
    UNAVAILABLE,
    Ending,
    RoomMember,
    Rooms,
    refusal_of,
)
from corral.gateway.stream_watch import StreamWatch
from corral.grants.lookup import GrantReader
from corral.grants.models import Grant
from corral.identity.access_watch import AccessWatch
from corral.logs import get_logger
from corral.settings import Network
from corral.stream.feed import Feeds

MOST_STRANGERS: Final = 200  # sockets whose client has not said who it is
AUTHENTICATION_SECONDS: Final = 10.0
LISTENING_SECONDS: Final = 10.0  # that a client waits for Alpaca's socket
TOO_LATE: Final = Ending(CloseCode.POLICY_VIOLATION, "not authenticated in time")

_log = get_logger()


@final
class TradeStreams:
    """Lives as long as the process."""

    def __init__(
        self,
        rooms: Rooms,
        events: EventStreams,
        watch: AccessWatch,
        *,
        grants: GrantReader,
        audit: AuditTrail,
        trusted_proxies: Sequence[Network],
    ) -> None:
        self._rooms = rooms
        self._events = events
        self._watch = watch
        self._grants = grants
        self._audit = audit
        self._trusted_proxies = trusted_proxies
        self._strangers = 0
        self._conversations: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        conversations = list(self._conversations)
        for conversation in conversations:
            conversation.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)
        self._rooms.close()

    def accept(self, scope: Scope) -> None:
        """Answers the handshake of a request that the edge has admitted; no response follows.

        Raises MethodNotAllowed, CrossOriginRefused for another site's page, MalformedRequest and Overloaded.
        """
        if scope["method"] != "GET":
            raise MethodNotAllowed("A WebSocket is opened with GET.", allow=("GET",))
        _refuse_other_origins(scope)
        if not self._watch.is_running:  # nobody would end it when its grant ends
            raise InternalError
        if self._strangers >= MOST_STRANGERS:
            raise Overloaded(retry_after=1)
        address = client_address(scope, self._trusted_proxies)
        socket = WebSocket.accept(scope, on_stop=lambda socket: socket.close(*RESTARTING))
        # In its own context: it outlives the request, and its log lines do not belong to that.
        conversation = asyncio.get_running_loop().create_task(self._converse(socket, address), context=Context())
        self._conversations.add(conversation)
        conversation.add_done_callback(self._report_bug)

    async def pass_events_on(
        self, asked: GrantedRequest, address: Address | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Passes on a stream of events over HTTP. Raises a Problem if none has begun."""
        await self._events.pass_on(asked, address, scope, receive, send)

    def _report_bug(self, conversation: "asyncio.Task[None]") -> None:
        self._conversations.discard(conversation)
        if not conversation.cancelled() and (bug := conversation.exception()):
            _log.error("trade_stream_broke", exc_info=bug)

    async def _converse(self, socket: WebSocket, address: Address | None) -> None:
        try:
            member = await self._introduced(socket, address)
            if member is not None:
                await self._serve(member)
        except Problem:  # of the database
            socket.close(*UNAVAILABLE)
        finally:
            socket.close(*RESTARTING)  # does nothing after another end

    async def _introduced(self, socket: WebSocket, address: Address | None) -> RoomMember | None:
        """Waits until the client has said who it is. Returns None if it has not, or may not come in."""
        self._strangers += 1
        try:
            async with asyncio.timeout(AUTHENTICATION_SECONDS):
                while (content := await socket.receive()) is not None:
                    message = read_message(content)
                    if isinstance(message, Authenticate):
                        return await self._admitted(socket, message, address)
                    socket.send_binary(_before_authentication(message))
        except TimeoutError:
            socket.close(*TOO_LATE)
        finally:
            self._strangers -= 1
        return None

    async def _admitted(self, socket: WebSocket, message: Authenticate, address: Address | None) -> RoomMember | None:
        grant = await self._find(message, address)
        refusal = None if grant is None else refusal_of(grant)
        if grant is None or refusal is not None:
            if grant is not None and refusal is not None:
                self._count_refusal(grant, refusal.code, address)
            socket.send_binary(unauthorized("authenticate", refusal.detail if refusal else None))
            socket.close(*NOT_AUTHORIZED)
            return None
        if self._rooms.is_full(grant):
            self._count_refusal(grant, "too_many_sockets", address)
            socket.send_binary(failed(TOO_MANY.reason))
            socket.close(*TOO_MANY)
            return None
        self._audit.count_read(grant.user_id, grant.id, grant.credential_id, "stream", address=_written(address))
        return self._rooms.enter(socket, grant, address)

    async def _find(self, message: Authenticate, address: Address | None) -> Grant | None:
        if message.shown is None:
            return None
        return await self._grants.find(message.shown.key_id, message.shown.secret_key.reveal(), address=address)

    async def _serve(self, member: RoomMember) -> None:
        try:
            member.socket.send_binary(authorized())
            while (content := await member.socket.receive()) is not None:
                await self._answer(member, read_message(content))
        finally:
            self._rooms.leave(member)

    async def _answer(self, member: RoomMember, message: Message | None) -> None:
        if isinstance(message, Listen):
            await self._listen(member, is_wanted=message.is_wanted)
        elif isinstance(message, Authenticate):
            await self._authenticate_again(member, message)
        else:
            member.socket.send_binary(failed("invalid message" if message is None else "unknown action"))

    async def _listen(self, member: RoomMember, *, is_wanted: bool) -> None:
        """Says so only once nothing can be missed any more."""
        hearing = member.room.hearing
        if not is_wanted:
            hearing.pop(member, None)
        elif member not in hearing and not await _hears_in_time(member):
            member.socket.send_binary(failed("Alpaca's stream of this account is not available"))
            member.socket.close(*UNAVAILABLE)
            return
        member.socket.send_binary(listening(is_heard=is_wanted))

    async def _authenticate_again(self, member: RoomMember, message: Authenticate) -> None:
        """The grant of a socket stays the same."""
        grant = await self._find(message, member.address)
        if grant is not None and grant.id == member.grant.id:
            member.socket.send_binary(authorized())
        else:
            member.socket.send_binary(unauthorized("authenticate"))
            member.socket.close(*NOT_AUTHORIZED)

    def _count_refusal(self, grant: Grant, code: str, address: Address | None) -> None:
        self._audit.count_refusal(
            grant.user_id,
            Action.GRANT_REFUSED,
            Actor(ActorKind.GRANT, grant.id),
            code,
            credential_id=grant.credential_id,
            grant_id=grant.id,
            address=_written(address),
        )


@asynccontextmanager
async def open_trade_streams(
    *,
    feeds: Feeds,
    credentials: CredentialReader,
    grants: GrantReader,
    audit: AuditTrail,
    watch: AccessWatch,
    trusted_proxies: Sequence[Network],
    reads: Reads,
) -> AsyncGenerator[TradeStreams]:
    rooms, events = Rooms(feeds, credentials, watch.admit), EventStreams(reads, watch.admit)
    streams = TradeStreams(rooms, events, watch, grants=grants, audit=audit, trusted_proxies=trusted_proxies)
    try:
        with watch.including(StreamWatch(rooms, events, grants)):
            yield streams
    finally:
        await streams.close()


async def _hears_in_time(member: RoomMember) -> bool:
    """Whether it hears its account's updates now, or soon, while the client waits."""
    if member.room.is_closed:
        return False
    loop = asyncio.get_running_loop()
    ready, gone = loop.create_task(member.room.hear(member)), loop.create_task(member.socket.wait_lost())
    try:
        await asyncio.wait({ready, gone}, timeout=LISTENING_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        return ready.done() and not member.room.is_closed
    finally:
        ready.cancel()
        gone.cancel()


def _before_authentication(message: Message | None) -> bytes:
    if message is None:
        return failed("invalid message")
    return unauthorized(message.action if isinstance(message, OtherAction) else "listen")


def _refuse_other_origins(scope: Scope) -> None:
    """Some clients that are no browsers say where they connect to. No cookie opens anything here."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    origin = headers.get(b"origin")
    if origin is None:
        return
    try:
        scheme = origin.partition(b":")[0].decode()
        is_own = origin_of(origin.decode()) == origin_of(f"{scheme}://{headers.get(b'host', b'').decode()}")
    except ValueError:
        is_own = False
    if not is_own:
        raise CrossOriginRefused


def _written(address: Address | None) -> str:
    return "" if address is None else str(address)
