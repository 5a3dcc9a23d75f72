"""The WebSockets of market data, each a feed: stocks, coins, options, news, and the test feed.

A client authenticates by the headers of the handshake or by its first message, and then subscribes to symbols by
channel. It gets the bars of each minute, and trades, quotes and order books as often as the server looks at its clock:
a sample of what the REST API has. An account may have a limited number of connections to each feed.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from aiohttp import web

from corral_sandbox.errors import ApiError
from corral_sandbox.http.data_access import authenticate_for_data, has_credentials, headers_from_data_message
from corral_sandbox.market.prices import Market
from corral_sandbox.market.time import Clock
from corral_sandbox.stream.data_feeds import DataFeed, FeedSubscriptions
from corral_sandbox.stream.data_socket import DataSocket

_SECONDS_TO_AUTHENTICATE = 10.0
_SECONDS_BEFORE_A_REFUSAL = 1.0  # some clients try again at once, hundreds of times a second
_SECONDS_BETWEEN_ROUNDS = 0.25
_ERRORS = {
    400: "invalid syntax",
    401: "not authenticated",
    402: "auth failed",
    403: "already authenticated",
    404: "auth timeout",
    406: "connection limit exceeded",
    410: "invalid subscribe action for this feed",
    412: "option messages are only available in MsgPack format",
    413: "star subscription is not allowed for option quotes",
}


@dataclass(eq=False, slots=True)
class _Connection:
    """`key_id` is None until the client is authenticated."""

    socket: DataSocket
    feed: DataFeed
    subscriptions: FeedSubscriptions
    key_id: str | None = None

    def send_error(self, code: int) -> None:
        self.socket.send_control(T="error", code=code, msg=_ERRORS[code])

    def change_subscriptions(self, message: Mapping[str, object]) -> int | None:
        """Subscribes or unsubscribes and confirms all that is subscribed to; or returns the code of an error and
        changes nothing. A channel without symbols is not asked for: the SDK for Go names those of all feeds, as null.
        """
        asked = {name: symbols for name, symbols in message.items() if name != "action" and symbols not in ([], None)}
        for name, symbols in asked.items():
            code = self._error_of(name, symbols, is_subscribing=message["action"] == "subscribe")
            if code is not None:
                return code
        for name, symbols in asked.items():
            self.subscriptions.change(name, cast("list[str]", symbols), add=message["action"] == "subscribe")
        self._confirm()
        return None

    def _error_of(self, channel: str, symbols: object, *, is_subscribing: bool) -> int | None:
        if not isinstance(symbols, list):
            return 400
        named = cast("list[object]", symbols)
        if not all(isinstance(symbol, str) and (symbol == "*" or self.feed.is_symbol(symbol)) for symbol in named):
            return 400
        if channel not in self.feed.channels:
            return 410
        if is_subscribing and self.feed.kind == "options" and channel == "quotes" and "*" in named:
            return 413
        return None

    def _confirm(self) -> None:
        symbols = {name: each for name, each in self.subscriptions.symbols.items() if name != "imbalances"}
        implied = dict.fromkeys(("corrections", "cancelErrors"), symbols["trades"]) if "lulds" in symbols else {}
        self.socket.send_control(T="subscription", **symbols, **implied)


class MarketDataStreams:
    """An account may have `max_connections` to a feed at once, 0 for any number."""

    def __init__(self, market: Market, clock: Clock, *, max_connections: int) -> None:
        self._market = market
        self._clock = clock
        self._max_connections = max_connections
        self._slots: Counter[tuple[str, str]] = Counter()
        self._connections: set[_Connection] = set()

    @property
    def connection_count(self) -> int:
        """How many clients are authenticated."""
        return len(self._connections)

    async def serve(self, request: web.BaseRequest, feed: DataFeed) -> web.StreamResponse:
        """Serves one connection until it ends. Raises `ApiError` if it is not a handshake.

        Bad keys are refused on the socket, because some clients never try again after a refused handshake.
        """
        if not web.WebSocketResponse().can_prepare(request):
            raise ApiError(400, "websocket handshake expected")
        connection = _Connection(
            DataSocket(request, is_packed_by_default=feed.kind == "options"),
            feed,
            FeedSubscriptions(self._market, feed, self._clock.now()),
        )
        response = await connection.socket.open()
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(connection.socket.send_all()),
                tasks.create_task(self._publish(connection)),
                tasks.create_task(_close_unless_authenticated(connection)),
            ]
            try:
                await self._converse(connection, request.headers)
            finally:
                self._release(connection)
                for task in running:
                    task.cancel()
                connection.socket.unsent.discard()
        return response

    async def flush(self) -> None:
        """Returns when everything that is due by now has been written to every connection."""
        now, connections = self._clock.now(), list(self._connections)
        for connection in connections:
            connection.socket.send_data(connection.subscriptions.due(now))
        await asyncio.gather(*(connection.socket.unsent.flush() for connection in connections))

    async def _publish(self, connection: _Connection) -> None:
        while True:
            await asyncio.sleep(_SECONDS_BETWEEN_ROUNDS)
            connection.socket.send_data(connection.subscriptions.due(self._clock.now()))

    async def _converse(self, connection: _Connection, headers: Mapping[str, str]) -> None:
        connection.socket.send_control(T="success", msg="connected")
        if has_credentials(headers):
            await self._authenticate(connection, headers)
        async for message, is_json in connection.socket.messages():
            code = await self._answer(connection, message, is_json=is_json)
            if code is not None:
                connection.send_error(code)

    async def _answer(self, connection: _Connection, message: dict[str, object] | None, *, is_json: bool) -> int | None:
        """Returns the code of the error with which to reply, None for a message that is answered."""
        if connection.feed.kind == "options" and (is_json or not connection.socket.is_packed):
            return 412
        action = None if message is None else message.get("action")
        if message is None or action not in {"auth", "subscribe", "unsubscribe"}:
            return 400
        if action == "auth":
            if connection.key_id is not None:
                return 403
            await self._authenticate(connection, headers_from_data_message(message))
            return None
        if connection.key_id is None:
            return 401
        code = connection.change_subscriptions(message)
        if code is None:
            connection.socket.send_data(connection.subscriptions.due(self._clock.now()))
        return code

    async def _authenticate(self, connection: _Connection, headers: Mapping[str, str]) -> None:
        try:
            key_id = authenticate_for_data(headers)
        except ApiError:
            await asyncio.sleep(_SECONDS_BEFORE_A_REFUSAL)
            connection.send_error(402)
            return
        if self._max_connections and self._slots[connection.feed.path, key_id] >= self._max_connections:
            await asyncio.sleep(_SECONDS_BEFORE_A_REFUSAL)
            connection.send_error(406)
            return
        connection.key_id = key_id
        self._slots[connection.feed.path, key_id] += 1
        self._connections.add(connection)
        connection.socket.send_control(T="success", msg="authenticated")

    def _release(self, connection: _Connection) -> None:
        if connection.key_id is not None:
            self._slots[connection.feed.path, connection.key_id] -= 1
            self._connections.discard(connection)


async def _close_unless_authenticated(connection: _Connection) -> None:
    await asyncio.sleep(_SECONDS_TO_AUTHENTICATE)
    if connection.key_id is None:
        connection.send_error(404)
        await connection.socket.close()
