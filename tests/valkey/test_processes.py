"""Three services on one database and one Valkey: Alpaca never has to say 429, and all go on when Valkey is gone."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

import pytest
from aiohttp import ClientSession

from corral_sandbox import Sandbox
from tests.conftest import Faults, Service, StartService
from tests.gateway.conftest import LIMIT_ORDER
from tests.grants.conftest import GrantOwner, carol
from tests.people import Person, make_person, paper_key
from tests.stream.trading import trading_key
from tests.valkey.conftest import until
from tests.valkey.servers import PATIENCE, Server

__all__ = ["carol"]  # a fixture

BURST = 320
KEEP_SECONDS = 60.0


@asynccontextmanager
async def three_services(
    start_service: StartService, server: Server, *, cache_seconds: float
) -> AsyncGenerator[list[Service]]:
    settings = {"valkey_url": server.url, "cache_seconds": cache_seconds, "upstream_timeout_seconds": 30}
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(start_service(**settings)) for _ in range(3)]


@pytest.fixture(name="three")
async def _three(start_service: StartService, server: Server, patient: None) -> AsyncGenerator[list[Service]]:
    """They share no answers, as none may be kept."""
    async with three_services(start_service, server, cache_seconds=0) as three:
        yield three


@pytest.fixture(name="three_that_keep")
async def _three_that_keep(start_service: StartService, server: Server, patient: None) -> AsyncGenerator[list[Service]]:
    async with three_services(start_service, server, cache_seconds=KEEP_SECONDS) as three:
        yield three


async def statuses_at_alpaca(sandbox: Sandbox, key_id: str) -> Counter[int | None]:
    async with ClientSession(sandbox.url) as client, client.get(f"/_requests/{key_id}") as answer:
        return Counter(item["status"] for item in (await answer.json())["items"])


async def statuses_of_burst(three: list[Service], alice: Person, credential_id: str) -> Counter[int]:
    headers = {"Authorization": f"Bearer {alice.token}"}
    statuses = Counter[int]()

    async def ask(number: int) -> None:
        kind = ("status=open", "status=closed", "status=all", "status=all&direction=asc")[number % 4]
        path = f"/api/credentials/{credential_id}/orders?limit={number // 4 + 1}&{kind}"  # no two share a call
        async with clients[number % 3].get(path) as answer:
            statuses[answer.status] += 1
            await answer.read()

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(ClientSession(service.url, headers=headers)) for service in three]
        await asyncio.gather(*(ask(number) for number in range(BURST)))
    return statuses


async def test_a_burst_on_three_gets_no_429_of_alpacas(three: list[Service], sandbox: Sandbox) -> None:
    key_id = paper_key()
    async with make_person(three[0], "alice") as alice:
        credential = await alice.store(key_id)
        before = await statuses_at_alpaca(sandbox, key_id)
        # What was asked to find out whose keys they are was counted for nobody yet.
        async with alice.client.get(f"/api/credentials/{credential['id']}/account-data") as answer:
            assert answer.status == 200
        statuses = await statuses_of_burst(three, alice, credential["id"])
    asked = await statuses_at_alpaca(sandbox, key_id) - before
    async with asyncio.timeout(PATIENCE):  # what is there is used up, and more if Alpaca's minute ended meanwhile
        while asked.total() + before.total() < 200:  # some are of requests that were refused meanwhile
            await asyncio.sleep(0.05)
            asked = await statuses_at_alpaca(sandbox, key_id) - before
    assert asked.keys() <= {200, None}, "None is for one that is not answered yet"
    assert statuses.keys() <= {200, 429}
    assert statuses.total() == BURST


async def test_without_valkey_meanwhile_no_request_fails(
    three: list[Service], alice: Person, server: Server, sandbox: Sandbox
) -> None:
    credential = await alice.store(key_id := paper_key())
    shared = [service.services.state["valkey"] for service in three]
    server.kill()
    await until(lambda: not any(valkey and valkey.is_here for valkey in shared), "away")
    headers = {"Authorization": f"Bearer {alice.token}"}
    for service in three:
        async with (
            ClientSession(service.url, headers=headers) as client,
            client.get(f"/api/credentials/{credential['id']}/account-data") as answer,
        ):
            assert answer.status == 200
    server.start()
    await until(lambda: all(valkey and valkey.is_here for valkey in shared), "back")
    assert (await statuses_at_alpaca(sandbox, key_id))[429] == 0


@pytest.mark.parametrize(
    "path", ["account-data", "positions", "orders?status=all", "activities", "portfolio-history?period=1M"]
)
async def test_many_reads_at_three_processes_are_one_call(
    three_that_keep: list[Service], alice: Person, faults: Faults, path: str
) -> None:
    credential = await alice.store(key_id := paper_key())
    headers = {"Authorization": f"Bearer {alice.token}"}
    upstream = {"activities": "/account/activities", "portfolio-history?period=1M": "/account/portfolio/history"}
    ending = upstream.get(path, "/account" if path == "account-data" else f"/{path.partition('?')[0]}")
    before = await faults.calls_of(key_id, ending)
    bodies = Counter[bytes]()

    async def ask(client: ClientSession) -> None:
        async with client.get(f"/api/credentials/{credential['id']}/{path}") as answer:
            assert answer.status == 200, await answer.text()
            bodies[await answer.read()] += 1

    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(ClientSession(service.url, headers=headers)) for service in three_that_keep
        ]
        for _ in range(2):
            await asyncio.gather(*(ask(client) for client in clients * 10))
    assert await faults.calls_of(key_id, ending) - before == 1
    assert list(bodies.values()) == [60]


async def test_an_order_at_one_process_is_seen_at_all_of_them(
    three_that_keep: list[Service], alice: Person, carol: GrantOwner, sandbox: Sandbox
) -> None:
    key_id = await trading_key(sandbox)
    credential = await alice.store(key_id)
    grant = await carol.grant(await carol.account(key_id), access="trade")
    keys = {"APCA-API-KEY-ID": grant["key_id"], "APCA-API-SECRET-KEY": grant["secret_key"]}
    headers = {"Authorization": f"Bearer {alice.token}"}
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(ClientSession(service.url, headers=headers)) for service in three_that_keep
        ]

        async def open_orders(client: ClientSession) -> list[str]:
            async with client.get(f"/api/credentials/{credential['id']}/orders?status=open") as answer:
                assert answer.status == 200, await answer.text()
                return [order["id"] for order in (await answer.json())["items"]]

        assert [await open_orders(client) for client in clients] == [[]] * 3
        async with (
            ClientSession(three_that_keep[0].url, headers=keys) as program,
            program.post("/alpaca/v2/orders", json=LIMIT_ORDER) as answer,
        ):
            assert answer.status == 200, await answer.text()
            placed = (await answer.json())["id"]
        async with asyncio.timeout(PATIENCE / 2):  # much less than answers are kept
            for client in clients:
                while await open_orders(client) != [placed]:  # noqa: ASYNC110 - the processes tell nobody
                    await asyncio.sleep(0.02)


async def test_no_process_keeps_an_answer_longer_than_the_one_that_asked(
    start_service: StartService, server: Server, patient: None, alice: Person
) -> None:
    credential, seconds = await alice.store(), 4.0
    headers = {"Authorization": f"Bearer {alice.token}"}
    async with three_services(start_service, server, cache_seconds=seconds) as three, AsyncExitStack() as stack:
        one, other, _ = [
            await stack.enter_async_context(ClientSession(service.url, headers=headers)) for service in three
        ]

        async def age(client: ClientSession) -> float:
            """How old its answer was already when it was asked for it."""
            asked_at = datetime.now(UTC)
            async with client.get(f"/api/credentials/{credential['id']}/account-data") as answer:
                updated = datetime.fromisoformat((await answer.json())["last_updated"])
            return (asked_at - updated).total_seconds()

        await age(one)
        await asyncio.sleep(seconds * 0.75)
        await age(other)
        await asyncio.sleep(seconds * 0.65)
        assert await age(other) <= seconds + 1
