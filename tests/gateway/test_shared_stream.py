"""Sockets of programs at several processes that share feeds over Valkey: one connection to Alpaca serves them all."""

from collections.abc import AsyncGenerator, Generator

import pytest
from aiohttp import ClientSession, DummyCookieJar

from corral.stream import lease
from corral.valkey import client as valkey_client
from corral_sandbox import Sandbox
from tests.conftest import Faults, Service, StartService
from tests.gateway.conftest import Program
from tests.gateway.test_trade_stream import hearing
from tests.grants.conftest import GrantOwner
from tests.stream.sse_client import listening_to
from tests.stream.trading import Trader, trader
from tests.valkey.servers import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    with Server("valkey", tmp_path_factory.mktemp("server")) as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(valkey_client, "LIMIT_SECONDS", 30.0)  # a busy machine is not an outage
        yield server


@pytest.fixture
async def pair(
    start_service: StartService, server: Server, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[tuple[Service, Service]]:
    monkeypatch.setattr(lease, "LEASE_SECONDS", 30.0)  # on a busy machine, too, the one with the socket keeps it
    async with start_service(valkey_url=server.url) as one, start_service(valkey_url=server.url) as other:
        yield one, other


@pytest.fixture
async def trades(bot: Program, sandbox: Sandbox) -> AsyncGenerator[Trader]:
    """The account's owner, at Alpaca itself."""
    async with trader(sandbox, bot.key_id) as her:
        yield her


async def test_sockets_at_two_processes_hear_the_frames_of_one_connection(
    bot: Program, trades: Trader, pair: tuple[Service, Service], faults: Faults
) -> None:
    async with hearing(bot.grant, pair[0]) as first, hearing(bot.grant, pair[1]) as second:
        placed = await trades.order()
        for line in (first, second):
            await line.until("fill", placed)
            assert line.told(placed) == ["pending_new", "new", "fill"]
        assert first.heard == second.heard
    assert await faults.calls_of(bot.key_id, "/stream") == 1


async def test_a_page_at_another_process_than_the_one_with_a_socket_gets_its_positions(
    bot: Program, trades: Trader, pair: tuple[Service, Service], carol: GrantOwner
) -> None:
    """The process that watches the account for a socket alone polls it for the page."""
    async with (
        hearing(bot.grant, pair[0]) as line,
        ClientSession(pair[1].url, headers=carol.page.headers, cookie_jar=DummyCookieJar()) as page,
        listening_to(page) as sse,
    ):
        await sse.until("account-data", credential_id=bot.grant["credential_id"])
        placed = await trades.order()
        await line.until("fill", placed)
        await sse.until("order", id=placed["id"], status="filled")
        await sse.until("position", symbol="BTCUSD")
        assert not sse.of("gap"), "the process with the socket has polled, and not this one after taking over"
