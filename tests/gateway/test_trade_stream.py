"""Alpaca's trading socket through a grant: all updates of its account, as Alpaca sends them, from one connection."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, WSServerHandshakeError

from corral.alpaca.fields import Fields
from corral.gateway import stream_rooms
from corral.gateway.stream_rooms import Room, Rooms
from corral.gateway.stream_watch import StreamWatch
from corral.gateway.trade_stream import TradeStreams
from corral.grants.lookup import GrantReader
from corral.identity import queries as identity_queries
from corral.stream import trade_relay
from corral.stream.feed import Feed
from corral.stream.watch import Watch
from corral_sandbox import Sandbox, secret_of
from tests.conftest import Faults, Service, StartService
from tests.gateway.conftest import Json, Program
from tests.grants.conftest import GrantOwner
from tests.log_lines import LogSince
from tests.sdk_streams import running
from tests.stream.sse_client import listening_to, wait_until
from tests.stream.trading import Trader, trader

AUTHORIZED: Json = {"stream": "authorization", "data": {"status": "authorized", "action": "authenticate"}}
UNAUTHORIZED: Json = {"stream": "authorization", "data": {"status": "unauthorized", "action": "authenticate"}}
LISTENING: Json = {"stream": "listening", "data": {"streams": ["trade_updates"]}}
COIN: Json = {"symbol": "BTC/USD", "qty": "0.001", "limit_price": "1000"}  # traded at any hour; this one rests


class Line:
    """A client of the socket."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket
        self.heard: list[Fields] = []

    async def say(self, action: str, **data: object) -> None:
        await self.socket.send_json({"action": action, "data": data})

    async def hear(self) -> Json:
        async with asyncio.timeout(60):
            message = await self.socket.receive()
        assert message.type is WSMsgType.BINARY, message
        return orjson.loads(message.data)

    async def authenticate(self, grant: Json) -> Json:
        await self.say("authenticate", key_id=grant["key_id"], secret_key=grant["secret_key"])
        return await self.hear()

    async def listen(self) -> Json:
        await self.say("listen", streams=["trade_updates"])
        return await self.hear()

    async def until(self, event: str, order: Json) -> Fields:
        while True:
            message = await self.hear()
            assert message["stream"] == "trade_updates"
            self.heard.append(message["data"])
            if (message["data"]["event"], message["data"]["order"]["id"]) == (event, order["id"]):
                return message["data"]

    def told(self, order: Json) -> list[str]:
        return [data["event"] for data in self.heard if data["order"]["id"] == order["id"]]

    async def closed_with(self) -> int | None:
        async with asyncio.timeout(60):
            while (await self.socket.receive()).type in {WSMsgType.BINARY, WSMsgType.TEXT}:
                pass
        return self.socket.close_code


@asynccontextmanager
async def connected(
    url: str, path: str = "/alpaca/stream", *, origin: str | None = None, host: str | None = None
) -> AsyncGenerator[Line]:
    headers = {} if host is None else {"Host": host}
    async with ClientSession(url) as client, client.ws_connect(path, origin=origin, headers=headers) as line:
        yield Line(line)


@asynccontextmanager
async def hearing(grant: Json, service: Service) -> AsyncGenerator[Line]:
    async with connected(service.url) as line:
        assert await line.authenticate(grant) == AUTHORIZED
        assert await line.listen() == LISTENING
        yield line


def streams_of(service: Service) -> TradeStreams:
    return service.services.state["gateway"]._streams  # pyright: ignore[reportPrivateUsage]


def rooms_of(service: Service) -> Rooms:
    return streams_of(service)._rooms  # pyright: ignore[reportPrivateUsage]


def room_of(service: Service, grant: Json) -> Room:
    (room,) = [room for room in rooms_of(service) if str(room.grant.credential_id) == grant["credential_id"]]
    return room


def feed_of(service: Service, grant: Json) -> Feed:
    feeds = service.services.state["stream"].feeds._feeds  # pyright: ignore[reportPrivateUsage]
    (feed,) = [feed for feed in feeds.values() if room_of(service, grant).subscription in feed.members]
    return feed


