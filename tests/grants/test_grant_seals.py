"""Whoever writes into the database, but has no keyring, makes, moves, widens and prolongs nothing."""

import json
from uuid import UUID, uuid4

import asyncpg
import pytest

from corral.grants.key_pairs import SECRET_FORM, new_key_id
from tests.grants.conftest import GrantOwner, Json
from tests.log_lines import LogSince


def _alarmed(log: LogSince) -> list[str]:
    return [alarm["grant_id"] for alarm in log.alarms("grant_seal_broken")]


@pytest.mark.parametrize(
    "change",
    [
        "access = 'trade'",
        "access = 'read', networks = '{192.0.2.1}'",  # not even narrower
        "networks = NULL",
        "networks = '{192.0.0.0/16}'",
        "networks = networks || '{198.51.100.0/24}'",
        "expires_at = expires_at + interval '1 microsecond'",
        "expires_at = 'infinity'",
        "created_at = created_at - interval '1 microsecond'",
        "key_id = 'CGAAAAAAAAAAAAAAAAAAAAAAAA'",
        "credential_id = $2",
    ],
)
async def test_a_grant_changed_by_hand_is_unknown_and_raises_an_alarm(
    carol: GrantOwner, owner: asyncpg.Connection, log: LogSince, change: str
) -> None:
    account, other = await carol.account(), await carol.account()
    made = await carol.grant(account, access="close_only", networks=["192.0.2.0/24"])
    values = [UUID(other)] if "$2" in change else []
    await owner.execute(f"UPDATE corral.grants SET {change} WHERE id = $1", UUID(made["id"]), *values)
    assert await carol.find(made) is None
    assert _alarmed(log) == [made["id"]]


@pytest.mark.parametrize(
    "change", ["valid_until = now() + interval '1 year'", "valid_until = 'infinity'", "seal = lookup", "seal = ''"]
)
async def test_a_secrets_row_changed_by_hand_is_unknown_and_raises_an_alarm(
    carol: GrantOwner, owner: asyncpg.Connection, log: LogSince, change: str
) -> None:
    made = await carol.grant()
    done = await owner.execute(f"UPDATE corral.grant_secrets SET {change} WHERE grant_id = $1", UUID(made["id"]))
    assert done == "UPDATE 1"
    assert await carol.find(made) is None
    assert _alarmed(log) == [made["id"]]


async def test_a_former_secret_does_not_become_the_present_one(
    carol: GrantOwner, owner: asyncpg.Connection, log: LogSince
) -> None:
    made = await carol.grant()
    renewed = (await carol.ask("POST", f"/api/grants/{made['id']}/renew", {"new_secret": True})).body
    await owner.execute("UPDATE corral.grant_secrets SET valid_until = NULL WHERE grant_id = $1", UUID(made["id"]))
    assert await carol.find(made) is None
    assert _alarmed(log) == [made["id"]]
    assert await carol.find(renewed)


async def _move(
    owner: asyncpg.Connection, grant: Json, *, to: GrantOwner, account: str, new_id: UUID | None = None
) -> None:
    """Copies both rows, and deletes the old ones."""
    identifier = UUID(grant["id"])
    await owner.execute(
        """
        INSERT INTO corral.grants (user_id, id, credential_id, name, key_id, access, networks, created_at, expires_at)
        SELECT $2, $3, $4, name, key_id, access, networks, created_at, expires_at FROM corral.grants WHERE id = $1
        """,
        identifier, to.user_id, new_id or identifier, UUID(account),
    )  # fmt: skip
    await owner.execute(
        """
        WITH moved AS (DELETE FROM corral.grant_secrets WHERE grant_id = $1 RETURNING *)
        INSERT INTO corral.grant_secrets SELECT $2, $3, lookup, seal, valid_until FROM moved
        """,
        identifier, to.user_id, new_id or identifier,
    )  # fmt: skip


async def test_a_grant_moved_to_another_person_opens_nothing_of_theirs(
    carol: GrantOwner, dave: GrantOwner, owner: asyncpg.Connection, log: LogSince
) -> None:
    his, account = await dave.grant(access="trade"), await carol.account()
    await _move(owner, his, to=carol, account=account)
    assert await dave.find(his) is None
    assert _alarmed(log) == [his["id"]]


async def test_a_grant_under_another_id_is_unknown(carol: GrantOwner, owner: asyncpg.Connection, log: LogSince) -> None:
    made, new_id = await carol.grant(), uuid4()
    await _move(owner, made, to=carol, account=made["credential_id"], new_id=new_id)
    assert await carol.find(made) is None
    assert _alarmed(log) == [str(new_id)]


