"""The WebSockets of market data: handshake, control messages, data, in JSON and MessagePack."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from importlib import import_module
from socket import SO_RCVBUF, SO_SNDBUF, SOL_SOCKET
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, WSServerHandshakeError, encode_basic_auth

from corral_sandbox import Sandbox, request_handler, secret_of, serve_sandbox
from corral_sandbox.market.mean_prices import MEAN_CENTS
from corral_sandbox.market.prices import Market, price
from corral_sandbox.market.time import Clock
from corral_sandbox.stream import market_data, unsent
from tests.sandbox.data_asking import DataCaller
from tests.sandbox.people import ALICE, ALICE_LIVE, BOB, keys_of, nanoseconds

msgpack: Any = import_module("msgpack")  # without types

_NOON = "2026-11-20T12:00:07-05:00"
_PATIENCE = 20.0
_CALL = "AAPL261218C00250000"
_PACKED = {"Content-Type": "application/msgpack"}
_CONNECTED = [{"T": "success", "msg": "connected"}]
_AUTHENTICATED = [{"T": "success", "msg": "authenticated"}]


class _TurnedClock:
    def __init__(self) -> None:
        self.now = nanoseconds(_NOON)

    def pass_time(self, seconds: float) -> None:
        self.now += int(seconds * 1_000_000_000)


@pytest.fixture(scope="module")
def turned() -> _TurnedClock:
    return _TurnedClock()


@pytest.fixture(scope="module")
async def streams(turned: _TurnedClock) -> AsyncIterator[Sandbox]:
    async with serve_sandbox(port=0, rate_limit_per_minute=0, clock=lambda: turned.now) as running:
        yield running


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market_data, "_SECONDS_BEFORE_A_REFUSAL", 0.01)
    monkeypatch.setattr(market_data, "_SECONDS_BETWEEN_ROUNDS", 0.01)


async def _next(socket: ClientWebSocketResponse) -> Any:  # noqa: ANN401 - JSON
    frame = await socket.receive(timeout=_PATIENCE)
    if frame.type is WSMsgType.TEXT:
        return orjson.loads(frame.data)
    assert frame.type is WSMsgType.BINARY, frame
    return msgpack.unpackb(frame.data)


async def _ask(socket: ClientWebSocketResponse, **message: object) -> Any:  # noqa: ANN401 - JSON
    await socket.send_json(message)
    return await _next(socket)


def _error(code: int, text: str) -> list[dict[str, object]]:
    return [{"T": "error", "code": code, "msg": text}]


@asynccontextmanager
async def _connected(
    http: ClientSession, sandbox: Sandbox, path: str, **headers: str
) -> AsyncGenerator[ClientWebSocketResponse]:
    async with http.ws_connect(f"{sandbox.url}{path}", headers=headers) as socket:
        assert await _next(socket) == _CONNECTED
        yield socket


@asynccontextmanager
async def _authenticated(
    http: ClientSession, sandbox: Sandbox, path: str, key_id: str = ALICE
) -> AsyncGenerator[ClientWebSocketResponse]:
    async with _connected(http, sandbox, path) as socket:
        async with asyncio.timeout(_PATIENCE):  # the server notices a little later that an earlier client has left
            while await _ask(socket, action="auth", key=key_id, secret=secret_of(key_id)) != _AUTHENTICATED:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        yield socket


async def _of_type(socket: ClientWebSocketResponse, kind: str) -> dict[str, Any]:
    """Returns the next message of a type."""
    async with asyncio.timeout(_PATIENCE):
        while True:
            for message in await _next(socket):
                if message["T"] == kind:
                    return message


@pytest.mark.parametrize("prefix", ["", "/paper", "/live"])
@pytest.mark.parametrize("path", ["/v2/iex", "/v2/sip", "/v2/test", "/v1beta3/crypto/us", "/v1beta2/crypto"])
@pytest.mark.parametrize("key_id", [ALICE, ALICE_LIVE])
async def test_a_client_authenticates_by_message(
    http: ClientSession, streams: Sandbox, prefix: str, path: str, key_id: str
) -> None:
    async with _authenticated(http, streams, f"{prefix}{path}", key_id) as socket:
        subscribed = await _ask(socket, action="subscribe", trades=["*"])
        assert subscribed[0]["trades"] == ["*"]


@pytest.mark.parametrize(
    "headers", [keys_of(BOB), {"Authorization": encode_basic_auth(BOB, secret_of(BOB))}], ids=["keys", "basic"]
)
async def test_a_client_authenticates_by_the_headers_of_the_handshake(
    http: ClientSession, streams: Sandbox, headers: dict[str, str]
) -> None:
    async with _connected(http, streams, "/v1beta1/news", **headers) as socket:
        while (answer := await _next(socket)) != _AUTHENTICATED:  # until the earlier connection is gone
            assert answer == _error(406, "connection limit exceeded")
            await socket.send_json({"action": "auth", "key": BOB, "secret": secret_of(BOB)})
        refused = await _ask(socket, action="auth", key=BOB, secret=secret_of(BOB))
        assert refused == _error(403, "already authenticated")


async def test_bad_keys_are_refused_on_the_open_socket(http: ClientSession, streams: Sandbox) -> None:
    refused = _error(402, "auth failed")
    async with _connected(http, streams, "/v2/iex") as socket:
        assert await _ask(socket, action="auth", key=ALICE, secret="wrong") == refused
        assert await _ask(socket, action="auth", key=1, secret=None) == refused
        assert await _ask(socket, action="auth", key=ALICE, token="x") == refused
        assert await _ask(socket, action="subscribe", trades=["AAPL"]) == _error(401, "not authenticated")
    async with _connected(http, streams, "/v2/iex", **{**keys_of(ALICE), "APCA-API-SECRET-KEY": "wrong"}) as socket:
        assert await _next(socket) == refused


async def test_a_refusal_comes_a_second_late(
    http: ClientSession, streams: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old clients try again at once."""
    monkeypatch.setattr(market_data, "_SECONDS_BEFORE_A_REFUSAL", 0.3)
    loop = asyncio.get_running_loop()
    async with _connected(http, streams, "/v2/iex") as socket:
        began = loop.time()
        assert (await _ask(socket, action="auth", key="x", secret="y"))[0]["code"] == 402
        assert loop.time() - began >= 0.29


