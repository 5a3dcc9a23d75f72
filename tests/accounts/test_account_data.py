"""`GET /api/credentials/{id}/account-data`: the contract, status by status, against a real upstream."""

import asyncio
import json
import re
import time
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import ClientSession

from corral.identity import api_tokens
from corral.identity.security_events import OPERATOR
from corral_sandbox import Sandbox
from tests.conftest import Faults, Service, StartService
from tests.log_lines import LogSince
from tests.people import Person, key_pair, live_key, make_person, paper_key


async def account_data(person: Person, credential_id: str, *, status: int = 200) -> dict[str, Any]:
    async with person.client.get(f"/api/credentials/{credential_id}/account-data") as answer:
        assert answer.status == status, await answer.text()
        if status != 200:
            assert answer.content_type == "application/problem+json"
        return await answer.json(content_type=None)


@pytest.fixture
async def fresh(start_service: StartService) -> AsyncGenerator[Person]:
    """A service that keeps no answers, so that every request meets the fault that was set."""
    async with start_service(cache_seconds=0) as service, make_person(service, "alice") as person:
        yield person


async def test_the_response_has_exactly_the_fields_of_the_contract(alice: Person) -> None:
    credential = await alice.store()
    before = datetime.now(UTC)
    data = await account_data(alice, credential["id"])
    assert list(data) == [
        "account_type", "balance", "equity", "buying_power", "currency",
        "trading_blocked", "account_blocked", "pattern_day_trader", "daytrade_count", "last_updated",
    ]  # fmt: skip
    assert data["account_type"] == "paper"
    assert data["pattern_day_trader"] is False
    assert data["daytrade_count"] == 0
    assert data["last_updated"].endswith("Z")
    assert before <= datetime.fromisoformat(data["last_updated"]) <= datetime.now(UTC)


async def test_a_request_and_its_call_to_alpaca_are_one_log_line(fresh: Person, log_file: Path) -> None:
    credential = await fresh.store()
    log = LogSince(log_file)
    await account_data(fresh, credential["id"])
    line = await log.awaited("request", user_id=str(fresh.user_id))
    assert (line["event"], line["status"], line["environment"]) == ("request", 200, "paper")
    assert 0 < line["alpaca_ms"] < line["duration_ms"]
    assert re.fullmatch("[0-9a-f]{32}", line["alpaca_request_id"])
    others = [other for other in log.lines() if other.get("request_id") == line["request_id"] and other != line]
    assert others == []


@pytest.mark.filterwarnings("ignore:websockets")
@pytest.mark.parametrize("key_id", [paper_key(), live_key()], ids=["paper", "live"])
async def test_numbers_equal_those_of_the_official_sdk_digit_for_digit(
    fresh: Person, sandbox: Sandbox, faults: Faults, key_id: str
) -> None:
    credential = await fresh.store(key_id)
    # Prices move, so the account is held still for the two readings.
    account = {"cash": '"122011.09751111286868"', "equity": '"-0.10"', "buying_power": '"262113.632000"'}
    await faults.set(key_id, account_raw=account)
    ours = await account_data(fresh, credential["id"])
    theirs = await asyncio.to_thread(_read_with_the_official_sdk, sandbox, key_id)
    assert (ours["balance"], ours["equity"], ours["buying_power"]) == theirs
    assert theirs == ("122011.09751111286868", "-0.10", "262113.632000")


def _read_with_the_official_sdk(sandbox: Sandbox, key_id: str) -> tuple[object, object, object]:
    from alpaca.trading.client import TradingClient

    url = sandbox.live_url if key_id.startswith("AK") else sandbox.paper_url
    keys = key_pair(key_id)
    account = TradingClient(keys["api_key"], keys["secret_key"], url_override=url).get_account()
    assert not isinstance(account, dict)
    return account.cash, account.equity, account.buying_power


