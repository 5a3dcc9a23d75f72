"""Applies the migrations: plain SQL, forward only, one server at a time."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import asyncpg

from corral import __version__
from corral.database.connection import Connection, open_owner_connection
from corral.database.running_processes import await_stopped, describe_sessions
from corral.database.schema_text import schema_lines, unsafe_additions
from corral.errors import OperatorError
from corral.logs import get_logger

MIGRATIONS = Path(__file__).with_name("migrations")

# Any fixed number; servers that start at the same moment queue up behind it.
_MIGRATION_LOCK = 0x436F7272616C  # "Corral"

# The list of applied migrations. The serving role reads it to check that the schema is of its release, or of one that
# lets it run: `adds` has the lines of the schema that a compatible migration has added.
_LIST = """
CREATE SCHEMA IF NOT EXISTS corral;
CREATE TABLE corral.migrations (
    name text PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT USAGE ON SCHEMA corral TO corral_app;
GRANT SELECT ON corral.migrations TO corral_app;
"""
# Apart, because databases from before 0.1.0 have the list without them.
_COMPATIBILITY = """
ALTER TABLE corral.migrations
    ADD COLUMN IF NOT EXISTS is_compatible boolean NOT NULL DEFAULT false,
    ADD COLUMN IF NOT EXISTS adds text[] NOT NULL DEFAULT '{}'
"""
# As JSON, so that it is read whichever columns the list has. What says nothing is not compatible.
_APPLIED = """
SELECT m.name, coalesce((to_jsonb(m) ->> 'is_compatible')::boolean, false) AS is_compatible,
       ARRAY(SELECT jsonb_array_elements_text(coalesce(to_jsonb(m) -> 'adds', '[]'))) AS adds
FROM corral.migrations m ORDER BY m.name
"""

# What PostgreSQL raises for an invalid file, as opposed to an unavailable server.
_WRONG_FILE = (
    asyncpg.SyntaxOrAccessError,
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.PLPGSQLError,
    asyncpg.FeatureNotSupportedError,
)
# Everybody who needs the table waits behind a migration that waits for its lock, and gives up after two seconds.
_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '500ms'"
_LONGEST_COMPATIBLE = "SET LOCAL statement_timeout = '5s'"  # while it runs, processes serve
_NO_LONGER_LIMITED = "SET LOCAL statement_timeout TO DEFAULT"  # the restore of a backup goes on in the transaction
_NOT_FREE = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)
_LOCK_PATIENCE_SECONDS = 60.0
_LOCK_PAUSE_SECONDS = 1.0

_TURN_PATIENCE_SECONDS = 600.0
_TURN_PAUSE_SECONDS = 0.1
_SAID_AFTER_SECONDS = 5.0

_COMPATIBLE: Final = re.compile(r"-- compatible: \S")

_log = get_logger()

OLDEST_POSTGRESQL = 150000
SERVING_ROLE = "corral_app"
EXPECTED_SETUP = (
    "as a superuser run: CREATE ROLE corral_owner LOGIN; CREATE ROLE corral_app LOGIN; "
    "CREATE DATABASE corral OWNER corral_owner; (see docs/deploy.md)"
)


class MigrationRefused(OperatorError):  # noqa: N818 - a condition
    """The database cannot be migrated to this version. One line: why, and what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """A file of this release. Compatible: processes of an earlier release go on while and after it is applied."""

    name: str
    sql: str

    @classmethod
    def load(cls, name: str) -> Self:
        return cls(name, (MIGRATIONS / f"{name}.sql").read_text(encoding="utf-8"))

    @property
    def is_compatible(self) -> bool:
        """Whether its first line says so."""
        return _COMPATIBLE.match(self.sql) is not None


@dataclass(frozen=True, slots=True)
class AppliedMigration:
    """As the database lists it. `adds` are lines of `schema_text`, only of a compatible one."""

    name: str
    is_compatible: bool
    adds: Sequence[str]


async def apply_migrations(owner_dsn: str) -> None:
    """Migrates the schema to this version as its owner. Does nothing if it is up to date.

    Raises MigrationRefused, among others while processes run that must stop first.
    """
    async with open_owner_connection(owner_dsn) as connection:
        await _refuse_unfit(connection)
        # Held by the session, so a server that crashes releases it.
        await _await_turn(connection)
        try:
            newer = await find_newer_migrations(connection)
            if not await has_list(connection):
                await _make_list(connection)
            elif not await _has_compatibility(connection):
                await _patiently("the list of migrations", lambda: _add_compatibility(connection))
            pending = await pending_migrations(connection)
            if newer and pending:
                raise _newer_release(newer, f", and not the earlier {', '.join(pending)}")
            await _upgrade(connection, [Migration.load(name) for name in pending])
        except asyncpg.InsufficientPrivilegeError as error:
            raise MigrationRefused(f"CORRAL_DATABASE_OWNER_URL does not connect as the owner: {error}") from None


async def lock_migrations(connection: Connection) -> None:
    """Until the transaction ends, servers that start wait before they look at the schema."""
    await _refuse_unfit(connection)
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _MIGRATION_LOCK)