async def test_a_client_that_does_not_authenticate_is_disconnected(
    http: ClientSession, streams: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(market_data, "_SECONDS_TO_AUTHENTICATE", 0.1)
    async with _connected(http, streams, "/v2/iex") as socket:
        assert await _next(socket) == _error(404, "auth timeout")
        assert (await socket.receive(timeout=_PATIENCE)).type is WSMsgType.CLOSE


async def test_one_connection_to_each_feed(http: ClientSession, streams: Sandbox) -> None:
    async with (
        _authenticated(http, streams, "/v2/iex"),
        _authenticated(http, streams, "/v2/sip"),
        _connected(http, streams, "/v2/iex") as third,
    ):
        refused = await _ask(third, action="auth", key=ALICE, secret=secret_of(ALICE))
        assert refused == _error(406, "connection limit exceeded")
        assert await _ask(third, action="auth", key=BOB, secret=secret_of(BOB)) == _AUTHENTICATED
    async with _authenticated(http, streams, "/v2/iex"):
        pass


_NOTHING: dict[str, list[str]] = {"trades": [], "quotes": [], "bars": []}


@pytest.mark.parametrize(
    ("path", "asked", "confirmed"),
    [
        (
            "/v2/iex",
            {"trades": ["AAPL"], "bars": ["*"], "orderbooks": [], "news": [], "pricing": []},
            {
                **_NOTHING,
                "trades": ["AAPL"],
                "bars": ["*"],
                "updatedBars": [],
                "dailyBars": [],
                "statuses": [],
                "lulds": [],
                "corrections": ["AAPL"],
                "cancelErrors": ["AAPL"],
            },
        ),
        ("/v2/test", {"quotes": ["FAKEPACA"]}, {**_NOTHING, "quotes": ["FAKEPACA"]}),
        (
            "/v1beta3/crypto/us",
            {"orderbooks": ["BTC/USD"]},
            {**_NOTHING, "orderbooks": ["BTC/USD"], "updatedBars": [], "dailyBars": []},
        ),
        ("/v1beta1/news", {"news": ["*"]}, {"news": ["*"]}),
    ],
)
async def test_a_subscription_is_confirmed_with_all_channels(
    http: ClientSession, streams: Sandbox, path: str, asked: dict[str, object], confirmed: dict[str, object]
) -> None:
    async with _authenticated(http, streams, path) as socket:
        assert await _ask(socket, action="subscribe", **asked) == [{"T": "subscription", **confirmed}]


async def test_channels_of_other_feeds_may_be_named_without_symbols(http: ClientSession, streams: Sandbox) -> None:
    """The SDK for Go does so in each message."""
    async with _authenticated(http, streams, "/v2/sip") as socket:
        added = await _ask(socket, action="subscribe", bars=["AAPL"], trades=None, orderbooks=None, news=None)
        assert (added[0]["bars"], added[0]["trades"]) == (["AAPL"], [])
        left = await _ask(socket, action="unsubscribe", bars=["AAPL"], quotes=None, orderbooks=None, news=[])
        assert left[0]["bars"] == []


async def test_subscriptions_add_up_and_unsubscribing_takes_away(http: ClientSession, streams: Sandbox) -> None:
    async with _authenticated(http, streams, "/v2/sip") as socket:
        await _ask(socket, action="subscribe", bars=["AAPL", "KO"])
        added = await _ask(socket, action="subscribe", bars=["F", "KO"], dailyBars=["F"])
        assert (added[0]["bars"], added[0]["dailyBars"]) == (["AAPL", "KO", "F"], ["F"])
        left = await _ask(socket, action="unsubscribe", bars=["AAPL", "SPY"])
        assert (left[0]["bars"], left[0]["dailyBars"]) == (["KO", "F"], ["F"])


@pytest.mark.parametrize(
    ("message", "code", "text"),
    [
        (b"{", 400, "invalid syntax"),
        (b"[]", 400, "invalid syntax"),
        (b'"x"', 400, "invalid syntax"),
        (b'{"action": "shout"}', 400, "invalid syntax"),
        (b'{"action": "subscribe", "trades": "AAPL"}', 400, "invalid syntax"),
        (b'{"action": "subscribe", "trades": [1]}', 400, "invalid syntax"),
        (b'{"action": "subscribe", "bars": ["KO"], "trades": ["AAPL261218C00250000"]}', 400, "invalid syntax"),
        (b'{"action": "subscribe", "orderbooks": ["AAPL"]}', 410, "invalid subscribe action for this feed"),
    ],
)
async def test_a_bad_message_is_refused_and_changes_nothing(
    http: ClientSession, streams: Sandbox, message: bytes, code: int, text: str
) -> None:
    async with _authenticated(http, streams, "/v2/sip") as socket:
        await socket.send_bytes(message)
        assert await _next(socket) == _error(code, text)
        assert (await _ask(socket, action="subscribe"))[0]["bars"] == []


async def test_trades_quotes_and_bars_of_stocks(http: ClientSession, streams: Sandbox, turned: _TurnedClock) -> None:
    async with _authenticated(http, streams, "/v2/iex") as socket:
        await _ask(socket, action="subscribe", trades=["KO"], quotes=["KO"], bars=["KO"], dailyBars=["KO"])
        first = await _next(socket)
        assert [message["T"] for message in first] == ["t", "q"]
        trade, quote = first
        assert list(trade) == ["T", "S", "t", "p", "s", "x", "c", "i", "z"]
        assert Decimal(str(trade["p"])) == price(Market(0), "KO", turned.now)
        assert quote["bp"] < trade["p"] < quote["ap"]
        assert trade["x"] == "V"
        turned.pass_time(120)
        passed = await _next(socket)
        assert [message["T"] for message in passed] == ["b", "d", "b", "d", "t", "q"]
        caller = DataCaller(at="2026-11-20T23:00:00-05:00")
        bars = caller.bars("KO", "1Min", passed[0]["t"], passed[2]["t"])
        assert [{"T": "b", "S": "KO", **bar} for bar in bars] == [passed[0], passed[2]]
        assert passed[3]["c"] == passed[2]["c"]
        assert passed[1]["t"] == passed[3]["t"] == "2026-11-20T05:00:00Z"


async def test_of_a_leap_of_the_clock_the_bars_of_a_day_are_sent(http: ClientSession) -> None:
    now = nanoseconds("2026-11-20T19:58:30-05:00")  # a Friday
    async with (
        serve_sandbox(port=0, clock=lambda: now) as running,
        _authenticated(http, running, "/v2/iex") as socket,
    ):
        await _ask(socket, action="subscribe", bars=["KO"])
        now = nanoseconds("2026-11-23T04:01:00-05:00")  # a minute of Friday is too long ago
        assert [bar["t"] for bar in await _next(socket)] == ["2026-11-23T09:00:00Z"]
        now = nanoseconds("2026-11-23T05:00:30-05:00")
        assert [bar["t"][11:16] for bar in await _next(socket)] == [f"09:{minute:02}" for minute in range(1, 60)]


class _Kept(market_data.MarketDataStreams):
    """Keeps the one of the sandbox that was started last."""

    latest: "_Kept"

    def __init__(self, market: Market, clock: Clock, *, max_connections: int) -> None:
        super().__init__(market, clock, max_connections=max_connections)
        type(self).latest = self


async def test_a_flush_writes_what_is_due_and_cuts_a_client_that_does_not_read(
    http: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(market_data, "_SECONDS_BETWEEN_ROUNDS", 3_600)
    monkeypatch.setattr(unsent, "FLUSH_SECONDS", 0.2)
    monkeypatch.setattr(request_handler, "MarketDataStreams", _Kept)
    now = nanoseconds(_NOON)
    async with (
        serve_sandbox(port=0, clock=lambda: now) as running,
        _authenticated(http, running, "/v2/iex") as reading,
        http.ws_connect(f"{running.url}/v2/sip", max_msg_size=0) as deaf,
    ):
        await _ask(reading, action="subscribe", bars=["KO"])
        now += 60_000_000_000
        await _Kept.latest.flush()
        assert (await _next(reading))[0]["T"] == "b"
        for message in (
            {"action": "auth", "key": BOB, "secret": secret_of(BOB)},
            {"action": "subscribe", "bars": ["*"]},
        ):
            await deaf.send_json(message)
            await deaf.receive(timeout=_PATIENCE)
        await deaf.receive(timeout=_PATIENCE)
        _stop_reading(deaf)
        async with asyncio.timeout(_PATIENCE):
            while _Kept.latest.connection_count == 2:
                now += 600_000_000_000
                await _Kept.latest.flush()


def _stop_reading(socket: ClientWebSocketResponse) -> None:
    """From now on little is on the way to it, so that a few bars are more than it takes."""
    response: Any = socket._response  # pyright: ignore[reportPrivateUsage]
    transport = response.connection.transport
    transport.pause_reading()
    transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_RCVBUF, 4_096)
    connections: Any = _Kept.latest._connections  # pyright: ignore[reportPrivateUsage]
    for connection in connections:
        sending = connection.socket.unsent._request.transport
        sending.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_SNDBUF, 4_096)


