"""All SQL of backups, as the owner: what the schema consists of, the rows out and in, and the end of all access.

Which tables there are, and which refers to which, is asked of the catalog: a table of a later migration is backed up
without being named here. `access_changes` is not: it names transactions of this cluster, for processes that run.
"""

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from graphlib import TopologicalSorter
from typing import Any, Final, TypeAlias
from uuid import UUID

import asyncpg

from corral.backup.manifest import SequenceState
from corral.backup.problems import RestoreRefused
from corral.database.connection import Connection
from corral.database.migrate import SERVING_ROLE
from corral.people.operators import OwnerUnknown

FORMER_SCHEMA: Final = "corral_before_restore"
LOCK_TIMEOUT: Final = "10s"

# The texts of both ends are the same then, whatever the servers' settings and versions are.
_TEXT_FORM: Final = """
SET LOCAL TimeZone = 'UTC';
SET LOCAL DateStyle = 'ISO, YMD';
SET LOCAL IntervalStyle = 'postgres';
SET LOCAL bytea_output = 'hex';
SET LOCAL extra_float_digits = 1
"""
_TABLES: Final = """
SELECT c.oid, c.relname::text AS name, c.relforcerowsecurity AS is_forced,
       ARRAY(SELECT a.attname::text FROM pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
             ORDER BY a.attnum) AS columns,
       ARRAY(SELECT DISTINCT f.relname::text FROM pg_constraint k JOIN pg_class f ON f.oid = k.confrelid
             WHERE k.conrelid = c.oid AND k.contype = 'f' AND f.oid <> c.oid) AS referred
FROM pg_class c
WHERE c.relnamespace = 'corral'::regnamespace AND c.relkind = 'r' AND c.relname NOT IN ('migrations', 'access_changes')
ORDER BY c.relname
"""


