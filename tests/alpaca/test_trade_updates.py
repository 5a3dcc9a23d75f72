"""Alpaca's trading socket, and what may be wrong with it."""

import asyncio
import socket as sockets
import traceback
from typing import Any

import psutil
import pytest
from aiohttp import web

from corral.alpaca.environments import Environment, Hosts
from corral.alpaca.errors import (
    AlpacaAuthError,
    AlpacaError,
    AlpacaRateLimited,
    AlpacaServerError,
    ConnectionDropped,
    DeadlineExceeded,
    SlotTaken,
    Unreachable,
)
from tests.alpaca.sockets import (
    AUTHORIZED,
    LISTENING,
    UNAUTHORIZED,
    Script,
    closes,
    line_to,
    says,
    socket_of,
)
from tests.alpaca.upstream import KEY_ID, SECRET_KEY

ORDER: dict[str, Any] = {
    "id": "7b08df51-c1ac-453c-99f9-323a5f075f0d",
    "status": "filled",
    "symbol": "AAPL",
    "qty": "20",
    "filled_qty": "20",
    "updated_at": "2026-11-23T14:31:05.027690Z",
}
HELLO = (says(AUTHORIZED), says(LISTENING))


def update(**data: object) -> dict[str, object]:
    return {"stream": "trade_updates", "data": {"event": "fill", "order": ORDER} | data}


async def test_it_authenticates_subscribes_and_receives_updates() -> None:
    async with socket_of(says(AUTHORIZED), says(LISTENING, update())) as seen, line_to(seen) as line:
        heard = (await line.next_frame()).update
        assert heard is not None
        assert (heard.event, heard.order.id, heard.order.filled_qty) == ("fill", ORDER["id"], "20")
    assert seen.messages == [
        {"action": "authenticate", "data": {"key_id": KEY_ID, "secret_key": SECRET_KEY}},
        {"action": "listen", "data": {"streams": ["trade_updates"]}},
    ]
    assert KEY_ID not in str(seen.handshakes)
    assert "Sec-WebSocket-Extensions" not in seen.handshakes[0]


_NEW = '{"stream":"trade_updates","data":{"event":"new","order":{"id":"a","status":"new"}}}'


@pytest.mark.parametrize("frame", [_NEW, _NEW.encode()], ids=["text", "bytes"])
async def test_binary_and_text_frames_are_read(frame: str | bytes) -> None:
    async with socket_of(says(AUTHORIZED), says(LISTENING, frame)) as seen, line_to(seen) as line:
        heard = (await line.next_frame()).update
        assert heard is not None
        assert heard.event == "new"


async def test_a_new_event_of_alpaca_is_passed_on() -> None:
    async with socket_of(says(AUTHORIZED), says(LISTENING, update(event="brand_new"))) as seen, line_to(seen) as line:
        heard = (await line.next_frame()).update
        assert heard is not None
        assert heard.event == "brand_new"


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"stream":"trade_updates"}',
        b'{"stream":"trade_updates","data":[]}',
        b'{"stream":"trade_updates","data":{"event":"fill"}}',
        b'{"stream":"trade_updates","data":{"event":"fill","order":7}}',
        b'{"stream":"trade_updates","data":{"event":"fill","order":{"id":"a"}}}',
        b'{"stream":"trade_updates","data":{"order":{"id":"a","status":"new"}}}',
        b'{"stream":"trade_updates","data":{"event":7,"order":{"id":"a","status":"new"}}}',
        b'{"stream":"trade_updates","data":{"event":"fill","order":{"id":"a","status":"new","filled_qty":"lots"}}}',
        b'{"stream":"trade_updates","data":{"event":"' + b"f" * 999 + b'","order":{"id":"a","status":"new"}}}',
        b"[" * 100_000,
    ],
)
async def test_an_unreadable_update_is_reported_as_lost_and_the_next_one_is_received(frame: bytes) -> None:
    async with socket_of(says(AUTHORIZED), says(LISTENING, frame, update())) as seen, line_to(seen) as line:
        assert (await line.next_frame()).update is None
        assert (await line.next_frame()).update is not None


async def test_messages_of_other_streams_are_ignored() -> None:
    other: dict[str, object] = {"stream": "account_updates", "data": {}}
    async with (
        socket_of(says(other, AUTHORIZED), says(other, LISTENING, other, update())) as seen,
        line_to(seen) as line,
    ):
        assert (await line.next_frame()).update is not None


