"""`GET /api/overview`: every account with its own outcome, and totals that say what is in them."""

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from aiohttp import ClientSession
from pydantic import BaseModel

from corral.accounts.overview import OverviewResponse
from corral.database.embedded.instance import EmbeddedDatabase
from corral.identity import api_tokens
from corral_sandbox import secret_of, serve_sandbox
from tests.access import browser, owner_of, sign_in_by_link
from tests.accounts.alpaca_lists import DIVIDEND
from tests.conftest import Faults, Service, StartService
from tests.people import Person, live_key, make_person, paper_key

Json = dict[str, Any]


async def overview(client: ClientSession) -> Json:
    async with client.get("/api/overview") as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


@pytest.fixture
async def fresh_service(start_service: StartService) -> AsyncGenerator[Service]:
    """A service that keeps no answers, so that every request meets the fault that was set."""
    async with start_service(cache_seconds=0) as service:
        yield service


@pytest.fixture
async def fresh(fresh_service: Service) -> AsyncGenerator[Person]:
    async with make_person(fresh_service, "alice") as person:
        yield person


async def still(faults: Faults, **accounts: tuple[str, str]) -> None:
    """Accounts whose numbers do not move: key id -> (balance, currency)."""
    await faults.set_all(
        {"key_id": key_id, "account_raw": {
            "cash": f'"{balance}"', "equity": f'"{balance}1"', "buying_power": f'"{balance}2"',
            "currency": f'"{currency}"', "last_equity": '"0"',
        }}
        for key_id, (balance, currency) in accounts.items()
    )  # fmt: skip


async def test_every_account_has_its_name_and_exactly_its_account_data(
    start_service: StartService, faults: Faults
) -> None:
    async with start_service(cache_seconds=60) as service, make_person(service, "alice") as alice:
        keys = [paper_key(), live_key()]
        stored = [await alice.store(key_id, nickname=f"Größe ☃ {key_id[:2]}") for key_id in keys]
        reported = await overview(alice.client)
        assert list(reported) == ["items", "totals"]
        for item, credential in zip(reported["items"], stored, strict=True):
            facts = ["id", "nickname", "credential_type", "account_number"]
            assert item["credential"] == {name: credential[name] for name in facts}
            assert item["problem"] is None
            async with alice.client.get(f"/api/credentials/{credential['id']}/account-data") as answer:
                assert await answer.text() == json.dumps(item["account_data"], separators=(",", ":"))
        assert [await faults.calls_of(key_id) for key_id in keys] == [2, 2]  # stored, and one for both of the above


async def test_the_overview_matches_the_openapi_document(fresh: Person, faults: Faults) -> None:
    good, bad = paper_key(), paper_key()
    for key_id in (good, bad):
        await fresh.store(key_id)
    await faults.set(bad, status=500, body={})
    reported = await overview(fresh.client)
    assert OverviewResponse.model_validate(reported).model_dump(mode="json") == reported
    assert _fields(OverviewResponse, reported) == set()


def _fields(model: type[BaseModel], reported: Json) -> set[str]:
    return set(reported) ^ set(model.model_fields)


async def test_a_user_without_accounts_has_an_empty_overview(alice: Person) -> None:
    assert await overview(alice.client) == {"items": [], "totals": []}


async def test_alice_and_bob_see_their_own_by_token_and_by_session(
    service: Service, alice: Person, bob: Person
) -> None:
    key_id = paper_key()
    hers, his = [await alice.store(key_id), await alice.store(live_key())], [await bob.store(key_id)]
    for person, own in ((alice, hers), (bob, his)):
        async with browser(service.url, await sign_in_by_link(service, person.user_id)) as page:
            for client in (person.client, page):
                reported = await overview(client)
                assert [item["credential"]["id"] for item in reported["items"]] == [one["id"] for one in own]


