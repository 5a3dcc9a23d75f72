"""One connection of the trading socket: what goes out, in order, and what a fault makes of it."""

import asyncio
from collections.abc import AsyncGenerator, Callable

from aiohttp import WSCloseCode, WSMsgType, web
from pydantic import BaseModel, JsonValue, ValidationError

from corral_sandbox.book import Event
from corral_sandbox.delivery import reset
from corral_sandbox.faults import Fault, StreamFault
from corral_sandbox.stream_messages import error, trade_update

_LARGEST_MESSAGE = 65_536
_MOST_UNSENT = 10_000  # frames; who is further behind is cut off
_HEARTBEAT_SECONDS = 30  # a client that says nothing for two of them has vanished, and gives up its place
_NO_FAULT = StreamFault()


class StreamSocket:
    """Sends from a task of its own, so that whoever tells it something never waits for a slow reader."""

    def __init__(self, request: web.BaseRequest, tasks: asyncio.TaskGroup) -> None:
        self._request = request
        self._web_socket = web.WebSocketResponse(autoping=False, max_msg_size=_LARGEST_MESSAGE, compress=False)
        self._unsent: asyncio.Queue[bytes] = asyncio.Queue(_MOST_UNSENT)
        self._tasks = tasks
        self._running: list[asyncio.Task[None]] = []
        self._fault = _NO_FAULT
        self._is_silent = False
        self._was_heard = True
        self._events = 0

    async def open(self) -> web.StreamResponse:
        await self._web_socket.prepare(self._request)
        self._running.append(self._tasks.create_task(self._send_all()))
        return self._web_socket

    @property
    def refuses(self) -> bool:
        return bool(self._fault.refuses)

    def fail_as(self, fault: Fault) -> None:
        """What refuses a handshake comes too late for this one, and breaks the connection."""
        self._fault = fault.stream or _NO_FAULT
        if fault.refuses_handshake:
            reset(self._request)

    def begin_failing(self) -> None:
        """Begins to count the time of a fault that comes later."""
        if self._fault.drop_after_ms is not None:
            self._do_after(self._fault.drop_after_ms, lambda: reset(self._request))
        if self._fault.silent_after_ms is not None:
            self._do_after(self._fault.silent_after_ms, self._fall_silent)

    async def messages(self) -> AsyncGenerator[tuple[str, dict[str, object]]]:
        """Answers action and data of each message. Of one that is no such thing the client is told."""
        async for message in self._web_socket:
            self._was_heard = True
            if message.type is WSMsgType.PING:
                if not self._is_silent:
                    await self._web_socket.pong(message.data)
            elif message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                if (read := _read(message.data)) is None:
                    self.send(error("invalid message"))
                else:
                    yield read

    def tell(self, event: Event) -> None:
        self._events += 1
        if self._fault.loses_every and self._events % self._fault.loses_every == 0:
            return
        if self._fault.unknown_event:
            self.send(trade_update(event, name="made_up_for_a_test"))
        frame = trade_update(event)
        self.send(frame[: len(frame) // 2] if self._fault.half_json else frame)

    def send(self, frame: bytes) -> None:
        try:
            self._unsent.put_nowait(frame)
        except asyncio.QueueFull:
            reset(self._request)

    async def close(self, code: WSCloseCode, reason: str) -> None:
        """Closes when all is sent."""
        await self._unsent.join()
        await self._web_socket.close(code=code, message=reason.encode())

    def stop(self) -> None:
        for task in self._running:
            task.cancel()

    def _fall_silent(self) -> None:
        self._is_silent = True

    def _do_after(self, milliseconds: int, happens: Callable[[], None]) -> None:
        async def wait() -> None:
            await asyncio.sleep(milliseconds / 1_000)
            happens()

        self._running.append(self._tasks.create_task(wait()))

    async def _send_all(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_HEARTBEAT_SECONDS):
                    frame = await self._unsent.get()
            except TimeoutError:
                await self._beat()
                continue
            await self._send(frame)
            self._unsent.task_done()

    async def _beat(self) -> None:
        if not self._was_heard:
            reset(self._request)
        self._was_heard = False
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
            return  # who is gone is not told


class _Message(BaseModel):
    action: str
    data: dict[str, JsonValue] = {}


def _read(text: str | bytes) -> tuple[str, dict[str, object]] | None:
    try:
        message = _Message.model_validate_json(text)
    except ValidationError:
        return None
    return message.action, dict(message.data)
