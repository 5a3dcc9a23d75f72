"""The WebSocket `/stream`, which publishes the trade updates of an account.

A client authenticates with its first message, by keys or by OAuth token, and then subscribes to streams, of which
`trade_updates` is the only one.
An account has a limited number of connections. One too many is refused: with 429 if the handshake carries the keys,
otherwise with an error instead of the authorization.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from typing import cast

from aiohttp import WSCloseCode, web

from corral_sandbox.broker.accounts import TradingAccounts
from corral_sandbox.errors import ApiError
from corral_sandbox.faults.plan import STREAM_PATH, FaultPlan, FaultRule
from corral_sandbox.http.access import RequestCounts, authenticate, claimed_key_id, headers_from_message
from corral_sandbox.http.journal import Journal
from corral_sandbox.stream.socket import TRADE_UPDATES, TradeUpdatesSocket, authorization, error, listening


class TradeUpdatesServer:
    """An account may have `max_connections` at once, 0 for any number; `delay` waits for the server's latency and
    that of a fault.
    """

    def __init__(
        self,
        accounts: TradingAccounts,
        faults: FaultPlan,
        counts: RequestCounts,
        journal: Journal,
        *,
        max_connections: int,
        delay: Callable[[FaultRule | None], Awaitable[None]],
        now: Callable[[], int],
    ) -> None:
        self._accounts = accounts
        self._faults = faults
        self._counts = counts
        self._journal = journal
        self._max_connections = max_connections
        self._delay = delay
        self._now = now
        self._sockets: set[TradeUpdatesSocket] = set()
        self._connections: Counter[str] = Counter()
        self._held: defaultdict[str, set[asyncio.TimerHandle]] = defaultdict(set)

    @property
    def connection_count(self) -> int:
        return self._connections.total()

    async def flush(self) -> None:
        """Returns when every event has been written to its socket."""
        await asyncio.gather(*(socket.unsent.flush() for socket in self._sockets))

    async def serve(
        self, request: web.BaseRequest, environment: str | None, fault: FaultRule | None
    ) -> web.StreamResponse:
        """Serves one connection until it ends; `fault` is the one that matched the handshake, if any.

        Raises `ApiError` if it is not a handshake, and if its keys have no connection left.
        """
        if not web.WebSocketResponse().can_prepare(request):
            raise ApiError(400, "websocket handshake expected")
        key_id = claimed_key_id(request.headers)
        if key_id is not None and self._is_full(key_id):
            raise ApiError(429, "too many connections")
        async with asyncio.TaskGroup() as tasks:
            socket = TradeUpdatesSocket(request, tasks)
            response = await socket.open()
            self._sockets.add(socket)
            try:
                await self._converse(socket, environment, fault)
            finally:
                self._sockets.discard(socket)
                socket.stop()
        return response

    async def _converse(self, socket: TradeUpdatesSocket, environment: str | None, fault: FaultRule | None) -> None:
        """A client may retry until it is authorized."""
        async for action, data in socket.messages():
            if action == "authenticate":
                key_id = await self._authenticate(socket, environment, data, fault)
                if key_id is not None:
                    await self._serve_account(socket, key_id)
                    return
            socket.send(authorization(action, is_authorized=False))

    async def _authenticate(
        self, socket: TradeUpdatesSocket, environment: str | None, data: dict[str, object], fault: FaultRule | None
    ) -> str | None:
        keys = headers_from_message(data)
        key_id = claimed_key_id(keys)
        with self._counts.counting(key_id, STREAM_PATH):
            rule = fault or self._faults.take(key_id, "GET", STREAM_PATH, STREAM_PATH)
        entry = self._journal.begin(key_id, self._now(), method="GET", path=STREAM_PATH)
        await self._delay(rule)
        if rule is not None:
            socket.apply_fault(rule)
        try:
            if not socket.refuses:
                authenticated = authenticate(environment, keys)
                self._journal.finish(entry, 101)
                return authenticated
        except ApiError:
            pass
        self._journal.finish(entry, 101, authorization("authenticate", is_authorized=False))
        return None

    async def _serve_account(self, socket: TradeUpdatesSocket, key_id: str) -> None:
        if self._is_full(key_id):
            socket.send(error("connection limit exceeded"))
            await socket.close(WSCloseCode.POLICY_VIOLATION, "429 too many connections")
            return
        manager = self._accounts.open_for_changes(key_id).order_manager
        self._connections[key_id] += 1
        try:
            socket.send(authorization("authenticate", is_authorized=True))
            socket.start_fault_timers()
            async for action, data in socket.messages():
                if action == "authenticate":
                    socket.send(authorization(action, is_authorized=True))
                elif action == "listen":
                    is_listening = TRADE_UPDATES in _names(data)
                    (manager.on_event.add if is_listening else manager.on_event.discard)(socket.publish)
                    socket.send(listening([TRADE_UPDATES] if is_listening else []))
                else:
                    socket.send(error("unknown action"))
        finally:
            manager.on_event.discard(socket.publish)
            self._connections[key_id] -= 1
            self._hold_slot(key_id, socket.slot_held_ms)

    def _hold_slot(self, key_id: str, milliseconds: int) -> None:
        """Keeps the slot of a closed connection taken, as Alpaca does when it has not noticed yet."""
        if milliseconds:
            held = self._held[key_id]
            timer = asyncio.get_running_loop().call_later(milliseconds / 1_000, lambda: held.discard(timer))
            held.add(timer)

    def release_slots(self) -> None:
        """Frees the slots that faults keep taken."""
        for timers in self._held.values():
            for timer in timers:
                timer.cancel()
            timers.clear()

    def _is_full(self, key_id: str) -> bool:
        held = len(self._held[key_id])
        if not self._max_connections:
            return held > 0
        return self._connections[key_id] + held >= self._max_connections


def _names(data: dict[str, object]) -> list[object]:
    streams = data.get("streams")
    return cast("list[object]", streams) if isinstance(streams, list) else []