async def test_a_live_credential_is_sent_to_the_live_host_only(
    alice: Person, start_service: StartService, sandbox: Sandbox
) -> None:
    credential = await alice.store(live_key())
    assert (await account_data(alice, credential["id"]))["account_type"] == "live"
    # The sandbox refuses AK keys under /paper: had the row's type been ignored, this would be a refusal.
    async with (
        start_service(alpaca_paper_url=sandbox.url, alpaca_live_url=sandbox.paper_url) as mixed_up,
        ClientSession(mixed_up.url, headers={"Authorization": f"Bearer {alice.token}"}) as client,
        client.get(f"/api/credentials/{credential['id']}/account-data") as answer,
    ):
        assert answer.status == 409


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ('"cash": 122011.09751111286868', {"balance": "122011.09751111286868"}),
        ('"equity": 1e5', {"equity": "1e5"}),
        ('"currency": null', {"currency": "USD"}),
        ('"trading_blocked": null', {"trading_blocked": False}),
        ('"pattern_day_trader": true', {"pattern_day_trader": True}),
        ('"daytrade_count": 3', {"daytrade_count": 3}),
        ('"something_new": {"a": [1, 2]}', {}),
    ],
)
async def test_unusual_accounts_are_returned_unchanged(
    fresh: Person, faults: Faults, raw: str, expected: dict[str, object]
) -> None:
    key_id = paper_key()
    credential = await fresh.store(key_id)
    name, _, value = raw.partition(": ")
    await faults.set(key_id, account_raw={name.strip('"'): value})
    data = await account_data(fresh, credential["id"])
    assert expected.items() <= data.items()


@pytest.mark.parametrize("field", ["currency", "trading_blocked", "account_blocked", "status"])
async def test_optional_fields_may_be_missing(fresh: Person, faults: Faults, field: str) -> None:
    key_id = paper_key()
    credential = await fresh.store(key_id)
    await faults.set(key_id, account_without=[field])
    data = await account_data(fresh, credential["id"])
    assert data["currency"] == "USD"


REFUSALS: list[tuple[str, dict[str, object], int, str]] = [
    ("a 500", {"status": 500, "body": {"message": "boom"}}, 502, "upstream_failed"),
    ("an order refusal", {"status": 403, "body": {"code": 40310000, "message": "no"}}, 409, "alpaca_refused"),
    ("HTML with 200", {"status": 200, "body_text": "<html>", "content_type": "text/html"}, 502, "upstream_failed"),
    ("an array", {"status": 200, "body": []}, 502, "upstream_failed"),
    ("an empty object", {"status": 200, "body": {}}, 502, "upstream_failed"),
    ("null for cash", {"account_raw": {"cash": "null"}}, 502, "upstream_failed"),
    ("no buying power", {"account_without": ["buying_power"]}, 502, "upstream_failed"),
    ("NaN", {"account_raw": {"equity": '"NaN"'}}, 502, "upstream_failed"),
    ("50 MB", {"status": 200, "body_bytes": 50_000_000}, 502, "upstream_failed"),
    ("a redirect", {"redirect_to": "http://127.0.0.1:9/elsewhere"}, 502, "upstream_failed"),
    ("a cut connection", {"cut": "before_headers"}, 502, "upstream_failed"),
    ("a half body", {"cut": "mid_body"}, 502, "upstream_failed"),
    ("unauthorized", {"status": 401, "body": {"message": "unauthorized."}}, 409, "credential_refused"),
    ("forbidden", {"status": 403, "body": {"message": "forbidden."}}, 409, "credential_refused"),
    ("slowness", {"latency_ms": 3000}, 504, "upstream_timeout"),
    ("dripping", {"drip": {"bytes": 1, "every_ms": 50}}, 504, "upstream_timeout"),
]


@pytest.mark.parametrize(("fault", "status", "code"), [one[1:] for one in REFUSALS], ids=[one[0] for one in REFUSALS])
async def test_a_fault_of_alpaca_is_reported_by_its_code_and_the_next_request_works(
    fresh: Person, faults: Faults, fault: dict[str, object], status: int, code: str
) -> None:
    key_id = paper_key()
    credential = await fresh.store(key_id)
    await faults.set(key_id, **fault)
    started = asyncio.get_running_loop().time()
    problem = await account_data(fresh, credential["id"], status=status)
    assert asyncio.get_running_loop().time() - started < 2.5  # the deadline of these services is one
    assert problem["code"] == code
    more = {"alpaca_code"} if code == "alpaca_refused" else set[str]()
    assert set(problem) == {"type", "title", "status", "detail", "code", "request_id"} | more
    await faults.clear()
    await account_data(fresh, credential["id"])


async def test_a_temporary_fault_of_a_read_is_retried_within_the_deadline(fresh: Person, faults: Faults) -> None:
    key_id = paper_key()
    credential = await fresh.store(key_id)
    await faults.set(key_id, status=503, body={"message": "later"}, times=1)
    await account_data(fresh, credential["id"])