async def migrate_within(connection: Connection, names: Sequence[str] | None = None) -> None:
    """Applies these migrations, or all that are pending, in the owner's transaction that restores a backup."""
    await lock_migrations(connection)
    if not await has_list(connection):
        await _make_list(connection)
    for name in await pending_migrations(connection) if names is None else sorted(names):
        await _apply(connection, Migration.load(name))


async def _await_turn(connection: Connection) -> None:
    """Asks again and again, because a query that waited would hold a snapshot, for which some statements wait."""
    loop = asyncio.get_running_loop()
    began, is_said = loop.time(), False
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _MIGRATION_LOCK):
        waited = loop.time() - began
        if waited > _TURN_PATIENCE_SECONDS:
            raise MigrationRefused(
                "another process has been migrating or restoring this database for ten minutes: wait for it, or stop "
                "it, and start again"
            )
        if waited > _SAID_AFTER_SECONDS and not is_said:
            is_said = True
            _log.warning("migration_waits", reason="another process is migrating or restoring this database")
        await asyncio.sleep(_TURN_PAUSE_SECONDS)


async def _upgrade(connection: Connection, migrations: Sequence[Migration]) -> None:
    """Applies all, or none while processes of an earlier release run that cannot go on with one of them."""
    incompatible = [migration.name for migration in migrations if not migration.is_compatible]
    is_first = not await applied_migrations(connection)  # then nothing can be running

    def still_running(found: str) -> MigrationRefused:
        return MigrationRefused(
            f"the migration {', '.join(incompatible)} cannot be applied while an earlier release runs, and {found} "
            "open: stop every `corral serve` and corral command on this database, and a pooler in front of it, and "
            "start again. Nothing was changed"
        )

    async def refuse_running() -> None:
        if found := await describe_sessions(connection):
            raise still_running(found)

    if incompatible and not is_first and (found := await await_stopped(connection)):
        raise still_running(found)
    for migration in migrations:
        last_look = None if migration.is_compatible or is_first else refuse_running
        await _patiently(f"{migration.name}.sql", lambda: _apply(connection, migration, last_look))  # noqa: B023 - awaited here


async def _patiently(what: str, attempt: Callable[[], Awaitable[None]]) -> None:
    """Tries again while a lock is not free: to wait for it would make everybody else wait, too."""
    loop = asyncio.get_running_loop()
    began, is_said = loop.time(), False
    while True:
        try:
            return await attempt()
        except _NOT_FREE:
            if loop.time() - began > _LOCK_PATIENCE_SECONDS:
                raise MigrationRefused(
                    f"{what} was not applied: for a minute, a long query or an open transaction has held a table that "
                    "it changes: end it (pg_stat_activity lists both, with xact_start), or wait for it, and start again"
                ) from None
            if not is_said:
                is_said = True
                _log.warning("migration_waits", reason=f"a long query or an open transaction holds a table of {what}")
            await asyncio.sleep(_LOCK_PAUSE_SECONDS)


async def _make_list(connection: Connection) -> None:
    async with connection.transaction():
        await connection.execute(_LIST)
        await connection.execute(_COMPATIBILITY)
        # Databases from before 0.1.0 have the list of a library that is no longer used.
        if await connection.fetchval("SELECT to_regclass('public._pogo_migration')") is not None:
            await connection.execute("INSERT INTO corral.migrations SELECT migration_id FROM public._pogo_migration")
            await connection.execute("DROP TABLE public._pogo_migration, public._pogo_version")


async def _has_compatibility(connection: Connection) -> bool:
    return await connection.fetchval(
        """
        SELECT count(*) = 2 FROM pg_attribute
        WHERE attrelid = 'corral.migrations'::regclass AND attname IN ('is_compatible', 'adds') AND NOT attisdropped
        """
    )


async def _add_compatibility(connection: Connection) -> None:
    async with connection.transaction():
        await connection.execute(_LOCK_TIMEOUT)
        await connection.execute(_COMPATIBILITY)