def watch_of(feed: Feed) -> Watch:
    assert feed.watch is not None
    return feed.watch


async def until_orders_are_known(feed: Feed) -> None:
    """What is open in the account, so that it can be found out later what was missed."""
    relay = watch_of(feed).relay
    await wait_until(lambda: relay._told is not None and relay._told.is_complete)  # pyright: ignore[reportPrivateUsage]


async def drop(service: Service, grant: Json) -> None:
    """Ends Alpaca's connection once it is known what is open in the account."""
    feed = feed_of(service, grant)
    await until_orders_are_known(feed)
    listener = watch_of(feed)._listener  # pyright: ignore[reportPrivateUsage]
    assert listener._subscription is not None  # pyright: ignore[reportPrivateUsage]
    listener.release(listener._subscription)  # pyright: ignore[reportPrivateUsage]
    await wait_until(lambda: not feed.audience.frames.is_live)


@pytest.fixture
async def trades(bot: Program, sandbox: Sandbox) -> AsyncGenerator[Trader]:
    """The account's owner, at Alpaca itself."""
    async with trader(sandbox, bot.key_id) as her:
        yield her


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a part of websockets that the client uses
async def test_an_unmodified_client_of_alpaca_hears_an_order(bot: Program, service: Service) -> None:
    from alpaca.trading.stream import TradingStream

    heard: asyncio.Queue[Any] = asyncio.Queue()
    url = f"{service.url.replace('http', 'ws', 1)}/alpaca/stream"
    stream: Any = TradingStream(bot.grant["key_id"], bot.grant["secret_key"], url_override=url)
    stream.subscribe_trade_updates(heard.put)
    async with running(stream):
        await wait_until(lambda: any(room.hearing for room in rooms_of(service)))
        placed = (await bot.order(**COIN)).json
        async with asyncio.timeout(60):
            while (update := await heard.get()).event != "new":
                pass
    assert str(update.order.id) == placed["id"]


async def test_frames_are_those_of_alpaca(bot: Program, trades: Trader, service: Service) -> None:
    async with hearing(bot.grant, service) as line:
        placed = await trades.order()
        fill = await line.until("fill", placed)
    assert line.told(placed) == ["pending_new", "new", "fill"]
    (activity, *_) = (await bot.get("/alpaca/v2/account/activities/FILL")).json
    assert fill["execution_id"] == activity["id"].partition("::")[2]
    assert (fill["price"], fill["qty"]) == (activity["price"], activity["qty"])
    assert fill["order"] == {**(await bot.get(f"/alpaca/v2/orders/{placed['id']}")).json, "legs": None}


async def test_one_connection_serves_all_grants_of_an_account_and_its_owners_pages(
    bot: Program, trades: Trader, carol: GrantOwner, dave: GrantOwner, service: Service, faults: Faults
) -> None:
    second = await carol.grant(bot.grant["credential_id"])
    his = await dave.grant(await dave.account(bot.key_id))
    async with AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(hearing(grant, service)) for grant in (bot.grant, second, his)]
        sse = await stack.enter_async_context(listening_to(carol.page))
        await sse.until("account-data")
        placed = await trades.order()
        for line in lines:
            await line.until("fill", placed)
            assert line.told(placed) == ["pending_new", "new", "fill"]
        await sse.until("order", id=placed["id"], status="filled")
    assert await faults.calls_of(bot.key_id, "/stream") == 1


async def test_a_socket_alone_asks_alpaca_for_little(bot: Program, trades: Trader, service: Service) -> None:
    async with hearing(bot.grant, service) as line:
        feed = feed_of(service, bot.grant)
        await until_orders_are_known(feed)
        for _ in range(3):
            await line.until("fill", await trades.order())
        paths = [item["path"] for item in await bot.seen("GET") if not item["path"].endswith(("/stream", "/orders"))]
        assert [path.rpartition("/")[2] for path in paths] == ["account", "FILL"]


