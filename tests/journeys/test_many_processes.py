"""Real processes with subscriptions to one account: what becomes of it when one of them is killed, stopped or ends."""

import asyncio
import signal
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from corral_sandbox import Sandbox
from tests.conftest import Faults
from tests.journeys.program import Running, free_port, running
from tests.people import Person
from tests.stream.sse_client import SseClient, listening_to
from tests.stream.test_feeds import handshakes
from tests.stream.trading import Trader, filled, filled_by_order, trader, trading_key
from tests.valkey.conftest import until
from tests.valkey.servers import Sentinel, Server

PATIENCE = 120.0


@pytest.fixture
def server(folder: Path) -> Generator[Server]:
    with Server("valkey", folder / "server") as server:
        yield server


@dataclass
class Fleet:
    settings: dict[str, str]
    stack: AsyncExitStack

    async def start(self) -> tuple[Running, str]:
        program = await self.stack.enter_async_context(running("serve", **self.settings, port=free_port()))
        return program, await program.url()

    async def listen(self, url: str, person: Person, last_event_id: str | None = None) -> SseClient:
        headers = {"Authorization": f"Bearer {person.token}"}
        session = await self.stack.enter_async_context(ClientSession(url, headers=headers))
        return await self.stack.enter_async_context(listening_to(session, last_event_id=last_event_id))


@pytest.fixture
async def fleet(
    against_sandbox: dict[str, str], on_the_runs_database: dict[str, str], server: Server
) -> AsyncGenerator[Fleet]:
    usual = {name: value for name, value in against_sandbox.items() if name != "port"}
    async with AsyncExitStack() as stack:
        yield Fleet(usual | on_the_runs_database | {"valkey_url": server.url}, stack)


@asynccontextmanager
async def trading(sandbox: Sandbox, person: Person) -> AsyncGenerator[tuple[str, dict[str, Any], Trader]]:
    key_id = await trading_key(sandbox)
    credential = await person.store(key_id)
    async with trader(sandbox, key_id) as somebody:
        yield key_id, credential, somebody


async def until_summed(sse: SseClient, credential: dict[str, Any], who: Trader) -> None:
    truth = filled(await who.orders())
    await sse.wait_for(lambda: filled_by_order(sse, credential["id"]) == truth, patience=PATIENCE)


async def ended_before_summed(sse: SseClient, credential: dict[str, Any], who: Trader) -> bool:
    """Waits until every fill is told or the stream has ended. Returns whether it ended first."""
    truth = filled(await who.orders())
    await sse.wait_for(
        lambda: sse.ended_at is not None or filled_by_order(sse, credential["id"]) == truth, patience=PATIENCE
    )
    return filled_by_order(sse, credential["id"]) != truth


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=lambda how: how.name)
async def test_another_process_takes_over_and_every_fill_is_told_once(
    fleet: Fleet, alice: Person, sandbox: Sandbox, how: signal.Signals
) -> None:
    first, first_url = await fleet.start()
    _, second_url = await fleet.start()
    async with trading(sandbox, alice) as (key_id, credential, her):
        ended = await fleet.listen(first_url, alice)
        await ended.until("position")
        stays = await fleet.listen(second_url, alice)
        await stays.until("position")
        resting = await her.rest(qty="0.004")
        await stays.until("order", id=resting["id"])
        await her.order(qty="0.001")
        await until_summed(stays, credential, her)
        assert await handshakes(sandbox, key_id) == 1
        await first.stop(how)
        await her.order(qty="0.002")
        await her.cancel(resting)
        await until_summed(stays, credential, her)
        await stays.until("order", id=resting["id"], status="canceled", patience=PATIENCE)
        back = await fleet.listen(second_url, alice, ended.last_id)
        await back.until("order", id=resting["id"], status="canceled")
        assert not stays.of("gap")
        assert not back.of("gap")
        assert "order_stream_taken" not in {event.data["code"] for event in stays.of("problem")}


