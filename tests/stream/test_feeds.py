"""One account's feed while Alpaca fails: reported once, called less often, and never given up."""

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from aiohttp import ClientSession

from corral.credentials.models import SealedCredential
from corral.stream import subscriptions as stream_subscriptions
from corral_sandbox import Sandbox, serve_sandbox
from tests.conftest import Faults, Service, StartService
from tests.people import Person, make_person, paper_key
from tests.stream.sse_client import listening_to, wait_until
from tests.stream.trading import trader, trading_key


async def handshakes(sandbox: Sandbox, key_id: str) -> int:
    async with ClientSession(sandbox.url) as client, client.get("/_requests") as answer:
        counts: dict[str, Any] = await answer.json()
    return counts["key_ids"].get(key_id, {}).get("paths", {}).get("/stream", 0)


async def until_handshakes(sandbox: Sandbox, key_id: str, number: int) -> None:
    async with asyncio.timeout(30):
        while await handshakes(sandbox, key_id) < number:  # noqa: ASYNC110 - the broker tells nobody
            await asyncio.sleep(0.05)


def holder_of_the_connection(service: Service, subscription: Person) -> SealedCredential:
    feeds = service.services.state["stream"].feeds._feeds.values()  # pyright: ignore[reportPrivateUsage]  # nobody is told
    # Feeds of those who listened just before linger.
    (feed,) = [
        feed for feed in feeds if subscription.user_id in {each.credential.stored.user_id for each in feed.members}
    ]
    assert feed.watch is not None
    through = feed.watch._listener._subscription  # pyright: ignore[reportPrivateUsage]
    assert through is not None
    return through.credential.stored


async def switch_off(person: Person, credential_id: str) -> None:
    async with person.client.patch(f"/api/credentials/{credential_id}", json={"is_active": False}) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"status": 500}, "upstream_failed"),
        ({"body": {"not": "an account"}}, "upstream_failed"),
        ({"latency_ms": 3_000}, "upstream_timeout"),
        ({"rate_limited": {"retry_after": 2}}, "account_rate_limited"),
        ({"cut": "before_headers"}, "upstream_failed"),
    ],
)
async def test_an_outage_and_its_end_are_sent_once_and_known_values_stay(
    alice: Person, bob: Person, faults: Faults, fault: dict[str, object], code: str
) -> None:
    key_id = paper_key()
    hers = await alice.store(key_id)
    await bob.store()
    async with listening_to(alice.client) as sse, listening_to(bob.client) as bobs:
        await sse.until("account-data")
        await bobs.until("account-data")
        await faults.set(key_id, **fault)
        await sse.until("problem", credential_id=hers["id"], code=code, resolved=False)
        await asyncio.sleep(4)
        assert len(sse.of("problem")) == 1
        async with listening_to(alice.client) as fresh:
            await fresh.until("heartbeat")
            assert {event.kind for event in fresh.heard} >= {"account-data", "problem"}
        await faults.clear()
        await sse.until("problem", credential_id=hers["id"], code=code, resolved=True)
        assert len(sse.of("problem")) == 2
        assert not bobs.of("problem")


async def test_calls_become_rarer_during_an_outage(alice: Person, faults: Faults) -> None:
    key_id = paper_key()
    await alice.store(key_id)
    await faults.set(key_id, status=500)
    async with listening_to(alice.client) as sse:
        await sse.until("problem")
        before, began = await faults.calls_of(key_id), asyncio.get_running_loop().time()
        await asyncio.sleep(12)
        seconds = asyncio.get_running_loop().time() - began
        assert await faults.calls_of(key_id) - before < seconds / 1.5


async def test_half_of_a_small_budget_is_left_to_the_owner(start_service: StartService) -> None:
    async with (
        serve_sandbox(port=0, rate_limit_per_minute=24) as sandbox,
        start_service(alpaca_paper_url=sandbox.paper_url, alpaca_live_url=sandbox.live_url) as service,
        make_person(service, "alice") as alice,
        ClientSession(sandbox.url) as client,
    ):
        key_id = paper_key()
        await alice.store(key_id)
        faults = Faults(client)
        async with listening_to(alice.client) as sse:
            await sse.until("account-data")
            before, began = await faults.calls_of(key_id), asyncio.get_running_loop().time()
            await asyncio.sleep(12)
            calls, seconds = await faults.calls_of(key_id) - before, asyncio.get_running_loop().time() - began
        assert calls <= seconds * 24 / 60 / 2 + 2
        assert not sse.of("problem")


@pytest.mark.parametrize("how", [{"drop_after_ms": 0}, {"refuses": True}])
async def test_repeated_disconnects_do_not_cause_a_reconnect_storm(
    alice: Person, sandbox: Sandbox, faults: Faults, how: dict[str, object]
) -> None:
    key_id = paper_key()
    credential = await alice.store(key_id)
    await faults.set_all([{"key_id": key_id, "path": "/stream", "stream": how}])
    async with listening_to(alice.client) as sse:
        await sse.until("account-data")
        await sse.until("problem", code="order_stream_down", credential_id=credential["id"])
        await asyncio.sleep(6)
        # Waits of up to 2, 4, 8, 10 … seconds: they are not always short.
        assert await handshakes(sandbox, key_id) < 12
        assert [event.data["resolved"] for event in sse.of("problem")] == [False]
        assert len(sse.of("account-data")) >= 1
        await faults.clear()
        await sse.until("problem", code="order_stream_down", resolved=True)


