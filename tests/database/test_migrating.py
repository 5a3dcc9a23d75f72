"""Migrations beside others who use the database: long queries, other migrators, and processes that must stop first."""

import asyncio
import json
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from pathlib import Path

import asyncpg
import pytest

from corral.database import migrate, running_processes
from corral.database.connection import Database
from corral.errors import DatabaseUnavailable
from tests.journeys.clusters import ExternalPostgres, external_postgres
from tests.journeys.program import PATIENCE

_NUMBERS = count()
_COLUMN = "ALTER TABLE corral.credentials ADD COLUMN note text;"
_COMPATIBLE = f"-- compatible: notes\n{_COLUMN}"
_INCOMPATIBLE = f"-- Notes\n{_COLUMN}"

AddMigration = Callable[..., None]


@pytest.fixture(scope="module")
async def server() -> AsyncGenerator[ExternalPostgres]:
    async with external_postgres() as postgres:
        await migrate.apply_migrations(postgres.dsn("corral_owner"))
        yield postgres


@pytest.fixture
async def database(server: ExternalPostgres) -> str:
    """The name of a database of the test's own, with the migrations of this release."""
    name = f"copy_{next(_NUMBERS)}"
    await server.execute(f"CREATE DATABASE {name} OWNER corral_owner TEMPLATE corral")
    return name


@pytest.fixture
def add_migration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AddMigration:
    """From now on, this process is the next release, with this migration."""
    shutil.copytree(migrate.MIGRATIONS, tmp_path / "next")

    def add(sql: str, name: str = "0999_notes") -> None:
        (tmp_path / "next" / f"{name}.sql").write_text(sql)
        monkeypatch.setattr(migrate, "MIGRATIONS", tmp_path / "next")

    return add


@asynccontextmanager
async def connected(dsn: str) -> AsyncGenerator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn, server_settings={"application_name": "other"})
    try:
        yield connection
    finally:
        await connection.close()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await condition():  # noqa: ASYNC110 - another process's or the database's to say
            await asyncio.sleep(0.02)


async def is_applied(server: ExternalPostgres, database: str) -> bool:
    async with connected(server.dsn("corral_owner", database)) as connection:
        return "0999_notes" in await migrate.applied_migrations(connection)


def waits_in(log_file: Path) -> list[str]:
    lines = [json.loads(line) for line in log_file.read_bytes().splitlines()]
    return [line["reason"] for line in lines if line["event"] == "migration_waits"]


@pytest.mark.parametrize("sql", [_COMPATIBLE, _INCOMPATIBLE], ids=["compatible", "incompatible"])
async def test_a_long_query_makes_the_migration_wait_and_nobody_else(
    sql: str,
    server: ExternalPostgres,
    database: str,
    add_migration: AddMigration,
    monkeypatch: pytest.MonkeyPatch,
    log_file: Path,
) -> None:
    """A migration that waited for its lock would have everybody queue behind it."""
    monkeypatch.setattr(migrate, "_LOCK_PAUSE_SECONDS", 0.3)
    add_migration(sql)
    owner, said = server.dsn("corral_owner", database), len(waits_in(log_file))
    async with connected(owner) as reader, connected(owner) as other:
        await other.execute("SET lock_timeout = '2s'")  # as the processes have it
        transaction = reader.transaction()
        await transaction.start()
        await reader.fetch("SELECT FROM corral.credentials")
        migrating = asyncio.ensure_future(migrate.apply_migrations(owner))

        async def is_waiting() -> bool:
            return len(waits_in(log_file)) > said

        await until(is_waiting)
        for _ in range(40):
            await other.execute("UPDATE corral.credentials SET nickname = nickname")
            await other.fetch("SELECT FROM corral.credentials")
            await asyncio.sleep(0.02)
        assert not migrating.done()
        await transaction.rollback()
        await migrating
    assert await is_applied(server, database)
    assert waits_in(log_file)[said:] == ["a long query or an open transaction holds a table of 0999_notes.sql"]


async def test_a_transaction_that_never_ends_is_reported_and_nothing_is_changed(
    server: ExternalPostgres, database: str, add_migration: AddMigration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "_LOCK_PATIENCE_SECONDS", 0.1)
    add_migration(_COMPATIBLE)
    owner = server.dsn("corral_owner", database)
    async with connected(owner) as forgotten:
        await forgotten.execute("BEGIN; SELECT FROM corral.credentials")
        with pytest.raises(migrate.MigrationRefused, match=r"^0999_notes.sql was not applied: .* open transaction"):
            await migrate.apply_migrations(owner)
    assert not await is_applied(server, database)
    await migrate.apply_migrations(owner)
    assert await is_applied(server, database)


