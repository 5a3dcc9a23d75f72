"""Whatever happens to processes, to Valkey and to the network: each fill is told once to a reader without a gap.

It may go on for longer: `pytest tests/journeys/test_random_processes.py --random-minutes 10`.
"""

import asyncio
import random
import signal
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from aiohttp import ClientError, ClientSession

from corral.database.embedded.instance import EmbeddedDatabase
from corral_sandbox import Sandbox
from tests.cables import Cable, cable_to_database, cable_to_port
from tests.conftest import Faults
from tests.journeys.program import Running, free_port, running
from tests.people import Person
from tests.stream.sse_client import Event, listening_to
from tests.stream.trading import Trader, filled, trader, trading_key
from tests.valkey.servers import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

PROCESSES = 3
USUAL_MINUTES = 0.4
PATIENCE = 240.0


@dataclass
class Process:
    """One that runs, over cables of its own."""

    program: Running
    url: str
    database: Cable
    valkey: Cable
    stack: AsyncExitStack


@dataclass
class Processes:
    """Those that run. One that is killed is replaced."""

    settings: dict[str, str]
    postgres: EmbeddedDatabase
    server: Server
    running: list[Process] = field(default_factory=list[Process])

    async def start(self) -> None:
        stack = AsyncExitStack()
        database, dsn = await stack.enter_async_context(cable_to_database(self.postgres))
        valkey = await stack.enter_async_context(cable_to_port(self.server.port))
        own = {"port": free_port(), "database_url": dsn, "valkey_url": f"valkey://127.0.0.1:{valkey.port}"}
        program = await stack.enter_async_context(running("serve", **self.settings | own))
        self.running.append(Process(program, await program.url(), database, valkey, stack))

    async def replace(self, how: signal.Signals) -> None:
        chosen = random.choice(self.running)
        self.running.remove(chosen)
        await chosen.program.stop(how)
        await chosen.stack.aclose()
        await self.start()

    async def pause(self) -> None:
        process = random.choice(self.running).program.process
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(random.uniform(0.5, 6))
        process.send_signal(signal.SIGCONT)

    async def part(self, *names: Literal["database", "valkey"]) -> None:
        """One process has no network to these for a while: either nothing arrives, or connections are reset."""
        chosen, is_cut = random.choice(self.running), random.choice([True, False])
        cables = [getattr(chosen, name) for name in names]
        for cable in cables:
            (cable.cut if is_cut else cable.pull)()
        await asyncio.sleep(random.uniform(0.5, 8))
        for cable in cables:
            cable.mend()

    async def end(self) -> None:
        for process in self.running:
            process.program.process.send_signal(signal.SIGCONT)
            await process.stack.aclose()


@dataclass
class Reader:
    """Goes from one process to another, and goes on with the id of the last event."""

    person: Person
    credential_id: str
    processes: Processes
    last_id: str | None = None
    gap_at: float = 0.0  # what was told until then does not count
    told: dict[str, Decimal] = field(default_factory=dict[str, Decimal])

    async def read(self) -> None:
        headers = {"Authorization": f"Bearer {self.person.token}"}
        while True:
            url = random.choice(self.processes.running).url
            try:
                async with asyncio.timeout(random.uniform(3, 15)), ClientSession(url, headers=headers) as session:
                    await self._listen(session)
            except (ClientError, OSError, AssertionError):  # gone, or about to stop
                await asyncio.sleep(0.2)

    async def _listen(self, session: ClientSession) -> None:
        async with listening_to(session, last_event_id=self.last_id) as sse:
            taken = 0
            while sse.ended_at is None or taken < len(sse.heard):
                for event in sse.heard[taken:]:
                    taken += 1
                    self._take(event)
                await asyncio.sleep(0.02)

    def _take(self, event: Event) -> None:
        self.last_id = event.id or self.last_id
        if event.kind == "gap":
            self.gap_at = time.monotonic()
        if event.kind == "order":
            order = event.data["id"]
            before = Decimal(0) if event.data["event"] == "state" else self.told.get(order, Decimal(0))
            self.told[order] = before + Decimal(event.data["filled_since"])


@pytest.fixture
def server(folder: Path) -> Server:
    return Server("valkey", folder / "server")


