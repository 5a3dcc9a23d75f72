"""Alpaca's streams of events over HTTP through a grant: passed on as they come, while the grant holds."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from aiohttp import ClientError, ClientResponse, ClientSession

from corral.errors import DatabaseUnavailable
from corral.gateway import event_streams
from corral.gateway.event_streams import GrantedEventStream
from corral.grants.lookup import GrantReader
from corral.identity import queries as identity_queries
from corral_sandbox import Sandbox, secret_of
from tests.conftest import Faults, Service, StartService
from tests.gateway.conftest import Json, Program, key_headers
from tests.gateway.test_trade_stream import COIN, streams_of
from tests.grants.conftest import GrantOwner
from tests.log_lines import LogSince
from tests.stream.sse_client import wait_until
from tests.stream.trading import Trader, trader

TRADES = "/alpaca/v2/events/trades"
ACTIVITIES = "/alpaca/v2beta1/events/activities"


@dataclass
class Events:
    """A program that reads a stream."""

    answer: ClientResponse

    async def next(self) -> Json:
        async with asyncio.timeout(60):
            while not (line := await self.answer.content.readline()).startswith(b"data: "):
                assert line, "the stream has ended"
        return orjson.loads(line.removeprefix(b"data: "))

    async def until(self, event: str, order: Json) -> Json:
        while True:
            told = await self.next()
            if (told["event"], told["order"]["id"]) == (event, order["id"]):
                return told

    async def rest(self) -> bytes:
        """All that comes until it ends, in whatever way."""
        heard = bytearray()
        async with asyncio.timeout(60):
            try:
                async for part in self.answer.content.iter_any():
                    heard += part
            except (ClientError, ConnectionError):
                pass
        return bytes(heard)


@asynccontextmanager
async def hearing(grant: Json, service: Service, path: str = TRADES) -> AsyncGenerator[Events]:
    async with ClientSession(service.url, headers=key_headers(grant)) as client, client.get(path) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "text/event-stream"
        yield Events(answer)


def open_streams(service: Service) -> list[GrantedEventStream]:
    return list(streams_of(service)._events)  # pyright: ignore[reportPrivateUsage]


@pytest.fixture
async def trades(bot: Program, sandbox: Sandbox) -> AsyncGenerator[Trader]:
    """The account's owner, at Alpaca itself."""
    async with trader(sandbox, bot.key_id) as her:
        yield her


async def test_a_program_hears_of_its_own_orders_and_of_those_of_others(
    bot: Program, trades: Trader, service: Service
) -> None:
    async with hearing(bot.grant, service) as events:
        placed = (await bot.order(**COIN)).json
        told = await events.until("new", placed)
        assert told["order"]["symbol"] == "BTC/USD"
        fill = await events.until("fill", await trades.order())
    (activity, *_) = (await bot.get("/alpaca/v2/account/activities/FILL")).json
    assert (fill["price"], fill["qty"]) == (activity["price"], activity["qty"])


async def test_the_past_is_what_alpaca_says_of_it_and_ends(bot: Program, trades: Trader) -> None:
    for _ in range(3):
        await trades.order()
    begin, end = datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(seconds=1)
    for path in (TRADES, ACTIVITIES):
        query = f"?since={begin:%Y-%m-%dT%H:%M:%SZ}&until={end:%Y-%m-%dT%H:%M:%SZ}"
        through = await bot.get(path + query)
        assert (through.status, through.headers["Content-Type"]) == (200, "text/event-stream")
        assert through.headers["Cache-Control"] == "no-store"
        assert through.body.count(b"data: ") >= 3
        assert through.body == await bot.directly("/paper" + (path + query).removeprefix("/alpaca"))


@pytest.mark.parametrize("status", [400, 401, 403, 429, 500, 503])
async def test_what_alpaca_says_in_place_of_a_stream_is_answered_as_for_every_read(
    bot: Program, faults: Faults, status: int
) -> None:
    expected = 403 if status == 401 else status
    if status == 400:
        answer = await bot.get(f"{TRADES}?until=2026-01-01")
    else:
        await faults.set(bot.key_id, path="/v2/events/trades", status=status)
        answer = await bot.get(TRADES)
    assert answer.status == expected, answer.body
    assert answer.json["message"]
    assert "Connection" not in answer.headers, "the next request is on the same one"
    assert (await bot.get("/alpaca/v2/clock")).status == (429 if status == 429 else 200)


