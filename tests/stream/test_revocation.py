"""Users who lose access get no more events within a second, for every kind of access."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import pytest

from corral.credentials.queries import load_sealed_credentials
from corral.credentials.reader import STREAM
from corral.identity import api_tokens
from corral.people.operators import disable_person
from corral.stream.events import Kind, StreamEvent
from corral.stream.hub import Hub
from corral_sandbox import Sandbox
from tests.access import browser, sign_in_by_link
from tests.conftest import Faults, Service
from tests.people import Person, key_pair, paper_key
from tests.stream.sse_client import SOON, SseClient, listening_to, wait_until
from tests.stream.trading import trader, trading_key


@asynccontextmanager
async def session_of(service: Service, person: Person) -> AsyncGenerator[tuple[SseClient, str]]:
    cookie = await sign_in_by_link(service, person.user_id)
    async with browser(service.url, cookie) as page, listening_to(page) as sse:
        await sse.until("heartbeat")
        yield sse, cookie


def opens_account(key_id: str, account_id: str) -> dict[str, object]:
    """A fault under which this pair of keys opens that account, as if it were one of several pairs."""
    return {"key_id": key_id, "path": "/v2/account", "account_raw": {"id": json.dumps(account_id)}}


async def assert_ends_soon(sse: SseClient, take_away: Callable[[], Awaitable[object]], code: str) -> None:
    began = asyncio.get_running_loop().time()
    await take_away()
    ended = await sse.until_end()
    assert ended - began < SOON
    (reported,) = sse.of("problem")
    assert (reported.data["code"], reported.data["credential_id"]) == (code, None)


async def test_an_ended_session_ends_its_own_stream_only(service: Service, alice: Person, bob: Person) -> None:
    async with (
        session_of(service, alice) as (sse, cookie),
        session_of(service, alice) as (other, _),
        listening_to(bob.client) as bobs,
        browser(service.url, cookie) as page,
    ):

        async def sign_out() -> None:
            async with page.delete("/api/session") as answer:
                assert answer.status == 204

        await assert_ends_soon(sse, sign_out, "unauthenticated")
        await asyncio.sleep(1)
        assert other.ended_at is None
        assert bobs.ended_at is None


async def test_a_revoked_token_ends_its_stream(service: Service, alice: Person, bob: Person) -> None:
    async with listening_to(alice.client) as sse, listening_to(bob.client) as bobs:
        await sse.until("heartbeat")

        async def revoke() -> None:
            async with alice.client.get("/api/tokens") as answer:
                (token,) = (await answer.json())["items"]
            async with alice.client.delete(f"/api/tokens/{token['id']}") as answer:
                assert answer.status == 204

        await assert_ends_soon(sse, revoke, "unauthenticated")
        assert bobs.ended_at is None


async def test_an_expired_token_ends_its_stream(service: Service, alice: Person) -> None:
    resources = service.resources
    expires_at = datetime.now(UTC) + timedelta(seconds=10)
    _, token = await api_tokens.create_api_token(
        alice.user_id,
        resources.database,
        resources.vault,
        name="short",
        scopes=["accounts:read"],
        expires_at=expires_at,
    )
    headers = {"Authorization": f"Bearer {token.reveal()}"}
    async with browser(service.url) as page, listening_to(page, headers=headers) as sse:
        await sse.until("heartbeat")
        left = (expires_at - datetime.now(UTC)).total_seconds()
        began = asyncio.get_running_loop().time()
        ended = await sse.until_end()
        assert datetime.now(UTC) >= expires_at
        assert ended - began < left + SOON
        assert sse.of("problem", code="unauthenticated")


async def test_a_disabled_user_gets_no_more_events(
    service: Service, alice: Person, bob: Person, owner: asyncpg.Connection
) -> None:
    async with (
        session_of(service, alice) as (sse, _),
        listening_to(alice.client) as by_token,
        listening_to(bob.client) as bobs,
    ):
        await by_token.until("heartbeat")
        await assert_ends_soon(
            sse, lambda: disable_person(owner, service.resources.vault, alice.email), "unauthenticated"
        )
        await by_token.until_end(patience=SOON)
        assert bobs.ended_at is None


@pytest.mark.parametrize("column", ["scopes = '{credentials:read}'", "expires_at = now() + interval '9 years'"])
async def test_a_token_changed_by_hand_ends_its_stream(alice: Person, owner: asyncpg.Connection, column: str) -> None:
    async with listening_to(alice.client) as sse:
        await sse.until("heartbeat")

        async def change() -> None:
            await owner.execute(f"UPDATE corral.api_tokens SET {column} WHERE user_id = $1", alice.user_id)

        await assert_ends_soon(sse, change, "unauthenticated")


async def test_an_idle_sessions_stream_continues_without_extending_the_session(
    service: Service, alice: Person, owner: asyncpg.Connection
) -> None:
    async with session_of(service, alice) as (sse, cookie):
        await owner.execute(
            "UPDATE corral.sessions SET last_seen_at = now() - interval '31 minutes' WHERE user_id = $1", alice.user_id
        )
        await asyncio.sleep(2)
        assert sse.ended_at is None
        async with browser(service.url, cookie) as page, page.get("/api/me") as answer:
            assert answer.status == 401
        await owner.execute("UPDATE corral.sessions SET expires_at = now() WHERE user_id = $1", alice.user_id)
        await sse.until_end(patience=SOON)


async def test_the_stream_of_a_client_that_does_not_read_ends_just_as_soon(
    service: Service, alice: Person, bob: Person, owner: asyncpg.Connection
) -> None:
    await alice.store()
    address = urlsplit(service.url)
    with socket.create_connection((address.hostname, address.port)) as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        wire.sendall(f"GET /api/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {alice.token}\r\n\r\n".encode())
        live = service.services.state["stream"]
        await wait_until(lambda: any(hub.user_id == alice.user_id and hub.versions for hub in live.hubs))
        hub = next(hub for hub in live.hubs if hub.user_id == alice.user_id)
        (subscription,) = hub._subscriptions.values()  # pyright: ignore[reportPrivateUsage]  # to tell more than an account could
        for _ in range(40):
            for _ in range(100):
                subscription.publish(StreamEvent(Kind.POSITION, b'{"padding":"%b"}' % (b"x" * 2_000)))
            await asyncio.sleep(0.01)
        assert len(hub.streams) == 1
        await owner.execute("DELETE FROM corral.api_tokens WHERE user_id = $1", alice.user_id)
        await wait_until(lambda: not hub.streams, patience=SOON)


async def test_a_hub_refuses_another_users_credential(service: Service, alice: Person, bob: Person) -> None:
    his = await bob.store()
    owned = (bob.user_id, UUID(his["id"]))
    rows = await load_sealed_credentials(service.resources.database, [owned])
    hub = Hub(alice.user_id, service.services.state["stream"].feeds)
    with pytest.raises(ValueError, match="another user"):
        hub.subscribe(service.services.state["credentials"].open_row(rows[owned], STREAM))
    hub.close()


async def test_a_token_without_the_scope_gets_no_stream(service: Service, alice: Person) -> None:
    resources = service.resources
    _, token = await api_tokens.create_api_token(
        alice.user_id, resources.database, resources.vault, name="narrow", scopes=["credentials:read"], expires_at=None
    )
    headers = {"Authorization": f"Bearer {token.reveal()}"}
    async with browser(service.url) as page, page.get("/api/stream", headers=headers) as answer:
        assert answer.status == 403


@pytest.mark.parametrize("way", ["switched off", "deleted"])
async def test_a_removed_or_paused_credential_gets_no_more_events(
    service: Service, alice: Person, bob: Person, faults: Faults, way: str
) -> None:
    """Also not earlier events, for a client that reconnects."""
    key_id = paper_key()
    gone, kept = await alice.store(key_id), await alice.store()
    his = await bob.store(key_id)
    path = f"/api/credentials/{gone['id']}"
    async with listening_to(alice.client) as sse, listening_to(bob.client) as bobs:
        first_id = (await sse.until("heartbeat")).id
        await sse.until("account-data", credential_id=gone["id"])
        await sse.until("account-data", credential_id=kept["id"])
        await bobs.until("account-data", credential_id=his["id"])
        began = asyncio.get_running_loop().time()
        if way == "deleted":
            await (await alice.client.delete(path)).release()
        else:
            await (await alice.client.patch(path, json={"is_active": False})).release()
        reported = await sse.until("problem", credential_id=gone["id"])
        assert reported.data["code"] == "credential_inactive"
        assert reported.at - began < SOON
        async with listening_to(alice.client, last_event_id=first_id) as back:
            await back.until("problem", credential_id=gone["id"])
            assert not back.of("account-data", credential_id=gone["id"])
            assert back.of("account-data", credential_id=kept["id"])
        async with listening_to(alice.client) as fresh:
            await fresh.until("heartbeat")
            assert not fresh.of("account-data", credential_id=gone["id"])
        assert not bobs.of("problem")


async def test_a_new_or_resumed_credential_gets_events_at_once(alice: Person, bob: Person) -> None:
    first = await alice.store()
    path = f"/api/credentials/{first['id']}"
    async with listening_to(alice.client) as sse, listening_to(bob.client) as bobs:
        await sse.until("account-data", credential_id=first["id"])
        second = await alice.store()
        await sse.until("account-data", credential_id=second["id"])
        await (await alice.client.patch(path, json={"is_active": False})).release()
        await sse.until("problem", credential_id=first["id"])
        before = len(sse.of("account-data", credential_id=first["id"]))
        await (await alice.client.patch(path, json={"is_active": True})).release()
        await sse.until("gap", credential_id=first["id"])
        await sse.until("account-data", times=before + 1, credential_id=first["id"])
        assert {event.data["credential_id"] for event in bobs.heard} == {None}


async def test_replaced_keys_are_verified_before_any_event(alice: Person, faults: Faults) -> None:
    key_id = paper_key()
    credential = await alice.store(key_id)
    path = f"/api/credentials/{credential['id']}"
    async with listening_to(alice.client) as sse:
        await sse.until("account-data")
        async with alice.client.patch(path, json=key_pair(key_id)) as answer:
            assert answer.status == 200
        gap = await sse.until("gap", credential_id=credential["id"])
        after = [event for event in sse.heard if event.data["sequence"] > gap.data["sequence"]]
        assert not [event for event in after if event.kind != "account-data"]
        await sse.wait_for(lambda: any(e.data["sequence"] > gap.data["sequence"] for e in sse.of("account-data")))


async def test_refused_keys_lose_their_subscription_and_the_others_continue(
    alice: Person, bob: Person, faults: Faults
) -> None:
    """Alice and bob have different pairs of keys of one account: only hers are refused."""
    hers_key, his_key = paper_key(), paper_key()
    one_account = [opens_account(key_id, "c3f1d2aa-0000-4000-8000-5e7b7d2f8a63") for key_id in (hers_key, his_key)]
    await faults.set_all(one_account)
    hers = await alice.store(hers_key)
    await bob.store(his_key)
    async with listening_to(alice.client) as sse, listening_to(bob.client) as bobs:
        await sse.until("account-data")
        await bobs.until("account-data")
        await faults.set_all(
            [{"key_id": hers_key, "status": 401, "body": {"message": "unauthorized."}}, one_account[1]]
        )
        reported = await sse.until("problem", credential_id=hers["id"])
        assert reported.data["code"] == "credential_refused"
        assert not reported.data["resolved"]
        calls = await faults.calls_of(hers_key)
        before = await faults.calls_of(his_key)
        await asyncio.sleep(3)
        assert await faults.calls_of(his_key) >= before + 1
        assert await faults.calls_of(hers_key) == calls
        assert not bobs.of("problem")
        async with listening_to(alice.client) as fresh:
            await fresh.until("heartbeat")
            assert [event.data["code"] for event in fresh.of("problem")] == ["credential_refused"]
            assert not fresh.of("account-data")


async def test_keys_that_have_not_been_accepted_yet_get_no_events(
    alice: Person, bob: Person, faults: Faults, owner: asyncpg.Connection, sandbox: Sandbox
) -> None:
    """Her row says that it is the account of bob's, and Alpaca does not say anything about her keys."""
    hers_key, his_key = paper_key(), await trading_key(sandbox)
    hers, his = await alice.store(hers_key), await bob.store(his_key)
    his_account = await owner.fetchval("SELECT account_id FROM corral.credentials WHERE user_id = $1", bob.user_id)
    await owner.execute("UPDATE corral.credentials SET account_id = $2 WHERE id = $1", UUID(hers["id"]), his_account)
    await faults.set(hers_key, status=500)
    async with (
        trader(sandbox, his_key) as him,
        listening_to(bob.client) as bobs,
        listening_to(alice.client) as sse,
    ):
        await bobs.until("position")
        placed = await him.order()
        await bobs.until("order", id=placed["id"], status="filled")
        await bobs.until("position", symbol="BTCUSD", credential_id=his["id"])
        await sse.until("problem", credential_id=hers["id"])
        assert {event.kind for event in sse.heard} <= {"heartbeat", "problem"}
        async with listening_to(alice.client) as fresh:
            await fresh.until("heartbeat")
            assert {event.kind for event in fresh.heard} <= {"heartbeat", "problem"}