async def test_a_token_for_reading_accounts_alone_is_enough(service: Service, alice: Person) -> None:
    await alice.store(nickname="Growth")
    resources = service.resources
    _, token = await api_tokens.create_api_token(
        alice.user_id, resources.database, resources.vault, name="x", scopes=["accounts:read"], expires_at=None
    )
    headers = {"Authorization": f"Bearer {token.reveal()}"}
    async with ClientSession(service.url, headers=headers) as client:
        (item,) = (await overview(client))["items"]
        assert item["credential"]["nickname"] == "Growth"
        async with client.get("/api/credentials") as answer:
            assert answer.status == 403


async def test_a_paused_account_is_left_out(alice: Person, faults: Faults) -> None:
    key_id = paper_key()
    stored = await alice.store(key_id)
    async with alice.client.patch(f"/api/credentials/{stored['id']}", json={"is_active": False}) as answer:
        assert answer.status == 200
    assert await overview(alice.client) == {"items": [], "totals": []}
    assert await faults.calls_of(key_id) == 1


async def test_totals_keep_paper_from_live_and_one_currency_from_another(fresh: Person, faults: Faults) -> None:
    paper, more, euros, live = paper_key(), paper_key(), paper_key(), live_key()
    for key_id in (paper, more, euros, live):
        await fresh.store(key_id)
    await still(
        faults,
        **{
            paper: ("1000000000000000000000000000000.01", "USD"),
            more: ("-0.000000000000000000000000001", "USD"),
            euros: ("7.10", "EUR"),
            live: ("-23140.2", "USD"),
        },
    )
    unchanged = {
        "todays_pl": None,
        "todays_pl_pct": None,
        "todays_pl_missing": 1,
        "cash_flow": None,
        "cash_flow_missing": None,
    }
    live_totals, paper_totals = (await overview(fresh.client))["totals"]
    assert live_totals == {
        "account_type": "live", "accounts": 1, "missing": 0,
        "by_currency": [
            {"currency": "USD", "accounts": 1,
             "balance": "-23140.2", "equity": "-23140.21", "buying_power": "-23140.22", **unchanged},
        ],
    }  # fmt: skip
    assert paper_totals == {
        "account_type": "paper", "accounts": 3, "missing": 0,
        "by_currency": [
            {"currency": "EUR", "accounts": 1, "balance": "7.10", "equity": "7.101", "buying_power": "7.102",
             **unchanged},
            {"currency": "USD", "accounts": 2,
             "balance": "1000000000000000000000000000000.009999999999999999999999999",
             "equity": "1000000000000000000000000000000.0109999999999999999999999989",
             "buying_power": "1000000000000000000000000000000.0119999999999999999999999988", **unchanged,
             "todays_pl_missing": 2},
        ],
    }  # fmt: skip


async def test_totals_name_todays_pl_and_the_money_that_came_in_beside_it(fresh: Person, faults: Faults) -> None:
    gaining, losing, new = live_key(), live_key(), live_key()
    deposit = {**DIVIDEND, "activity_type": "CSD", "net_amount": "2500.00", "created_at": "2026-11-24T15:00:00Z"}
    for key_id in (gaining, losing, new):
        await fresh.store(key_id)
    await faults.set_all(
        [
            {"key_id": gaining, "account_raw": {"equity": '"110.5"', "last_equity": '"100"'}},
            {"key_id": losing, "account_raw": {"equity": '"99"', "last_equity": '"100"'}},
            {"key_id": new, "account_raw": {"equity": '"2500"', "last_equity": '"0"'}},
            {"key_id": new, "path": "/v2/account/activities", "body_text": json.dumps([deposit])},
            {"key_id": losing, "path": "/v2/account/activities", "status": 500, "body": {}},
        ]
    )
    (plain,) = (await overview(fresh.client))["totals"]
    async with fresh.client.get("/api/overview?cash_flow=true") as answer:
        reported = await answer.json()
    (total,) = reported["totals"][0]["by_currency"]
    expected = {"todays_pl": "9.5", "todays_pl_pct": "0.0475", "todays_pl_missing": 1}
    assert {name: total[name] for name in expected} == expected
    assert (total["cash_flow"], total["cash_flow_missing"]) == ("2500.00", 1)
    assert (plain["by_currency"][0]["todays_pl"], plain["by_currency"][0]["cash_flow"]) == ("9.5", None)
    assert [item["cash_flow"] and item["cash_flow"]["amount"] for item in reported["items"]] == ["0", None, "2500.00"]
    assert OverviewResponse.model_validate(reported).model_dump(mode="json") == reported