async def test_an_unreachable_alpaca_is_503_with_retry_after(alice: Person, start_service: StartService) -> None:
    credential = await alice.store()
    async with (
        start_service(alpaca_paper_url="http://127.0.0.1:9") as service,
        ClientSession(service.url, headers={"Authorization": f"Bearer {alice.token}"}) as client,
        client.get(f"/api/credentials/{credential['id']}/account-data") as answer,
    ):
        assert (answer.status, (await answer.json(content_type=None))["code"]) == (503, "upstream_unavailable")
        assert int(answer.headers["Retry-After"]) > 0


async def test_a_used_up_rate_limit_is_429_with_retry_after_and_makes_no_call(fresh: Person, faults: Faults) -> None:
    key_id = paper_key()
    credential = await fresh.store(key_id)
    await faults.set(key_id, rate_limited={"retry_after": 7})
    for _ in range(3):
        async with fresh.client.get(f"/api/credentials/{credential['id']}/account-data") as answer:
            assert answer.status == 429
            assert (await answer.json(content_type=None))["code"] == "account_rate_limited"
            assert 1 <= int(answer.headers["Retry-After"]) <= 7
    assert await faults.calls_of(key_id) == 2  # one when it was stored, and one that met the limit


async def test_a_paused_credential_is_400_immediately(alice: Person) -> None:
    credential = await alice.store()
    await account_data(alice, credential["id"])  # an answer is kept now
    async with alice.client.patch(f"/api/credentials/{credential['id']}", json={"is_active": False}) as answer:
        assert answer.status == 200
    assert (await account_data(alice, credential["id"], status=400))["code"] == "credential_inactive"


async def test_a_deleted_credential_is_404_immediately_despite_a_cached_answer(alice: Person) -> None:
    credential = await alice.store()
    await account_data(alice, credential["id"])
    async with alice.client.delete(f"/api/credentials/{credential['id']}") as answer:
        assert answer.status == 204
    assert (await account_data(alice, credential["id"], status=404))["code"] == "credential_not_found"


async def test_pausing_and_resuming_makes_a_new_call(alice: Person, faults: Faults) -> None:
    key_id = paper_key()
    credential = await alice.store(key_id)
    await account_data(alice, credential["id"])
    for is_active in (False, True):
        async with alice.client.patch(f"/api/credentials/{credential['id']}", json={"is_active": is_active}) as answer:
            assert answer.status == 200
    await account_data(alice, credential["id"])
    assert await faults.calls_of(key_id) == 3


async def test_another_users_credential_and_a_missing_one_get_the_same_response(alice: Person, bob: Person) -> None:
    credential = await alice.store()
    foreign = await account_data(bob, credential["id"], status=404)
    missing = await account_data(bob, str(uuid4()), status=404)
    assert foreign | {"request_id": ""} == missing | {"request_id": ""}


async def test_a_cached_answer_is_not_returned_to_bob(alice: Person, bob: Person) -> None:
    credential = await alice.store()
    await account_data(alice, credential["id"])
    await account_data(bob, credential["id"], status=404)


@pytest.mark.parametrize("malformed", ["not-a-uuid", "1", "%00", "' OR 1=1--", "a" * 300])
async def test_an_invalid_uuid_is_422_and_not_repeated(alice: Person, malformed: str) -> None:
    problem = await account_data(alice, malformed, status=422)
    assert problem["code"] == "invalid_request"
    if len(malformed) > 4:
        assert malformed not in json.dumps(problem)


async def test_without_a_session_or_token_it_is_401(anonymous: ClientSession, alice: Person) -> None:
    credential = await alice.store()
    async with anonymous.get(f"/api/credentials/{credential['id']}/account-data") as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert (await answer.json(content_type=None))["code"] == "unauthenticated"


async def test_a_token_without_the_scope_is_403(service: Service, alice: Person) -> None:
    credential = await alice.store()
    resources = service.resources
    _, token = await api_tokens.create_api_token(
        alice.user_id, resources.database, resources.vault, name="x", scopes=["credentials:read"], expires_at=None
    )
    async with (
        ClientSession(service.url, headers={"Authorization": f"Bearer {token.reveal()}"}) as client,
        client.get(f"/api/credentials/{credential['id']}/account-data") as answer,
    ):
        assert (answer.status, (await answer.json(content_type=None))["code"]) == (403, "insufficient_scope")