async def _apply(
    connection: Connection, migration: Migration, last_look: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Applies the file and adds its row to the list in one transaction, after a last look."""
    try:
        async with connection.transaction():
            await connection.execute(_LOCK_TIMEOUT)
            adds: list[str] = []
            if migration.is_compatible:
                adds = await _apply_beside_others(connection, migration)
            else:
                await connection.execute(migration.sql)
            if last_look is not None:
                await last_look()
            await connection.execute(
                "INSERT INTO corral.migrations (name, is_compatible, adds) VALUES ($1, $2, $3)",
                *(migration.name, migration.is_compatible, adds),
            )
    except asyncpg.InsufficientPrivilegeError:
        raise
    except _NOT_FREE:
        raise
    except _WRONG_FILE as error:
        raise MigrationRefused(f"{migration.name}.sql{_line_of(error, migration.sql)}: {error}") from error
    except asyncpg.QueryCanceledError:
        if not migration.is_compatible:
            raise
        raise MigrationRefused(
            f"{migration.name}.sql took too long beside running processes: stop every `corral serve`, and start again"
        ) from None
    _log.info("migration_applied", migration=migration.name)


async def _apply_beside_others(connection: Connection, migration: Migration) -> list[str]:
    """Returns what it has added to the schema. Raises MigrationRefused if it did anything else."""
    before = set(await schema_lines(connection))
    await connection.execute(_LONGEST_COMPATIBLE)
    await connection.execute(migration.sql)
    await connection.execute(_NO_LONGER_LIMITED)
    after = set(await schema_lines(connection))
    if found := sorted(before - after) or unsafe_additions(after - before, before):
        raise MigrationRefused(
            f"{migration.name}.sql says that it is compatible, but does more than add: {found[0]}. This is a bug of "
            "this release: use the former one, and report it"
        )
    return sorted(after - before)


def _line_of(error: asyncpg.PostgresError, sql: str) -> str:
    """Returns the position in the file, if PostgreSQL reports it."""
    position: str | None = getattr(error, "position", None)
    return f", line {sql.count(chr(10), 0, int(position) - 1) + 1}" if position else ""


async def refuse_newer_release(connection: Connection) -> None:
    """Raises MigrationRefused for a database with a migration that this release does not have."""
    if unknown := unknown_migrations(await applied_migrations(connection)):
        raise _newer_release(unknown)


async def find_newer_migrations(connection: Connection) -> list[AppliedMigration]:
    """Returns those that this release does not have, if it can run with all of them. Else raises MigrationRefused."""
    applied = await load_applied(connection)
    known = _known_migrations()
    newer = [migration for migration in applied if migration.name not in known]
    if incompatible := [migration for migration in newer if not migration.is_compatible]:
        raise _newer_release(incompatible)
    return newer


def _newer_release(newer: Sequence[AppliedMigration | str], more: str = "") -> MigrationRefused:
    names = ", ".join(migration if isinstance(migration, str) else migration.name for migration in newer)
    return MigrationRefused(
        f"the database was migrated by a newer release of Corral than this one ({__version__}), which lacks its "
        f"migration {names}{more}: install that release, "
        "or run `corral restore FILE --replace` with the backup from before the upgrade"
    )


def unknown_migrations(names: Iterable[str]) -> list[str]:
    """Returns those that this release does not have."""
    return sorted(set(names) - _known_migrations())


async def pending_migrations(connection: Connection) -> list[str]:
    """Returns the migrations of this release that have not been applied."""
    return sorted(_known_migrations() - await applied_migrations(connection))


def _known_migrations() -> set[str]:
    return {path.stem for path in MIGRATIONS.glob("*.sql")}


async def has_list(connection: Connection) -> bool:
    return await connection.fetchval("SELECT to_regclass('corral.migrations')") is not None


async def applied_migrations(connection: Connection) -> set[str]:
    return {migration.name for migration in await load_applied(connection)}


async def load_applied(connection: Connection) -> list[AppliedMigration]:
    """Returns the database's list, in the order of the names; empty if there is none."""
    if not await has_list(connection):
        return []
    return [AppliedMigration(*row) for row in await connection.fetch(_APPLIED)]


async def _refuse_unfit(connection: Connection) -> None:
    version = int(await connection.fetchval("SHOW server_version_num"))
    if version < OLDEST_POSTGRESQL:
        raise MigrationRefused(f"PostgreSQL {version // 10000} is too old: Corral needs 15 or later")
    if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", SERVING_ROLE):
        raise MigrationRefused(f"the role {SERVING_ROLE} does not exist: {EXPECTED_SETUP}")