async def test_no_trades_at_night_except_of_coins_and_on_the_test_feed(http: ClientSession) -> None:
    night = nanoseconds("2026-11-21T03:00:00-05:00")
    async with serve_sandbox(port=0, clock=lambda: night) as closed:
        for path in ("/v2/test", "/v1beta3/crypto/us"):
            async with _authenticated(http, closed, path) as socket:
                await socket.send_json({"action": "subscribe", "trades": ["*"]})
                assert (await _of_type(socket, "t"))["S"] in {"FAKEPACA", "AAVE/USD"}
        async with _authenticated(http, closed, "/v2/sip") as socket:
            await _ask(socket, action="subscribe", trades=["*"])
            with pytest.raises(TimeoutError):
                await socket.receive(timeout=0.2)


async def test_an_order_book_comes_whole(http: ClientSession, streams: Sandbox) -> None:
    async with _authenticated(http, streams, "/v1beta3/crypto/us") as socket:
        await socket.send_json({"action": "subscribe", "orderbooks": ["BTC/USD"], "quotes": ["BTC/USD"]})
        quote, book = (await _next(socket), await _next(socket))[1]
        assert book["r"] is True
        assert (book["b"][0]["p"], book["a"][0]["p"]) == (quote["bp"], quote["ap"])


async def test_message_pack_where_the_handshake_asks_for_it(
    http: ClientSession, streams: Sandbox, turned: _TurnedClock
) -> None:
    async with _connected(http, streams, "/v1beta3/crypto/us", **_PACKED) as socket:
        await socket.send_bytes(msgpack.packb({"action": "auth", "key": BOB, "secret": secret_of(BOB)}))
        assert await _next(socket) == _AUTHENTICATED
        await socket.send_bytes(msgpack.packb({"action": "subscribe", "trades": ["ETH/USD"], "bars": ["ETH/USD"]}))
        assert (await _next(socket))[0]["trades"] == ["ETH/USD"]
        frame = await socket.receive(timeout=_PATIENCE)
        assert frame.type is WSMsgType.BINARY
        trade = msgpack.unpackb(frame.data)[0]
        assert next(iter(trade)) == "T"
        assert trade["t"].to_unix_nano() == turned.now // 100_000_000 * 100_000_000
        turned.pass_time(60)
        bar = await _of_type(socket, "b")
        assert bar["t"].to_unix_nano() == turned.now // 60_000_000_000 * 60_000_000_000 - 60_000_000_000