@pytest.mark.parametrize(
    ("scripts", "expected"),
    [
        ([says(UNAUTHORIZED)], AlpacaAuthError),
        ([says({"stream": "authorization", "data": {}})], AlpacaAuthError),
        ([says({"stream": "authorization"})], AlpacaError),
        ([says({"action": "error", "data": {"error_message": "connection limit exceeded"}})], SlotTaken),
        ([says({"action": "error", "data": {"error_message": "internal"}})], AlpacaServerError),
        ([says(*[b"{}"] * 40)], AlpacaServerError),
        ([closes], ConnectionDropped),
        ([], DeadlineExceeded),
        ([says(AUTHORIZED)], DeadlineExceeded),
        ([says(AUTHORIZED), says({"stream": "listening", "data": {"streams": []}})], AlpacaServerError),
        ([says(AUTHORIZED), closes], ConnectionDropped),
    ],
)
async def test_a_failed_authentication_or_subscription_has_an_error(
    scripts: list[Script], expected: type[AlpacaError]
) -> None:
    async with socket_of(*scripts) as seen:
        with pytest.raises(expected) as raised:
            async with line_to(seen, timeout_seconds=0.5):
                pass
    reported = "".join(traceback.format_exception(raised.value))
    assert SECRET_KEY not in reported
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (429, AlpacaRateLimited),
        (401, AlpacaServerError),
        (403, AlpacaServerError),
        (500, AlpacaServerError),
        (200, AlpacaServerError),
    ],
)
async def test_a_refused_handshake_has_an_error(status: int, expected: type[AlpacaError]) -> None:
    async with socket_of(status=status) as seen:
        with pytest.raises(expected):
            async with line_to(seen):
                pass
    assert len(seen.handshakes) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed_so_the_keys_go_nowhere_else(status: int) -> None:
    async with socket_of(*HELLO) as elsewhere, socket_of(status=status, location=f"{elsewhere.url}/stream") as seen:
        with pytest.raises(AlpacaServerError):
            async with line_to(seen):
                pass
    assert len(seen.handshakes) == 1
    assert not elsewhere.handshakes


async def test_a_closed_port_is_unreachable() -> None:
    with sockets.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    async with socket_of() as seen:
        seen.url = f"http://127.0.0.1:{port}"
        with pytest.raises(Unreachable):
            async with line_to(seen):
                pass


@pytest.mark.parametrize("megabytes", [1, 10])
async def test_a_frame_that_is_too_large_ends_the_connection_and_is_never_buffered(megabytes: int) -> None:
    frame = b'{"stream":"trade_updates","padding":"' + b"x" * (megabytes * 1024 * 1024) + b'"}'
    async with socket_of(says(AUTHORIZED), says(LISTENING, frame)) as seen, line_to(seen) as line:
        with pytest.raises(ConnectionDropped):
            await line.next_frame()


async def test_a_compressed_frame_ends_the_connection() -> None:
    async def bomb(web_socket: web.WebSocketResponse) -> None:
        await says(LISTENING)(web_socket)
        transport = web_socket._req.transport  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess]
        transport.write(b"\xc2\x05hello")  # pyright: ignore[reportOptionalMemberAccess]  # RSV1: compressed, unasked

    async with socket_of(says(AUTHORIZED), bomb) as seen, line_to(seen) as line:
        with pytest.raises(ConnectionDropped):
            await line.next_frame()


async def test_unanswered_pings_end_the_connection() -> None:
    async def fall_silent(web_socket: web.WebSocketResponse) -> None:
        await says(LISTENING)(web_socket)
        await asyncio.sleep(30)  # reads nothing meanwhile, so no ping is answered

    async with socket_of(says(AUTHORIZED), fall_silent) as seen, line_to(seen, ping_seconds=0.4) as line:
        with pytest.raises(ConnectionDropped):
            async with asyncio.timeout(10):
                await line.next_frame()


async def test_many_frames_are_read_at_the_pace_of_the_reader() -> None:
    async def flood(web_socket: web.WebSocketResponse) -> None:
        await says(LISTENING)(web_socket)
        frame = b"x" * 200_000
        for _ in range(1_000):
            await web_socket.send_bytes(frame)

    async with socket_of(says(AUTHORIZED), flood) as seen, line_to(seen) as line:
        memory = psutil.Process().memory_info().rss
        await asyncio.sleep(1)  # 200 MB are being sent, and not read
        assert psutil.Process().memory_info().rss - memory < 40 * 1024 * 1024
        for _ in range(50):
            assert (await line.next_frame()).update is None


def test_the_socket_has_the_host_and_encryption_of_the_trading_api() -> None:
    hosts = Hosts.from_urls(live="https://alpaca.example/prefix", paper="http://127.0.0.1:9")
    assert str(hosts.trade_updates(Environment.LIVE)) == "wss://alpaca.example/prefix/stream"
    assert str(hosts.trade_updates(Environment.PAPER)) == "ws://127.0.0.1:9/stream"
    assert str(Hosts.from_urls().trade_updates(Environment.PAPER)) == "wss://paper-api.alpaca.markets/stream"
