"""Checks at startup and while serving that row-level security cannot be bypassed.

Three kinds of checks, each with a list of findings that must be empty: the role (it cannot bypass it),
the schema (exactly the tables, policies, functions, triggers and grants of this release, line by line
as in `expected_schema.txt`, and what compatible migrations of a newer release have added), and a probe that
attempts it. Checked on PostgreSQL 15, 16 and 18.
"""

from typing import LiteralString
from uuid import UUID, uuid4

import asyncpg

from corral.database.connection import READ_ONLY, Connection, reason_of
from corral.database.migrate import find_newer_migrations
from corral.database.schema_text import expected_lines, relations_in, schema_lines, unsafe_additions

# What a role could use to bypass a policy. `pg_has_role(…, 'MEMBER')` counts what SET ROLE could reach.
_ROLE_FINDINGS = """
SELECT format('%s is a superuser, may bypass row-level security, create roles or databases, or replicate', rolname)
FROM pg_roles WHERE rolname = current_user
  AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication)
UNION ALL
SELECT format('connected as %s but acting as %s', session_user, current_user) WHERE session_user <> current_user
UNION ALL
SELECT format('%s is a member of %s, which could bypass row-level security', current_user, r.rolname)
FROM pg_roles r
WHERE r.rolname <> current_user AND pg_has_role(current_user, r.oid, 'MEMBER')
  AND (r.rolsuper OR r.rolbypassrls OR r.rolcreaterole OR r.rolreplication OR r.rolname ~ '^pg_'
       OR r.oid IN (SELECT relowner FROM pg_class WHERE relnamespace = 'corral'::regnamespace))
UNION ALL
SELECT format('%s owns %s', current_user, c.oid::regclass)
FROM pg_class c WHERE c.relnamespace = 'corral'::regnamespace AND pg_get_userbyid(c.relowner) = current_user
UNION ALL
SELECT format('%s may create objects in the database or in schema %s', current_user, n.nspname)
FROM pg_namespace n
WHERE n.nspname IN ('corral', 'public')
  AND (has_schema_privilege(n.oid, 'CREATE') OR has_database_privilege(current_database(), 'CREATE'))
UNION ALL
SELECT format('%s may read or write %s, which is not part of this release', current_user, c.oid::regclass)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relowner = (SELECT nspowner FROM pg_namespace WHERE nspname = 'corral') AND n.nspname <> 'corral'
  AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE')
UNION ALL
SELECT format('%s may call %s, which acts as the owner and is not part of this release', current_user,
    p.oid::regprocedure)
FROM pg_proc p
WHERE p.proowner = (SELECT nspowner FROM pg_namespace WHERE nspname = 'corral')
  AND p.pronamespace <> 'corral'::regnamespace AND p.prosecdef AND has_function_privilege(p.oid, 'EXECUTE')
UNION ALL
SELECT format('%s is %s', name, setting) FROM pg_settings
WHERE (name = 'row_security' AND setting <> 'on') OR (name = 'session_replication_role' AND setting <> 'origin')
   OR (name IN ('fsync', 'full_page_writes') AND setting <> 'on')
"""

# A sort that does not fit into its memory writes about 1 MB to the database's disk, and nothing of it stays.
WRITE_PROBE: LiteralString = """
SELECT count(*) FROM (SELECT sha256(i::text::bytea) FROM generate_series(1, 20000) i ORDER BY 1 OFFSET 0) sorted
"""

# With row_security off, a role that is subject to it gets an error instead of rows.
_PROBED_TABLES = (
    "users", "sessions", "api_tokens", "credentials", "password_confirmations", "account_events", "home_views",
    "audit_heads", "audit_entries", "audit_pending",
    "grants", "grant_secrets",
)  # fmt: skip


async def find_weaknesses(connection: Connection) -> list[str]:
    """Returns everything that would let one tenant access another's rows, a sentence each; empty if there is nothing.

    The connection must be the serving role's own, outside a transaction. Raises MigrationRefused for a schema that a
    newer release has changed so that this one cannot run with it.
    """
    if await connection.fetchval("SELECT to_regnamespace('corral')") is None:
        return ["the schema is missing: the migrations have not been applied"]
    findings = await find_role_weaknesses(connection) + await find_schema_differences(connection)
    added = sorted(relations_in(await _added_by_newer_release(connection)))
    for table in (*_PROBED_TABLES, *added):
        findings += await _probe(connection, table)
    return findings


