"""One process after the other is replaced, behind a balancer that never tries a request again."""

import asyncio
import itertools
import signal
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientError, ClientSession, TCPConnector

from corral_sandbox import Sandbox
from tests.journeys.program import PATIENCE, Running, free_port, running
from tests.journeys.proxies import Proxy, haproxy
from tests.machine import HAPROXY, OPENSSL
from tests.people import Person
from tests.stream.sse_client import Event, listening_to
from tests.stream.trading import Trader, filled, filled_by_order, trader, trading_key
from tests.valkey.servers import Server

pytestmark = [HAPROXY.mark, OPENSSL.mark]
CLIENTS = 4
PAGES = 3


# Instead of what is printed on the page.
NEVER_AGAIN = {"option redispatch": "retries 0"}
IN_TURN = {"balance source": "balance roundrobin", "hash-type consistent": ""}
PATIENTLY = {"timeout connect 2s": "timeout connect 30s\n    timeout check 30s"}  # a busy machine is not an outage


@dataclass
class Load:
    """What is asked until it `is_over`. `failures` are the requests that were not answered well."""

    site: Proxy
    token: str
    credential_id: str
    answers: int = 0
    failures: list[str] = field(default_factory=list[str])
    is_over: bool = False

    def client(self) -> ClientSession:
        headers = {"Authorization": f"Bearer {self.token}"}
        return ClientSession(self.site.url, headers=headers, connector=TCPConnector(ssl=self.site.trust))

    async def ask_on(self) -> None:
        paths = ["/api/me", f"/api/credentials/{self.credential_id}/account-data", "/api/credentials"]
        async with self.client() as client:
            for path in itertools.takewhile(lambda _: not self.is_over, itertools.cycle(paths)):
                try:
                    async with client.get(path) as answer:
                        text = await answer.text()
                        if answer.status != 200:
                            self.failures.append(f"{path}: {answer.status} {text}")
                except ClientError as error:
                    self.failures.append(f"{path}: {error!r}")
                self.answers += 1
                await asyncio.sleep(0.02)

    async def more(self) -> None:
        enough = self.answers + 20 * CLIENTS
        async with asyncio.timeout(PATIENCE):
            while self.answers < enough:  # noqa: ASYNC110 - a plain number
                await asyncio.sleep(0.05)


@dataclass
class Page:
    """When its stream ends it opens another one, and goes on with the id of the last event."""

    load: Load
    heard: list[Event] = field(default_factory=list[Event])
    streams: int = 0

    async def read_on(self) -> None:
        while not self.load.is_over:
            last_id = next((event.id for event in reversed(self.heard) if event.id), None)
            try:
                async with self.load.client() as client, listening_to(client, last_event_id=last_id) as sse:
                    sse.heard = self.heard
                    self.streams += 1
                    await sse.until_end(patience=10 * PATIENCE)
            except (ClientError, AssertionError) as refused:
                self.load.failures.append(f"/api/stream: {refused!r}")
                await asyncio.sleep(0.2)

    async def until_all_told(self, who: Trader) -> None:
        async with asyncio.timeout(PATIENCE):
            while filled(await who.orders()) != filled_by_order(self, self.load.credential_id):  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    def of(self, kind: str, **fields: object) -> list[Event]:
        return [event for event in self.heard if event.kind == kind and fields.items() <= event.data.items()]


async def test_replacing_one_process_after_the_other_costs_no_request_and_no_event(
    folder: Path,
    against_sandbox: dict[str, str],
    on_the_runs_database: dict[str, str],
    alice: Person,
    sandbox: Sandbox,
) -> None:
    site = Proxy(folder / "proxy", [free_port(), free_port()])
    key_id = await trading_key(sandbox)
    load = Load(site, alice.token, (await alice.store(key_id))["id"])
    pages = [Page(load) for _ in range(PAGES)]
    async with AsyncExitStack() as stack:
        shared = stack.enter_context(Server("valkey", folder / "valkey"))
        settings: dict[str, Any] = {
            **against_sandbox,
            **on_the_runs_database,
            "public_url": site.url,
            "trusted_proxies": "127.0.0.1",
            "valkey_url": shared.url,
            "drain_seconds": 5,
            "cache_seconds": 60,  # with answers kept, the load does not meet Alpaca's limit
        }

        async def start(port: int) -> Running:
            one = await stack.enter_async_context(running("serve", **settings | {"port": port}))
            await one.url()
            return one

        replicas = [await start(port) for port in site.replicas]
        await stack.enter_async_context(haproxy(site, **NEVER_AGAIN, **IN_TURN, **PATIENTLY))
        her = await stack.enter_async_context(trader(sandbox, key_id))
        async with asyncio.TaskGroup() as tasks:
            askers = [tasks.create_task(load.ask_on()) for _ in range(CLIENTS)]
            for page in pages:
                tasks.create_task(page.read_on())
            async with asyncio.timeout(PATIENCE):
                while not all(page.of("position") for page in pages):  # noqa: ASYNC110 - plain lists
                    await asyncio.sleep(0.1)
            for number, port in enumerate(site.replicas):
                await load.more()
                replicas[number].process.send_signal(signal.SIGTERM)
                while replicas[number].process.returncode is None:
                    await her.order(qty="0.0001")
                    await asyncio.sleep(0.4)
                assert await replicas[number].ends() == 0
                replicas[number] = await start(port)
                await until_used(replicas[number])
                await her.order(qty="0.001")
                for page in pages:
                    await page.until_all_told(her)
            load.is_over = True
            await asyncio.wait(askers)
            for replica in replicas:
                replica.process.send_signal(signal.SIGTERM)  # which ends the streams
            assert [await replica.ends() for replica in replicas] == [0, 0]
    assert load.failures == []
    for page in pages:
        assert page.streams >= 2
        assert not page.of("gap")


async def until_used(replica: Running) -> None:
    async with asyncio.timeout(PATIENCE):
        while '"/api/me"' not in replica.err:  # noqa: ASYNC110 - the balancer has to see it
            await asyncio.sleep(0.1)