async def test_what_happened_while_alpaca_was_away_is_told_once_and_in_order(
    bot: Program, trades: Trader, service: Service, faults: Faults
) -> None:
    known, later = await trades.rest(), await trades.rest()
    async with hearing(bot.grant, service) as line:
        before = await trades.order()
        await line.until("fill", before)
        await faults.set(bot.key_id, path="/stream", stream={"refuses": True})
        await drop(service, bot.grant)
        bought, resting = await trades.order(qty="0.002"), await trades.rest()
        await trades.cancel(known)
        await faults.clear()
        frames = feed_of(service, bot.grant).audience.frames
        await wait_until(lambda: frames.is_live)
        await trades.cancel(later)
        await line.until("canceled", later)
        shown = (await bot.get(f"/alpaca/v2/orders/{bought['id']}")).json
        (activity, *_) = (await bot.get("/alpaca/v2/account/activities/FILL")).json
    assert [(data["event"], data["order"]["id"]) for data in line.heard if data["order"]["id"] != before["id"]] == [
        ("new", bought["id"]),
        ("fill", bought["id"]),
        ("new", resting["id"]),
        ("canceled", known["id"]),
        ("canceled", later["id"]),
    ]
    (new, fill) = [data for data in line.heard if data["order"]["id"] == bought["id"]]
    assert (new["order"]["status"], new["order"]["filled_qty"]) == ("new", "0")
    assert fill["order"] == {**shown, "legs": None}
    assert fill["execution_id"] == activity["id"].partition("::")[2]
    assert (fill["price"], fill["qty"]) == (activity["price"], activity["qty"])
    assert fill["timestamp"] == activity["transaction_time"]


async def test_where_it_cannot_be_told_the_sockets_end(
    bot: Program, trades: Trader, service: Service, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trade_relay, "FIRST_WAIT_SECONDS", 0.01)
    async with hearing(bot.grant, service) as line:
        await faults.set(bot.key_id, path="/v2/account/activities/{activity_type}", status=500)
        await drop(service, bot.grant)
        assert await line.closed_with() == 1012
    await faults.clear()
    async with hearing(bot.grant, service) as line:
        await line.until("fill", await trades.order())


@pytest.mark.parametrize("how", [{"half_json": True}, {"text_frames": True}], ids=str)
async def test_frames_that_are_odd_or_cannot_be_read(
    bot: Program, trades: Trader, service: Service, faults: Faults, how: Json
) -> None:
    await faults.set(bot.key_id, path="/stream", stream=how)
    async with connected(service.url) as line:
        await line.authenticate(bot.grant)
        await line.listen()
        feed = feed_of(service, bot.grant)
        await until_orders_are_known(feed)
        placed = await trades.order()
        heard: list[str] = []
        async with asyncio.timeout(60):
            while "fill" not in heard:
                message = await line.socket.receive()
                assert message.type is (WSMsgType.TEXT if "text_frames" in how else WSMsgType.BINARY)
                data = orjson.loads(message.data)["data"]
                assert data["order"]["id"] == placed["id"]
                heard.append(data["event"])
    if "half_json" in how:
        assert heard == ["new", "fill"]
    assert heard.count("fill") == 1


async def test_a_frame_with_a_key_is_not_passed_on(
    bot: Program, trades: Trader, service: Service, log: LogSince
) -> None:
    async with hearing(bot.grant, service) as line:
        await trades.rest(client_order_id=f"x-{secret_of(bot.key_id)}")
        assert await line.closed_with() == 1011
        assert not line.heard
    assert log.alarms("alpaca_key_in_frame")
    assert secret_of(bot.key_id) not in log.text()


async def test_a_client_that_does_not_read_is_cut_off_and_others_are_not(bot: Program, service: Service) -> None:
    async with hearing(bot.grant, service) as slow, hearing(bot.grant, service) as quick:
        wire, response = slow.socket.get_extra_info("socket"), slow.socket._response  # pyright: ignore[reportPrivateUsage]
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        assert response.connection is not None
        assert response.connection.transport is not None
        response.connection.transport.pause_reading()
        room = room_of(service, bot.grant)
        frame = orjson.dumps({"stream": "trade_updates", "data": "x" * 32_000})
        while len(room.members) == 2:
            await room.pass_on(frame, room.subscription.credential, is_text=False)
            assert (await quick.hear())["stream"] == "trade_updates"
        response.connection.transport.resume_reading()