MISHAPS: list[tuple[str, dict[str, object], int, str]] = [
    ("refused keys", {"status": 401, "body": {"message": "unauthorized."}}, 409, "credential_refused"),
    ("a 500", {"status": 500, "body": {}}, 502, "upstream_failed"),
    ("no balance", {"account_without": ["cash"]}, 502, "upstream_failed"),
    ("a cut connection", {"cut": "mid_body"}, 502, "upstream_failed"),
    ("a spent budget", {"rate_limited": {"retry_after": 7}}, 429, "account_rate_limited"),
    ("silence", {"latency_ms": 60_000}, 504, "upstream_timeout"),
]


@pytest.mark.parametrize(("fault", "status", "code"), [one[1:] for one in MISHAPS], ids=[one[0] for one in MISHAPS])
async def test_a_problem_of_one_account_is_shown_in_its_place_and_the_others_have_data(
    fresh: Person, faults: Faults, fault: dict[str, object], status: int, code: str
) -> None:
    dead, good = live_key(), [paper_key(), live_key()]
    stored = await fresh.store(dead)
    for key_id in good:
        await fresh.store(key_id)
    await faults.set(dead, **fault)
    reported = await overview(fresh.client)
    problem = reported["items"][0]["problem"]
    assert reported["items"][0]["account_data"] is None
    async with fresh.client.get(f"/api/credentials/{stored['id']}/account-data") as answer:
        alone: Json = await answer.json(content_type=None)
        retry_after = answer.headers.get("Retry-After")
    assert (problem["status"], problem["code"]) == (status, code)
    assert ("retry_after" in problem) == (retry_after is not None)
    volatile = {"request_id": "", "retry_after": ""}
    assert problem | volatile == alone | volatile
    assert all(item["account_data"] and item["problem"] is None for item in reported["items"][1:])
    assert [(total["account_type"], total["accounts"], total["missing"]) for total in reported["totals"]] == [
        ("live", 1, 1),
        ("paper", 1, 0),
    ]


async def test_accounts_that_do_not_respond_cost_one_deadline_together(fresh: Person, faults: Faults) -> None:
    keys = [paper_key() for _ in range(12)]
    for key_id in keys:
        await fresh.store(key_id)
    await faults.set_all({"key_id": key_id, "latency_ms": 60_000} for key_id in keys[:10])
    started = asyncio.get_running_loop().time()
    reported = await overview(fresh.client)
    assert asyncio.get_running_loop().time() - started < 5  # one after the other they take ten seconds
    assert [item["account_data"] is not None for item in reported["items"]] == [False] * 10 + [True] * 2
    assert reported["totals"][0]["missing"] == 10


async def test_totals_say_that_all_accounts_are_missing(fresh: Person, faults: Faults) -> None:
    key_id = paper_key()
    await fresh.store(key_id)
    await faults.set(key_id, status=500, body={})
    reported = await overview(fresh.client)
    assert reported["totals"] == [{"account_type": "paper", "accounts": 0, "missing": 1, "by_currency": []}]


async def test_the_problem_has_the_request_id_of_the_log(fresh: Person, faults: Faults) -> None:
    key_id = paper_key()
    await fresh.store(key_id)
    await faults.set(key_id, status=500, body={})
    async with fresh.client.get("/api/overview") as answer:
        (item,) = (await answer.json())["items"]
        assert item["problem"]["request_id"] == answer.headers["X-Request-ID"]


