"""API tokens: shown once, refused in any other form, never accepted beyond what was sealed."""

import asyncio
import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from aiohttp import ClientSession

from corral.identity.models import Scope
from corral.identity.tokens import new_token
from tests.access import browser, sign_in_by_link
from tests.conftest import Service
from tests.log_lines import LogSince
from tests.people import Person

Json = dict[str, Any]


async def _create(client: ClientSession, **body: object) -> Json:
    async with client.post("/api/tokens", json={"name": "agent", **body}) as answer:
        assert answer.status == 201, await answer.text()
        return await answer.json()


async def _refusal(client: ClientSession, token: str | None = None, **body: object) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with client.post("/api/tokens", json={"name": "agent", **body}, headers=headers) as answer:
        return answer.status, (await answer.json()).get("code")


async def _status(client: ClientSession, authorization: str) -> int:
    async with client.get("/api/me", headers={"Authorization": authorization}) as answer:
        return answer.status


def _in(**amount: float) -> str:
    return (datetime.now(UTC) + timedelta(**amount)).isoformat()


async def test_a_token_works_and_returns_its_scopes(alice: Person, anonymous: ClientSession) -> None:
    created = await _create(alice.client, scopes=["tokens:read", "accounts:read", "accounts:read"])
    assert created["scopes"] == ["accounts:read", "tokens:read"]
    async with anonymous.get("/api/me", headers={"Authorization": f"bearer {created['token']}"}) as answer:
        me = await answer.json()
    assert (me["id"], me["scopes"], me["authenticated_by"]) == (str(alice.user_id), created["scopes"], "token")


async def test_a_token_has_the_form_that_secret_scanners_know(alice: Person) -> None:
    token = (await _create(alice.client))["token"]
    assert re.fullmatch(r"corral_[0-9A-Za-z]{38}", token)


async def test_a_token_is_shown_once_and_stored_nowhere(alice: Person, owner: asyncpg.Connection) -> None:
    created = await _create(alice.client)
    async with alice.client.get("/api/tokens") as answer:
        listed = await answer.json()
    (item,) = [item for item in listed["items"] if item["id"] == created["id"]]
    assert item == {name: value for name, value in created.items() if name != "token"}
    (row,) = await owner.fetch("SELECT * FROM corral.api_tokens WHERE id::text = $1", created["id"])
    token = created["token"]
    assert token not in str(dict(row))
    for unkeyed in (token, token.removeprefix("corral_"), token[7:39]):
        assert hashlib.sha256(unkeyed.encode()).digest() not in {row["lookup"], row["seal"]}


async def test_a_revoked_token_is_refused_at_once(alice: Person, anonymous: ClientSession) -> None:
    created = await _create(alice.client)
    assert await _status(anonymous, f"Bearer {created['token']}") == 200
    async with alice.client.delete(f"/api/tokens/{created['id']}") as answer:
        assert answer.status == 204
    assert await _status(anonymous, f"Bearer {created['token']}") == 401
    async with alice.client.delete(f"/api/tokens/{created['id']}") as answer:
        assert (answer.status, (await answer.json())["code"]) == (404, "token_not_found")


async def test_a_token_ends_with_its_time(alice: Person, anonymous: ClientSession) -> None:
    for seconds in (1, 10, 100):  # a busy machine may not be there in time to see a short life
        created = await _create(alice.client, expires_at=_in(seconds=seconds))
        expires_at = datetime.fromisoformat(created["expires_at"])
        seen = await _status(anonymous, f"Bearer {created['token']}")
        if datetime.now(UTC) < expires_at:
            break
    assert seen == 200
    await asyncio.sleep((expires_at - datetime.now(UTC)).total_seconds() + 0.1)
    assert await _status(anonymous, f"Bearer {created['token']}") == 401


@pytest.mark.parametrize(
    "expires_at",
    [_in(seconds=-1), "2030-01-01T00:00:00", "9999-12-31T23:59:59-23:00", "soon"],
    ids=["past", "without a zone", "beyond all years", "no time"],
)
async def test_an_expiry_is_a_moment_in_the_future(alice: Person, expires_at: str) -> None:
    assert await _refusal(alice.client, expires_at=expires_at) == (422, "invalid_request")


async def test_an_expiry_may_have_any_time_zone(alice: Person, anonymous: ClientSession) -> None:
    created = await _create(alice.client, expires_at="2999-01-01T05:30:00.1234567+05:30")
    assert created["expires_at"] == "2999-01-01T00:00:00.123456Z"
    assert await _status(anonymous, f"Bearer {created['token']}") == 200


