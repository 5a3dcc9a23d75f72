"""WebSockets on a connection of the server: taken over after the handshake, bounded, and told of a stop."""

import asyncio
import io
from typing import cast

import pytest
from aiohttp import ClientSession, WSMsgType, WSServerHandshakeError
from websockets.frames import CloseCode

from corral.edge.connection import Limits
from corral.edge.middleware import Receive, Scope, Send
from corral.edge.websocket import MOST_UNSENT_BYTES, WebSocket, wants_websocket
from corral.errors import MalformedRequest
from tests.edge.wire import Served, request, served


class Echo:
    """Answers each message with the same; "flood" with more than a client that does not read may be sent."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for stage in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{stage}.complete"})
            return
        try:
            socket = WebSocket.accept(scope, on_stop=lambda socket: socket.close(CloseCode.SERVICE_RESTART))
        except MalformedRequest:
            await send({"type": "http.response.start", "status": 400, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
            return
        self.accepted(socket)
        while (message := await socket.receive()) is not None:
            if message == b"flood":
                for _ in range(40 * MOST_UNSENT_BYTES // 16_384):
                    socket.send_binary(b"x" * 16_384)
            elif message == b"text":
                socket.send_text(message)
            elif message == b"bye":
                socket.close(CloseCode.NORMAL_CLOSURE, "bye")
            else:
                socket.send_binary(message)
        await socket.wait_lost()
        self.ended.set()

    def accepted(self, socket: WebSocket) -> None:
        """For what happens at once."""


class Hasty(Echo):
    """More is read before anything else is called, as uvloop may do it."""

    def accepted(self, socket: WebSocket) -> None:
        socket.data_received(b"\x82\x86\0\0\0\0second" + b"\x82\x83\0\0\0\0bye")


async def test_messages_go_both_ways(log: io.BytesIO) -> None:
    async with served(Echo(), log) as server, ClientSession(_url(server)) as client, client.ws_connect("/") as line:
        for message in (b"one", b"two" * 20_000):
            await line.send_bytes(message)
            assert await line.receive_bytes() == message
        await line.send_str("text")
        assert await line.receive_str() == "text"
        await line.ping()
        await asyncio.gather(*(line.send_bytes(b"%d" % number) for number in range(100)))
        assert [await line.receive_bytes() for _ in range(100)] == [b"%d" % number for number in range(100)]


async def test_either_side_closes(log: io.BytesIO) -> None:
    echo = Echo()
    async with served(echo, log) as server, ClientSession(_url(server)) as client:
        async with client.ws_connect("/") as line:
            await line.send_bytes(b"bye")
            closing = await line.receive()
            assert (closing.type, closing.data, closing.extra) == (WSMsgType.CLOSE, 1000, "bye")
        async with asyncio.timeout(10):
            await echo.ended.wait()
        echo.ended.clear()
        async with client.ws_connect("/") as line:
            await line.close()
        async with asyncio.timeout(10):
            await echo.ended.wait()


async def test_a_client_that_does_not_read_is_cut_off(log: io.BytesIO) -> None:
    echo = Echo()
    async with served(echo, log) as server:
        client = await server.connect()
        cast("asyncio.Transport", client.writer.transport).pause_reading()
        await client.send(_handshake(b"\x81\x85\0\0\0\0flood"))
        async with asyncio.timeout(10):
            await echo.ended.wait()


async def test_what_came_with_the_handshake_comes_before_what_came_after_it(log: io.BytesIO) -> None:
    async with served(Hasty(), log) as server:
        client = await server.connect()
        await client.send(_handshake(b"\x82\x85\0\0\0\0first"))
        assert (await client.rest()).partition(b"\r\n\r\n")[2][:15] == b"\x82\x05first\x82\x06second"


async def test_compression_is_not_agreed_to(log: io.BytesIO) -> None:
    async with (
        served(Echo(), log) as server,
        ClientSession(_url(server)) as client,
        client.ws_connect("/", compress=15) as line,
    ):
        assert not line.compress
        await line.send_bytes(b"plain")
        assert await line.receive_bytes() == b"plain"


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (b"\x83\x80\0\0\0\0", 1002),  # a reserved opcode
        (b"\x82\x05hello", 1002),  # not masked
        (b"\xc2\x85\0\0\0\0hello", 1002),  # compressed
        (b"\x82\xff\0\0\0\0\0\x10\0\0\0\0\0\0", 1009),  # a megabyte
    ],
)
async def test_a_wrong_frame_ends_the_connection(log: io.BytesIO, frames: bytes, code: int) -> None:
    async with served(Echo(), log) as server:
        client = await server.connect()
        await client.send(_handshake(frames))
        received = await client.rest()
        assert code.to_bytes(2, "big") in received.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    "head",
    [
        request("GET", "/"),
        request("GET", "/", "Upgrade: websocket", "Connection: Upgrade"),
        request("GET", "/", "Upgrade: h2c", "Connection: Upgrade"),
    ],
)
async def test_anything_but_a_handshake_is_refused(log: io.BytesIO, head: bytes) -> None:
    async with served(Echo(), log) as server:
        assert (await server.ask(head)).status == 400


async def test_sockets_are_told_of_a_stop_and_do_not_delay_it(log: io.BytesIO) -> None:
    async with (
        served(Echo(), log, grace_seconds=30) as server,
        ClientSession(_url(server)) as client,
        client.ws_connect("/") as line,
    ):
        server.stop()
        closing = await line.receive()
        assert (closing.type, closing.data) == (WSMsgType.CLOSE, 1012)


async def test_sockets_are_limited_with_other_long_lived_connections(log: io.BytesIO) -> None:
    async with (
        served(Echo(), log, limits=Limits(long_lived=1)) as server,
        ClientSession(_url(server)) as client,
        client.ws_connect("/"),
    ):
        with pytest.raises(WSServerHandshakeError):
            await client.ws_connect("/")


def test_a_request_that_asks_for_a_websocket_is_told_by_its_header() -> None:
    assert wants_websocket({"headers": [(b"host", b"x"), (b"upgrade", b"WebSocket")]})
    assert not wants_websocket({"headers": [(b"upgrade", b"h2c")]})


def _url(server: Served) -> str:
    return f"http://127.0.0.1:{server.port}"


def _handshake(frames: bytes) -> bytes:
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    head = request("GET", "/", "Upgrade: websocket", "Connection: Upgrade", key, "Sec-WebSocket-Version: 13")
    return head + frames