async def test_one_429_at_the_handshake_is_a_rate_limit_and_not_another_program(
    alice: Person, bob: Person, sandbox: Sandbox, faults: Faults
) -> None:
    key_id = paper_key()
    await alice.store(key_id)
    await bob.store()
    await faults.set_all([{"path": "/stream", "times": 1, "rate_limited": {"retry_after": 1}}])
    async with listening_to(alice.client) as sse:
        await until_handshakes(sandbox, key_id, 1)
        assert not sse.of("problem")


async def test_the_connection_moves_to_another_subscription_when_its_own_leaves(
    service: Service, alice: Person, bob: Person, sandbox: Sandbox
) -> None:
    """Both have stored the same pair of keys: one connection, and it goes on when the one who holds it leaves."""
    key_id = await trading_key(sandbox)
    ids = {alice: (await alice.store(key_id))["id"], bob: (await bob.store(key_id))["id"]}
    async with (
        trader(sandbox, key_id) as somebody,
        listening_to(alice.client) as sse,
        listening_to(bob.client) as bobs,
    ):
        await sse.until("position")
        await bobs.until("position")
        placed = await somebody.order()
        await sse.until("order", id=placed["id"], status="filled")
        await bobs.until("order", id=placed["id"], status="filled")
        assert await handshakes(sandbox, key_id) == 1
        through = holder_of_the_connection(service, alice)
        goes, stays = (alice, bob) if through.user_id == alice.user_id else (bob, alice)
        heard = {alice: sse, bob: bobs}
        await switch_off(goes, ids[goes])
        await heard[goes].until("problem", code="credential_inactive")
        await until_handshakes(sandbox, key_id, 2)
        reported = len(heard[goes].of("order"))
        placed = await somebody.order()
        await heard[stays].until("order", id=placed["id"], status="filled")
        assert len(heard[goes].of("order")) == reported


async def test_a_marked_row_is_reported_and_makes_no_calls(
    alice: Person, bob: Person, faults: Faults, owner: asyncpg.Connection
) -> None:
    key_id = paper_key()
    credential = await alice.store(key_id)
    marked = "UPDATE corral.credentials SET refused_at = $2 WHERE id = $1"
    async with listening_to(alice.client) as sse, listening_to(bob.client) as bobs:
        await sse.until("account-data")
        now = await owner.fetchval("SELECT now()")
        await owner.execute(marked, UUID(credential["id"]), now)
        await sse.until("problem", credential_id=credential["id"], code="credential_refused", resolved=False)
        await asyncio.sleep(1)
        calls = await faults.calls_of(key_id)
        async with listening_to(alice.client) as fresh:
            await fresh.until("heartbeat")
            assert [event.kind for event in fresh.heard] == ["problem", "heartbeat"]
        await asyncio.sleep(2)
        assert await faults.calls_of(key_id) == calls
        await owner.execute(marked, UUID(credential["id"]), None)
        await sse.until("problem", credential_id=credential["id"], code="credential_refused", resolved=True)
        await sse.until("gap", credential_id=credential["id"])
        assert not bobs.of("problem")


async def test_a_mistaken_refusal_is_retried_later(
    alice: Person, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        stream_subscriptions, "TRY_AGAIN_SECONDS", (2.0, 2.0)
    )  # a constant, not our code: a minute is too long here
    key_id = paper_key()
    credential = await alice.store(key_id)
    async with listening_to(alice.client) as sse:
        await sse.until("account-data")
        await faults.set(key_id, path="/v2/positions", status=403, body={"message": "forbidden."}, times=1)
        await sse.until("problem", code="credential_refused", resolved=False)
        await sse.until("problem", code="credential_refused", resolved=True)
        await sse.until("gap", credential_id=credential["id"])


async def test_a_stream_counts_as_use_of_the_credential(alice: Person) -> None:
    credential = await alice.store()
    async with listening_to(alice.client) as sse:
        await sse.until("account-data")

        async def is_used() -> bool:
            async with alice.client.get(f"/api/credentials/{credential['id']}") as answer:
                return (await answer.json())["last_used_at"] is not None

        async with asyncio.timeout(10):
            while not await is_used():
                pass


async def test_feeds_started_together_do_not_stay_synchronized(alice: Person, faults: Faults) -> None:
    for _ in range(12):
        await alice.store()
    async with listening_to(alice.client) as sse:

        def firsts() -> dict[str, float]:
            return {event.data["credential_id"]: event.at for event in reversed(sse.of("position"))}

        await wait_until(lambda: len(firsts()) >= 8)
        moments = sorted(firsts().values())
        assert moments[-1] - moments[0] > 0.1  # by chance, eight of them never come as close as that