async def test_a_disabled_users_token_is_refused(
    alice: Person, owner: asyncpg.Connection, anonymous: ClientSession
) -> None:
    await owner.execute("UPDATE corral.users SET disabled_at = now() WHERE id = $1", alice.user_id)
    assert await _status(anonymous, f"Bearer {alice.token}") == 401


async def test_anything_but_the_whole_token_is_refused(alice: Person, anonymous: ClientSession) -> None:
    token = alice.token
    last = "A" if token[-1] != "A" else "B"
    others = [token[:-1], token[1:], token[:20], token + "0", token[:-1] + last, token.swapcase(), token.upper()]
    others += [token.replace("corral_", "corra1_"), token.removeprefix("corral_"), token.replace("_", "-")]
    others += [f"{token} {token}", f"{token},{token}", f'"{token}"', token * 50, "corral_", "", new_token(), "é" * 45]
    for other in others:
        assert await _status(anonymous, f"Bearer {other}") == 401, other
    assert await _status(anonymous, f"Bearer {token}") == 200


async def test_only_bearer_authorization_is_read_as_a_token(alice: Person, anonymous: ClientSession) -> None:
    for authorization in (alice.token, f"Basic {alice.token}", f"Token {alice.token}", f"Bearer:{alice.token}"):
        assert await _status(anonymous, authorization) == 401
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert await _status(anonymous, f"{scheme} {alice.token}") == 200


async def test_the_last_use_is_stored(alice: Person, anonymous: ClientSession) -> None:
    created = await _create(alice.client)
    assert created["last_used_at"] is None
    assert await _status(anonymous, f"Bearer {created['token']}") == 200
    async with asyncio.timeout(30):
        while await _last_use(alice, created["id"]) is None:  # noqa: ASYNC110 - PostgreSQL tells nobody
            await asyncio.sleep(0.02)


async def _last_use(person: Person, token_id: str) -> str | None:
    async with person.client.get("/api/tokens") as answer:
        items = (await answer.json())["items"]
    return next(item["last_used_at"] for item in items if item["id"] == token_id)


async def test_a_token_cannot_create_one_with_more_scopes(alice: Person, anonymous: ClientSession) -> None:
    narrow = (await _create(alice.client, scopes=["tokens:write", "accounts:read"]))["token"]
    for wanted in ({}, {"scopes": None}, {"scopes": ["tokens:read"]}, {"scopes": ["accounts:read", "tokens:read"]}):
        assert await _refusal(anonymous, narrow, **wanted) == (403, "wider_than_its_maker")
    assert (await _refusal(anonymous, narrow, scopes=["accounts:read"]))[0] == 201


async def test_a_token_cannot_create_one_that_expires_later(alice: Person, anonymous: ClientSession) -> None:
    short = (await _create(alice.client, expires_at=_in(hours=1)))["token"]
    for wanted in ({}, {"expires_at": None}, {"expires_at": _in(hours=2)}):
        assert await _refusal(anonymous, short, **wanted) == (403, "wider_than_its_maker")
    assert (await _refusal(anonymous, short, expires_at=_in(minutes=30)))[0] == 201


async def test_a_scope_that_does_not_exist_is_refused(alice: Person) -> None:
    for scopes in ([], ["*"], ["accounts:write"], ["Accounts:read"], "accounts:read", [None]):
        assert await _refusal(alice.client, scopes=scopes) == (422, "invalid_request")


async def test_a_signed_in_user_may_create_any_token(service: Service, alice: Person) -> None:
    cookie = await sign_in_by_link(service, alice.user_id)
    async with browser(service.url, cookie) as page:
        assert (await _create(page))["scopes"] == ["*"]
        assert (await _create(page, scopes=list(Scope)))["scopes"] == sorted(Scope)


async def _alter(owner: asyncpg.Connection, token_id: str, change: str, *values: object) -> None:
    done = await owner.execute(f"UPDATE corral.api_tokens SET {change} WHERE id::text = $1", token_id, *values)
    assert done == "UPDATE 1"


@pytest.mark.parametrize(
    "change",
    [
        "scopes = '{*}'",
        "scopes = scopes || '{tokens:write}'",
        "scopes = '{}'",
        "expires_at = expires_at + interval '1 microsecond'",
        "expires_at = NULL",
        "expires_at = 'infinity'",
        "id = gen_random_uuid()",
        "seal = lookup",
        "seal = ''",
    ],
)
async def test_a_token_row_changed_by_hand_is_not_accepted(
    alice: Person, owner: asyncpg.Connection, log: LogSince, anonymous: ClientSession, change: str
) -> None:
    created = await _create(alice.client, scopes=["accounts:read"], expires_at=_in(hours=1))
    await _alter(owner, created["id"], change)
    assert await _status(anonymous, f"Bearer {created['token']}") == 401
    assert [alarm["user_id"] for alarm in log.alarms("api_token_seal_broken")] == [str(alice.user_id)]