async def test_what_is_told_adds_up_whatever_happens(
    against_sandbox: dict[str, str],
    on_the_runs_database: dict[str, str],
    postgres: EmbeddedDatabase,
    server: Server,
    alice: Person,
    bob: Person,
    sandbox: Sandbox,
    faults: Faults,
    request: pytest.FixtureRequest,
) -> None:
    minutes: float = request.config.getoption("--random-minutes") or USUAL_MINUTES
    usual = {name: value for name, value in against_sandbox.items() if name != "port"}
    processes = Processes(usual | on_the_runs_database, postgres, server)
    key_id = await trading_key(sandbox)
    ids = [(person, (await person.store(key_id))["id"]) for person in (alice, bob)]
    readers = [Reader(person, credential_id, processes) for person, credential_id in ids for _ in range(2)]
    tasks: list[asyncio.Task[None]] = []
    with server:
        try:
            for _ in range(PROCESSES):
                await processes.start()
            tasks += [asyncio.create_task(reader.read()) for reader in readers]
            async with trader(sandbox, key_id) as somebody:
                await until_all_hear(readers, somebody)
                began, calls = time.monotonic(), await faults.calls_of(key_id)
                placed: dict[str, float] = {}
                trading = asyncio.create_task(trade(somebody, placed, until=began + 60 * minutes))
                done = await happen(processes, server, until=began + 60 * minutes)
                await trading
                await settle(readers, somebody, placed, done)
                asked, seconds = await faults.calls_of(key_id) - calls, time.monotonic() - began
                assert asked <= 200 * (seconds / 60 + 1), done
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await processes.end()


async def until_all_hear(readers: list[Reader], who: Trader) -> None:
    """Places orders until everybody has heard of one: from then on nothing may be missed."""
    async with asyncio.timeout(PATIENCE):
        while not all(reader.told for reader in readers):
            await who.order(qty="0.0001")
            await asyncio.sleep(1)
    known = await who.orders()
    who.before.update(known)


async def trade(who: Trader, placed: dict[str, float], *, until: float) -> None:
    while time.monotonic() < until:
        now = time.monotonic()
        bought, resting = await who.order(qty=f"0.000{random.randint(1, 9)}"), await who.rest(qty="0.001")
        placed |= {bought["id"]: now, resting["id"]: now}
        await asyncio.sleep(random.uniform(1, 3))  # their calls count, too
        await who.cancel(resting)


async def happen(processes: Processes, server: Server, *, until: float) -> list[str]:
    async def restart_valkey() -> None:
        server.kill()
        await asyncio.sleep(random.uniform(0.1, 5))
        server.start()

    async def freeze_valkey() -> None:
        server.freeze()
        await asyncio.sleep(random.uniform(0.1, 5))
        server.thaw()

    possible: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
        "kill": lambda: processes.replace(signal.SIGKILL),
        "end": lambda: processes.replace(signal.SIGTERM),
        "pause": processes.pause,
        "part from the database": lambda: processes.part("database"),
        "part from valkey": lambda: processes.part("valkey"),
        "part from both": lambda: processes.part("database", "valkey"),
        "restart valkey": restart_valkey,
        "freeze valkey": freeze_valkey,
    }
    done: list[str] = []
    while time.monotonic() < until:
        done.append(random.choice(list(possible)))
        await possible[done[-1]]()
        await asyncio.sleep(random.uniform(0, 4))
    return done


async def settle(readers: list[Reader], who: Trader, placed: dict[str, float], done: list[str]) -> None:
    """Waits for what is still under way."""
    truth: dict[str, Decimal] = {}
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                truth = filled(await who.orders())
                if not any(differences(reader, truth, placed) for reader in readers):
                    return
                await asyncio.sleep(1)
    except TimeoutError:
        wrong = [differences(reader, truth, placed) for reader in readers]
        pytest.fail(f"after {done}: {wrong}")


def differences(
    reader: Reader, truth: dict[str, Decimal], placed: dict[str, float]
) -> dict[str, tuple[Decimal | None, Decimal]]:
    """What was told and what is true, of the orders since the reader's last gap."""
    return {
        order: (reader.told.get(order), is_filled)
        for order, is_filled in truth.items()
        if placed[order] > reader.gap_at and reader.told.get(order) != is_filled
    }
