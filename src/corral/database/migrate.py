"""Applies the migrations: plain SQL, forward only, one server at a time."""

import logging
from pathlib import Path

import asyncpg
from pogo_core.error import BadMigrationError
from pogo_core.util import migrate

from corral import __version__
from corral.database.connection import Connection, open_owner_connection

MIGRATIONS = Path(__file__).with_name("migrations")

# Any fixed number; servers that start at the same moment queue up behind it.
_MIGRATION_LOCK = 0x436F7272616C  # "Corral"

_log = logging.getLogger("corral.migrations")

OLDEST_POSTGRESQL = 150000
SERVING_ROLE = "corral_app"
EXPECTED_SETUP = (
    "as a superuser run: CREATE ROLE corral_owner LOGIN; CREATE ROLE corral_app LOGIN; "
    "CREATE DATABASE corral OWNER corral_owner; (docs/deploy.md)"
)


class MigrationRefused(Exception):  # noqa: N818 - a condition
    """The database cannot be brought to this version. One line: why, and the way out."""


async def apply_migrations(owner_dsn: str) -> None:
    """Brings the schema to this version as its owner; does nothing when it is there already."""
    async with open_owner_connection(owner_dsn) as connection:
        await _refuse_unfit(connection)
        # Held by the session, so a server that dies in the middle releases it.
        await connection.execute("SELECT pg_advisory_lock($1)", _MIGRATION_LOCK)
        try:
            await refuse_newer_release(connection)
            await migrate.apply(connection, MIGRATIONS, schema_name="corral", logger=_log)
        except asyncpg.InsufficientPrivilegeError as error:
            raise MigrationRefused(f"CORRAL_DATABASE_OWNER_URL is not the owner's address: {error}") from None
        except BadMigrationError as error:
            raise MigrationRefused(f"{error}: {error.__cause__}") from error


async def refuse_newer_release(connection: Connection) -> None:
    """Raises MigrationRefused for a database with a migration that this release does not have."""
    if unknown := sorted(await _applied_migrations(connection) - _known_migrations()):
        raise MigrationRefused(
            f"the database is of a newer release of Corral than this one ({__version__}), which does not have its "
            f"migration {', '.join(unknown)}: install that release, or restore the backup from before the upgrade"
        )


async def pending_migrations(connection: Connection) -> list[str]:
    """The migrations of this release that the database has not had."""
    return sorted(_known_migrations() - await _applied_migrations(connection))


def _known_migrations() -> set[str]:
    return {path.stem for path in MIGRATIONS.glob("*.sql")}


async def _applied_migrations(connection: Connection) -> set[str]:
    if await connection.fetchval("SELECT to_regclass('public._pogo_migration')") is None:
        return set()
    rows = await connection.fetch("SELECT migration_id FROM public._pogo_migration WHERE schema_name = 'corral'")
    return {row["migration_id"] for row in rows}


async def _refuse_unfit(connection: Connection) -> None:
    version = int(await connection.fetchval("SHOW server_version_num"))
    if version < OLDEST_POSTGRESQL:
        raise MigrationRefused(f"PostgreSQL {version // 10000} is too old: Corral needs 15 or later")
    if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", SERVING_ROLE):
        raise MigrationRefused(f"the role {SERVING_ROLE} does not exist: {EXPECTED_SETUP}")