async def test_a_token_that_was_only_renamed_still_works(
    alice: Person, owner: asyncpg.Connection, anonymous: ClientSession
) -> None:
    created = await _create(alice.client)
    await _alter(owner, created["id"], "name = 'renamed', last_used_at = now()")
    assert await _status(anonymous, f"Bearer {created['token']}") == 200


async def test_a_token_row_moved_to_another_user_is_not_accepted(
    alice: Person, bob: Person, owner: asyncpg.Connection, log: LogSince, anonymous: ClientSession
) -> None:
    created = await _create(bob.client)
    await _alter(owner, created["id"], "user_id = $2", alice.user_id)
    assert await _status(anonymous, f"Bearer {created['token']}") == 401
    assert log.alarms("api_token_seal_broken")


async def test_a_row_with_the_hashes_of_bobs_own_token_is_not_accepted_as_alices(
    alice: Person, bob: Person, owner: asyncpg.Connection, log: LogSince, anonymous: ClientSession
) -> None:
    created = await _create(bob.client)
    await owner.execute(
        """
        INSERT INTO corral.api_tokens (user_id, id, name, scopes, lookup, seal)
        SELECT $2, id, name, scopes, lookup, seal FROM corral.api_tokens WHERE id::text = $1
        """,
        created["id"],
        alice.user_id,
    )
    await owner.execute(
        "DELETE FROM corral.api_tokens WHERE id::text = $1 AND user_id = $2", created["id"], bob.user_id
    )
    assert await _status(anonymous, f"Bearer {created['token']}") == 401
    assert log.alarms("api_token_seal_broken")


async def test_a_row_with_an_unkeyed_hash_of_a_known_token_is_not_found(
    alice: Person, owner: asyncpg.Connection, anonymous: ClientSession
) -> None:
    token = new_token()
    await owner.execute(
        "INSERT INTO corral.api_tokens (user_id, id, name, scopes, lookup, seal) VALUES ($1, $2, 'x', '{*}', $3, $3)",
        alice.user_id,
        uuid4(),
        hashlib.sha256(token.encode()).digest(),
    )
    assert await _status(anonymous, f"Bearer {token}") == 401


async def test_stored_values_are_not_accepted_as_tokens(
    alice: Person, owner: asyncpg.Connection, anonymous: ClientSession
) -> None:
    created = await _create(alice.client)
    (row,) = await owner.fetch("SELECT lookup, seal FROM corral.api_tokens WHERE id::text = $1", created["id"])
    for stored in (row["lookup"].hex(), row["seal"].hex(), f"corral_{row['lookup'].hex()[:38]}", created["id"]):
        assert await _status(anonymous, f"Bearer {stored}") == 401


async def _have_tokens(owner: asyncpg.Connection, person: Person, count: int) -> None:
    """Expired ones: they count, too."""
    await owner.execute(
        """
        INSERT INTO corral.api_tokens (user_id, name, scopes, lookup, seal, expires_at)
        SELECT $1, 'old', '{}', '', '', now() FROM generate_series(1, $2)
        """,
        person.user_id,
        count,
    )


async def test_the_limit_of_a_hundred_tokens_is_per_user(alice: Person, bob: Person, owner: asyncpg.Connection) -> None:
    await _have_tokens(owner, alice, 98)  # and the one that she has
    statuses: list[tuple[int, str]] = []
    for _ in range(2):
        async with alice.client.post("/api/tokens", json={"name": "one more"}) as answer:
            statuses.append((answer.status, (await answer.json()).get("code")))
    assert statuses == [(201, None), (409, "too_many_tokens")]
    async with bob.client.post("/api/tokens", json={"name": "mine"}) as answer:
        assert answer.status == 201
    await owner.execute("DELETE FROM corral.api_tokens WHERE user_id = $1 AND name = 'old'", alice.user_id)
    async with alice.client.post("/api/tokens", json={"name": "one more"}) as answer:
        assert answer.status == 201


async def test_tokens_created_concurrently_do_not_exceed_the_limit(
    alice: Person, bob: Person, owner: asyncpg.Connection
) -> None:
    await _have_tokens(owner, alice, 97)

    async def make() -> int:
        async with alice.client.post("/api/tokens", json={"name": "at once"}) as answer:
            return answer.status

    assert sorted(await asyncio.gather(*(make() for _ in range(8)))) == [201] * 2 + [409] * 6
    assert await owner.fetchval("SELECT count(*) FROM corral.api_tokens WHERE user_id = $1", alice.user_id) == 100