async def test_an_overview_and_account_data_share_a_call(fresh: Person, faults: Faults) -> None:
    key_id = paper_key()
    stored = await fresh.store(key_id)
    await faults.set(key_id, latency_ms=400)
    path = f"/api/credentials/{stored['id']}/account-data"

    async def account_data() -> Json:
        async with fresh.client.get(path) as answer:
            return await answer.json()

    first, second, data = await asyncio.gather(overview(fresh.client), overview(fresh.client), account_data())
    assert first["items"][0]["account_data"] == second["items"][0]["account_data"] == data
    assert await faults.calls_of(key_id) == 2  # one of them when it was stored


async def test_a_row_copied_to_another_user_is_a_problem_of_that_row_only(
    fresh_service: Service, fresh: Person, postgres: EmbeddedDatabase, faults: Faults
) -> None:
    """A writer of the database gives bob a copy of alice's row: it does not open, and bob's own account is there."""
    key_id = paper_key()
    stored = await fresh.store(key_id)
    async with make_person(fresh_service, "bob") as bob, owner_of(postgres) as owner:
        own = await bob.store()
        await _copy_row(owner, UUID(stored["id"]), bob.user_id)
        reported = await overview(bob.client)
        await owner.execute("DELETE FROM corral.credentials WHERE user_id = $1", bob.user_id)
    problems = {item["credential"]["id"]: item["problem"] for item in reported["items"]}
    assert problems[own["id"]] is None
    assert problems[stored["id"]]["code"] == "internal"
    assert await faults.calls_of(key_id) == 1


async def _copy_row(owner: asyncpg.Connection, credential_id: UUID, to: UUID) -> None:
    await owner.execute(
        """
        INSERT INTO corral.credentials (user_id, id, nickname, credential_type, account_id, key_hint, api_key_sealed,
                                        secret_key_sealed)
        SELECT $2, id, nickname, credential_type, account_id, key_hint, api_key_sealed, secret_key_sealed
        FROM corral.credentials WHERE id = $1
        """,
        credential_id, to,
    )  # fmt: skip


async def test_one_page_starts_no_more_calls_at_once_than_its_share(start_service: StartService) -> None:
    async with (
        serve_sandbox(port=0, latency_seconds=0.3) as sandbox,
        start_service(alpaca_paper_url=sandbox.paper_url, upstream_timeout_seconds=30, cache_seconds=0) as service,
        make_person(service, "alice") as alice,
        ClientSession(sandbox.url) as counts,
    ):
        for _ in range(7):  # more at once would wait too long for each other's entries in the audit trail
            await asyncio.gather(*(alice.store() for _ in range(10)))
        async with counts.put("/_requests"):
            pass
        assert all(item["account_data"] for item in (await overview(alice.client))["items"])
        async with counts.get("/_requests") as answer:
            counted = await answer.json()
    assert (counted["requests"], counted["peak_concurrency"]) == (70, 64)


async def test_no_database_connection_is_held_while_accounts_are_read(fresh: Person, faults: Faults) -> None:
    """More slow pages at once than the pool has connections, and a quick request still gets one."""
    key_id = paper_key()
    await fresh.store(key_id)
    await faults.set(key_id, latency_ms=800)
    slow = [asyncio.ensure_future(overview(fresh.client)) for _ in range(15)]
    await _asked_again(faults, key_id)
    async with fresh.client.get("/api/credentials") as answer:
        assert answer.status == 200
    assert not any(page.done() for page in slow)
    await asyncio.gather(*slow)


async def _asked_again(faults: Faults, key_id: str) -> None:
    for _ in range(500):
        if await faults.calls_of(key_id) > 1:
            return
        await asyncio.sleep(0.01)
    pytest.fail("never asked")


async def test_the_overview_contains_no_key(alice: Person, faults: Faults) -> None:
    key_id, refused = paper_key(), paper_key()
    for one in (key_id, refused):
        await alice.store(one, nickname=secrets.token_hex(4))
    await faults.set(refused, status=401, echo=True)
    text = json.dumps(await overview(alice.client))
    for one in (key_id, refused):
        assert one not in text
        assert secret_of(one) not in text
        assert f"{one[:2]}…{one[-4:]}" not in text
