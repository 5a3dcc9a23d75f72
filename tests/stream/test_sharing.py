"""Several processes with subscriptions to one account: one of them watches it, and all tell the same."""

import asyncio
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import asyncpg
import pytest
from aiohttp import ClientSession

from corral.stream import told
from corral.stream.events import LogPosition, event_id_of, joined, place_of, places_in
from corral.stream.feed import Feed
from corral.valkey import client as valkey_client
from corral_sandbox import Sandbox
from tests.conftest import Faults, Service, StartService
from tests.people import Person
from tests.stream.sse_client import SseClient, listening_to, wait_until
from tests.stream.test_feeds import handshakes
from tests.stream.trading import filled, filled_by_order, trader, trading_key
from tests.valkey.servers import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    """The journeys do the same with Valkey, and test_lease.py and test_account_log.py run every script on both."""
    with Server("redis", tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
def patient_clients() -> Generator[None]:
    """A busy machine is not an outage."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(valkey_client, "LIMIT_SECONDS", 30.0)
        yield


@pytest.fixture
async def pair(start_service: StartService, server: Server) -> AsyncGenerator[tuple[Service, Service]]:
    async with start_service(valkey_url=server.url) as one, start_service(valkey_url=server.url) as other:
        yield one, other


def feed_of(service: Service, key: dict[str, str]) -> Feed | None:
    feeds = service.services.state["stream"].feeds._feeds.values()  # pyright: ignore[reportPrivateUsage]
    ids = [(feed, {str(each.credential.stored.id) for each in feed.members}) for feed in feeds]
    return next((feed for feed, members in ids if key["id"] in members), None)


def watches(service: Service, credential: dict[str, str]) -> bool:
    feed = feed_of(service, credential)
    return feed is not None and feed.watch is not None


@asynccontextmanager
async def at(
    service: Service, person: Person, last_event_id: str | None = None, *, query: str = ""
) -> AsyncGenerator[SseClient]:
    headers = {"Authorization": f"Bearer {person.token}"}
    async with (
        ClientSession(service.url, headers=headers) as session,
        listening_to(session, query, last_event_id=last_event_id) as sse,
    ):
        yield sse


async def test_one_process_watches_and_all_hear_every_event_once(
    pair: tuple[Service, Service], alice: Person, sandbox: Sandbox
) -> None:
    one, other = pair
    key_id = await trading_key(sandbox)
    credential = await alice.store(key_id)
    async with trader(sandbox, key_id) as her, at(one, alice) as first, at(other, alice) as second:
        await first.until("position")
        await second.until("position")
        assert [watches(service, credential) for service in pair].count(True) == 1
        for number in range(4):
            await her.order(qty=f"0.00{number + 1}")
        waiting = await her.rest()
        await her.cancel(waiting)
        truth = await her.orders()
        for sse in (first, second):
            await sse.wait_for(lambda sse=sse: filled_by_order(sse, credential["id"]) == filled(truth))
            await sse.until("order", id=waiting["id"], status="canceled")
            assert not sse.of("gap")
            assert not sse.of("problem")
        assert [event.data["id"] for event in first.of("order")] == [event.data["id"] for event in second.of("order")]
        assert await handshakes(sandbox, key_id) == 1


async def test_when_the_last_watcher_of_the_one_leaves_the_other_takes_over_and_no_fill_is_lost_or_told_twice(
    pair: tuple[Service, Service], alice: Person, bob: Person, sandbox: Sandbox
) -> None:
    one, other = pair
    key_id = await trading_key(sandbox)
    credential = await alice.store(key_id)
    bobs = await bob.store(key_id)
    async with trader(sandbox, key_id) as her, at(other, bob) as second:
        await second.until("position")
        async with at(one, alice) as first:
            await first.until("position")
            assert watches(other, bobs)
            resting = await her.rest(qty="0.005")
            await second.until("order", id=resting["id"])
            await first.until("order", id=resting["id"])
            for service in (other,):
                feed = feed_of(service, bobs)
                assert feed is not None
            await her.order(qty="0.002")
            await second.wait_for(lambda: len(filled_by_order(second, bobs["id"])) == 2)
            second.answer.close()
            await wait_until(lambda: watches(one, credential))
            await her.order(qty="0.003")
            await her.cancel(resting)
            truth = await her.orders()
            await first.wait_for(lambda: filled_by_order(first, credential["id"]) == filled(truth))
            await first.until("order", id=resting["id"], status="canceled")
            assert not first.of("gap")
            assert "order_stream_taken" not in {event.data["code"] for event in first.of("problem")}


async def test_streams_lose_no_order_when_valkey_has_forgotten_everything(
    pair: tuple[Service, Service], alice: Person, sandbox: Sandbox, server: Server
) -> None:
    """As after a restart, or a fail-over to a replica without the last writes: there is a gap, and then the state."""
    key_id = await trading_key(sandbox)
    credential = await alice.store(key_id)
    async with trader(sandbox, key_id) as her, at(pair[0], alice) as first, at(pair[1], alice) as second:
        await first.until("position")
        await second.until("position")
        for _ in range(3):
            server.ask("FLUSHALL")
            for _ in range(2):
                await her.order(qty="0.001")
            waiting = await her.rest()
            await her.order(qty="0.002")
            truth = filled(await her.orders())
            for sse in (first, second):
                await sse.wait_for(lambda sse=sse, truth=truth: filled_by_order(sse, credential["id"]) == truth)
                await sse.until("order", id=waiting["id"])
        assert not first.of("problem")
        assert not second.of("problem")


async def test_a_process_whose_keys_are_refused_leaves_the_account_to_another(
    pair: tuple[Service, Service], alice: Person, bob: Person, sandbox: Sandbox, owner: asyncpg.Connection
) -> None:
    key_id = await trading_key(sandbox)
    credential, bobs = await alice.store(key_id), await bob.store(key_id)
    async with trader(sandbox, key_id) as her, at(pair[0], alice) as first:
        await first.until("position")
        async with at(pair[1], bob) as second:
            await second.until("position")
            assert watches(pair[0], credential)
            marked = "UPDATE corral.credentials SET refused_at = now() WHERE id = $1"
            await owner.execute(marked, UUID(credential["id"]))
            await first.until("problem", code="credential_refused", resolved=False)
            await wait_until(lambda: watches(pair[1], bobs))
            known = len(first.of("order"))
            placed = await her.order()
            await second.until("order", id=placed["id"], status="filled")
            assert len(first.of("order")) == known
            assert not second.of("gap")


async def test_calls_to_alpaca_do_not_grow_with_the_processes(
    pair: tuple[Service, Service], alice: Person, sandbox: Sandbox, faults: Faults
) -> None:
    key_id = await trading_key(sandbox)
    await alice.store(key_id)
    async with at(pair[0], alice) as first, at(pair[1], alice) as second:
        await first.until("position")
        await second.until("position")
        before, began = await faults.calls_of(key_id), asyncio.get_running_loop().time()
        await asyncio.sleep(6)
        calls, seconds = await faults.calls_of(key_id) - before, asyncio.get_running_loop().time() - began
        assert 2 <= calls <= seconds + 1


async def test_positions_that_somebody_looks_at_by_another_process_are_asked_for(
    pair: tuple[Service, Service], alice: Person, sandbox: Sandbox, faults: Faults
) -> None:
    """While nobody looks at them anywhere, they are asked for every 30 seconds."""
    key_id = await trading_key(sandbox)
    credential = await alice.store(key_id)
    async with at(pair[0], alice, query="?events=account-data") as first:
        await first.until("account-data")
        await wait_until(lambda: watches(pair[0], credential))
        async with at(pair[1], alice) as second:
            await second.until("position")
            asked = await faults.calls_of(key_id, "/v2/positions")
            async with asyncio.timeout(60):
                while await faults.calls_of(key_id, "/v2/positions") < asked + 4:  # noqa: ASYNC110 - in the sandbox
                    await asyncio.sleep(0.1)
            assert watches(pair[0], credential)
        assert not first.of("position")
        feed = feed_of(pair[0], credential)
        assert feed is not None
        wanted = feed._subscriptions.want_positions  # pyright: ignore[reportPrivateUsage]
        await wait_until(lambda: not wanted())


async def test_a_stream_that_resumes_at_another_process_is_told_what_it_selects(
    pair: tuple[Service, Service], alice: Person, sandbox: Sandbox
) -> None:
    key_id = await trading_key(sandbox)
    credential = await alice.store(key_id)
    selected, paused = f"?events=order&credential_ids={credential['id']}", uuid4()
    async with trader(sandbox, key_id) as her, at(pair[0], alice) as watcher:
        await watcher.until("position")
        async with at(pair[0], alice, query=selected) as first:
            last_id = await id_with_a_position(first)
        placed = await her.order(qty="0.002")
        await watcher.until("order", id=placed["id"], status="filled")
        async with at(pair[1], alice, last_id, query=f"{selected},{paused}") as second:
            await second.until("order", id=placed["id"], status="filled")
            await second.until("heartbeat")
            (problem,) = second.of("problem")
            assert (problem.data["code"], problem.data["credential_id"]) == ("credential_inactive", str(paused))
            assert not second.of("gap")
            assert {event.kind for event in second.heard} == {"order", "problem", "heartbeat"}


async def test_a_stream_resumes_at_another_process_and_is_told_everything_once(
    pair: tuple[Service, Service], alice: Person, sandbox: Sandbox
) -> None:
    """Also at one to which its user was not connected, and also orders of the time in between."""
    one, other = pair
    key_id = await trading_key(sandbox)
    credential = await alice.store(key_id)
    async with trader(sandbox, key_id) as her, at(one, alice) as watcher:
        await watcher.until("position")
        async with at(one, alice) as first:
            resting = await her.rest(qty="0.005")
            await first.until("order", id=resting["id"])
        await her.order(qty="0.002")
        await her.cancel(resting)
        await watcher.until("order", id=resting["id"], status="canceled")
        async with at(other, alice, first.last_id) as second:
            await second.until("order", id=resting["id"], status="canceled")
            await her.order(qty="0.003")
            truth = await her.orders()
            await second.wait_for(lambda: filled_by_both(first, second, credential["id"]) == filled(truth))
            await second.until("heartbeat")
            assert not second.of("gap")
            events = [(event.data["id"], event.data["status"]) for sse in (first, second) for event in sse.of("order")]
            assert len(set(events)) == len(events)
        async with at(one, alice, second.last_id) as third:  # and back, where nothing has happened
            await third.until("heartbeat")
            assert not third.of("gap")
            assert not third.of("order")


def filled_by_both(first: SseClient, second: SseClient, credential_id: str) -> dict[str, Decimal]:
    both = SseClient(first.answer, heard=[*first.heard, *second.heard])
    return filled_by_order(both, credential_id)


async def test_a_stream_may_be_interrupted_while_it_is_told_what_it_missed(
    pair: tuple[Service, Service], alice: Person, sandbox: Sandbox
) -> None:
    one, other = pair
    key_id = await trading_key(sandbox)
    await alice.store(key_id)
    async with trader(sandbox, key_id) as her, at(one, alice) as watcher:
        await watcher.until("position")
        async with at(one, alice) as first:
            await first.until("heartbeat")
        orders = [await her.rest() for _ in range(3)]
        for order in orders:
            await watcher.until("order", id=order["id"])
        async with at(other, alice, first.last_id) as second:
            await second.until("order", id=orders[-1]["id"])
        missed = second.of("order")
        assert {event.data["id"] for event in missed} == {order["id"] for order in orders}
        async with at(other, alice, missed[0].id) as third:
            await third.wait_for(lambda: len(third.of("order")) == len(missed) - 1)
            assert [event.data for event in third.of("order")] == [
                event.data | {"sequence": again.data["sequence"]}
                for event, again in zip(missed[1:], third.of("order"), strict=True)
            ]
            assert not third.of("gap")


async def test_an_id_with_two_hundred_accounts_is_taken(pair: tuple[Service, Service], alice: Person) -> None:
    credential = await alice.store()
    async with at(pair[0], alice) as first:
        await first.until("account-data")
        others = [place_of(uuid4(), LogPosition(2**50, number)) for number in range(199)]
        event_id = await id_with_a_position(first)
        async with at(pair[1], alice, event_id + joined(others)) as second:
            await second.until("heartbeat")
            assert not second.of("gap")
            assert credential["id"] in {event.data["credential_id"] for event in first.heard}


async def id_with_a_position(sse: SseClient) -> str:
    await sse.wait_for(lambda: bool(sse.last_id and places_in(sse.last_id)))
    assert sse.last_id is not None
    return sse.last_id


async def test_a_position_that_the_log_does_not_have_is_a_gap_of_its_account(
    pair: tuple[Service, Service], alice: Person
) -> None:
    credential = await alice.store()
    async with at(pair[0], alice) as first:
        await first.until("account-data")
        for position in (LogPosition(1, 1), LogPosition(2**50, 7)):
            forged = event_id_of("0" * 16, 1, place_of(UUID(credential["id"]), position))
            async with at(pair[1], alice, forged) as second:
                gap = await second.until("gap")
                assert gap.data["credential_id"] == credential["id"]
                await second.until("account-data", credential_id=credential["id"])


async def test_the_state_after_such_a_gap_has_all_orders_that_ended_since_the_position(
    pair: tuple[Service, Service], alice: Person, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_id = await trading_key(sandbox)
    credential = await alice.store(key_id)
    async with trader(sandbox, key_id) as her, at(pair[0], alice) as first:
        await first.until("account-data")
        done = await her.order()
        await first.until("order", id=done["id"], status="filled")
        monkeypatch.setattr(told, "RECENTLY", timedelta(hours=-1))  # as if all of this had happened long ago
        for hours, is_told in ((2, True), (0, False)):
            position = LogPosition(int((time.time() - 3600 * hours) * 1e6), 2**20)
            known = event_id_of("0" * 16, 1, place_of(UUID(credential["id"]), position))
            async with at(pair[1], alice, known) as second:
                await second.until("heartbeat")
                assert second.of("gap", credential_id=credential["id"])
                assert bool(second.of("order", id=done["id"], event="state")) == is_told


async def test_who_comes_back_before_the_account_is_watched_is_told_those_orders_at_every_process(
    pair: tuple[Service, Service], alice: Person, sandbox: Sandbox, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(told, "RECENTLY", timedelta(hours=-1))
    key_id = await trading_key(sandbox)
    credential = await alice.store(key_id)
    known = event_id_of("0" * 16, 1, place_of(UUID(credential["id"]), LogPosition(int((time.time() - 7200) * 1e6), 1)))
    async with trader(sandbox, key_id) as her:
        done = await her.order()
        await faults.set(key_id, method="GET", path="/v2/orders", latency_ms=500)
        async with at(pair[0], alice, known) as first, at(pair[1], alice, known) as second:
            for one in (first, second):
                await one.until("order", id=done["id"], event="state")
            await asyncio.sleep(0.5)
            assert [len(one.of("order", id=done["id"])) for one in (first, second)] == [1, 1]
