"""The stream as a reader sees it."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from aiohttp import ClientSession

from tests.access import browser, sign_in_by_link
from tests.conftest import Faults, Service
from tests.people import Person, paper_key
from tests.stream.sse_client import PATIENCE, listening_to, wait_until


async def test_a_stream_begins_with_the_account_state_and_a_heartbeat(alice: Person, bob: Person) -> None:
    hers, his = await alice.store(), await bob.store()
    async with listening_to(alice.client) as sse, listening_to(bob.client) as bobs:
        event = await sse.until("account-data")
        async with alice.client.get(f"/api/credentials/{hers['id']}/account-data") as answer:
            assert event.data.keys() == {"credential_id", "sequence", *await answer.json()}
        assert event.data["credential_id"] == hers["id"]
        assert (await bobs.until("account-data")).data["credential_id"] == his["id"]
        assert sse.heard[0].kind == "heartbeat"
        assert sse.heard[0].data["credential_id"] is None
        assert len(sse.retries) == 1
    assert {event.data["credential_id"] for event in sse.heard} == {None, hers["id"]}


async def test_a_stream_has_its_media_type_and_is_never_cached(alice: Person, bob: Person) -> None:
    async with listening_to(alice.client) as sse:
        headers = sse.answer.headers
        assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Accel-Buffering"] == "no"
        assert headers["X-Request-ID"]


async def test_a_stream_needs_authentication(anonymous: ClientSession) -> None:
    async with anonymous.get("/api/stream") as answer:
        assert answer.status == 401
        assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize(
    ("site", "status"), [("same-site", 403), ("cross-site", 403), ("same-origin", 200), ("none", 200)]
)
async def test_a_page_of_another_origin_opens_no_stream_with_a_session(
    service: Service, alice: Person, bob: Person, site: str, status: int
) -> None:
    for person in (alice, bob):
        cookie = await sign_in_by_link(service, person.user_id)
        async with (
            browser(service.url, cookie) as page,
            page.get("/api/stream", headers={"Sec-Fetch-Site": site}) as answer,
        ):
            assert answer.status == status


async def test_a_second_stream_begins_with_the_known_state_without_a_call(alice: Person, faults: Faults) -> None:
    key_id = paper_key()
    credential = await alice.store(key_id)
    async with listening_to(alice.client) as first:
        await first.until("account-data")
        async with asyncio.timeout(PATIENCE):
            while not await faults.calls_of(key_id, "/orders"):  # noqa: ASYNC110 - the last call of its beginning
                await asyncio.sleep(0.02)
        before = await faults.calls_of(key_id)
        async with listening_to(alice.client) as second:
            event = await second.until("heartbeat")
            assert await faults.calls_of(key_id) <= before + 1  # the poller's own
            assert second.heard[0].kind == "account-data"
            assert second.heard[0].data["credential_id"] == credential["id"]
            assert second.heard[0].id is None
            assert event.id is not None


async def test_a_client_that_reconnects_resumes(alice: Person) -> None:
    first_credential = await alice.store()
    async with listening_to(alice.client) as sse:
        await sse.until("account-data")
        last_id = sse.last_id
    second_credential = await alice.store()
    async with listening_to(alice.client) as other:
        await other.until("account-data", credential_id=second_credential["id"])
        async with listening_to(alice.client, last_event_id=last_id) as back:
            await back.until("account-data", credential_id=second_credential["id"])
            assert not back.of("gap")
    known = [event.data["sequence"] for event in sse.heard if event.id]
    missed = [event.data["sequence"] for event in back.heard if event.kind != "heartbeat"]
    assert missed == list(range(known[-1] + 1, known[-1] + 1 + len(missed)))
    assert first_credential["id"] not in {event.data["credential_id"] for event in back.heard[:1]}


async def test_a_stream_that_cannot_resume_begins_with_a_gap_and_the_known_state(alice: Person) -> None:
    credential = await alice.store()
    async with listening_to(alice.client) as sse:
        await sse.until("account-data")
        epoch = (sse.last_id or "").partition("-")[0]
        for rubbish in (
            "x",
            "0000000000000000-1",
            f"{epoch}-999999",
            f"{epoch}--1",
            f"{epoch}-1e3",
            "9" * 900,
            "-",
            "é",
        ):
            async with listening_to(alice.client, last_event_id=rubbish) as back:
                await back.until("heartbeat")
                assert [event.kind for event in back.heard[:2]] == ["gap", "account-data"]
                assert back.heard[0].data["credential_id"] is None
                assert back.heard[1].data["credential_id"] == credential["id"]


async def test_open_streams_are_limited_per_user(alice: Person, bob: Person) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(64):
            await stack.enter_async_context(listening_to(alice.client))
        async with alice.client.get("/api/stream") as answer:
            assert answer.status == 429
            assert (await answer.json(content_type=None))["code"] == "too_many_streams"
        async with listening_to(bob.client) as sse:
            await sse.until("heartbeat")
    async with listening_to(alice.client) as sse:
        await sse.until("heartbeat")


async def test_the_poller_stops_without_open_streams(service: Service, alice: Person, faults: Faults) -> None:
    key_id = paper_key()
    await alice.store(key_id)
    async with listening_to(alice.client) as sse:
        await sse.until("account-data")
        live = service.services.state["stream"]
        tasks = [task for feed in live.feeds._feeds.values() if feed.watch for task in feed.watch.tasks]  # pyright: ignore[reportPrivateUsage]  # nothing may be left running
        assert tasks
    await wait_until(lambda: all(hub.user_id != alice.user_id for hub in live.hubs))
    await wait_until(lambda: all(task.done() for task in tasks))
    before = await faults.calls_of(key_id)
    await asyncio.sleep(2.5)
    assert await faults.calls_of(key_id) == before
