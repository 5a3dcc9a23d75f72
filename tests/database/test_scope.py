"""Row-level security decides, whatever the query says: every proof on the real engine as the real role."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import asyncpg
import pytest

from corral.credentials import queries
from corral.database.connection import Connection, Database, get_connection_with_rls
from corral.database.embedded.instance import EmbeddedDatabase
from corral.errors import DatabaseUnavailable, Overloaded
from corral.identity.tokens import token_lookups
from tests.conftest import Service
from tests.people import Person

TABLES = ["users", "sessions", "api_tokens", "credentials", "grants", "grant_secrets"]


@pytest.fixture
def database(service: Service) -> Database:
    return service.resources.database


@asynccontextmanager
async def as_app(postgres: EmbeddedDatabase) -> AsyncGenerator[Connection]:
    connection = await asyncpg.connect(postgres.dsn("corral_app"))
    try:
        yield connection
    finally:
        await connection.close()


@pytest.mark.parametrize("table", TABLES)
async def test_without_a_user_a_read_is_an_error_and_not_an_empty_page(
    alice: Person, postgres: EmbeddedDatabase, table: str
) -> None:
    async with as_app(postgres) as connection:
        for scope in ("", None):
            if scope is not None:
                await connection.execute("SELECT set_config('app.current_user_id', $1, false)", scope)
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="no user is set"):
                await connection.fetch(f"SELECT * FROM corral.{table}")


@pytest.mark.parametrize("table", ["one_time_links", "invitations", "sign_in_attempts", "access_changes"])
async def test_tables_used_before_authentication_cannot_be_read(postgres: EmbeddedDatabase, table: str) -> None:
    async with as_app(postgres) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch(f"SELECT * FROM corral.{table}")


async def test_alice_sees_her_rows_and_none_of_bobs(alice: Person, bob: Person, database: Database) -> None:
    await alice.store()
    await bob.store()
    for table, column in [("users", "id"), ("api_tokens", "user_id"), ("credentials", "user_id")]:
        async with get_connection_with_rls(alice.user_id, database) as connection:
            owners = {row[0] for row in await connection.fetch(f"SELECT {column} FROM corral.{table}")}
        assert owners == {alice.user_id}


async def test_alice_can_neither_change_nor_delete_nor_write_for_bob(
    alice: Person, bob: Person, database: Database
) -> None:
    bobs = UUID((await bob.store())["id"])
    async with get_connection_with_rls(alice.user_id, database) as connection:
        assert (
            await connection.execute("UPDATE corral.credentials SET nickname = 'x' WHERE id = $1", bobs) == "UPDATE 0"
        )
        assert await connection.execute("DELETE FROM corral.credentials WHERE id = $1", bobs) == "DELETE 0"
        for statement in (
            "INSERT INTO corral.api_tokens (user_id, name, scopes, lookup, seal) VALUES ($1, 'x', '{}', '', '')",
            "INSERT INTO corral.sessions (user_id, lookup, seal, expires_at) VALUES ($1, '', '', now())",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with connection.transaction():
                    await connection.execute(statement, bob.user_id)


async def test_the_owner_of_a_row_cannot_be_changed(alice: Person, bob: Person, database: Database) -> None:
    await alice.store()
    async with get_connection_with_rls(alice.user_id, database) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("UPDATE corral.credentials SET user_id = $1", bob.user_id)


async def test_no_scope_remains_on_the_connection(alice: Person, postgres: EmbeddedDatabase) -> None:
    async with Database.open(postgres.dsn("corral_app"), connections=1) as database:
        async with get_connection_with_rls(alice.user_id, database) as connection:
            assert await connection.fetchval("SELECT count(*) FROM corral.users") == 1
        async with database.connection() as connection:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch("SELECT * FROM corral.users")


async def test_prepared_queries_alternating_between_tenants_never_cross(
    alice: Person, bob: Person, postgres: EmbeddedDatabase
) -> None:
    """A scope function that were IMMUTABLE would freeze the first tenant into the cached plan."""
    mine = {person.user_id: UUID((await person.store())["id"]) for person in (alice, bob)}
    async with Database.open(postgres.dsn("corral_app"), connections=1) as database:
        async with database.connection() as connection:
            await connection.execute("SET plan_cache_mode = force_generic_plan")
        for user_id in [alice.user_id, bob.user_id] * 20:
            async with get_connection_with_rls(user_id, database, readonly=True) as connection:
                assert [row[0] for row in await connection.fetch("SELECT id FROM corral.credentials")] == [
                    mine[user_id]
                ]


async def test_many_tenants_read_in_one_round_trip_each_under_their_own_scope(
    alice: Person, bob: Person, database: Database
) -> None:
    alices, bobs = UUID((await alice.store())["id"]), UUID((await bob.store())["id"])
    wanted = [
        (alice.user_id, alices), (alice.user_id, bobs), (bob.user_id, bobs), (bob.user_id, alices), (uuid4(), alices),
    ]  # fmt: skip
    for _ in range(20):
        found = await queries.load_sealed_credentials(database, wanted)
        assert set(found) == {(alice.user_id, alices), (bob.user_id, bobs)}


async def test_the_batched_read_leaves_no_scope_behind(alice: Person, postgres: EmbeddedDatabase) -> None:
    alices = UUID((await alice.store())["id"])
    async with as_app(postgres) as connection, connection.transaction():
        await connection.fetch("SELECT * FROM corral.read_credentials($1, $2)", [alice.user_id], [alices])
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="no user is set"):
            await connection.fetch("SELECT * FROM corral.credentials")


async def test_callers_in_one_round_trip_each_get_their_own_row_and_credential(
    service: Service, alice: Person, bob: Person, database: Database
) -> None:
    alices = UUID((await alice.store())["id"])
    hers, his = (token_lookups(service.resources.vault, person.token)[0] for person in (alice, bob))
    unknown, bobs, own = (
        queries.AccessKey(is_session=False, lookup=lookup, credential_id=alices) for lookup in (b"unknown", his, hers)
    )
    found = await queries.load_access(database, [unknown, bobs, own])
    assert {key: access.caller.user_id for key, access in found.items()} == {bobs: bob.user_id, own: alice.user_id}
    assert found[bobs].stored is None
    assert found[own].stored is not None


async def test_the_batched_lookup_leaves_no_scope_behind(
    service: Service, alice: Person, postgres: EmbeddedDatabase
) -> None:
    alices = UUID((await alice.store())["id"])
    lookups = token_lookups(service.resources.vault, alice.token)
    async with as_app(postgres) as connection, connection.transaction():
        await connection.fetch("SELECT * FROM corral.read_access($1, $2, $3)", [False], lookups[:1], [alices])
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="no user is set"):
            await connection.fetch("SELECT * FROM corral.credentials")


async def test_a_readonly_scope_cannot_write(alice: Person, database: Database) -> None:
    async with get_connection_with_rls(alice.user_id, database, readonly=True) as connection:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            async with connection.transaction():
                await connection.execute("DELETE FROM corral.api_tokens")


async def test_an_error_in_the_block_rolls_back_everything(alice: Person, database: Database) -> None:
    await alice.store()
    with pytest.raises(KeyError):
        await _delete_all_and_fail(alice.user_id, database)
    async with get_connection_with_rls(alice.user_id, database) as connection:
        assert await connection.fetchval("SELECT count(*) FROM corral.credentials") == 1


async def _delete_all_and_fail(user_id: UUID, database: Database) -> None:
    async with get_connection_with_rls(user_id, database) as connection:
        await connection.execute("DELETE FROM corral.credentials")
        raise KeyError


async def test_a_pool_says_whether_a_connection_is_free_for_whoever_comes_next(postgres: EmbeddedDatabase) -> None:
    async with Database.open(postgres.dsn("corral_app"), connections=2) as database, database.connection():
        assert database.has_spare
        async with database.connection():
            assert not database.has_spare
        assert database.has_spare


async def test_an_exhausted_pool_is_overloaded_within_its_bound(postgres: EmbeddedDatabase) -> None:
    async with Database.open(postgres.dsn("corral_app"), connections=1, wait_seconds=0.2) as database:
        async with database.connection():
            with pytest.raises(Overloaded) as overloaded:
                await database.fetch("SELECT 1")
            assert overloaded.value.retry_after == 1
        assert await database.fetchval("SELECT 1") == 1


async def test_a_missing_database_is_reported_as_unavailable() -> None:
    with pytest.raises(DatabaseUnavailable):
        await Database.open("postgresql://corral_app@127.0.0.1:1/corral").__aenter__()


async def test_a_terminated_backend_is_replaced(postgres: EmbeddedDatabase) -> None:
    async with Database.open(postgres.dsn("corral_app"), connections=1) as database:
        pid = await database.fetchval("SELECT pg_backend_pid()")
        with pytest.raises(DatabaseUnavailable):
            await database.fetchval("SELECT pg_terminate_backend($1)", pid)
        assert await database.fetchval("SELECT pg_backend_pid()") != pid


async def test_a_transaction_left_open_is_rolled_back_before_the_next_use(
    alice: Person, postgres: EmbeddedDatabase
) -> None:
    async with Database.open(postgres.dsn("corral_app"), connections=1) as database:
        async with database.connection() as connection:
            await connection.execute("BEGIN")
            await connection.execute("SELECT set_config('app.current_user_id', $1, true)", str(alice.user_id))
        async with database.connection() as connection:
            assert not connection.is_in_transaction()
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="no user is set"):
                await connection.fetch("SELECT * FROM corral.users")


async def test_a_statement_that_takes_too_long_is_ended(postgres: EmbeddedDatabase) -> None:
    async with Database.open(postgres.dsn("corral_app"), connections=1) as database:
        async with database.connection() as connection:
            await connection.execute("SET statement_timeout = '50ms'")
        with pytest.raises(DatabaseUnavailable):
            await database.fetch("SELECT pg_sleep(5)")


async def test_a_wrong_argument_is_a_bug_and_not_an_outage(database: Database) -> None:
    with pytest.raises(asyncpg.DataError):
        await database.fetch("SELECT $1::integer", "text")


async def test_a_half_sent_statement_does_not_fail_the_next_one(postgres: EmbeddedDatabase) -> None:
    """The server counts its time until the other half arrives, and cancels whatever is sent instead."""
    async with Database.open(postgres.dsn("corral_app"), connections=1) as database:
        for leave_half in (_a_wrong_argument, _a_cancellation_in_between):
            with pytest.raises((asyncpg.DataError, asyncio.CancelledError)):
                await leave_half(database)
            await asyncio.sleep(1.2)
            assert await database.fetchval("SHOW statement_timeout") == "1s", "it is the same connection"


async def _a_wrong_argument(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("SET statement_timeout = '1s'")
        await connection.fetch("SELECT $1::integer", "text")


async def _a_cancellation_in_between(database: Database) -> None:
    async with database.connection() as connection:
        await connection.prepare("SELECT $1::integer")
        raise asyncio.CancelledError


async def test_a_connection_that_is_closed_while_it_is_used_is_replaced(postgres: EmbeddedDatabase) -> None:
    async with Database.open(postgres.dsn("corral_app"), connections=1) as database:
        with pytest.raises(DatabaseUnavailable):
            await _close_and_use(database)
        assert await database.fetchval("SELECT 1") == 1


async def _close_and_use(database: Database) -> None:
    async with database.connection() as connection:
        await connection.close()
        await connection.fetch("SELECT 1")


async def test_a_pool_that_does_not_close_is_terminated(
    postgres: EmbeddedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("corral.database.connection.CLOSE_SECONDS", 0.1)
    async with Database.open(postgres.dsn("corral_app"), connections=1) as database:
        busy = asyncio.ensure_future(database.fetch("SELECT pg_sleep(5)"))
        await asyncio.sleep(0.1)
    with pytest.raises(DatabaseUnavailable):
        await busy