async def test_a_revoked_token_is_401_at_the_next_request_despite_a_cached_answer(
    service: Service, alice: Person
) -> None:
    credential = await alice.store()
    await account_data(alice, credential["id"])
    database, vault = service.resources.database, service.resources.vault
    tokens = await api_tokens.load_api_tokens(alice.user_id, database)
    await api_tokens.revoke_api_token(alice.user_id, database, vault, tokens[0].id, OPERATOR)
    await account_data(alice, credential["id"], status=401)


async def test_simultaneous_readers_share_one_upstream_call(fresh: Person, faults: Faults) -> None:
    key_id = paper_key()
    credential = await fresh.store(key_id)
    await faults.set(key_id, latency_ms=200)
    answers = await asyncio.gather(*(account_data(fresh, credential["id"]) for _ in range(20)))
    assert len({answer["last_updated"] for answer in answers}) == 1
    assert await faults.calls_of(key_id) == 2  # one of them when it was stored


async def test_an_answer_is_cached_only_for_its_time_to_live(start_service: StartService, faults: Faults) -> None:
    key_id = paper_key()
    async with start_service(cache_seconds=2) as service, make_person(service, "alice") as alice:
        credential = await alice.store(key_id)
        first = await account_data(alice, credential["id"])
        assert await account_data(alice, credential["id"]) == first
        assert await faults.calls_of(key_id) == 2
        await asyncio.sleep(2.05)
        assert (await account_data(alice, credential["id"]))["last_updated"] > first["last_updated"]


@pytest.mark.parametrize(("remaining", "calls"), [(150, 3), (90, 2)])
async def test_an_answer_is_refreshed_ahead_only_while_half_of_the_requests_are_left(
    start_service: StartService, faults: Faults, remaining: int, calls: int
) -> None:
    key_id = paper_key()
    headers = {
        "X-RateLimit-Limit": "200",
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": str(int(time.time()) + 55),
    }
    async with start_service(cache_seconds=2) as service, make_person(service, "alice") as alice:
        credential = await alice.store(key_id)
        await faults.set(key_id, headers=headers)
        first = await account_data(alice, credential["id"])
        await asyncio.sleep(1.3)
        assert await account_data(alice, credential["id"]) == first  # in the second half of its time to live
        await asyncio.sleep(1)
        assert await faults.calls_of(key_id) == calls  # one of them when it was stored


async def test_a_reader_that_gives_up_does_not_cancel_the_shared_call(fresh: Person, faults: Faults) -> None:
    key_id = paper_key()
    credential = await fresh.store(key_id)
    await faults.set(key_id, latency_ms=300)
    first, second = (asyncio.ensure_future(account_data(fresh, credential["id"])) for _ in range(2))
    await asyncio.sleep(0.1)
    first.cancel()
    assert (await second)["account_type"] == "paper"
    assert await faults.calls_of(key_id) == 2


async def test_no_database_connection_is_held_during_the_upstream_call(
    start_service: StartService, faults: Faults
) -> None:
    """More slow calls at once than the pool has connections, and a quick request still gets one."""
    key_ids = [paper_key() for _ in range(15)]
    async with start_service(upstream_timeout_seconds=30) as service, make_person(service, "alice") as alice:
        credentials = [await alice.store(key_id) for key_id in key_ids]
        await faults.set_all({"key_id": key_id, "latency_ms": 3_000} for key_id in key_ids)
        slow = [asyncio.ensure_future(account_data(alice, credential["id"])) for credential in credentials]
        while sum([await faults.calls_of(key_id) for key_id in key_ids]) < 2 * len(key_ids):  # noqa: ASYNC110 - known only by asking
            await asyncio.sleep(0.01)  # and one call each was made when it was stored
        async with alice.client.get("/api/credentials") as answer:
            assert answer.status == 200
        assert not any(call.done() for call in slow)
        await asyncio.gather(*slow)


async def test_last_used_is_stored_but_not_at_every_use(fresh: Person) -> None:
    credential = await fresh.store()
    assert credential["last_used_at"] is None
    await account_data(fresh, credential["id"])
    noted = await _last_used(fresh, credential["id"])
    await account_data(fresh, credential["id"])
    await asyncio.sleep(1.2)  # longer than notes wait to be written
    assert await _last_used(fresh, credential["id"]) == noted


async def _last_used(person: Person, credential_id: str) -> str:
    for _ in range(600):
        async with person.client.get(f"/api/credentials/{credential_id}") as answer:
            if last_used := (await answer.json())["last_used_at"]:
                return last_used
        await asyncio.sleep(0.05)
    pytest.fail("last_used_at stayed empty")
