"""What is made, renewed and revoked at the same moment: never one too many, never one that outlives its end."""

import asyncio
from collections import Counter
from uuid import UUID

import asyncpg
import pytest

from corral.grants.key_pairs import new_key_id
from tests.grants.conftest import GrantOwner


async def _have_grants(owner: asyncpg.Connection, person: GrantOwner, account: str, count: int) -> None:
    """Expired ones: they count, too."""
    await owner.executemany(
        """
        INSERT INTO corral.grants (user_id, id, credential_id, name, key_id, access, created_at, expires_at)
        VALUES ($1, gen_random_uuid(), $2, 'old', $3, 'read', now(), now())
        """,
        [(person.user_id, UUID(account), new_key_id()) for _ in range(count)],
    )


async def test_the_limit_of_a_hundred_grants_is_per_account_and_holds_at_once(
    carol: GrantOwner, owner: asyncpg.Connection
) -> None:
    account, other = await carol.account(), await carol.account()
    await _have_grants(owner, carol, account, 98)
    replies = await asyncio.gather(*(carol.try_grant(account) for _ in range(5)))
    assert Counter(reply.status for reply in replies) == {201: 2, 409: 3}
    assert {reply.body["code"] for reply in replies if reply.status == 409} == {"too_many_grants"}
    assert len(await carol.listed(f"/api/credentials/{account}/grants")) == 100
    await carol.grant(other)
    await owner.execute("DELETE FROM corral.grants WHERE name = 'old' AND user_id = $1", carol.user_id)
    await carol.grant(account)


async def _left(owner: asyncpg.Connection, person: GrantOwner) -> tuple[int, int]:
    return (
        await owner.fetchval("SELECT count(*) FROM corral.grants WHERE user_id = $1", person.user_id),
        await owner.fetchval("SELECT count(*) FROM corral.grant_secrets WHERE user_id = $1", person.user_id),
    )


@pytest.mark.parametrize("way", ["one", "of the account", "all", "account deleted", "owner disabled"])
async def test_what_is_being_renewed_or_made_does_not_outlive_its_revocation(
    carol: GrantOwner, owner: asyncpg.Connection, way: str
) -> None:
    account = await carol.account()
    for _ in range(4):
        made = await carol.grant(account)
        renew = carol.ask("POST", f"/api/grants/{made['id']}/renew", {"new_secret": True, "overlap": "1d"})
        narrow = carol.ask("PATCH", f"/api/grants/{made['id']}", {"expires_in": "1h"})
        renewed, narrowed, _ = await asyncio.gather(renew, narrow, _revoke(carol, owner, made["id"], account, way))
        assert {renewed.status, narrowed.status} <= {200, 404, 401, 409, 422}
        assert await carol.find(made) is None
        if renewed.status == 200:
            assert await carol.find(renewed.body) is None
        assert await _left(owner, carol) == (0, 0)
        if way in {"account deleted", "owner disabled"}:
            break


async def _revoke(person: GrantOwner, owner: asyncpg.Connection, grant_id: str, account: str, way: str) -> None:
    paths = {
        "one": f"/api/grants/{grant_id}",
        "of the account": f"/api/credentials/{account}/grants",
        "all": "/api/grants",
        "account deleted": f"/api/credentials/{account}",
    }
    if way == "owner disabled":
        await owner.execute("SELECT corral.disable_user($1)", person.user_id)
    else:
        assert (await person.ask("DELETE", paths[way])).status == 204


@pytest.mark.parametrize("way", ["of the account", "all", "account deleted", "owner disabled"])
async def test_none_that_is_being_made_remains_when_all_are_revoked(
    carol: GrantOwner, owner: asyncpg.Connection, way: str
) -> None:
    """What is made before goes with the others; what is made after is a new decision, unless nothing may be made."""
    account = await carol.account()
    making = [asyncio.ensure_future(carol.try_grant(account)) for _ in range(4)]
    await _revoke(carol, owner, "", account, way)
    made = [reply for reply in await asyncio.gather(*making) if reply.status == 201]
    found = [one for reply in made if (one := await carol.find(reply.body))]
    assert (await _left(owner, carol)) == (len(found),) * 2
    if way in {"account deleted", "owner disabled"}:
        assert found == []


async def test_of_two_that_narrow_at_once_none_undoes_the_others_change(carol: GrantOwner) -> None:
    made = await carol.grant(access="trade")
    path = f"/api/grants/{made['id']}"
    changes = ({"access": "read"}, {"networks": ["192.0.2.0/24"]}, {"expires_in": "1h"}, {"name": "renamed"})
    replies = await asyncio.gather(*(carol.ask("PATCH", path, change) for change in changes))
    assert [reply.status for reply in replies] == [200] * 4
    (listed,) = await carol.listed()
    assert (listed["access"], listed["networks"], listed["name"]) == ("read", ["192.0.2.0/24"], "renamed")
    assert listed["ends_soon"]
    assert await carol.find(made)


async def test_of_two_renewals_at_once_the_last_secret_and_the_one_before_work(carol: GrantOwner) -> None:
    made = await carol.grant()
    path = f"/api/grants/{made['id']}/renew"
    replies = await asyncio.gather(*(carol.ask("POST", path, {"new_secret": True}) for _ in range(3)))
    secrets = [reply.body for reply in replies]
    assert sum([await carol.find(one) is not None for one in [made, *secrets]]) == 2
