"""Alpaca's updates of an account's orders: one WebSocket, subscribed to `trade_updates`.

Source: https://docs.alpaca.markets/docs/websocket-streaming. Alpaca allows an account one such connection.
Its frames are binary and contain JSON; text frames are accepted, too. Nothing in a frame is trusted.
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, cast, final

import structlog
from aiohttp import (
    ClientError,
    ClientHandlerType,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientWebSocketResponse,
    ClientWSTimeout,
    WSMsgType,
)
from structlog.typing import FilteringBoundLogger

from corral.alpaca.calls import Keys
from corral.alpaca.environments import Environment, Hosts
from corral.alpaca.errors import (
    AlpacaAuthError,
    AlpacaError,
    AlpacaRateLimited,
    AlpacaServerError,
    ConnectionDropped,
    DeadlineExceeded,
    Fault,
    SlotTaken,
    WrongShape,
)
from corral.alpaca.fields import Fields, read_object, required, text
from corral.alpaca.orders import Order, read_order
from corral.alpaca.requests import send_once
from corral.alpaca.transport import UNLIMITED, failure_of, open_session
from corral.secret import Secret

PING_SECONDS: Final = 10.0  # as in Alpaca's SDK; a pong is overdue after half of it
LARGEST_FRAME_BYTES: Final = 256 * 1024  # an order has 2 KiB
CLOSE_SECONDS: Final = 0.5
MOST_OTHER_FRAMES: Final = 16  # before the expected one
HANDSHAKES_AT_ONCE: Final = 16  # of all accounts: connections that were lost at once reconnect one after another
_STREAM: Final = "trade_updates"
_SECONDS: Final = re.compile(r"\d{1,3}", re.ASCII)  # of a plausible Retry-After

_log: FilteringBoundLogger = structlog.get_logger("corral.alpaca")


class _NotSwitched(ClientError):  # noqa: N818 - named after the condition
    """The response to a WebSocket handshake had this status instead of 101. `retry_after` is its header."""

    def __init__(self, status: int, retry_after: str) -> None:
        self.status = status
        self.retry_after = retry_after
        super().__init__(status)


@dataclass(frozen=True, slots=True)
class TradeUpdate:
    """`event` is Alpaca's (`fill`, `canceled`, …), which may add others. `order` has no legs here."""

    event: str
    order: Order


@dataclass(frozen=True, slots=True)
class UpdateFrame:
    """A frame with an update, as Alpaca sent it: binary as a rule, or text.

    `data` is what it says, with numbers as written, and empty if that is no JSON. `update` is None if its order cannot
    be read.
    """

    content: bytes
    is_text: bool
    data: Fields
    update: TradeUpdate | None


@asynccontextmanager
async def open_trade_updates(
    hosts: Hosts, *, timeout_seconds: float = 8.0, ping_seconds: float = PING_SECONDS
) -> AsyncGenerator["TradeUpdates"]:
    """Opens the session for the WebSockets of all accounts; a handshake times out after `timeout_seconds`."""
    connections = open_session(
        _switched, connect_seconds=timeout_seconds / 4, proxy=hosts.proxy, most_connections=UNLIMITED
    )
    async with connections as session:
        yield TradeUpdates(session, hosts, timeout_seconds=timeout_seconds, ping_seconds=ping_seconds)


