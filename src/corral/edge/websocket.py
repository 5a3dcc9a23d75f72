"""WebSockets (RFC 6455) without compression, on a connection that the edge has admitted as a request.

The protocol is that of the library websockets, which does no input or output of its own.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, final

from websockets.datastructures import Headers
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from corral.edge.long_lived import connection_of
from corral.edge.middleware import Scope
from corral.errors import MalformedRequest

LARGEST_MESSAGE_BYTES: Final = 64 * 1024
MOST_UNSENT_BYTES: Final = 256 * 1024
_MOST_WAITING: Final = 16  # messages that have arrived and are not read yet
_CLOSE_SECONDS: Final = 2.0  # for the client's own close, and for what is still to be sent


def wants_websocket(scope: Scope) -> bool:
    """Whether the request asks for a WebSocket, as far as it can be told from `Upgrade`."""
    return any(name == b"upgrade" and value.lower() == b"websocket" for name, value in scope["headers"])


@final
class WebSocket(asyncio.Protocol):
    """One open socket: `accept(scope)` makes it, and from then on no response follows.

    A client that leaves more than 256 KiB unread is cut off. Pings are answered.
    """

    __slots__ = (
        "_arrived", "_is_paused", "_lost", "_on_lost", "_protocol", "_transport", "_waiting", "_whole", "is_alive",
    )  # fmt: skip

    def __init__(self) -> None:
        self._protocol = ServerProtocol(max_size=LARGEST_MESSAGE_BYTES)
        self._transport: asyncio.Transport | None = None
        self._on_lost: Callable[[Exception | None], None] | None = None
        self._waiting: deque[bytes] = deque()
        self._whole = bytearray()  # of a message that arrives in several frames
        self._arrived = asyncio.Event()
        self._lost = asyncio.Event()
        self._is_paused = False
        self.is_alive = True  # whether anything has arrived since this was last set to False

    @classmethod
    def accept(cls, scope: Scope, *, on_stop: Callable[["WebSocket"], None]) -> "WebSocket":
        """Answers the handshake and takes the connection over. `on_stop` is called when the server begins to stop.

        Raises MalformedRequest for anything but a handshake, and Overloaded when too many connections are open.
        """
        socket = cls()
        answer = socket._answer(_handshake(scope))
        connection = connection_of(scope)
        if connection is None:
            raise MalformedRequest
        connection.hold_open(lambda: on_stop(socket))
        socket._transport, early = connection.hand_over(socket)
        socket._on_lost = connection.connection_lost
        socket._transport.write(answer)
        if early:
            socket.data_received(early)
        return socket

    def _answer(self, handshake: bytes) -> bytes:
        self._protocol.receive_data(handshake)
        requests = [event for event in self._protocol.events_received() if isinstance(event, Request)]
        if self._protocol.handshake_exc is not None or len(requests) != 1:
            raise MalformedRequest("This is not a WebSocket handshake.")
        response = self._protocol.accept(requests[0])
        if response.status_code != 101:  # noqa: PLR2004 - RFC 6455
            raise MalformedRequest("This is not a WebSocket handshake.")
        response.headers = _without_date(response.headers)
        self._protocol.send_response(response)
        return b"".join(self._protocol.data_to_send())

    def send_binary(self, message: bytes) -> None:
        """Sends a message, or cuts the client off if it reads too slowly. Does nothing after the end."""
        self._send(self._protocol.send_binary, message)

    def send_text(self, message: bytes) -> None:
        self._send(self._protocol.send_text, message)

    def ping(self) -> None:
        self._send(self._protocol.send_ping, b"")

    async def receive(self) -> bytes | None:
        """Returns the next message, text or binary alike; None at the end."""
        while not self._waiting:
            if self._lost.is_set() or self._protocol.state is not State.OPEN:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        message = self._waiting.popleft()
        if self._is_paused and self._transport is not None and not self._transport.is_closing():
            self._is_paused = False
            self._transport.resume_reading()
        return message

    def close(self, code: CloseCode, reason: str = "") -> None:
        """Begins to close. What the client does not take within two seconds is discarded."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
            self._flush()
            asyncio.get_running_loop().call_later(_CLOSE_SECONDS, self.cut)
        self._arrived.set()

    def cut(self) -> None:
        """Ends the connection now."""
        if self._transport is not None:
            self._transport.abort()

    async def wait_lost(self) -> None:
        await self._lost.wait()

    def data_received(self, data: bytes) -> None:
        self.is_alive = True
        self._protocol.receive_data(data)
        self._take(event for event in self._protocol.events_received() if isinstance(event, Frame))
        self._flush()

    def eof_received(self) -> None:
        self._protocol.receive_eof()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost.set()
        self._arrived.set()
        if self._on_lost is not None:
            self._on_lost(exc)

    def _take(self, frames: Iterable[Frame]) -> None:
        for frame in frames:
            if frame.opcode in {Opcode.TEXT, Opcode.BINARY, Opcode.CONT}:
                self._whole += frame.data
                if frame.fin:
                    self._waiting.append(bytes(self._whole))
                    self._whole.clear()
        if len(self._waiting) > _MOST_WAITING and not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()
        self._arrived.set()

    def _send(self, send: Callable[[bytes], None], message: bytes) -> None:
        if self._protocol.state is not State.OPEN or self._transport is None:
            return
        send(message)
        self._flush()
        if self._transport.get_write_buffer_size() > MOST_UNSENT_BYTES:
            self.cut()

    def _flush(self) -> None:
        """Writes what the protocol has to send; an empty part means that it has nothing more to say."""
        if self._transport is None or self._transport.is_closing():
            return
        for part in self._protocol.data_to_send():
            if part:
                self._transport.write(part)
            else:
                self._transport.close()
                return


def _handshake(scope: Scope) -> bytes:
    head = [b"GET ", scope["raw_path"], b" HTTP/1.1\r\n"]
    for name, value in scope["headers"]:
        head += [name, b": ", value, b"\r\n"]
    return b"".join([*head, b"\r\n"])


def _without_date(headers: Headers) -> Headers:
    """The library's own; what else it says about itself is of no use to anybody."""
    kept = Headers()
    for name, value in headers.raw_items():
        if name.lower() not in {"date", "server"}:
            kept[name] = value
    return kept