async def test_the_secret_of_ones_own_grant_does_not_open_anothers(
    carol: GrantOwner, dave: GrantOwner, owner: asyncpg.Connection, log: LogSince
) -> None:
    hers, his = await carol.grant(access="trade"), await dave.grant()
    await owner.execute(
        """
        INSERT INTO corral.grant_secrets
        SELECT $2, $3, lookup, seal, valid_until FROM corral.grant_secrets WHERE grant_id = $1
        """,
        UUID(his["id"]), carol.user_id, UUID(hers["id"]),
    )  # fmt: skip
    await owner.execute("DELETE FROM corral.grant_secrets WHERE grant_id = $1", UUID(his["id"]))
    assert await dave.find(his, key_id=hers["key_id"]) is None
    assert _alarmed(log) == [hers["id"]]
    assert await carol.find(hers)


async def test_a_grant_written_by_hand_is_not_found(carol: GrantOwner, owner: asyncpg.Connection) -> None:
    secret, account, new_id = SECRET_FORM.new(), await carol.account(), uuid4()
    await owner.execute(
        """
        INSERT INTO corral.grants (user_id, id, credential_id, name, key_id, access, created_at, expires_at)
        VALUES ($1, $2, $3, 'x', $4, 'trade', now(), now() + interval '1 day')
        """,
        carol.user_id, new_id, UUID(account), new_key_id(),
    )  # fmt: skip
    for lookup in (secret.encode(), b""):
        await owner.execute(
            "INSERT INTO corral.grant_secrets VALUES ($1, $2, $3, $3, NULL)", carol.user_id, new_id, lookup
        )
    assert await carol.find({"key_id": None, "secret_key": secret}) is None


@pytest.mark.parametrize(
    "change", ["access = 'trade'", "expires_at = expires_at + interval '1 year'", "networks = NULL"]
)
async def test_nothing_that_was_widened_by_hand_is_sealed_again(
    carol: GrantOwner, owner: asyncpg.Connection, log: LogSince, change: str
) -> None:
    made = await carol.grant(networks=["192.0.2.0/24"])
    path = f"/api/grants/{made['id']}"
    await owner.execute(f"UPDATE corral.grants SET {change} WHERE id = $1", UUID(made["id"]))
    for method, where, body in (
        ("PATCH", path, {"name": "renamed"}),
        ("POST", f"{path}/renew", {}),
        ("POST", f"{path}/renew", {"new_secret": True}),
    ):
        assert (await carol.ask(method, where, body)).refusal == (409, "grant_altered")
    assert _alarmed(log) == [made["id"]] * 3
    assert await carol.find(made) is None
    assert (await carol.ask("DELETE", path)).status == 204


async def test_a_grant_whose_secrets_were_taken_away_gets_no_new_one(
    carol: GrantOwner, owner: asyncpg.Connection, log: LogSince
) -> None:
    """Otherwise deleting what the terms are sealed in would be the way to have them sealed anew."""
    made = await carol.grant()
    await owner.execute("UPDATE corral.grants SET access = 'trade' WHERE id = $1", UUID(made["id"]))
    await owner.execute("DELETE FROM corral.grant_secrets WHERE grant_id = $1", UUID(made["id"]))
    refused = await carol.ask("POST", f"/api/grants/{made['id']}/renew", {"new_secret": True})
    assert refused.refusal == (409, "grant_altered")
    assert _alarmed(log) == [made["id"]]


async def test_what_allows_nothing_may_change(carol: GrantOwner, owner: asyncpg.Connection, log: LogSince) -> None:
    made = await carol.grant()
    await owner.execute(
        "UPDATE corral.grants SET name = 'renamed', last_used_at = now() WHERE id = $1", UUID(made["id"])
    )
    assert await carol.find(made)
    assert _alarmed(log) == []


async def test_no_line_of_the_log_has_a_secret(carol: GrantOwner, log: LogSince) -> None:
    made = await carol.grant()
    renewed = (await carol.ask("POST", f"/api/grants/{made['id']}/renew", {"new_secret": True})).body
    assert await carol.find(made)
    text = json.dumps(log.lines())
    for one in (made, renewed):
        assert one["secret_key"] not in text
        assert one["secret_key"].removeprefix("corral_grant_") not in text
    events = [line["event"] for line in log.lines() if line["event"].startswith("grant")]
    assert events == ["grant_made", "grant_renewed"]