async def test_a_socket_ends_with_its_grant(
    bot: Program, carol: GrantOwner, dave: GrantOwner, service: Service, trades: Trader
) -> None:
    account = f"/api/credentials/{bot.grant['credential_id']}"
    narrowed, revoked, lasting = [await carol.grant(bot.grant["credential_id"]) for _ in range(3)]
    his = await dave.grant(await dave.account(bot.key_id))
    async with AsyncExitStack() as stack:
        first, second, third, other = [
            await stack.enter_async_context(hearing(grant, service)) for grant in (narrowed, revoked, lasting, his)
        ]
        await carol.ask("PATCH", f"/api/grants/{narrowed['id']}", {"networks": ["192.0.2.0/24"]})
        await carol.ask("DELETE", f"/api/grants/{revoked['id']}")
        assert await first.closed_with() == 1008
        assert await second.closed_with() == 1008
        await third.until("fill", await trades.order())
        await carol.ask("PATCH", account, {"is_active": False})
        assert await third.closed_with() == 1008
        await other.until("fill", await trades.order())
    async with connected(service.url) as line:
        refused = await line.authenticate(lasting)
        assert refused["data"]["status"] == "unauthorized"
        assert "switched this account off" in refused["data"]["message"]
        assert await line.closed_with() == 1008
    await carol.ask("PATCH", account, {"is_active": True})
    async with hearing(lasting, service) as line:
        await carol.ask("DELETE", account)
        assert await line.closed_with() == 1008


async def test_a_socket_outlives_new_keys_of_its_account(
    bot: Program, carol: GrantOwner, service: Service, trades: Trader
) -> None:
    keys = {"api_key": bot.key_id, "secret_key": secret_of(bot.key_id)}
    async with hearing(bot.grant, service) as line:
        feed = feed_of(service, bot.grant)
        await until_orders_are_known(feed)
        former = room_of(service, bot.grant).subscription
        assert (await carol.ask("PATCH", f"/api/credentials/{bot.grant['credential_id']}", keys)).status == 200
        await wait_until(lambda: room_of(service, bot.grant).subscription is not former)
        placed = await trades.order()
        await line.until("fill", placed)


async def test_a_revocation_that_takes_long_ends_the_socket_once_it_is_committed(
    bot: Program, carol: GrantOwner, service: Service, owner: asyncpg.Connection
) -> None:
    other = await carol.grant(bot.grant["credential_id"])
    async with hearing(bot.grant, service) as line, hearing(other, service) as lasting:
        (member,) = (member for member in rooms_of(service).members() if str(member.grant.id) == bot.grant["id"])
        async with owner.transaction():
            await owner.execute("DELETE FROM corral.grants WHERE id = $1", UUID(bot.grant["id"]))
            for _ in range(2):
                known = member.grant
                streams_of(service)._watch.admit(known.user_id)  # pyright: ignore[reportPrivateUsage]
                await wait_until(lambda known=known: member.grant is not known)  # it was asked about, and holds
        assert await line.closed_with() == 1008
        assert await lasting.listen() == LISTENING


async def test_of_two_grants_of_an_account_the_one_that_comes_to_its_end_takes_no_socket_of_the_other(
    bot: Program, carol: GrantOwner, service: Service, trades: Trader, owner: asyncpg.Connection
) -> None:
    """Nothing was changed by anybody: its time is over, by the database's clock."""
    other = await carol.grant(bot.grant["credential_id"])
    async with hearing(bot.grant, service) as line, hearing(other, service) as lasting:
        (member,) = (member for member in rooms_of(service).members() if str(member.grant.id) == bot.grant["id"])
        async with owner.transaction():
            await owner.execute("ALTER TABLE corral.grants DISABLE TRIGGER access_changed")
            await owner.execute("UPDATE corral.grants SET expires_at = now() WHERE id = $1", member.grant.id)
            await owner.execute("ALTER TABLE corral.grants ENABLE TRIGGER access_changed")
        member.grant = replace(member.grant, valid_until=datetime.now(UTC))
        assert await line.closed_with() == 1008
        await lasting.until("fill", await trades.order())