async def test_keys_of_another_account_get_no_events(alice: Person, bob: Person, owner: asyncpg.Connection) -> None:
    """As if Alpaca had given the keys to another account: the stored id is no longer the one that answers."""
    hers, his = await alice.store(), await bob.store()
    his_account = await owner.fetchval("SELECT account_id FROM corral.credentials WHERE user_id = $1", bob.user_id)
    await owner.execute("UPDATE corral.credentials SET account_id = $2 WHERE id = $1", UUID(hers["id"]), his_account)
    async with listening_to(bob.client) as bobs, listening_to(alice.client) as sse:
        await bobs.until("account-data", credential_id=his["id"])
        reported = await sse.until("problem", credential_id=hers["id"])
        assert reported.data["code"] == "wrong_account"
        await asyncio.sleep(1)
        assert not sse.of("account-data")


async def test_a_database_outage_ends_all_streams_with_a_hint_to_reconnect(
    service: Service, alice: Person, bob: Person, owner: asyncpg.Connection
) -> None:
    async with AsyncExitStack() as stack:
        sse = [await stack.enter_async_context(listening_to(person.client)) for person in (alice, bob)]
        for one in sse:
            await one.until("heartbeat")
        async with owner.transaction():
            await owner.execute("LOCK TABLE corral.access_changes, corral.api_tokens")  # neither can be read now
            for one in sse:
                await one.until_end()
                (reported,) = one.of("problem")
                assert reported.data["code"] == "database_unavailable"
                assert len(one.retries) == 2
                assert one.retries[1] >= 2_000
    async with listening_to(alice.client) as again:
        await again.until("heartbeat")
