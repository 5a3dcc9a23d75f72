"""Applies the migrations: plain SQL, forward only, one server at a time."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import asyncpg

from corral import __version__
from corral.database.connection import Connection, open_owner_connection
from corral.errors import OperatorError
from corral.logs import get_logger

MIGRATIONS = Path(__file__).with_name("migrations")

# Any fixed number; servers that start at the same moment queue up behind it.
_MIGRATION_LOCK = 0x436F7272616C  # "Corral"

# The list of applied migrations. The serving role reads it to check that the schema is of its release.
_LIST = """
CREATE SCHEMA IF NOT EXISTS corral;
CREATE TABLE corral.migrations (
    name text PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT USAGE ON SCHEMA corral TO corral_app;
GRANT SELECT ON corral.migrations TO corral_app;
"""

# What PostgreSQL raises for an invalid file, as opposed to an unavailable server.
_WRONG_FILE = (
    asyncpg.SyntaxOrAccessError,
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.PLPGSQLError,
    asyncpg.FeatureNotSupportedError,
)

_log = get_logger()

OLDEST_POSTGRESQL = 150000
SERVING_ROLE = "corral_app"
EXPECTED_SETUP = (
    "as a superuser run: CREATE ROLE corral_owner LOGIN; CREATE ROLE corral_app LOGIN; "
    "CREATE DATABASE corral OWNER corral_owner; (see docs/deploy.md)"
)


class MigrationRefused(OperatorError):  # noqa: N818 - a condition
    """The database cannot be migrated to this version. One line: why, and what to do."""


async def apply_migrations(owner_dsn: str) -> None:
    """Migrates the schema to this version as its owner. Does nothing if it is up to date."""
    async with open_owner_connection(owner_dsn) as connection:
        await _refuse_unfit(connection)
        # Held by the session, so a server that crashes releases it.
        await connection.execute("SELECT pg_advisory_lock($1)", _MIGRATION_LOCK)
        try:
            await refuse_newer_release(connection)
            if await connection.fetchval("SELECT to_regclass('corral.migrations')") is None:
                await _make_list(connection)
            for name in await pending_migrations(connection):
                await _apply(connection, name, _sql_of(name))
        except asyncpg.InsufficientPrivilegeError as error:
            raise MigrationRefused(f"CORRAL_DATABASE_OWNER_URL does not connect as the owner: {error}") from None


async def lock_migrations(connection: Connection) -> None:
    """Until the transaction ends, servers that start wait before they look at the schema."""
    await _refuse_unfit(connection)
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _MIGRATION_LOCK)


async def migrate_within(connection: Connection, names: Sequence[str] | None = None) -> None:
    """Applies these migrations, or all that are pending, in the owner's transaction that restores a backup."""
    await lock_migrations(connection)
    if await connection.fetchval("SELECT to_regclass('corral.migrations')") is None:
        await _make_list(connection)
    for name in await pending_migrations(connection) if names is None else sorted(names):
        await _apply(connection, name, _sql_of(name))


async def _make_list(connection: Connection) -> None:
    async with connection.transaction():
        await connection.execute(_LIST)
        # Databases from before 0.1.0 have the list of a library that is no longer used.
        if await connection.fetchval("SELECT to_regclass('public._pogo_migration')") is not None:
            await connection.execute("INSERT INTO corral.migrations SELECT migration_id FROM public._pogo_migration")
            await connection.execute("DROP TABLE public._pogo_migration, public._pogo_version")


async def _apply(connection: Connection, name: str, sql: str) -> None:
    """Applies the file and adds its row to the list in one transaction."""
    try:
        async with connection.transaction():
            await connection.execute(sql)
            await connection.execute("INSERT INTO corral.migrations (name) VALUES ($1)", name)
    except asyncpg.InsufficientPrivilegeError:
        raise
    except _WRONG_FILE as error:
        raise MigrationRefused(f"{name}.sql{_line_of(error, sql)}: {error}") from error
    _log.info("migration_applied", migration=name)


def _sql_of(name: str) -> str:
    return (MIGRATIONS / f"{name}.sql").read_text(encoding="utf-8")


def _line_of(error: asyncpg.PostgresError, sql: str) -> str:
    """Returns the position in the file, if PostgreSQL reports it."""
    position: str | None = getattr(error, "position", None)
    return f", line {sql.count(chr(10), 0, int(position) - 1) + 1}" if position else ""


async def refuse_newer_release(connection: Connection) -> None:
    """Raises MigrationRefused for a database with a migration that this release does not have."""
    if unknown := unknown_migrations(await applied_migrations(connection)):
        raise MigrationRefused(
            f"the database was migrated by a newer release of Corral than this one ({__version__}), which lacks its "
            f"migration {', '.join(unknown)}: install that release, "
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


async def applied_migrations(connection: Connection) -> set[str]:
    if await connection.fetchval("SELECT to_regclass('corral.migrations')") is None:
        return set()
    return {row["name"] for row in await connection.fetch("SELECT name FROM corral.migrations")}


async def _refuse_unfit(connection: Connection) -> None:
    version = int(await connection.fetchval("SHOW server_version_num"))
    if version < OLDEST_POSTGRESQL:
        raise MigrationRefused(f"PostgreSQL {version // 10000} is too old: Corral needs 15 or later")
    if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", SERVING_ROLE):
        raise MigrationRefused(f"the role {SERVING_ROLE} does not exist: {EXPECTED_SETUP}")