@final
class TradeUpdates:
    """Knows no users: callers must have checked that the keys may be used."""

    def __init__(self, session: ClientSession, hosts: Hosts, *, timeout_seconds: float, ping_seconds: float) -> None:
        self._session = session
        self._hosts = hosts
        self._timeout_seconds = timeout_seconds
        self._ping_seconds = ping_seconds
        self._handshakes = asyncio.Semaphore(HANDSHAKES_AT_ONCE)

    async def connect(self, environment: Environment, api_key: Secret, secret_key: Secret) -> "TradeUpdatesConnection":
        """Returns an authenticated and subscribed connection. The keys are needed for this call only.

        Raises AlpacaError: AlpacaAuthError, SlotTaken, AlpacaRateLimited, Unreachable, ConnectionDropped,
        AlpacaServerError, DeadlineExceeded.
        """
        async with self._handshakes:
            outcome = await self._connect(environment, Keys(api_key, secret_key))
        if isinstance(outcome, AlpacaError):
            raise outcome
        return outcome

    async def _connect(self, environment: Environment, keys: Keys) -> "TradeUpdatesConnection | AlpacaError":
        """Returns failures instead of raising them: their frames contain the message with the keys."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._introduced(TradeUpdatesConnection(await self._open(environment)), keys)
        except TimeoutError:
            return DeadlineExceeded()
        except _NotSwitched as refused:
            return _refusal(refused)
        except ClientError as error:
            return failure_of(error)

    async def _introduced(self, line: "TradeUpdatesConnection", keys: Keys) -> "TradeUpdatesConnection | AlpacaError":
        is_listening = False
        try:
            failure = await line.introduce(keys)
            is_listening = failure is None
        finally:
            if not is_listening:
                await line.close()
        return failure or line

    async def _open(self, environment: Environment) -> ClientWebSocketResponse:
        return await self._session.ws_connect(
            self._hosts.trade_updates(environment),
            heartbeat=self._ping_seconds,
            max_msg_size=LARGEST_FRAME_BYTES,
            compress=0,  # so a compressed frame is an error, and never a zip bomb
            timeout=ClientWSTimeout(ws_close=CLOSE_SECONDS),  # pyright: ignore[reportCallIssue]  # attrs names its parameters
        )


@final
class TradeUpdatesConnection:
    """One open connection."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self._has_complained = False

    async def introduce(self, keys: Keys) -> AlpacaError | None:
        """Authenticates and subscribes; returns the error if that fails."""
        who = {"key_id": keys.api_key.reveal(), "secret_key": keys.secret_key.reveal()}
        answer = await self._ask("authenticate", who, "authorization")
        if isinstance(answer, AlpacaError):
            return answer
        if answer.get("status") != "authorized":
            return AlpacaAuthError()
        answer = await self._ask("listen", {"streams": [_STREAM]}, "listening")
        if isinstance(answer, AlpacaError):
            return answer
        heard: object = answer.get("streams")
        is_listening = isinstance(heard, list) and _STREAM in cast("list[object]", heard)
        return None if is_listening else AlpacaServerError()

    async def next_frame(self) -> UpdateFrame:
        """Returns the next frame of an update; an unreadable one, too, whose content is lost.

        Raises ConnectionDropped when the connection has ended or does not answer pings.
        """
        while True:
            frame = await self._receive()
            if frame is None:
                raise ConnectionDropped
            content, is_text = frame
            fields = read_object(content)
            if fields.get("stream") == _STREAM:
                data: object = fields.get("data")
                known: Fields = cast("Fields", data) if isinstance(data, dict) else {}
                return UpdateFrame(content, is_text, known, self._read(known))
            if not fields:
                self._complain("not JSON")
                return UpdateFrame(content, is_text, {}, None)
            self._complain("unknown message")

    async def close(self) -> None:
        await self._socket.close()

    async def _ask(self, action: str, data: object, stream: str) -> Fields | AlpacaError:
        """Sends a message, and waits for the response of this stream."""
        await self._socket.send_str(json.dumps({"action": action, "data": data}))
        for _ in range(MOST_OTHER_FRAMES):
            frame = await self._receive()
            if frame is None:
                return ConnectionDropped()
            fields = read_object(frame[0])
            if fields.get("stream") == stream:
                data = fields.get("data")
                return cast("Fields", data) if isinstance(data, dict) else WrongShape(Fault.NOT_AN_OBJECT, "data")
            if fields.get("action") == "error":
                return _reported_error(fields)
        return AlpacaServerError()

    async def _receive(self) -> tuple[bytes, bool] | None:
        """Returns a frame and whether it is text.

        Returns None at the end of the connection: a close, an error, or a frame that is too large or compressed.
        """
        message = await self._socket.receive()
        if message.type is WSMsgType.BINARY:
            return cast("bytes", message.data), False
        if message.type is WSMsgType.TEXT:
            return cast("str", message.data).encode(), True
        return None

    def _read(self, data: Fields) -> TradeUpdate | None:
        order = data.get("order")
        if isinstance(order, dict):
            try:
                event = required(text, data, "event")
                return TradeUpdate(event, read_order(cast("Fields", order)))
            except WrongShape:
                pass
        self._complain("not an order")
        return None

    def _complain(self, what: str) -> None:
        """Logs once for each connection, so that many unreadable frames do not fill the log."""
        if not self._has_complained:
            self._has_complained = True
            _log.warning("alpaca_stream_unreadable", reason=what)


def _reported_error(fields: Fields) -> AlpacaError:
    """Alpaca may report that the connection is in use at the handshake, or after authentication."""
    return SlotTaken() if "limit exceeded" in str(fields.get("data")) else AlpacaServerError()


def _refusal(refused: _NotSwitched) -> AlpacaError:
    """A 429 may mean that the connection is in use, or be a rate limit. No other status certainly comes from Alpaca: a
    proxy without WebSocket support may return 401 and 403, too.
    """
    if refused.status == HTTPStatus.TOO_MANY_REQUESTS:
        seconds = refused.retry_after if _SECONDS.fullmatch(refused.retry_after) else "1"
        return AlpacaRateLimited(retry_after_seconds=int(seconds), from_us=False, status=refused.status)
    return AlpacaServerError(status=refused.status)


async def _switched(request: ClientRequest, send: ClientHandlerType) -> ClientResponse:
    """Keeps aiohttp from following a redirect with a WebSocket, over which the keys go once it is open."""
    response = await send_once(request, send)
    if response.status != HTTPStatus.SWITCHING_PROTOCOLS:
        response.close()
        raise _NotSwitched(response.status, response.headers.get("Retry-After", ""))
    return response