@pytest.mark.parametrize("question", [(identity_queries, "load_access_changes"), (GrantReader, "reload")])
async def test_without_the_database_all_sockets_end(
    question: tuple[object, str], carol: GrantOwner, bot: Program, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def take_too_long(*_: object, **__: object) -> None:
        raise TimeoutError

    async with hearing(bot.grant, service) as line:
        rooms = rooms_of(service)
        monkeypatch.setattr(*question, take_too_long)
        await carol.grant(bot.grant["credential_id"])  # a change, so that there is something to ask
        assert await line.closed_with() == 1013
        assert not list(rooms)


async def test_a_silent_client_is_cut_off(bot: Program, service: Service) -> None:
    watchers = streams_of(service)._watch._watchers  # pyright: ignore[reportPrivateUsage]
    (watch,) = (watcher for watcher in watchers if isinstance(watcher, StreamWatch))
    async with hearing(bot.grant, service) as line:
        (member,) = room_of(service, bot.grant).members
        reading = asyncio.ensure_future(line.socket.receive())
        for _ in range(3):
            watch.ping()
            await wait_until(lambda: member.socket.is_alive)  # the client's pong
        for _ in range(2):
            assert member in room_of(service, bot.grant).members
            member.socket.is_alive = False
            watch.ping()
        await reading
        await wait_until(lambda: not any(room.members for room in rooms_of(service)))


async def test_sockets_are_limited_by_grant_and_by_account(
    bot: Program, carol: GrantOwner, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_rooms, "MOST_OF_A_GRANT", 2)
    monkeypatch.setattr(stream_rooms, "MOST_OF_AN_ACCOUNT", 3)
    second = await carol.grant(bot.grant["credential_id"])
    too_many = {"stream": "error", "action": "error", "data": {"error_message": "connection limit exceeded"}}
    async with AsyncExitStack() as stack:
        for grant, expected in ((bot.grant, AUTHORIZED), (bot.grant, AUTHORIZED), (bot.grant, too_many)):
            line = await stack.enter_async_context(connected(service.url))
            assert await line.authenticate(grant) == expected
        for expected in (AUTHORIZED, too_many):
            line = await stack.enter_async_context(connected(service.url))
            assert await line.authenticate(second) == expected
        assert await line.closed_with() == 1008
    await wait_until(lambda: not any(room.members for room in rooms_of(service)))
    async with hearing(bot.grant, service):
        pass


async def test_a_client_says_who_it_is_in_each_of_alpacas_ways(bot: Program, service: Service) -> None:
    key_id, secret_key = bot.grant["key_id"], bot.grant["secret_key"]
    ways: list[Json] = [
        {"action": "authenticate", "data": {"key_id": key_id, "secret_key": secret_key}},
        {"action": "authenticate", "data": {"oauth_token": secret_key}},
        {"action": "auth", "key": key_id, "secret": secret_key},
    ]
    for path in ("/alpaca/stream", "/alpaca/stream/"):
        for message in ways:
            async with connected(service.url, path) as line:
                await line.socket.send_json(message)
                assert await line.hear() == AUTHORIZED
                assert await line.authenticate(bot.grant) == AUTHORIZED
                await line.say("listen", streams=["trade_updates", "account_updates"])
                assert await line.hear() == LISTENING
                await line.say("listen", streams=["account_updates"])
                assert await line.hear() == {"stream": "listening", "data": {"streams": []}}
                for odd in ("[]", "{", '{"action":7}', '{"action":"dance"}', '{"action":"listen","data":[]}'):
                    await line.socket.send_str(odd)
                    assert (await line.hear())["action"] == "error"


async def test_whoever_has_no_grant_is_refused(bot: Program, carol: GrantOwner, service: Service) -> None:
    other = await carol.grant()
    key_id, secret_key = bot.grant["key_id"], bot.grant["secret_key"]
    refused: list[Json] = [
        {},
        {"key_id": key_id},
        {"key_id": key_id, "secret_key": secret_key[:-1]},
        {"key_id": other["key_id"], "secret_key": secret_key},
        {"key_id": bot.key_id, "secret_key": secret_of(bot.key_id)},
        {"key_id": key_id, "secret_key": 7},
        {"key_id": key_id, "secret_key": "é" * 40},
        {"oauth_token": key_id},
        {"oauth_token": secret_key, "key_id": None},
        {"oauth_token": "x" * 10_000},
    ]
    for data in refused:
        async with connected(service.url) as line:
            await line.say("listen", streams=["trade_updates"])
            early = await line.hear()
            assert early["data"] == {"status": "unauthorized", "action": "listen"}
            await line.say("authenticate", **data)
            assert await line.hear() == UNAUTHORIZED
            assert await line.closed_with() == 1008
    async with hearing(bot.grant, service) as line:
        assert await line.authenticate(other) == UNAUTHORIZED
        assert await line.closed_with() == 1008


async def test_pages_of_other_sites_open_no_socket(bot: Program, service: Service) -> None:
    foreign = [
        "https://evil.example",
        "null",
        f"{service.url}.evil.example",
        "http://[",
        "file://",
        "http://127.0.0.1:1",
    ]
    for origin in foreign:
        with pytest.raises(WSServerHandshakeError) as refused:
            async with connected(service.url, origin=origin):
                pass
        assert refused.value.status == 403, origin
    async with connected(service.url, origin=service.url) as line:  # as Python's websocket-client does
        assert await line.authenticate(bot.grant) == AUTHORIZED
    async with ClientSession(service.url) as client:
        for path in ("/alpaca/stream", "/alpaca/stream/"):
            async with client.get(path) as plain:
                assert plain.status == 403  # without a grant, as any other path


async def test_at_an_origin_of_its_own_the_root_is_the_socket(bot: Program, start_service: StartService) -> None:
    async with start_service(gateway_url="https://gateway.example") as other:
        for path in ("/", "/stream", "/stream/"):
            async with connected(other.url, path, host="gateway.example") as line:
                assert await line.authenticate(bot.grant) == AUTHORIZED
        with pytest.raises(WSServerHandshakeError):
            async with connected(other.url, "/alpaca/data/stream"):
                pass


async def test_a_stop_ends_the_sockets_so_that_clients_come_back(bot: Program, start_service: StartService) -> None:
    async with AsyncExitStack() as stack:
        async with start_service() as other:
            heard = await stack.enter_async_context(hearing(bot.grant, other))
            strange = await stack.enter_async_context(connected(other.url))
            closing = [asyncio.ensure_future(line.closed_with()) for line in (heard, strange)]
        assert await asyncio.gather(*closing) == [1012, 1012]


async def test_sockets_are_in_the_audit_trail(
    bot: Program, carol: GrantOwner, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(stream_rooms, "MOST_OF_A_GRANT", 1)

    class Listening:
        def count_read(
            self, _user: object, grant_id: object, _credential: object, purpose: str, *, address: str
        ) -> None:
            told.append((str(grant_id), f"{purpose} {address}"))

        def count_refusal(self, _user: object, _action: object, actor: object, code: str, **_more: object) -> None:
            told.append((str(actor), code))

    monkeypatch.setattr(streams_of(service), "_audit", Listening())
    async with hearing(bot.grant, service), connected(service.url) as line:
        await line.authenticate(bot.grant)
    account = f"/api/credentials/{bot.grant['credential_id']}"
    assert (await carol.ask("PATCH", account, {"is_active": False})).status == 200
    async with connected(service.url) as line:
        await line.authenticate(bot.grant)
    grant_id = bot.grant["id"]
    assert told == [
        (grant_id, "stream 127.0.0.1"),
        (f"grant:{grant_id}", "too_many_sockets"),
        (f"grant:{grant_id}", "account_paused"),
    ]