async def test_options_speak_message_pack_only(http: ClientSession, streams: Sandbox) -> None:
    refused = _error(412, "option messages are only available in MsgPack format")
    async with _connected(http, streams, "/v1beta1/opra", **{"Content-Type": "application/json"}) as socket:
        assert await _ask(socket, action="auth", key=BOB, secret=secret_of(BOB)) == refused
    for headers in (_PACKED, {}):
        async with _connected(http, streams, "/v1beta1/indicative", **headers) as socket:
            assert await _ask(socket, action="auth", key=BOB, secret=secret_of(BOB)) == refused
            keys = msgpack.packb({"action": "auth", "key": BOB, "secret": secret_of(BOB)})
            await socket.send_bytes(keys)
            while await _next(socket) != _AUTHENTICATED:
                await socket.send_bytes(keys)
            await socket.send_bytes(msgpack.packb({"action": "subscribe", "quotes": ["*"]}))
            assert await _next(socket) == _error(413, "star subscription is not allowed for option quotes")
            await socket.send_bytes(msgpack.packb({"action": "subscribe", "bars": [_CALL]}))
            assert await _next(socket) == _error(410, "invalid subscribe action for this feed")
            await socket.send_bytes(msgpack.packb({"action": "subscribe", "quotes": [_CALL], "trades": ["*"]}))
            assert (await _next(socket))[0]["quotes"] == [_CALL]
            data = await _next(socket)
            assert [message["S"] for message in data if message["T"] == "q"] == [_CALL]
            assert len({message["S"] for message in data if message["T"] == "t"}) == 2 * len(MEAN_CENTS)


