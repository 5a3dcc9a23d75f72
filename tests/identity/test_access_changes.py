"""Whose access has changed, as a look tells it: no transaction is missed, and nobody is named for nothing."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest

from corral.database.connection import Database
from corral.database.embedded.instance import EmbeddedDatabase, embedded_postgres
from corral.database.migrate import apply_migrations
from corral.errors import DatabaseUnavailable, Overloaded
from corral.identity import access_watch, queries
from corral.identity.access_watch import AccessHorizon
from tests.journeys.clusters import ExternalPostgres, external_postgres
from tests.migrated_cluster import copy_migrated_cluster

EVERYBODY = None
NOBODY: frozenset[UUID] = frozenset()

# Of the oldest PostgreSQL that Corral works with. Each as a table and a change of one person's rows in it.
CHANGES = {
    "a session ends": "DELETE FROM corral.sessions WHERE user_id = $1",
    "a session is put back": "UPDATE corral.sessions SET seal = 'another' WHERE user_id = $1",
    "a session is shortened": "UPDATE corral.sessions SET expires_at = now() WHERE user_id = $1",
    "a token is revoked": "DELETE FROM corral.api_tokens WHERE user_id = $1",
    "a token is narrowed": "UPDATE corral.api_tokens SET scopes = '{}' WHERE user_id = $1",
    "a person is disabled": "UPDATE corral.users SET disabled_at = now() WHERE id = $1",
    "a person has another password": "UPDATE corral.users SET access_epoch = access_epoch + 1 WHERE id = $1",
    "a person is deleted": "DELETE FROM corral.users WHERE id = $1",
    "an account is paused": "UPDATE corral.credentials SET is_active = false WHERE user_id = $1",
    "an account has new keys": "UPDATE corral.credentials SET revision = revision + 1 WHERE user_id = $1",
    "an account is refused": "UPDATE corral.credentials SET refused_at = now() WHERE user_id = $1",
    "an account is removed": "DELETE FROM corral.credentials WHERE user_id = $1",
    "a grant is revoked": "DELETE FROM corral.grants WHERE user_id = $1",
    "a grant is narrowed": "UPDATE corral.grants SET networks = '{192.0.2.0/24}' WHERE user_id = $1",
    "a grant's secret is replaced": "UPDATE corral.grant_secrets SET valid_until = now() WHERE user_id = $1",
    "a grant's secret is deleted": "DELETE FROM corral.grant_secrets WHERE user_id = $1",
    "a column of a later release": "UPDATE corral.grants SET added_later = 1 WHERE user_id = $1",
}
NO_CHANGES = {
    "a session is used": "UPDATE corral.sessions SET last_seen_at = now() WHERE user_id = $1",
    "a token is used": "UPDATE corral.api_tokens SET last_used_at = now() WHERE user_id = $1",
    "a grant is used": "UPDATE corral.grants SET last_used_at = now() WHERE user_id = $1",
    "an account is used": "UPDATE corral.credentials SET last_used_at = now(), checked_at = now() WHERE user_id = $1",
    "an account is renamed": "UPDATE corral.credentials SET nickname = 'x', updated_at = now() WHERE user_id = $1",
    "accounts are arranged": "UPDATE corral.credentials SET is_pinned = true, list_position = 1 WHERE user_id = $1",
    "nothing": "UPDATE corral.users SET disabled_at = disabled_at WHERE id = $1",
}
# A table that lets nobody in does not need a trigger. A new one is named here, or has the trigger.
WITHOUT_RIGHTS = {
    "access_changes",
    "account_events",
    "audit_entries",
    "audit_heads",
    "audit_pending",
    "audit_processes",
    "home_views",
    "invitations",  # opens nothing before it is redeemed
    "migrations",
    "one_time_links",  # as an invitation
    "password_confirmations",
    "sign_in_attempts",
}


@pytest.fixture(scope="module")
async def postgres() -> AsyncGenerator[ExternalPostgres]:
    async with external_postgres() as cluster:
        await cluster.execute("ALTER SYSTEM SET max_prepared_transactions = 5", database="postgres")
        await cluster.restart("fast")
        await apply_migrations(cluster.dsn("corral_owner"))
        await cluster.execute("ALTER TABLE corral.grants ADD COLUMN added_later integer")
        await cluster.execute("INSERT INTO corral.instance (keyring_probe) VALUES ('')")
        yield cluster


@pytest.fixture
async def owner(postgres: ExternalPostgres) -> AsyncGenerator[asyncpg.Connection]:
    async with connected(postgres) as connection:
        yield connection


@asynccontextmanager
async def connected(postgres: ExternalPostgres | EmbeddedDatabase) -> AsyncGenerator[asyncpg.Connection]:
    connection = await asyncpg.connect(postgres.dsn("corral_owner"))
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def database(postgres: ExternalPostgres) -> AsyncGenerator[Database]:
    async with Database.open(postgres.dsn("corral_app")) as opened:
        yield opened


@pytest.fixture
async def horizon(database: Database) -> AccessHorizon:
    return await settled(AccessHorizon(database))


async def settled(horizon: AccessHorizon) -> AccessHorizon:
    """One that has asked about everybody, over a connection that it has."""
    while (await horizon.look()).users is EVERYBODY:
        pass
    return horizon


async def add_person(owner: asyncpg.Connection) -> UUID:
    """With one of each that lets somebody in."""
    person = uuid4()
    for statement in (
        "INSERT INTO corral.users (id, email) VALUES ($1, $1::uuid::text)",
        "INSERT INTO corral.sessions (user_id, lookup, seal, expires_at) VALUES ($1, '', '', 'infinity')",
        "INSERT INTO corral.api_tokens (user_id, name, scopes, lookup, seal) VALUES ($1, 'x', '{x}', '', '')",
        """
        INSERT INTO corral.credentials (user_id, id, nickname, credential_type, account_id, key_hint, api_key_sealed,
            secret_key_sealed) VALUES ($1, $1, 'x', 'paper', 'x', '', '', '')
        """,
        """
        INSERT INTO corral.grants (user_id, id, credential_id, name, key_id, access, created_at, expires_at)
        VALUES ($1, $1, $1, 'x', 'CGAAAAAAAAAAAAAAAAAAAAAAAA', 'read', now(), 'infinity')
        """,
        "INSERT INTO corral.grant_secrets (user_id, grant_id, lookup, seal) VALUES ($1, $1, '', '')",
    ):
        await owner.execute(statement, person)
    return person


@pytest.fixture
async def alice(owner: asyncpg.Connection) -> UUID:
    return await add_person(owner)


@pytest.fixture
async def bob(owner: asyncpg.Connection) -> UUID:
    return await add_person(owner)


async def disable(connection: asyncpg.Connection, person: UUID) -> None:
    await connection.execute("UPDATE corral.users SET disabled_at = clock_timestamp() WHERE id = $1", person)


@pytest.mark.parametrize("what", CHANGES)
async def test_a_change_of_a_right_is_seen_once_and_names_its_person_only(
    what: str, alice: UUID, bob: UUID, owner: asyncpg.Connection, horizon: AccessHorizon
) -> None:
    assert (await horizon.look()).users == NOBODY
    await owner.execute(CHANGES[what], alice)
    assert (await horizon.look()).users == {alice}
    assert (await horizon.look()).users == NOBODY


@pytest.mark.parametrize("what", NO_CHANGES)
async def test_what_carries_no_right_is_no_change(
    what: str, alice: UUID, owner: asyncpg.Connection, horizon: AccessHorizon
) -> None:
    assert await owner.execute(NO_CHANGES[what], alice) == "UPDATE 1"
    assert (await horizon.look()).users == NOBODY


async def test_a_row_that_moves_to_another_person_names_both(
    alice: UUID, bob: UUID, owner: asyncpg.Connection, horizon: AccessHorizon
) -> None:
    await owner.execute("UPDATE corral.api_tokens SET user_id = $2 WHERE user_id = $1", alice, bob)
    assert (await horizon.look()).users == {alice, bob}


async def test_every_table_that_carries_a_right_has_its_triggers(owner: asyncpg.Connection) -> None:
    tables = "SELECT relname::text FROM pg_class WHERE relnamespace = 'corral'::regnamespace AND relkind = 'r'"
    triggers = """
        SELECT c.relname::text FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE t.tgfoid::regproc::text LIKE 'corral.note_access_change%' GROUP BY 1
        HAVING bit_or(t.tgtype::integer) & 60 = 60  -- INSERT, DELETE, UPDATE, TRUNCATE
        """
    watched = {row[0] for row in await owner.fetch(triggers)}
    assert {row[0] for row in await owner.fetch(tables)} - watched == WITHOUT_RIGHTS
    assert watched.isdisjoint(WITHOUT_RIGHTS)


@pytest.mark.parametrize("way", ["plain", "in a savepoint", "prepared"])
async def test_a_transaction_that_was_open_during_looks_is_seen_when_it_is_committed(
    way: str, alice: UUID, bob: UUID, owner: asyncpg.Connection, postgres: ExternalPostgres, horizon: AccessHorizon
) -> None:
    """Later transactions are committed and seen meanwhile, so neither a time nor a highest number would do."""
    async with connected(postgres) as other:
        name = f"prepared-{alice}"
        await other.execute("BEGIN")
        if way == "in a savepoint":
            await other.execute("SAVEPOINT one")
        await disable(other, alice)
        if way == "in a savepoint":
            await other.execute("RELEASE one")
        elif way == "prepared":
            await other.execute(f"PREPARE TRANSACTION '{name}'")
        for _ in range(2):
            assert (await horizon.look()).users == NOBODY
        await disable(owner, bob)
        for seen in ({bob}, NOBODY, NOBODY):
            assert (await horizon.look()).users == seen
        await other.execute(f"COMMIT PREPARED '{name}'" if way == "prepared" else "COMMIT")
        for seen in ({alice}, NOBODY):
            assert (await horizon.look()).users == seen


@pytest.mark.parametrize("way", ["ROLLBACK", "ROLLBACK TO one; COMMIT"])
async def test_what_was_rolled_back_is_no_change(
    way: str, alice: UUID, owner: asyncpg.Connection, horizon: AccessHorizon
) -> None:
    await owner.execute("BEGIN; SAVEPOINT one")
    await disable(owner, alice)
    await owner.execute(way)
    assert (await horizon.look()).users == NOBODY


async def test_many_that_commit_in_any_order_are_each_seen(
    owner: asyncpg.Connection, postgres: ExternalPostgres, horizon: AccessHorizon
) -> None:
    people = [await add_person(owner) for _ in range(30)]
    await settled(horizon)
    told = set[UUID]()

    async def change(one: UUID) -> None:
        async with connected(postgres) as connection, connection.transaction():
            await disable(connection, one)
            await asyncio.sleep(0.001 * (one.int % 50))

    changing = asyncio.gather(*map(change, people))
    while not changing.done():
        told.update((await horizon.look()).users or NOBODY)
    await changing
    told.update((await horizon.look()).users or NOBODY)
    assert told == set(people)


async def test_a_transaction_that_stays_open_does_not_make_looks_larger(
    alice: UUID, bob: UUID, owner: asyncpg.Connection, postgres: ExternalPostgres, horizon: AccessHorizon
) -> None:
    """Changes since it began are read until they are pruned, and told once."""
    async with connected(postgres) as other, other.transaction():
        await disable(other, alice)
        await horizon.look()
        for _ in range(5):
            await owner.execute("UPDATE corral.users SET access_epoch = access_epoch + 1 WHERE id = $1", bob)
            assert (await horizon.look()).users == {bob}
        assert (await horizon.look()).users == NOBODY
        await owner.execute("UPDATE corral.access_changes SET changed_at = changed_at - interval '1 hour'")
        await prune(horizon)
        assert await owner.fetchval("SELECT count(*) FROM corral.access_changes WHERE user_id = $1", bob) == 0
    assert (await horizon.look()).users == {alice}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE corral.instance SET access_epoch = gen_random_uuid()",
        "TRUNCATE corral.grant_secrets",
        "TRUNCATE corral.users CASCADE",
    ],
)
async def test_a_restored_backup_and_an_emptied_table_are_about_everybody(
    statement: str, alice: UUID, owner: asyncpg.Connection, horizon: AccessHorizon
) -> None:
    await owner.execute("DELETE FROM corral.audit_entries; DELETE FROM corral.audit_heads")
    await owner.execute("ALTER TABLE corral.audit_entries DISABLE TRIGGER USER")
    await owner.execute("ALTER TABLE corral.audit_heads DISABLE TRIGGER USER")
    await owner.execute(statement)
    assert (await horizon.look()).users is EVERYBODY
    assert (await horizon.look()).users == NOBODY


async def test_more_changes_than_are_worth_telling_apart_are_about_everybody(
    owner: asyncpg.Connection, database: Database
) -> None:
    before = await queries.load_access_changes(database, None, most=0)
    people = {await add_person(owner) for _ in range(4)}  # in six transactions each
    found = await queries.load_access_changes(database, before.snapshot, most=24)
    assert found.users == people
    assert (await queries.load_access_changes(database, before.snapshot, most=23)).users is EVERYBODY


async def test_everybody_is_asked_about_again_after_half_a_minute(
    horizon: AccessHorizon, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert timedelta(seconds=30) == access_watch.ANEW_AFTER
    monkeypatch.setattr(access_watch, "ANEW_AFTER", timedelta(seconds=1))
    began = asyncio.get_running_loop().time()
    while (await horizon.look()).users is not EVERYBODY:
        assert asyncio.get_running_loop().time() - began < 60
        await asyncio.sleep(0.05)
    assert (await horizon.look()).users == NOBODY


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_database_whose_clock_was_set_is_asked_about_everybody(horizon: AccessHorizon, hours: int) -> None:
    seen = horizon._seen  # pyright: ignore[reportPrivateUsage]
    assert seen is not None
    horizon._seen = replace(seen, anew_at=seen.anew_at + timedelta(hours=hours))  # pyright: ignore[reportPrivateUsage]
    assert (await horizon.look()).users is EVERYBODY


async def test_a_new_connection_is_reason_to_ask_about_everybody(database: Database, horizon: AccessHorizon) -> None:
    async with database.connection(), database.connection():  # more than there were
        pass
    assert (await horizon.look()).users is EVERYBODY
    assert (await horizon.look()).users == NOBODY


async def test_another_server_is_reason_to_ask_about_everybody(
    database: Database, horizon: AccessHorizon, migrated_cluster: Path, run_dir: Path
) -> None:
    """One with as many connections, and numbers of transactions that would go on."""
    folder = run_dir / "another-server"
    folder.mkdir(mode=0o711)
    await copy_migrated_cluster(migrated_cluster, folder, waits_for_the_disk=False)
    async with embedded_postgres(folder) as other:
        await use_up_transactions(other)
        async with Database.open(other.dsn("corral_app")) as elsewhere:
            while elsewhere.connections_opened < database.connections_opened:
                async with elsewhere.connection(), elsewhere.connection():
                    pass
            ahead = await queries.load_access_changes(elsewhere, None, most=0)
            assert number_in(ahead) > number_in(await queries.load_access_changes(database, None, most=0))
            horizon._database = elsewhere  # pyright: ignore[reportPrivateUsage]
            assert (await horizon.look()).users is EVERYBODY
            assert (await horizon.look()).users == NOBODY


async def use_up_transactions(postgres: EmbeddedDatabase) -> None:
    async with connected(postgres) as owner:
        await owner.execute(
            """
            CREATE TEMP TABLE numbered (i integer);
            DO $$ BEGIN
                FOR i IN 1 .. 10000 LOOP
                    BEGIN INSERT INTO numbered VALUES (i); EXCEPTION WHEN unique_violation THEN NULL; END;
                END LOOP;
            END $$
            """
        )


def number_in(changes: queries.AccessChanges) -> int:
    return int(changes.snapshot.partition(":")[0])


async def test_numbers_of_transactions_that_go_back_are_about_everybody(database: Database) -> None:
    """As those of a server that has lost its last ones."""
    now = number_in(await queries.load_access_changes(database, None, most=0))
    ahead = f"{now + 1000}:{now + 1000}:"
    assert (await queries.load_access_changes(database, ahead, most=10)).users is EVERYBODY
    assert (await queries.load_access_changes(database, f"{now}:{now}:", most=10)).users == NOBODY


async def test_after_a_crash_the_first_answer_is_about_everybody(
    postgres: ExternalPostgres, database: Database, horizon: AccessHorizon
) -> None:
    """A killed backend makes the server start over, without being another process."""
    async with database.connection() as connection:
        before = await queries.load_access_changes(connection, None, most=0)
        os.kill(await connection.fetchval("SELECT pg_backend_pid()"), signal.SIGKILL)
    async with asyncio.timeout(60):
        while True:
            try:
                look = await horizon.look()
                break
            except (DatabaseUnavailable, Overloaded):
                await asyncio.sleep(0.05)
    assert look.users is EVERYBODY
    assert (await queries.load_access_changes(database, None, most=0)).server == before.server


@pytest.mark.parametrize("failure", ["an error", "a cancellation"])
async def test_after_a_look_that_is_lost_everybody_is_asked_about(
    failure: str, alice: UUID, owner: asyncpg.Connection, horizon: AccessHorizon
) -> None:
    """Nobody knows whether its answer was the one that named somebody."""
    async with owner.transaction():
        await owner.execute("LOCK TABLE corral.access_changes")
        looking = asyncio.ensure_future(horizon.look())
        if failure == "a cancellation":
            await asyncio.sleep(0.1)
            looking.cancel()
        with pytest.raises((DatabaseUnavailable, asyncio.CancelledError)):
            await looking
    assert (await horizon.look()).users is EVERYBODY


async def prune(horizon: AccessHorizon) -> None:
    """With what the last look saw, as if that were a minute ago."""
    seen = horizon._seen  # pyright: ignore[reportPrivateUsage]
    assert seen is not None
    await queries.prune_access_changes(horizon._database, seen.changes)  # pyright: ignore[reportPrivateUsage]


async def test_changes_are_pruned_by_what_was_seen_and_never_by_age_alone(
    alice: UUID, bob: UUID, owner: asyncpg.Connection, postgres: ExternalPostgres, horizon: AccessHorizon
) -> None:
    """A transaction that was open for an hour commits rows that are as old."""
    of_alice = "SELECT count(*) FROM corral.access_changes WHERE user_id = $1"
    async with connected(postgres) as other:
        async with other.transaction():
            await disable(other, alice)
            await other.execute("UPDATE corral.access_changes SET changed_at = changed_at - interval '1 hour'")
            await horizon.look()
        await prune(horizon)
        assert await owner.fetchval(of_alice, alice) == 1
        assert (await horizon.look()).users == {alice}
        await disable(owner, bob)
        await horizon.look()
        await prune(horizon)
        assert await owner.fetchval(of_alice, alice) == 0
        assert await owner.fetchval(of_alice, bob) > 0, "a row that is not a minute old stays"


async def test_nothing_is_pruned_by_what_another_server_saw(
    alice: UUID, owner: asyncpg.Connection, horizon: AccessHorizon
) -> None:
    await disable(owner, alice)
    await owner.execute("UPDATE corral.access_changes SET changed_at = changed_at - interval '1 hour'")
    await horizon.look()
    seen = horizon._seen  # pyright: ignore[reportPrivateUsage]
    assert seen is not None
    elsewhere = replace(seen.changes, server=seen.changes.server - timedelta(seconds=1))
    await queries.prune_access_changes(horizon._database, elsewhere)  # pyright: ignore[reportPrivateUsage]
    assert await owner.fetchval("SELECT count(*) FROM corral.access_changes WHERE user_id = $1", alice) > 0


async def test_rows_of_another_cluster_hide_nothing_and_go_away(
    alice: UUID, bob: UUID, owner: asyncpg.Connection, horizon: AccessHorizon
) -> None:
    """As after pg_dump and pg_restore: their numbers are ahead of all here."""
    await owner.execute(
        "INSERT INTO corral.access_changes VALUES ('99999999999', $1, now() - interval '1 hour')", alice
    )
    await disable(owner, bob)
    assert (await horizon.look()).users == {alice, bob}
    assert (await horizon.look()).users == {alice}
    await prune(horizon)
    assert (await horizon.look()).users == NOBODY


async def test_the_serving_role_can_neither_write_nor_forge_changes(
    alice: UUID, database: Database, owner: asyncpg.Connection
) -> None:
    for statement in (
        "DELETE FROM corral.access_changes",
        "INSERT INTO corral.access_changes VALUES ('1', gen_random_uuid(), now())",
        "ALTER TABLE corral.sessions DISABLE TRIGGER access_changed",
        "SET session_replication_role = replica",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with database.connection() as connection:
                await connection.execute(statement)
    before = await owner.fetchval("SELECT count(*) FROM corral.access_changes")
    assert before > 0
    forged = replace(await queries.load_access_changes(database, None, most=0), snapshot="999999:999999:")
    await queries.prune_access_changes(database, forged)
    assert await owner.fetchval("SELECT count(*) FROM corral.access_changes WHERE user_id = $1", alice) > 0
