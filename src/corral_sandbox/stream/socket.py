"""One connection to the trade updates stream: its messages, and what a fault does to them."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import cast

import orjson
from aiohttp import WSCloseCode, WSMsgType, web

from corral_sandbox.broker.order_manager import OrderEvent
from corral_sandbox.faults.effects import reset_connection
from corral_sandbox.faults.plan import FaultRule, StreamFault
from corral_sandbox.stream.messages import update_document
from corral_sandbox.stream.unsent import UnsentFrames

_MAX_MESSAGE_BYTES = 65_536
_MAX_UNSENT = 10_000  # frames; a client that is further behind is disconnected
_HEARTBEAT_SECONDS = 30  # a client that is silent for two of them is disconnected
_NO_FAULT = StreamFault()


class TradeUpdatesSocket:
    """Sends from a task of its own, so that a publisher never waits for a slow client."""

    def __init__(self, request: web.BaseRequest, tasks: asyncio.TaskGroup) -> None:
        self._request = request
        self._web_socket = web.WebSocketResponse(autoping=False, max_msg_size=_MAX_MESSAGE_BYTES, compress=False)
        self.unsent = UnsentFrames(request, _MAX_UNSENT)
        self._tasks = tasks
        self._running: list[asyncio.Task[None]] = []
        self._fault = _NO_FAULT
        self._is_silent = False
        self._client_is_alive = True
        self._events = 0

    async def open(self) -> web.StreamResponse:
        await self._web_socket.prepare(self._request)
        self._running.append(self._tasks.create_task(self._send_all()))
        return self._web_socket

    @property
    def refuses(self) -> bool:
        return bool(self._fault.refuses)

    @property
    def slot_held_ms(self) -> int:
        """For how long the connection's slot stays taken after it has closed."""
        return self._fault.slot_held_ms or 0

    def apply_fault(self, fault: FaultRule) -> None:
        """A fault that refuses handshakes comes too late here and resets the connection."""
        self._fault = fault.stream or _NO_FAULT
        if fault.refuses_handshake:
            reset_connection(self._request)

    def start_fault_timers(self) -> None:
        """Starts the timers of faults that set in later."""
        if self._fault.drop_after_ms is not None:
            self._run_after(self._fault.drop_after_ms, lambda: reset_connection(self._request))
        if self._fault.silent_after_ms is not None:
            self._run_after(self._fault.silent_after_ms, self._go_silent)

    async def messages(self) -> AsyncGenerator[tuple[str, dict[str, object]]]:
        """Yields action and data of each message; an invalid message is replied to with an error."""
        async for message in self._web_socket:
            self._client_is_alive = True
            if message.type is WSMsgType.PING:
                if not self._is_silent:
                    await self._web_socket.pong(message.data)
            elif message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                if (read := _read(message.data)) is None:
                    self.send(error("invalid message"))
                else:
                    yield read

    def publish(self, event: OrderEvent) -> None:
        self._events += 1
        if self._fault.loses_every and self._events % self._fault.loses_every == 0:
            return
        if self._fault.unknown_event:
            self.send(trade_update(event, name="made_up_for_a_test"))
        frame = trade_update(event)
        self.send(frame[: len(frame) // 2] if self._fault.half_json else frame)

    def send(self, frame: bytes) -> None:
        self.unsent.put(frame)

    async def close(self, code: WSCloseCode, reason: str) -> None:
        """Closes after everything has been sent."""
        await self.unsent.wait_until_sent()
        await self._web_socket.close(code=code, message=reason.encode())

    def stop(self) -> None:
        for task in self._running:
            task.cancel()
        self.unsent.discard()

    def _go_silent(self) -> None:
        self._is_silent = True

    def _run_after(self, milliseconds: int, action: Callable[[], None]) -> None:
        async def wait() -> None:
            await asyncio.sleep(milliseconds / 1_000)
            action()

        self._running.append(self._tasks.create_task(wait()))

    async def _send_all(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_HEARTBEAT_SECONDS):
                    frame = await self.unsent.get()
            except TimeoutError:
                await self._send_heartbeat()
                continue
            try:
                await self._send(frame)
            finally:
                self.unsent.note_sent()

    async def _send_heartbeat(self) -> None:
        if not self._client_is_alive:
            reset_connection(self._request)
        self._client_is_alive = False
        if not self._is_silent:
            await self._web_socket.ping()

    async def _send(self, frame: bytes) -> None:
        if self._is_silent or self._fault.never_answers or self._web_socket.closed:
            return
        try:
            if self._fault.text_frames:
                await self._web_socket.send_str(frame.decode("utf-8", "ignore"))
            else:
                await self._web_socket.send_bytes(frame)
        except ConnectionError:
            return  # the client has disconnected


def _read(text: str | bytes) -> tuple[str, dict[str, object]] | None:
    try:
        message: object = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(message, dict):
        return None
    members = cast("dict[str, object]", message)
    action, data = members.get("action"), members.get("data", {})
    if action == "auth":  # as on the sockets of market data, and in Alpaca's documentation of both
        return "authenticate", {"key_id": members.get("key"), "secret_key": members.get("secret")}
    return (action, cast("dict[str, object]", data)) if isinstance(action, str) and isinstance(data, dict) else None


TRADE_UPDATES = "trade_updates"


def authorization(action: str, *, is_authorized: bool) -> bytes:
    status = "authorized" if is_authorized else "unauthorized"
    return orjson.dumps({"stream": "authorization", "data": {"status": status, "action": action}})


def listening(streams: list[str]) -> bytes:
    return orjson.dumps({"stream": "listening", "data": {"streams": streams}})


def error(message: str) -> bytes:
    return orjson.dumps({"action": "error", "data": {"error_message": message}})


def trade_update(event: OrderEvent, *, name: str | None = None) -> bytes:
    """Returns the frame of an event, under another name if one is given."""
    return orjson.dumps({"stream": TRADE_UPDATES, "data": update_document(event, name=name)})