async def test_a_fragmented_message_is_put_together(http: ClientSession, streams: Sandbox) -> None:
    """Alpaca's SDK for Python sends its subscriptions that way."""
    from websockets.asyncio.client import connect

    async with connect(f"{streams.url.replace('http', 'ws')}/v2/sip", additional_headers=_PACKED) as socket:
        assert msgpack.unpackb(await socket.recv()) == _CONNECTED
        await socket.send(msgpack.packb({"action": "auth", "key": BOB, "secret": secret_of(BOB)}))
        assert msgpack.unpackb(await socket.recv()) == _AUTHENTICATED
        whole: bytes = msgpack.packb({"action": "subscribe", "statuses": [*map(chr, range(65, 91))]})
        await socket.send([whole[:7], whole[7:30], whole[30:], b""])
        assert len(msgpack.unpackb(await socket.recv())[0]["statuses"]) == 26


async def test_without_a_handshake_there_is_nothing(http: ClientSession, streams: Sandbox) -> None:
    async with http.get(f"{streams.url}/v2/iex") as response:
        assert response.status == 404
    async with http.get(f"{streams.url}/v2/iex", headers={"Upgrade": "something"}) as response:
        assert (response.status, await response.json()) == (400, {"message": "websocket handshake expected"})


async def test_a_fault_refuses_the_handshake(http: ClientSession, streams: Sandbox) -> None:
    fault = {"path": "/v2/iex", "times": 1, "status": 429}
    await http.put(f"{streams.url}/_faults", json={"faults": [fault]})
    with pytest.raises(WSServerHandshakeError, match="429"):
        await http.ws_connect(f"{streams.url}/v2/iex")
    async with _authenticated(http, streams, "/v2/iex"):
        pass