async def prove_writes(connection: Connection) -> str | None:
    """Returns None if the database accepts writes, otherwise the reason, for the operator.

    Raises the driver's error for other causes than the disk; the connection's context manager translates it.
    """
    if await connection.fetchval("SHOW transaction_read_only") == "on":
        return READ_ONLY
    try:
        async with connection.transaction():
            await connection.execute("SET LOCAL work_mem = '64kB'")
            await connection.fetchval(WRITE_PROBE)
    except asyncpg.DiskFullError as error:
        return reason_of(error)
    return None


async def find_role_weaknesses(connection: Connection) -> list[str]:
    return [row[0] for row in await connection.fetch(_ROLE_FINDINGS)]


async def find_schema_differences(connection: Connection) -> list[str]:
    """Returns what the schema has too much or too little, as a sentence for each line.

    Raises MigrationRefused like `find_weaknesses`.
    """
    # One snapshot: a migration that is committed between two of them would look like a schema that was tampered with.
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        known, added = expected_lines(), await _added_by_newer_release(connection)
        expected = known | added.difference(unsafe_additions(added, known))
        found = set(await schema_lines(connection))
    return [f"missing: {line}" for line in sorted(expected - found)] + [
        f"unexpected: {line}" for line in sorted(found - expected)
    ]


async def _added_by_newer_release(connection: Connection) -> set[str]:
    """Returns the lines beyond those of this release. They are the owner's word, and not judged yet."""
    return {line for migration in await find_newer_migrations(connection) for line in migration.adds}


async def attempt_crossing(connection: Connection) -> list[str]:
    """Creates two tenants in a transaction that is rolled back, and tries to access the rows of one as the other."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        alice, bob = uuid4(), uuid4()
        for tenant in (alice, bob):
            await _act_as(connection, tenant)
            await _make_up_rows(connection, tenant)
        return await _reach_for(connection, alice)  # as bob
    finally:
        await transaction.rollback()


async def _act_as(connection: Connection, tenant: UUID) -> None:
    await connection.execute("SELECT set_config('app.current_user_id', $1, true)", str(tenant))


async def _make_up_rows(connection: Connection, tenant: UUID) -> None:
    await connection.execute("INSERT INTO corral.users (id, email) VALUES ($1, $2)", tenant, f"{tenant}@invalid")
    await connection.execute(
        """
        INSERT INTO corral.credentials (user_id, id, nickname, credential_type, account_id, key_hint,
                                        api_key_sealed, secret_key_sealed)
        VALUES ($1, $1, 'made up', 'paper', 'made up', '', '', '')
        """,
        tenant,
    )


async def _reach_for(connection: Connection, other: UUID) -> list[str]:
    reached = {
        "read": await connection.fetchval("SELECT count(*) FROM corral.credentials WHERE user_id = $1", other),
        "changed": _count(await connection.execute(
            "UPDATE corral.credentials SET nickname = 'crossed' WHERE user_id = $1", other)),
        "deleted": _count(await connection.execute("DELETE FROM corral.credentials WHERE user_id = $1", other)),
        "written": await _write_for(connection, other),
    }  # fmt: skip
    return [f"one tenant {what} another's rows" for what, rows in reached.items() if rows]


async def _write_for(connection: Connection, other: UUID) -> int:
    try:
        async with connection.transaction():
            await connection.execute(
                "INSERT INTO corral.api_tokens (user_id, name, scopes, lookup, seal) VALUES ($1, 'x', '{}', '', '')",
                other,
            )
    except asyncpg.InsufficientPrivilegeError:
        return 0
    return 1


def _count(status: str) -> int:
    """PostgreSQL's command tag ends with the number of rows: `UPDATE 0`."""
    return int(status.rsplit(" ", 1)[-1])


async def _probe(connection: Connection, table: str) -> list[str]:
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute("SET LOCAL row_security = off")
        await connection.fetch(f"SELECT FROM corral.{table} LIMIT 1")
    except asyncpg.InsufficientPrivilegeError:
        return []
    else:
        return [f"row-level security does not bind this role on {table}"]
    finally:
        await transaction.rollback()
