"""Many readers, slow readers, readers that go; and what one person's streams mean to others."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import psutil

from corral.stream.events import Kind, StreamEvent
from corral.stream.hub import Hub
from corral_sandbox import Sandbox
from tests.conftest import Faults, Service, StartService
from tests.log_lines import LogSince
from tests.people import Person, make_person, paper_key
from tests.stream.sse_client import listening_to, wait_until
from tests.stream.trading import trader, trading_key

EVENT_BYTES = 40_000
_STATE = b'"event":"new","status":"new","filled_qty":"0"'
FLOOD_BYTES = 96 * 1024 * 1024  # many times what a hub keeps for everybody and a system for a connection


def hub_of(service: Service, person: Person) -> Hub:
    return next(hub for hub in service.services.state["stream"].hubs if hub.user_id == person.user_id)


async def test_many_tabs_and_people_cost_one_call_for_each_account_and_interval(
    service: Service, alice: Person, bob: Person, faults: Faults
) -> None:
    """Alice and bob have stored the same pair of keys."""
    key_id = paper_key()
    await alice.store(key_id)
    await bob.store(key_id)
    async with AsyncExitStack() as stack:
        before, began = await faults.calls_of(key_id), asyncio.get_running_loop().time()
        tabs = [await stack.enter_async_context(listening_to(person.client)) for person in [alice, bob] * 10]
        for sse in tabs:
            await sse.until("account-data")
        await asyncio.sleep(6)
        calls, seconds = await faults.calls_of(key_id) - before, asyncio.get_running_loop().time() - began
        assert len(service.services.state["stream"].feeds) == 1
    connections = 1  # the socket's is counted, too
    assert 3 <= calls - connections <= seconds / 1.0 + 1


async def test_a_client_that_does_not_read_gets_a_gap_and_takes_no_memory(
    service: Service, alice: Person, bob: Person
) -> None:
    credential = await alice.store()
    address = urlsplit(service.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=2**14)
    request = f"GET /api/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {alice.token}\r\n\r\n"
    writer.write(request.encode())
    async with listening_to(alice.client) as sse, listening_to(bob.client) as bobs:
        await sse.until("account-data")
        hub, memory = hub_of(service, alice), psutil.Process().memory_info().rss
        (subscription,) = hub._subscriptions.values()  # pyright: ignore[reportPrivateUsage]  # to tell more than an account could
        reported = 0
        while reported * EVENT_BYTES < FLOOD_BYTES:
            for _ in range(8):
                reported += 1
                subscription.publish(
                    StreamEvent(Kind.ORDER, b'{"id":"%d",%b,"padding":"%b"}' % (reported, _STATE, b"x" * EVENT_BYTES))
                )
            await sse.until("order", id=str(reported))
            for event in sse.heard:  # or the reader of this test would be what takes the memory
                event.data.pop("padding", None)
        assert not sse.of("gap")
        assert [event.data["id"] for event in sse.of("order")] == [str(number + 1) for number in range(reported)]
        assert psutil.Process().memory_info().rss - memory < FLOOD_BYTES / 3
        assert not bobs.of("order")
        async with asyncio.timeout(60):
            text = b""
            while b"event: gap" not in text[-200_000:]:
                text += await reader.read(2**16)
            while b"event: heartbeat" not in text[text.rindex(b"event: gap") :]:
                text += await reader.read(2**16)
        after_gap = text[text.rindex(b"event: gap") :]
        assert after_gap.index(b"event: account-data") < after_gap.index(b"event: heartbeat")
        assert credential["id"].encode() in after_gap
    writer.close()


async def test_a_disconnected_client_is_noticed_at_once(service: Service, alice: Person, bob: Person) -> None:
    async with listening_to(alice.client) as sse:
        await sse.until("heartbeat")
        async with listening_to(alice.client) as other:
            await other.until("heartbeat")
            assert len(hub_of(service, alice).streams) == 2
        await wait_until(lambda: len(hub_of(service, alice).streams) == 1)


async def test_a_stop_ends_all_streams_promptly_with_a_hint_to_reconnect(start_service: StartService) -> None:
    async with AsyncExitStack() as resources, AsyncExitStack() as stack:
        service = await resources.enter_async_context(start_service())
        alice = await stack.enter_async_context(make_person(service, "alice"))
        bob = await stack.enter_async_context(make_person(service, "bob"))
        streams = [await stack.enter_async_context(listening_to(person.client)) for person in (alice, bob) * 2]
        for sse in streams:
            await sse.until("heartbeat")
        began = asyncio.get_running_loop().time()
        await resources.aclose()
        assert asyncio.get_running_loop().time() - began < 4  # requests under way are waited for for 5 seconds
        for sse in streams:
            await sse.until_end()
            assert [event.data["code"] for event in sse.of("problem")] == ["stopping"]
            assert sse.retries[-1] >= 2_000


async def test_alices_and_bobs_events_are_never_mixed_under_load(
    alice: Person, bob: Person, sandbox: Sandbox, faults: Faults
) -> None:
    """Side by side: an account of each, and one of which both have the keys, and all of them trade."""
    shared, hers, his = [await trading_key(sandbox) for _ in range(3)]
    alices = {(await alice.store(key_id))["id"] for key_id in (shared, hers)}
    bobs = {(await bob.store(key_id))["id"] for key_id in (shared, his)}
    placed: dict[str, set[str]] = {shared: set(), hers: set(), his: set()}
    async with AsyncExitStack() as stack:
        sse = [await stack.enter_async_context(listening_to(alice.client)) for _ in range(5)]
        other_ears = [await stack.enter_async_context(listening_to(bob.client)) for _ in range(5)]
        for one, own in [*((one, alices) for one in sse), *((one, bobs) for one in other_ears)]:
            for credential_id in own:
                await one.until("position", credential_id=credential_id)

        async def trade(key_id: str) -> None:
            async with trader(sandbox, key_id) as somebody:
                for _ in range(25):
                    placed[key_id].add((await somebody.order())["id"])

        await asyncio.gather(*map(trade, placed))
        for listeners, own, other in ((sse, alices, hers), (other_ears, bobs, his)):
            expected = placed[shared] | placed[other]
            for one in listeners:
                for order_id in expected:
                    await one.until("order", id=order_id, status="filled")
                assert {event.data["id"] for event in one.of("order")} == expected
                assert {event.data["credential_id"] for event in one.heard} == own | {None}


async def test_a_feeds_calls_are_not_logged_with_the_request_that_started_it(
    alice: Person, bob: Person, log_file: Path
) -> None:
    await alice.store()
    log = LogSince(log_file)
    async with listening_to(alice.client) as sse:
        await sse.until("account-data")
        await sse.until("position")
        assert sse.answer.headers["X-Request-ID"] not in log.text()
        assert "alpaca_answered" in log.text()


async def test_one_line_is_logged_for_a_stream_at_its_end(alice: Person, bob: Person, log_file: Path) -> None:
    log = LogSince(log_file)
    async with listening_to(alice.client) as sse:
        await sse.until("heartbeat")
        request_id = sse.answer.headers["X-Request-ID"]
        assert request_id not in log.text()
    await wait_until(lambda: request_id in log.text())
    (line,) = [orjson.loads(line) for line in log.text().splitlines() if request_id in line]
    assert (line["event"], line["path"], line["status"]) == ("request", "/api/stream", 200)
    assert line["user_id"] == str(alice.user_id)