async def test_servers_that_start_together_apply_a_migration_once(
    server: ExternalPostgres, database: str, add_migration: AddMigration
) -> None:
    add_migration(_INCOMPATIBLE)
    owner = server.dsn("corral_owner", database)
    await asyncio.gather(*(migrate.apply_migrations(owner) for _ in range(5)))
    assert await is_applied(server, database)


async def test_who_waits_for_another_migrator_holds_nothing_that_it_waits_for(
    server: ExternalPostgres, database: str, log_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`CREATE INDEX CONCURRENTLY` waits for every snapshot, also that of a `SELECT pg_advisory_lock()` that waits."""
    monkeypatch.setattr(migrate, "_SAID_AFTER_SECONDS", 0.0)
    owner, said = server.dsn("corral_owner", database), len(waits_in(log_file))
    async with connected(owner) as holder:
        await holder.execute("SELECT pg_advisory_lock($1)", migrate._MIGRATION_LOCK)  # pyright: ignore[reportPrivateUsage]
        waiting = asyncio.ensure_future(migrate.apply_migrations(owner))

        async def is_waiting() -> bool:
            return len(waits_in(log_file)) > said

        await until(is_waiting)
        async with asyncio.timeout(PATIENCE):
            await holder.execute("CREATE INDEX CONCURRENTLY x ON corral.users (created_at)")
        assert not waiting.done()
    await waiting
    assert waits_in(log_file)[said:] == ["another process is migrating or restoring this database"]


async def test_another_migrator_that_never_ends_is_reported(
    server: ExternalPostgres, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "_TURN_PATIENCE_SECONDS", 0.1)
    owner = server.dsn("corral_owner", database)
    async with connected(owner) as holder:
        await holder.execute("SELECT pg_advisory_lock($1)", migrate._MIGRATION_LOCK)  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(migrate.MigrationRefused, match="another process has been migrating"):
            await migrate.apply_migrations(owner)


async def test_a_migrator_that_is_killed_halfway_leaves_nothing_and_the_next_one_begins_anew(
    server: ExternalPostgres, database: str, add_migration: AddMigration
) -> None:
    add_migration(f"{_INCOMPATIBLE} SELECT pg_sleep(600);")
    owner = server.dsn("corral_owner", database)
    migrating = asyncio.ensure_future(migrate.apply_migrations(owner))
    async with connected(server.dsn("postgres", database)) as superuser:

        async def is_killed() -> bool:
            sleeping = "datname = current_database() AND wait_event = 'PgSleep'"
            return await superuser.fetchval(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {sleeping}")

        await until(is_killed)
    with pytest.raises(DatabaseUnavailable):
        await migrating
    assert not await is_applied(server, database)
    add_migration(_INCOMPATIBLE)
    await migrate.apply_migrations(owner)
    assert await is_applied(server, database)


async def test_a_compatible_migration_that_takes_long_is_undone(
    server: ExternalPostgres, database: str, add_migration: AddMigration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timeout of the lock limits how long it waits for it, and not how long it keeps everybody out."""
    monkeypatch.setattr(migrate, "_LONGEST_COMPATIBLE", "SET LOCAL statement_timeout = '100ms'")
    add_migration(f"{_COMPATIBLE} SELECT pg_sleep(10);")
    with pytest.raises(migrate.MigrationRefused, match=r"^0999_notes.sql took too long beside running processes"):
        await migrate.apply_migrations(server.dsn("corral_owner", database))
    assert not await is_applied(server, database)


async def test_an_incompatible_migration_that_is_canceled_is_undone(
    server: ExternalPostgres, database: str, add_migration: AddMigration
) -> None:
    add_migration("-- Notes\nSET LOCAL statement_timeout = '100ms'; SELECT pg_sleep(10);")
    with pytest.raises(DatabaseUnavailable):
        await migrate.apply_migrations(server.dsn("corral_owner", database))
    assert not await is_applied(server, database)


def serving(server: ExternalPostgres, database: str) -> AbstractAsyncContextManager[Database]:
    """What a process of the former release has open."""
    return Database.open(server.dsn("corral_app", database))


async def test_an_incompatible_migration_is_refused_while_processes_run_and_names_them(
    server: ExternalPostgres, database: str, add_migration: AddMigration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_processes, "_PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(running_processes, "_LOOK_EVERY_SECONDS", 0.01)
    add_migration("-- compatible: before\nSELECT 1;", "0998_before")
    add_migration(_INCOMPATIBLE)
    owner = server.dsn("corral_owner", database)
    refused = "the migration 0999_notes cannot be applied while an earlier release runs, and {} open: stop every "
    async with serving(server, database):
        with pytest.raises(migrate.MigrationRefused) as hidden:
            await migrate.apply_migrations(owner)
        await server.execute("GRANT pg_read_all_stats TO corral_owner")
        try:
            async with serving(server, database):
                with pytest.raises(migrate.MigrationRefused) as shown:
                    await migrate.apply_migrations(owner)
        finally:
            await server.execute("REVOKE pg_read_all_stats FROM corral_owner")
    one = "1 connection of corral_app (from where, PostgreSQL shows to members of pg_read_all_stats only) is"
    two = "2 connections of corral_app (2 from a socket on the database's machine) are"
    assert str(hidden.value).startswith(refused.format(one))
    assert str(shown.value).startswith(refused.format(two))
    assert str(shown.value).endswith("Nothing was changed")
    async with connected(owner) as connection:
        assert not await migrate.applied_migrations(connection) & {"0998_before", "0999_notes"}
    await migrate.apply_migrations(owner)
    assert await is_applied(server, database)


async def test_an_incompatible_migration_waits_for_processes_that_are_stopping(
    server: ExternalPostgres, database: str, add_migration: AddMigration, log_file: Path
) -> None:
    add_migration(_INCOMPATIBLE)
    said = len(waits_in(log_file))
    async with serving(server, database):
        migrating = asyncio.ensure_future(migrate.apply_migrations(server.dsn("corral_owner", database)))

        async def is_waiting() -> bool:
            return len(waits_in(log_file)) > said

        await until(is_waiting)
    await migrating
    assert "stop every `corral serve` of the former release" in waits_in(log_file)[said]
    assert await is_applied(server, database)


async def test_a_process_that_starts_while_an_incompatible_migration_runs_undoes_it(
    server: ExternalPostgres, database: str, add_migration: AddMigration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a supervisor does that restarts the former release."""
    add_migration(_INCOMPATIBLE)
    async with asyncio.TaskGroup() as tasks:
        stop, stopped = asyncio.Event(), asyncio.Event()

        async def restarted(_: object) -> None:
            started = asyncio.Event()

            async def serve() -> None:
                async with serving(server, database):
                    started.set()
                    await stop.wait()
                stopped.set()

            tasks.create_task(serve())
            await started.wait()

        monkeypatch.setattr(migrate, "await_stopped", restarted)
        try:
            with pytest.raises(migrate.MigrationRefused, match=r"1 connection of corral_app .* Nothing was changed"):
                await migrate.apply_migrations(server.dsn("corral_owner", database))
        finally:
            stop.set()
        await stopped.wait()
    assert not await is_applied(server, database)


async def test_a_compatible_migration_is_applied_beside_running_processes(
    server: ExternalPostgres, database: str, add_migration: AddMigration
) -> None:
    add_migration(_COMPATIBLE)
    async with serving(server, database) as app:
        await migrate.apply_migrations(server.dsn("corral_owner", database))
        assert await app.fetchval("SELECT adds FROM corral.migrations WHERE is_compatible") == [
            "column note of credentials type=text null=t generated= default=",
            "grant INSERT (note) on credentials to=corral_app",  # of the grant on the table
        ]


async def test_a_new_database_is_migrated_whoever_is_connected(server: ExternalPostgres) -> None:
    await server.execute("CREATE DATABASE empty OWNER corral_owner")
    async with connected(server.dsn("corral_app", "empty")):
        await migrate.apply_migrations(server.dsn("corral_owner", "empty"))


async def test_an_earlier_migration_is_not_applied_after_those_of_a_newer_release(
    server: ExternalPostgres, database: str, add_migration: AddMigration
) -> None:
    await server.execute(
        "INSERT INTO corral.migrations (name, is_compatible) VALUES ('0999_newer', true)", database=database
    )
    owner = server.dsn("corral_owner", database)
    await migrate.apply_migrations(owner)  # there is nothing to do
    add_migration(_COMPATIBLE, "0998_notes")
    with pytest.raises(migrate.MigrationRefused, match="0999_newer, and not the earlier 0998_notes: install that"):
        await migrate.apply_migrations(owner)
