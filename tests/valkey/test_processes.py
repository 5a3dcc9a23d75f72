"""Three services on one database and one Valkey: Alpaca never has to say 429, and all go on when Valkey is gone."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

import pytest
from aiohttp import ClientSession

from corral_sandbox import Sandbox
from tests.conftest import Service, StartService
from tests.people import Person, make_person, paper_key
from tests.valkey.conftest import until
from tests.valkey.servers import PATIENCE, Server

BURST = 320


@pytest.fixture(name="three")
async def _three(start_service: StartService, server: Server, patient: None) -> AsyncGenerator[list[Service]]:
    async with AsyncExitStack() as stack:
        settings = {"valkey_url": server.url, "cache_seconds": 0, "upstream_timeout_seconds": 30}
        yield [await stack.enter_async_context(start_service(**settings)) for _ in range(3)]


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