async def test_a_process_that_was_stopped_for_a_while_neither_asks_nor_tells_anything_more(
    fleet: Fleet, alice: Person, sandbox: Sandbox, faults: Faults
) -> None:
    first, first_url = await fleet.start()
    _, second_url = await fleet.start()
    async with trading(sandbox, alice) as (key_id, credential, her):
        paused = await fleet.listen(first_url, alice)
        await paused.until("position")
        stays = await fleet.listen(second_url, alice)
        await stays.until("position")
        await her.order(qty="0.001")
        await until_summed(paused, credential, her)
        first.process.send_signal(signal.SIGSTOP)
        before = await faults.calls_of(key_id)
        async with asyncio.timeout(PATIENCE):  # the other one asks now
            while await faults.calls_of(key_id) < before + 3:  # noqa: ASYNC110 - the sandbox tells nobody
                await asyncio.sleep(0.1)
        await her.order(qty="0.002")
        await until_summed(stays, credential, her)
        first.process.send_signal(signal.SIGCONT)
        await her.order(qty="0.003")
        await until_summed(stays, credential, her)
        if await ended_before_summed(paused, credential, her):  # it was asking who may go on when it was stopped
            assert [event.data["code"] for event in paused.of("problem")][-1:] == ["database_unavailable"]
            back = await fleet.listen(first_url, alice, paused.last_id)
            back.heard[:0] = paused.heard
            await until_summed(back, credential, her)
            assert not back.of("gap")
        assert not stays.of("gap")
        assert not paused.of("gap")


async def test_without_valkey_each_process_goes_on_alone_and_afterwards_they_share_again(
    fleet: Fleet, alice: Person, bob: Person, sandbox: Sandbox, server: Server
) -> None:
    programs = [await fleet.start() for _ in range(2)]
    async with trading(sandbox, alice) as (key_id, credential, her):
        his = await bob.store(key_id)
        hers = await fleet.listen(programs[0][1], alice)
        await hers.until("position")
        bobs = await fleet.listen(programs[1][1], bob)
        await bobs.until("position")
        await her.order(qty="0.001")
        server.kill()
        for program, _ in programs:
            await program.logs("valkey_away")
        await her.order(qty="0.002")
        await until_summed(hers, credential, her)
        await until_summed(bobs, his, her)
        server.start()
        for program, _ in programs:
            await program.logs("valkey_back")
        await her.order(qty="0.003")
        await until_summed(hers, credential, her)
        await until_summed(bobs, his, her)
        before = await handshakes(sandbox, key_id)
        for number in range(3):  # also once they share again
            await asyncio.sleep(1)
            await her.order(qty=f"0.00{number + 1}")
            await until_summed(hers, credential, her)
            await until_summed(bobs, his, her)
        assert not hers.of("gap")
        assert not bobs.of("gap")
        assert await handshakes(sandbox, key_id) <= before + 1


async def test_streams_stay_open_over_a_fail_over_of_valkey_and_nothing_is_lost(
    fleet: Fleet, alice: Person, bob: Person, sandbox: Sandbox, folder: Path
) -> None:
    """The replica may have been behind. Then there is a gap, and after it the state."""
    with (
        Server("valkey", folder / "one") as primary,
        Server("valkey", folder / "two", replicaof=f"127.0.0.1 {primary.port}") as replica,
        Sentinel("valkey", folder / "sentinel", primary) as sentinel,
    ):
        await until(sentinel.knows_replica, "the Sentinel knows the replica")
        fleet.settings["valkey_url"] = sentinel.url
        programs = [await fleet.start() for _ in range(2)]
        async with trading(sandbox, alice) as (key_id, credential, her):
            his = await bob.store(key_id)
            hers = await fleet.listen(programs[0][1], alice)
            bobs = await fleet.listen(programs[1][1], bob)
            for sse in (hers, bobs):
                await sse.until("position")
            await her.order(qty="0.001")
            await until_summed(hers, credential, her)
            await until_summed(bobs, his, her)
            primary.kill()
            while replica.role() != b"master":
                await her.order(qty="0.0001")
                await asyncio.sleep(0.5)
            for program, _ in programs:
                await program.logs("valkey_back")
            for number in range(4):  # also once they share again
                await asyncio.sleep(1)
                await her.order(qty=f"0.00{number + 1}")
                await until_summed(hers, credential, her)
                await until_summed(bobs, his, her)
