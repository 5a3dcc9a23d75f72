"""The trading socket, `/stream`: who listens to an account's orders.

A client authenticates with its first message, then says to which streams it listens; `trade_updates` is the
only one there is. An account has one place for a connection. A further one is refused while that is taken:
with 429 where the handshake carries the keys, else with an error in place of the authorization.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import cast

from aiohttp import WSCloseCode, web

from corral_sandbox.answers import Refused
from corral_sandbox.customers import Customers
from corral_sandbox.faults import STREAM_PATH, Fault, Faults
from corral_sandbox.keys import authenticate, headers_of, presented_key_id
from corral_sandbox.request_counts import RequestCounts
from corral_sandbox.stream_messages import TRADE_UPDATES, authorization, error, listening
from corral_sandbox.stream_socket import StreamSocket


class Streams:
    """`places` is how many connections an account may have at once, 0 for any number; `wait` is the server's
    latency and that of a fault.
    """

    def __init__(
        self,
        customers: Customers,
        faults: Faults,
        counts: RequestCounts,
        *,
        places: int,
        wait: Callable[[Fault | None], Awaitable[None]],
    ) -> None:
        self._customers = customers
        self._faults = faults
        self._counts = counts
        self._places = places
        self._wait = wait
        self._taken: Counter[str] = Counter()

    async def serve(self, request: web.BaseRequest, environment: str, fault: Fault | None) -> web.StreamResponse:
        """Serves one connection to its end; `fault` is what the handshake has met, if anything.

        Raises `Refused` for what is no handshake, and for one that carries keys whose place is taken.
        """
        if not web.WebSocketResponse().can_prepare(request):
            raise Refused(400, "websocket handshake expected")
        key_id = presented_key_id(request.headers)
        if key_id is not None and self._is_full(key_id):
            raise Refused(429, "too many connections")
        async with asyncio.TaskGroup() as tasks:
            socket = StreamSocket(request, tasks)
            response = await socket.open()
            try:
                await self._converse(socket, environment, fault)
            finally:
                socket.stop()
        return response

    async def _converse(self, socket: StreamSocket, environment: str, fault: Fault | None) -> None:
        """Until it is authorized, a client may try as often as it likes."""
        async for action, data in socket.messages():
            if action == "authenticate":
                key_id = await self._authenticate(socket, environment, data, fault)
                if key_id is not None:
                    await self._serve_account(socket, key_id)
                    return
            socket.send(authorization(action, is_authorized=False))

    async def _authenticate(
        self, socket: StreamSocket, environment: str, data: dict[str, object], fault: Fault | None
    ) -> str | None:
        keys = headers_of(data)
        key_id = presented_key_id(keys)
        with self._counts.counting(key_id, STREAM_PATH):
            met = fault or self._faults.take(key_id, STREAM_PATH, STREAM_PATH)
        await self._wait(met)
        if met is not None:
            socket.fail_as(met)
        if socket.refuses:
            return None
        try:
            return authenticate(environment, keys)
        except Refused:
            return None

    async def _serve_account(self, socket: StreamSocket, key_id: str) -> None:
        if self._is_full(key_id):
            socket.send(error("connection limit exceeded"))
            await socket.close(WSCloseCode.POLICY_VIOLATION, "429 too many connections")
            return
        book = self._customers.remember(key_id).book
        self._taken[key_id] += 1
        try:
            socket.send(authorization("authenticate", is_authorized=True))
            socket.begin_failing()
            async for action, data in socket.messages():
                if action == "authenticate":
                    socket.send(authorization(action, is_authorized=True))
                elif action == "listen":
                    is_listening = TRADE_UPDATES in _names(data)
                    (book.on_event.add if is_listening else book.on_event.discard)(socket.tell)
                    socket.send(listening([TRADE_UPDATES] if is_listening else []))
                else:
                    socket.send(error("unknown action"))
        finally:
            book.on_event.discard(socket.tell)
            self._taken[key_id] -= 1

    def _is_full(self, key_id: str) -> bool:
        return bool(self._places) and self._taken[key_id] >= self._places


def _names(data: dict[str, object]) -> list[object]:
    streams = data.get("streams")
    return cast("list[object]", streams) if isinstance(streams, list) else []