async def test_what_is_no_stream_of_events_is_not_passed_on(
    bot: Program, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("corral.gateway.answers._EVENTS", "text/of-another-kind")
    assert (await bot.get(TRADES)).status == 502


async def test_a_stream_ends_with_its_grant_and_others_go_on(
    bot: Program, carol: GrantOwner, service: Service, trades: Trader
) -> None:
    account = f"/api/credentials/{bot.grant['credential_id']}"
    narrowed, revoked, lasting = [await carol.grant(bot.grant["credential_id"]) for _ in range(3)]
    async with AsyncExitStack() as stack:
        first, second, third = [
            await stack.enter_async_context(hearing(grant, service)) for grant in (narrowed, revoked, lasting)
        ]
        await carol.ask("PATCH", f"/api/grants/{narrowed['id']}", {"networks": ["192.0.2.0/24"]})
        await carol.ask("DELETE", f"/api/grants/{revoked['id']}")
        await first.rest()
        await second.rest()
        await third.until("fill", await trades.order())
        await carol.ask("PATCH", account, {"is_active": False})
        await third.rest()
    assert (await bot.get(TRADES)).status == 403
    await carol.ask("PATCH", account, {"is_active": True})
    async with hearing(lasting, service) as events:
        keys = {"api_key": bot.key_id, "secret_key": secret_of(bot.key_id)}
        assert (await carol.ask("PATCH", account, keys)).status == 200
        await events.rest()  # so that the program asks again, with the new keys
    await wait_until(lambda: not open_streams(service))


async def test_no_event_with_a_key_is_passed_on(bot: Program, trades: Trader, service: Service, log: LogSince) -> None:
    async with hearing(bot.grant, service) as events:
        await events.until("fill", await trades.order())
        await trades.rest(client_order_id=f"x-{secret_of(bot.key_id)}")
        assert secret_of(bot.key_id).encode() not in await events.rest()
    assert log.alarms("alpaca_key_in_answer")
    assert log.alarms("unexpected_exception") == []


async def test_a_program_that_leaves_leaves_nothing_open(bot: Program, service: Service) -> None:
    async with hearing(bot.grant, service):
        await wait_until(lambda: len(open_streams(service)) == 1)
    await wait_until(lambda: not open_streams(service))


async def test_a_grant_has_so_many_streams_and_not_more(
    bot: Program, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("MOST_OF_A_GRANT", "MOST_OF_AN_ACCOUNT"):
        with monkeypatch.context() as patch:
            patch.setattr(event_streams, limit, 1)
            async with hearing(bot.grant, service):
                refused = await bot.get(TRADES)
                assert (refused.status, "close one" in refused.json["message"]) == (403, True)
            await wait_until(lambda: not open_streams(service))
            async with hearing(bot.grant, service):
                pass


@pytest.mark.parametrize("way", ["shortened", "renewed with another secret"])
async def test_a_stream_knows_when_its_grant_ends_now(
    way: str, bot: Program, carol: GrantOwner, service: Service
) -> None:
    async with hearing(bot.grant, service):
        (stream,) = (stream for stream in open_streams(service) if str(stream.grant.id) == bot.grant["id"])
        before, path = stream.grant.ends_at, f"/api/grants/{bot.grant['id']}"
        if way == "shortened":
            changed = await carol.ask("PATCH", path, {"expires_in": "1h"})
        else:
            changed = await carol.ask("POST", f"{path}/renew", {"new_secret": True, "overlap": "1h"})
        assert changed.status == 200, changed.body
        await wait_until(lambda: stream.grant.ends_at < before)


@pytest.mark.parametrize("question", [(identity_queries, "load_access_changes"), (GrantReader, "reload")])
async def test_without_the_database_streams_end(
    question: tuple[object, str], carol: GrantOwner, bot: Program, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise DatabaseUnavailable(reason="it is stopped")

    async with hearing(bot.grant, service) as events:
        monkeypatch.setattr(*question, refuse)
        await carol.grant(bot.grant["credential_id"])  # a change, so that there is something to ask
        await events.rest()


async def test_without_its_watch_no_stream_begins(
    carol: GrantOwner, bot: Program, sandbox: Sandbox, start_service: StartService
) -> None:
    async with start_service() as other:
        await streams_of(other)._watch._stop()  # pyright: ignore[reportPrivateUsage]
        async with ClientSession(other.url, headers=key_headers(bot.grant)) as client, client.get(TRADES) as answer:
            assert answer.status == 500


async def test_streams_end_when_the_server_stops(bot: Program, start_service: StartService) -> None:
    async with AsyncExitStack() as stack:
        async with start_service() as other:
            events = await stack.enter_async_context(hearing(bot.grant, other))
        await events.rest()
