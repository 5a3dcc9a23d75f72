"""`/api/credentials`: stored as what Alpaca says they are, shown without keys, changed without surprises."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from aiohttp import ClientSession

from corral.database.embedded.instance import EmbeddedDatabase
from corral_sandbox import Sandbox, secret_of
from tests.conftest import Faults, StartService
from tests.people import Person, key_pair, live_key, paper_key

METADATA = [
    "id", "nickname", "credential_type", "account_number", "account_status", "is_active", "key_hint",
    "last_validated_at", "refused_at", "last_used_at", "created_at", "updated_at",
]  # fmt: skip


async def call(person: Person, method: str, path: str = "", *, status: int, json: object = None) -> dict[str, Any]:
    async with person.client.request(method, f"/api/credentials{path}", json=json) as answer:
        assert answer.status == status, await answer.text()
        return {} if status == 204 else await answer.json(content_type=None)


async def refusal(person: Person, method: str, path: str = "", *, status: int, code: str, json: object = None) -> str:
    problem = await call(person, method, path, status=status, json=json)
    assert problem["code"] == code
    return problem["detail"]


def new(key_id: str, **more: object) -> dict[str, object]:
    return {"nickname": "mine", **key_pair(key_id), **more}


@pytest.mark.parametrize(("key_id", "kind"), [(paper_key(), "paper"), (live_key(), "live")], ids=["paper", "live"])
async def test_alpaca_decides_whether_keys_are_paper_or_live(alice: Person, key_id: str, kind: str) -> None:
    stored = await call(alice, "POST", status=201, json=new(key_id))
    assert list(stored) == METADATA
    assert stored["credential_type"] == kind
    assert stored["account_number"]
    assert stored["is_active"] is True
    assert stored["key_hint"] == f"{key_id[:2]}…{key_id[-4:]}"
    assert await call(alice, "GET", f"/{stored['id']}", status=200) == stored
    assert await call(alice, "GET", status=200) == {"items": [stored]}


async def test_the_prefix_is_a_hint_only_and_the_other_environment_is_asked_too(
    alice: Person, start_service: StartService, sandbox: Sandbox, faults: Faults
) -> None:
    """With the two hosts exchanged a PK key is live: Alpaca decides, whatever the prefix says."""
    key_id = paper_key()
    async with (
        start_service(alpaca_paper_url=sandbox.live_url, alpaca_live_url=sandbox.paper_url) as service,
        ClientSession(service.url, headers={"Authorization": f"Bearer {alice.token}"}) as client,
        client.post("/api/credentials", json=new(key_id)) as answer,
    ):
        assert (await answer.json())["credential_type"] == "live"
    assert await faults.calls_of(key_id) == 2


async def test_keys_of_the_other_environment_are_refused_and_not_stored(alice: Person) -> None:
    detail = await refusal(
        alice, "POST", status=422, code="wrong_environment", json=new(paper_key(), credential_type="live")
    )
    assert "paper" in detail
    assert await call(alice, "GET", status=200) == {"items": []}


async def test_wrong_keys_are_distinguished_from_a_wrong_environment(alice: Person) -> None:
    wrong = {"nickname": "mine", "api_key": paper_key(), "secret_key": "not-the-secret"}
    detail = await refusal(alice, "POST", status=422, code="keys_refused", json=wrong)
    assert "neither" in detail
    assert await call(alice, "GET", status=200) == {"items": []}


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"status": 500, "body": {"message": "down"}}, 502, "upstream_failed"),
        ({"status": 200, "body": {}}, 502, "upstream_failed"),
        ({"latency_ms": 3000}, 504, "upstream_timeout"),
        ({"rate_limited": {"retry_after": 3}}, 429, "account_rate_limited"),
    ],
)
async def test_an_outage_of_alpaca_is_distinguished_from_wrong_keys(
    alice: Person, faults: Faults, fault: dict[str, object], status: int, code: str
) -> None:
    key_id = paper_key()
    await faults.set(key_id, **fault)
    await refusal(alice, "POST", status=status, code=code, json=new(key_id))
    assert await call(alice, "GET", status=200) == {"items": []}


async def test_an_unreachable_alpaca_is_502_and_nothing_is_stored(alice: Person, start_service: StartService) -> None:
    nowhere = {"alpaca_paper_url": "http://127.0.0.1:9", "alpaca_live_url": "http://127.0.0.1:9/live"}
    async with (
        start_service(**nowhere) as service,
        ClientSession(service.url, headers={"Authorization": f"Bearer {alice.token}"}) as client,
        client.post("/api/credentials", json=new(paper_key())) as answer,
    ):
        assert (answer.status, (await answer.json(content_type=None))["code"]) == (502, "upstream_failed")
    assert await call(alice, "GET", status=200) == {"items": []}


async def test_one_environment_refusing_and_the_other_unreachable_is_not_wrong_keys(
    alice: Person, start_service: StartService
) -> None:
    """The keys may be live ones: it cannot be known."""
    async with (
        start_service(alpaca_live_url="http://127.0.0.1:9") as service,
        ClientSession(service.url, headers={"Authorization": f"Bearer {alice.token}"}) as client,
        client.post(
            "/api/credentials", json={"nickname": "x", "api_key": paper_key(), "secret_key": "wrong"}
        ) as answer,
    ):
        assert answer.status == 502


async def test_several_accounts_of_one_kind_are_normal(alice: Person) -> None:
    for number in range(3):
        await alice.store(paper_key(), nickname=f"strategy {number}")
    listed = await call(alice, "GET", status=200)
    assert [item["nickname"] for item in listed["items"]] == ["strategy 0", "strategy 1", "strategy 2"]


async def test_the_same_account_twice_is_409_with_the_id_of_the_first(alice: Person, bob: Person) -> None:
    key_id = paper_key()
    first = await alice.store(key_id)
    problem = await call(alice, "POST", status=409, json=new(key_id))
    assert (problem["code"], problem["credential_id"]) == ("account_already_stored", first["id"])
    await bob.store(key_id)  # another user may store the same account, and sees nothing of alice's


async def test_the_same_account_stored_twice_at_once_is_stored_once(alice: Person) -> None:
    key_id = paper_key()

    async def store() -> int:
        async with alice.client.post("/api/credentials", json=new(key_id)) as answer:
            return answer.status

    assert sorted(await asyncio.gather(*(store() for _ in range(5)))) == [201, 409, 409, 409, 409]


async def test_the_limit_of_two_hundred_accounts_is_per_user(
    alice: Person, bob: Person, postgres: EmbeddedDatabase
) -> None:
    first = await alice.store()
    connection = await asyncpg.connect(postgres.dsn("corral_owner"))
    await connection.execute(
        """
        INSERT INTO corral.credentials (user_id, id, nickname, credential_type, account_id, key_hint, api_key_sealed,
                                        secret_key_sealed)
        SELECT user_id, gen_random_uuid(), nickname, credential_type, number::text, key_hint, api_key_sealed,
               secret_key_sealed
        FROM corral.credentials, generate_series(1, 199) number WHERE id = $1
        """,
        UUID(first["id"]),
    )
    await refusal(alice, "POST", status=409, code="too_many_credentials", json=new(paper_key()))
    await bob.store()
    await call(alice, "DELETE", f"/{first['id']}", status=204)
    await alice.store()
    await connection.execute("DELETE FROM corral.credentials WHERE user_id = $1", alice.user_id)
    await connection.close()


async def test_renaming_and_pausing_change_nothing_else(alice: Person) -> None:
    stored = await alice.store()
    renamed = await call(alice, "PATCH", f"/{stored['id']}", status=200, json={"nickname": " Größe ☃ "})
    assert renamed["nickname"] == "Größe ☃"
    off = await call(alice, "PATCH", f"/{stored['id']}", status=200, json={"is_active": False})
    assert (off["is_active"], off["nickname"]) == (False, "Größe ☃")
    assert off["updated_at"] > stored["updated_at"]
    assert await call(alice, "PATCH", f"/{stored['id']}", status=200, json={}) | {"updated_at": ""} == off | {
        "updated_at": ""
    }


async def test_replacing_keys_keeps_the_id_and_makes_a_new_call(alice: Person, faults: Faults) -> None:
    key_id = paper_key()
    stored = await alice.store(key_id)
    async with alice.client.get(f"/api/credentials/{stored['id']}/account-data"):
        pass
    replaced = await call(alice, "PATCH", f"/{stored['id']}", status=200, json=key_pair(key_id))
    assert replaced["id"] == stored["id"]
    assert replaced["last_validated_at"] > stored["last_validated_at"]
    async with alice.client.get(f"/api/credentials/{stored['id']}/account-data") as answer:
        assert answer.status == 200
    assert await faults.calls_of(key_id) == 4  # stored, read, validated, and read again: the cached answer is not used


async def test_keys_of_another_account_or_environment_do_not_replace(alice: Person) -> None:
    stored = await alice.store(paper_key())
    await refusal(alice, "PATCH", f"/{stored['id']}", status=422, code="wrong_account", json=key_pair(paper_key()))
    await refusal(alice, "PATCH", f"/{stored['id']}", status=422, code="wrong_environment", json=key_pair(live_key()))
    assert await call(alice, "GET", f"/{stored['id']}", status=200) == stored
    async with alice.client.get(f"/api/credentials/{stored['id']}/account-data") as answer:
        assert answer.status == 200


async def test_new_keys_of_the_same_account_are_taken(alice: Person, faults: Faults, sandbox: Sandbox) -> None:
    """Alpaca gives an account new keys; the account stays the same, as its id says."""
    old, fresh = paper_key(), paper_key()
    stored = await alice.store(old)
    headers = {"APCA-API-KEY-ID": old, "APCA-API-SECRET-KEY": secret_of(old)}
    async with ClientSession() as client, client.get(f"{sandbox.paper_url}/v2/account", headers=headers) as answer:
        account_id = (await answer.json())["id"]
    await faults.set(fresh, account_raw={"id": f'"{account_id}"'})
    replaced = await call(alice, "PATCH", f"/{stored['id']}", status=200, json=key_pair(fresh))
    assert (replaced["id"], replaced["key_hint"]) == (stored["id"], f"PK…{fresh[-4:]}")


async def test_one_key_without_the_other_is_refused(alice: Person) -> None:
    stored = await alice.store()
    await refusal(alice, "PATCH", f"/{stored['id']}", status=422, code="invalid_request", json={"api_key": paper_key()})


async def test_a_deleted_credential_is_gone_from_the_database(alice: Person, postgres: EmbeddedDatabase) -> None:
    stored = await alice.store()
    await call(alice, "DELETE", f"/{stored['id']}", status=204)
    for method, path in [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/validate")]:
        await refusal(
            alice, method, f"/{stored['id']}{path}", status=404, code="credential_not_found",
            json={} if method == "PATCH" else None,
        )  # fmt: skip
    connection = await asyncpg.connect(postgres.dsn("corral_owner"))
    count = await connection.fetchval("SELECT count(*) FROM corral.credentials WHERE id = $1", UUID(stored["id"]))
    await connection.close()
    assert count == 0


async def test_a_missing_credential_is_404_with_new_keys_too(alice: Person) -> None:
    await refusal(alice, "PATCH", f"/{uuid4()}", status=404, code="credential_not_found", json=key_pair(paper_key()))


async def test_validate_says_whether_alpaca_still_accepts_the_keys(alice: Person, faults: Faults) -> None:
    key_id = paper_key()
    stored = await alice.store(key_id)
    good = await call(alice, "POST", f"/{stored['id']}/validate", status=200)
    assert list(good)[:4] == ["is_valid", "account_type", "message", "checked_at"]
    assert (good["is_valid"], good["account_type"]) == (True, "paper")
    listed = await call(alice, "GET", f"/{stored['id']}", status=200)
    assert listed["last_validated_at"] == good["checked_at"]
    await faults.set(key_id, status=401, body={"message": "unauthorized."})
    bad = await call(alice, "POST", f"/{stored['id']}/validate", status=200)
    assert bad["is_valid"] is False
    assert "replace" in bad["message"]
    await faults.set(key_id, status=500, body={})
    await refusal(alice, "POST", f"/{stored['id']}/validate", status=502, code="upstream_failed")


async def test_a_paused_credential_is_not_checked(alice: Person, faults: Faults) -> None:
    key_id = paper_key()
    stored = await alice.store(key_id)
    await call(alice, "PATCH", f"/{stored['id']}", status=200, json={"is_active": False})
    await refusal(alice, "POST", f"/{stored['id']}/validate", status=400, code="credential_inactive")
    assert await faults.calls_of(key_id) == 1


@pytest.mark.parametrize("key_id", ["PK WITH SPACE 1", "PKLINE\nBREAK", "PKCR\r\nX-Evil: 1", "PKNUL\x00", "PKÄÖÜ123"])
async def test_a_key_id_that_would_break_a_header_is_refused_before_alpaca_is_asked(alice: Person, key_id: str) -> None:
    body = {"nickname": "x", "api_key": key_id, "secret_key": "s"}
    await refusal(alice, "POST", status=422, code="invalid_request", json=body)
    assert await call(alice, "GET", status=200) == {"items": []}


async def test_an_account_that_repeats_its_keys_is_not_stored(alice: Person, faults: Faults) -> None:
    """Its number is kept in the clear and shown, so a key must not come in that way."""
    key_id = paper_key()
    for echoed in (key_id, f"PA {secret_of(key_id)}"):
        await faults.set(key_id, account_raw={"account_number": f'"{echoed}"'})
        await refusal(alice, "POST", status=502, code="upstream_failed", json=new(key_id))
    assert await call(alice, "GET", status=200) == {"items": []}


async def test_no_response_contains_the_keys(alice: Person) -> None:
    key_id = paper_key()
    stored = await alice.store(key_id)
    for method, path, body in [
        ("GET", "", None), ("GET", f"/{stored['id']}", None), ("PATCH", f"/{stored['id']}", key_pair(key_id)),
        ("POST", f"/{stored['id']}/validate", None), ("POST", "", new(key_id)),
        ("GET", f"/{stored['id']}/account-data", None),
    ]:  # fmt: skip
        async with alice.client.request(method, f"/api/credentials{path}", json=body) as answer:
            text = await answer.text() + repr(answer.raw_headers)
        assert key_id not in text
        assert secret_of(key_id) not in text