Write: TypeAlias = Callable[[bytes], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class TableShape:
    """`columns` are those that are stored and not generated."""

    name: str
    columns: Sequence[str]
    is_forced: bool  # row-level security binds the owner, too


@dataclass(frozen=True, slots=True)
class EndedGrant:
    user_id: UUID
    id: UUID
    credential_id: UUID
    name: str
    access: str


@contextmanager
def as_owner() -> Generator[None]:
    """Raises OwnerUnknown for what another role than the owner of the tables may not do."""
    try:
        yield
    except asyncpg.InsufficientPrivilegeError as error:
        raise OwnerUnknown(f"CORRAL_DATABASE_OWNER_URL does not connect as the owner: {error}") from None


@asynccontextmanager
async def snapshot(connection: Connection) -> AsyncGenerator[datetime]:
    """A transaction that sees one moment, whatever is written meanwhile. Yields it, by the database's clock."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(_TEXT_FORM)
        yield await connection.fetchval("SELECT clock_timestamp()")


async def has_schema(connection: Connection) -> bool:
    return await connection.fetchval("SELECT to_regclass('corral.migrations') IS NOT NULL")


async def server_version(connection: Connection) -> str:
    return await connection.fetchval("SHOW server_version")


async def load_tables(connection: Connection) -> list[TableShape]:
    """Returns the tables, those first that others refer to."""
    rows = await connection.fetch(_TABLES)
    shapes = {row["name"]: TableShape(row["name"], row["columns"], row["is_forced"]) for row in rows}
    order = TopologicalSorter({row["name"]: sorted(row["referred"]) for row in rows})
    return [shapes[name] for name in order.static_order()]


async def find_hidden(connection: Connection) -> list[str]:
    """Returns the tables of which a policy hides rows from this role."""
    rows = await connection.fetch(
        """
        WITH policies AS (
            SELECT p.polrelid, p.polpermissive, p.polcmd = '*' AND pg_get_expr(p.polqual, p.polrelid) = 'true' AS is_all
            FROM pg_policy p
            WHERE p.polroles && ARRAY[0::oid, (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user)]
        )
        SELECT c.relname::text FROM pg_class c
        WHERE c.relnamespace = 'corral'::regnamespace AND c.relkind = 'r' AND row_security_active(c.oid)
          AND (NOT EXISTS (SELECT FROM policies p WHERE p.polrelid = c.oid AND p.polpermissive AND p.is_all)
               OR EXISTS (SELECT FROM policies p WHERE p.polrelid = c.oid AND NOT p.polpermissive))
        ORDER BY 1
        """
    )
    return [row[0] for row in rows]


async def load_sequences(connection: Connection) -> list[SequenceState]:
    names = await connection.fetch(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'corral'::regnamespace AND relkind = 'S' ORDER BY 1"
    )
    states: list[SequenceState] = []
    for (name,) in names:
        row = await connection.fetchrow(f'SELECT last_value, is_called FROM corral."{name}"')  # noqa: S608 - from the catalog
        assert row is not None  # noqa: S101 - a sequence always has its one row
        states.append(SequenceState(name=name, last_value=row[0], is_called=row[1]))
    return states


async def count_rows(connection: Connection, table: str) -> int:
    return await connection.fetchval(f'SELECT count(*) FROM corral."{table}"')  # noqa: S608 - from the catalog


async def copy_out(connection: Connection, table: TableShape, write: Write) -> int:
    """Returns the number of rows."""
    status = await connection.copy_from_table(
        table.name, schema_name="corral", columns=list(table.columns), output=write
    )
    return int(status.rsplit(" ", 1)[-1])


async def copy_in(connection: Connection, table: str, columns: Sequence[str], text: AsyncGenerator[bytes]) -> int:
    """Returns the number of rows. Raises RestoreRefused for rows that the table does not take."""
    try:
        status = await connection.copy_to_table(table, schema_name="corral", columns=list(columns), source=text)
    except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.SyntaxOrAccessError) as error:
        # The message may quote a row.
        raise RestoreRefused(
            f"the database does not take the rows of {table} (SQLSTATE {error.sqlstate}), so nothing was changed: "
            "check its log, and whether a migration of this release was changed"
        ) from None
    return int(status.rsplit(" ", 1)[-1])


@asynccontextmanager
async def unguarded(connection: Connection, tables: Sequence[TableShape]) -> AsyncGenerator[None]:
    """In one transaction, so that nobody else ever sees them so: tables that take rows as they are.

    PostgreSQL does not COPY into a table whose row-level security binds this role, and the triggers have run when the
    rows were first written.
    """
    await connection.execute(_TEXT_FORM)
    for table in tables:
        await connection.execute(f'ALTER TABLE corral."{table.name}" DISABLE TRIGGER USER, NO FORCE ROW LEVEL SECURITY')
    yield
    # What is checked at the commit otherwise: a table with rows that wait for it cannot be altered.
    await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    for table in tables:
        forced = ", FORCE ROW LEVEL SECURITY" if table.is_forced else ""
        await connection.execute(f'ALTER TABLE corral."{table.name}" ENABLE TRIGGER USER{forced}')


async def set_sequence(connection: Connection, state: SequenceState) -> None:
    await connection.execute(
        "SELECT setval(format('corral.%I', $1::text)::regclass, $2, $3)", state.name, state.last_value, state.is_called
    )


async def end_access(connection: Connection) -> list[EndedGrant]:
    """Ends everything that lets somebody in, and returns the grants that were among it.

    The processes that served the database from which the backup is are gone: what these had begun is concluded by the
    first that serves this one.
    """
    epochs = await connection.fetch("UPDATE corral.instance SET access_epoch = gen_random_uuid() RETURNING true")
    if len(epochs) != 1:
        raise RestoreRefused("the backup is of a database that no keyring belongs to: there is nothing to restore")
    grants = await connection.fetch(
        "SELECT user_id, id, credential_id, name, access FROM corral.grants ORDER BY user_id, created_at, id"
    )
    await connection.execute(
        """
        DELETE FROM corral.sessions;
        DELETE FROM corral.api_tokens;
        DELETE FROM corral.grants;
        DELETE FROM corral.one_time_links;
        DELETE FROM corral.invitations;
        DELETE FROM corral.audit_processes
        """
    )
    return [EndedGrant(*row) for row in grants]


async def has_any_schema(connection: Connection) -> bool:
    return await connection.fetchval("SELECT to_regnamespace('corral') IS NOT NULL")


async def has_people(connection: Connection) -> bool:
    """Whether there is a schema with anybody in it. Everything else in it belongs to a person."""
    if await connection.fetchval("SELECT to_regclass('corral.users') IS NULL"):
        return False
    return await connection.fetchval("SELECT EXISTS (SELECT FROM corral.users)")


async def count_serving(connection: Connection) -> int:
    """Returns how many connections of the serving role there are to this database."""
    return await connection.fetchval(
        """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND usename = $1 AND pid <> pg_backend_pid()
        """,
        SERVING_ROLE,
    )


async def keep_schema_beside(connection: Connection, name: str) -> None:
    """Renames the schema, and takes all rights on it from the serving role."""
    await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
    await connection.execute(f'ALTER SCHEMA corral RENAME TO "{name}"')
    for objects in ("TABLES", "SEQUENCES", "FUNCTIONS"):
        await connection.execute(f'REVOKE ALL ON ALL {objects} IN SCHEMA "{name}" FROM {SERVING_ROLE}')
    await connection.execute(f'REVOKE ALL ON SCHEMA "{name}" FROM {SERVING_ROLE}')


async def drop_schema(connection: Connection, name: str) -> None:
    await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
    await connection.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')


async def find_former_schemas(connection: Connection) -> list[str]:
    rows = await connection.fetch(
        """
        SELECT nspname::text FROM pg_namespace
        WHERE starts_with(nspname::text, $1) AND pg_get_userbyid(nspowner) = current_user ORDER BY 1
        """,
        f"{FORMER_SCHEMA}_",
    )
    return [row[0] for row in rows]
