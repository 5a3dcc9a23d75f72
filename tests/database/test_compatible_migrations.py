"""A migration that says it is compatible only adds, and an older release judges what it added by itself."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count

import asyncpg
import pytest

from corral.database import migrate
from corral.database.connection import Connection, Database, open_owner_connection
from corral.database.schema_text import expected_lines, schema_lines, unsafe_additions
from corral.database.selfcheck import find_schema_differences, find_weaknesses
from tests.database.additions import what_else_it_does
from tests.journeys.clusters import ExternalPostgres, external_postgres

_NUMBERS = count()
_COMPATIBLE = "-- compatible: for a test\n"

_TABLE = """
CREATE TABLE corral.notes (
    user_id uuid NOT NULL REFERENCES corral.users (id) ON DELETE CASCADE, id uuid NOT NULL, text text NOT NULL,
    PRIMARY KEY (user_id, id)
);
CREATE INDEX notes_text ON corral.notes (user_id, text);
ALTER TABLE corral.notes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON corral.notes TO corral_app USING (user_id = (SELECT corral.current_user_id()));
CREATE POLICY owner ON corral.notes TO CURRENT_USER USING (true);
GRANT SELECT, INSERT, DELETE, UPDATE (text) ON corral.notes TO corral_app;
"""
_BODY = "LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS 'SELECT 1'"
_REVOKED = "REVOKE ALL ON FUNCTION corral.count_notes() FROM PUBLIC;"
_FUNCTION = f"CREATE FUNCTION corral.count_notes() RETURNS integer {_BODY}; {_REVOKED}"

ADDING = {
    "a column that may be empty": "ALTER TABLE corral.credentials ADD COLUMN note text",
    "a column with a default": "ALTER TABLE corral.audit_entries ADD COLUMN kind integer NOT NULL DEFAULT 0",
    "a column with its grant": """
        ALTER TABLE corral.credentials ADD COLUMN note text; GRANT UPDATE (note) ON corral.credentials TO corral_app
        """,
    "a column with an unchecked condition": """
        ALTER TABLE corral.credentials ADD COLUMN note text;
        ALTER TABLE corral.credentials ADD CONSTRAINT short CHECK (length(note) < 9) NOT VALID
        """,
    "a table": _TABLE,
    "a function": _FUNCTION + "GRANT EXECUTE ON FUNCTION corral.count_notes() TO corral_app;",
    "nothing": "SELECT 1",
}
# Each with what is reported about it.
CHANGING = {
    "a column dropped": ("ALTER TABLE corral.credentials DROP COLUMN key_hint", "key_hint of credentials"),
    "a column renamed": ("ALTER TABLE corral.credentials RENAME nickname TO name", "changed or dropped: pg_attribute"),
    "a type widened": ("ALTER TABLE corral.credentials ALTER revision TYPE bigint", "revision of credentials"),
    "a default changed": ("ALTER TABLE corral.credentials ALTER revision SET DEFAULT 2", "pg_attrdef"),
    "a column required": ("ALTER TABLE corral.users ALTER password_sealed SET NOT NULL", "password_sealed of users"),
    "a column no longer required": ("ALTER TABLE corral.users ALTER email DROP NOT NULL", "email of users"),
    "a new column that has to be given": (
        "ALTER TABLE corral.home_views ADD COLUMN x integer NOT NULL",
        "x of home_views, which has to be given",
    ),
    "a table rewritten by a default": (
        "ALTER TABLE corral.credentials ADD COLUMN x uuid DEFAULT gen_random_uuid()",
        "changed or dropped: pg_class credentials",
    ),
    "a table rewritten by a generated column": (
        "ALTER TABLE corral.credentials ADD COLUMN x text GENERATED ALWAYS AS (nickname) STORED",
        "credentials",
    ),
    "a condition that reads every row": (
        "ALTER TABLE corral.credentials ADD COLUMN x text CHECK (length(x) < 9)",
        "reads or writes rows of credentials",
    ),
    "a condition on what was there": (
        "ALTER TABLE corral.credentials ADD CONSTRAINT x CHECK (length(nickname) < 99) NOT VALID",
        "adds pg_constraint x of credentials",
    ),
    "a reference from what was there": (
        "ALTER TABLE corral.credentials ADD COLUMN x uuid REFERENCES corral.users (id) ON DELETE SET NULL",
        "adds pg_constraint",
    ),
    "a reference that keeps rows": (
        _TABLE.replace(" ON DELETE CASCADE", ""),
        "keeps older releases from deleting what it refers to",
    ),
    "an index on what was there": ("CREATE INDEX x ON corral.audit_entries (action)", "reads or writes rows of audit"),
    "a unique index on what was there": ("CREATE UNIQUE INDEX x ON corral.users (created_at)", "adds pg_index"),
    "a table dropped": ("DROP TABLE corral.home_views", "pg_class home_views"),
    "a table renamed": ("ALTER TABLE corral.home_views RENAME TO views", "pg_class home_views"),
    "rows changed": ("UPDATE corral.users SET email = lower(email)", "reads or writes rows of users"),
    "a policy changed": ("ALTER POLICY own_rows ON corral.users USING (true)", "pg_policy own_rows of users"),
    "a policy added": ("CREATE POLICY x ON corral.users TO corral_app USING (true)", "adds pg_policy x of users"),
    "a policy dropped": ("DROP POLICY own_rows ON corral.users", "pg_policy own_rows of users"),
    "not forced any more": ("ALTER TABLE corral.users NO FORCE ROW LEVEL SECURITY", "pg_class users"),
    "a grant added": ("GRANT TRUNCATE ON corral.users TO corral_app", "pg_class users"),
    "a grant on a column added": ("GRANT UPDATE (email) ON corral.users TO corral_app", "email of users"),
    "a grant taken": ("REVOKE DELETE ON corral.sessions FROM corral_app", "pg_class sessions"),
    "a function replaced": (
        """
        CREATE OR REPLACE FUNCTION corral.has_users() RETURNS boolean
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS 'SELECT true'
        """,
        "pg_proc has_users",
    ),
    "a function overloaded": (
        f"""
        CREATE FUNCTION corral.has_users(text) RETURNS integer {_BODY};
        REVOKE ALL ON FUNCTION corral.has_users(text) FROM PUBLIC
        """,
        "unsafe: function has_users",
    ),
    "a function for everybody": (
        f"CREATE FUNCTION corral.count_notes() RETURNS integer {_BODY}",
        "lets PUBLIC execute pg_proc count_notes",
    ),
    "a function with the caller's search path": (
        f"CREATE FUNCTION corral.count_notes() RETURNS integer LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'; {_REVOKED}",
        "unsafe: function count_notes",
    ),
    "a right to execute taken": ("REVOKE ALL ON FUNCTION corral.has_users() FROM corral_app", "pg_proc has_users"),
    "a trigger on what was there": (
        "CREATE TRIGGER x BEFORE INSERT ON corral.users FOR EACH ROW EXECUTE FUNCTION corral.move_audit_head()",
        "adds pg_trigger x of users",
    ),
    "a table without row-level security": (
        "CREATE TABLE corral.notes (x text); GRANT SELECT ON corral.notes TO corral_app",
        "unsafe: relation notes",
    ),
    "a table that shows everybody everything": (
        _TABLE.replace("USING (user_id = (SELECT corral.current_user_id()))", "USING (true)"),
        "unsafe: policy own_rows on notes",
    ),
    "a table that may be emptied": (
        _TABLE + "GRANT TRUNCATE ON corral.notes TO corral_app",
        "unsafe: grant TRUNCATE on notes",
    ),
    "a view, which reads as the owner": (
        "CREATE VIEW corral.everybody AS SELECT * FROM corral.users; GRANT SELECT ON corral.everybody TO corral_app",
        "unsafe: relation everybody",
    ),
    "another schema": ("CREATE SCHEMA elsewhere", "adds pg_namespace elsewhere"),
    "a schema opened": ("GRANT CREATE ON SCHEMA corral TO corral_app", "pg_namespace corral"),
    "default rights": ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO corral_app", "adds pg_default_acl"),
    "a child of what was there": ("CREATE TABLE corral.x () INHERITS (corral.users)", "adds pg_inherits"),
}  # fmt: skip


@pytest.fixture(scope="module")
async def server() -> AsyncGenerator[ExternalPostgres]:
    async with external_postgres() as postgres:
        await migrate.apply_migrations(postgres.dsn("corral_owner"))
        yield postgres


@pytest.fixture
async def database(server: ExternalPostgres) -> str:
    """The name of a database of the test's own, with all migrations."""
    name = f"copy_{next(_NUMBERS)}"
    await server.execute(f"CREATE DATABASE {name} OWNER corral_owner TEMPLATE corral")
    return name


async def test_every_migration_that_says_it_is_compatible_only_adds(server: ExternalPostgres) -> None:
    """Each is judged on the schema of the migrations before it."""
    await server.execute("CREATE DATABASE judged OWNER corral_owner")
    async with open_owner_connection(server.dsn("corral_owner", "judged")) as connection:
        for path in sorted(migrate.MIGRATIONS.glob("*.sql")):
            migration = migrate.Migration.load(path.stem)
            assert "SET LOCAL" not in migration.sql, f"{path.name}: the migrator sets the timeouts, for all the same"
            first = migration.sql.partition("\n")[0]
            assert migration.is_compatible == ("compatible" in first.lower()), f"{path.name}: {first} is not understood"
            if migration.is_compatible:
                assert await what_else_it_does(connection, migration.sql) == [], path.name
            async with connection.transaction():
                await migrate.migrate_within(connection, [path.stem])


@pytest.mark.parametrize("what", ADDING)
async def test_what_only_adds_is_recognized(what: str, server: ExternalPostgres) -> None:
    async with open_owner_connection(server.dsn("corral_owner")) as connection:
        assert await what_else_it_does(connection, ADDING[what]) == []


@pytest.mark.parametrize("what", CHANGING)
async def test_what_does_more_than_add_is_recognized(what: str, server: ExternalPostgres) -> None:
    sql, reported = CHANGING[what]
    async with open_owner_connection(server.dsn("corral_owner")) as connection:
        assert reported in "; ".join(await what_else_it_does(connection, sql))


@pytest.mark.parametrize(
    ("first_line", "is_compatible"),
    [
        ("-- compatible: notes of accounts", True),
        *((line, False) for line in ("", "-- Notes", "-- compatible", "-- compatible:", "--compatible: x")),
        *((line, False) for line in ("-- Compatible: x", " -- compatible: x", "-- not compatible: x")),
        *((line, False) for line in ("SELECT 1; -- compatible: x", "/* -- compatible: x */")),
        ("-- Notes\n-- compatible: x", False),
    ],
)  # fmt: skip
def test_only_the_exact_first_line_makes_a_migration_compatible(
    first_line: str,
    is_compatible: bool,  # noqa: FBT001 - a parameter of a test
) -> None:
    assert migrate.Migration("0999_x", f"{first_line}\nSELECT 1;\n").is_compatible is is_compatible


@pytest.mark.parametrize("what", ADDING)
async def test_a_release_without_a_compatible_migration_finds_no_difference_after_it(
    what: str, server: ExternalPostgres
) -> None:
    async with undone(server) as connection:
        await apply_as_newer_release(connection, _COMPATIBLE + ADDING[what])
        assert await find_schema_differences(connection) == []
        assert await connection.fetchval("SHOW statement_timeout") == "0", "a backup that is restored takes longer"


async def test_compatible_migrations_add_to_each_other_and_no_weakness_is_found(
    server: ExternalPostgres, database: str
) -> None:
    more = "ALTER TABLE corral.notes ADD COLUMN more text; GRANT UPDATE (more) ON corral.notes TO corral_app"
    async with open_owner_connection(server.dsn("corral_owner", database)) as connection:
        await apply_as_newer_release(connection, _COMPATIBLE + _TABLE, name="0998_x")
        await apply_as_newer_release(connection, _COMPATIBLE + more)
        await apply_as_newer_release(connection, _COMPATIBLE + _FUNCTION, name="0999_y")
    assert await weaknesses(server, database) == []


@pytest.mark.parametrize(
    ("weaken", "reported"),
    [
        ("ALTER TABLE corral.notes NO FORCE ROW LEVEL SECURITY", "unexpected: relation notes kind=r rls=t forced=f"),
        ("ALTER POLICY own_rows ON corral.notes USING (true)", "unexpected: policy own_rows on notes"),
        ("CREATE POLICY wide ON corral.notes TO corral_app USING (true)", "unexpected: policy wide on notes"),
        ("GRANT TRUNCATE ON corral.notes TO corral_app", "unexpected: grant TRUNCATE on notes"),
        ("DROP POLICY own_rows ON corral.notes", "missing: policy own_rows on notes"),
        ("ALTER TABLE corral.credentials NO FORCE ROW LEVEL SECURITY", "unexpected: relation credentials"),
        ("CREATE POLICY wide ON corral.credentials TO corral_app USING (true)", "unexpected: policy wide on cred"),
        ("DROP POLICY own_rows ON corral.users", "missing: policy own_rows on users"),
        ("ALTER FUNCTION corral.count_notes() RESET search_path", "unexpected: function count_notes"),
        ("ALTER TABLE corral.users ALTER email TYPE varchar", "unexpected: column email of users"),
    ],
)
async def test_a_weakness_is_found_beside_a_compatible_migration(
    weaken: str, reported: str, server: ExternalPostgres
) -> None:
    async with undone(server) as connection:
        await apply_as_newer_release(connection, f"{_COMPATIBLE}{_TABLE}{_FUNCTION}")
        await connection.execute(weaken)
        assert reported in "; ".join(await find_schema_differences(connection))


@pytest.mark.parametrize("what", [what for what, (_, reported) in CHANGING.items() if "unsafe" in reported])
async def test_a_weakness_that_the_list_of_migrations_declares_is_found_all_the_same(
    what: str, server: ExternalPostgres
) -> None:
    """Whoever can change the schema can also write to the list."""
    async with undone(server) as connection:
        before = set(await schema_lines(connection))
        await connection.execute(CHANGING[what][0])
        added = sorted(set(await schema_lines(connection)) - before)
        await connection.execute("INSERT INTO corral.migrations VALUES ('0999_x', now(), true, $1)", added)
        found = "; ".join(await find_schema_differences(connection))
        assert CHANGING[what][1].removeprefix("unsafe: ") in found


async def test_a_new_table_that_row_level_security_does_not_bind_is_found(
    server: ExternalPostgres, database: str
) -> None:
    """Like those of this release, it is tried."""
    async with open_owner_connection(server.dsn("corral_owner", database)) as connection:
        await apply_as_newer_release(connection, _COMPATIBLE + _TABLE)
        found = await find_weaknesses(connection)  # which it does not bind, as it is the owner of the database's tables
    assert "row-level security does not bind this role on notes" not in found, "forced, it binds the owner"
    await server.execute("ALTER TABLE corral.notes NO FORCE ROW LEVEL SECURITY", database=database)
    async with open_owner_connection(server.dsn("corral_owner", database)) as connection:
        assert "row-level security does not bind this role on notes" in await find_weaknesses(connection)


async def test_what_is_not_known_to_be_safe_is_unsafe() -> None:
    known = expected_lines()
    strange = [
        *("", "index x on notes", "relation notes kind=r rls=t forced=t extra", "relation Notes kind=r rls=t forced=t"),
        "column x of credentials type=integer null=f generated=a default=",  # an identity
        "column revision of credentials type=bigint null=f generated= default=1",  # there with another type
        "grant UPDATE (revision) on credentials to=PUBLIC",
        "grant UPDATE (email) on users to=corral_app",
        "grant SELECT on users to=corral_app\ngrant",
        "relation users kind=r rls=t forced=t",
        'function x() definer=f volatility=i leakproof=f settings=search_path="" body=' + "0" * 32,
        'function x() definer=f volatility=s leakproof=t settings=search_path="" body=' + "0" * 32,
        'function x() definer=f volatility=s leakproof=f settings=search_path="",row_security=off body=' + "0" * 32,
    ]
    assert unsafe_additions(strange, known) == sorted(strange)
    assert unsafe_additions([], known) == []


@pytest.mark.parametrize("what", [
    "a column dropped", "a policy added", "a grant added", "a function overloaded", "a type widened",
    "a table without row-level security", "a view, which reads as the owner", "a new column that has to be given",
])  # fmt: skip
async def test_the_migrator_refuses_a_compatible_migration_that_does_more_than_add(
    what: str, server: ExternalPostgres
) -> None:
    async with undone(server) as connection:
        with pytest.raises(migrate.MigrationRefused, match=r"^0999_x.sql says that it is compatible, but does more"):
            await apply_as_newer_release(connection, _COMPATIBLE + CHANGING[what][0])
        assert await find_schema_differences(connection) == []
        assert await migrate.find_newer_migrations(connection) == []


async def test_a_migration_that_commits_in_the_middle_of_the_self_check_is_no_weakness(
    server: ExternalPostgres, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list of migrations is read before the schema."""

    async def after_the_commit(connection: asyncpg.Connection) -> list[str]:
        async with open_owner_connection(server.dsn("corral_owner", database)) as owner:
            await apply_as_newer_release(owner, _COMPATIBLE + _TABLE)
        return await schema_lines(connection)

    monkeypatch.setattr("corral.database.selfcheck.schema_lines", after_the_commit)
    async with Database.open(server.dsn("corral_app", database)) as app, app.connection() as connection:
        assert await find_schema_differences(connection) == []
        monkeypatch.undo()
        assert await find_schema_differences(connection) == []


async def test_a_database_from_before_0_1_0_is_read_and_completed(server: ExternalPostgres, database: str) -> None:
    """Its list of migrations does not say which are compatible, so none is."""
    without = "ALTER TABLE corral.migrations DROP COLUMN is_compatible, DROP COLUMN adds"
    await server.execute(without, database=database)
    assert await weaknesses(server, database) == []
    await server.execute("INSERT INTO corral.migrations (name) VALUES ('0999_x')", database=database)
    with pytest.raises(migrate.MigrationRefused, match="newer release"):
        await weaknesses(server, database)
    await server.execute("DELETE FROM corral.migrations WHERE name = '0999_x'", database=database)
    owner = server.dsn("corral_owner", database)
    await migrate.apply_migrations(owner)
    async with open_owner_connection(owner) as connection:
        applied = await migrate.load_applied(connection)
        assert {migration.is_compatible for migration in applied} == {False}
        await apply_as_newer_release(connection, _COMPATIBLE + _TABLE)
    assert await weaknesses(server, database) == []


@asynccontextmanager
async def undone(server: ExternalPostgres) -> AsyncGenerator[Connection]:
    """The owner, who sees the same schema as the serving role, in a transaction that is rolled back."""
    async with open_owner_connection(server.dsn("corral_owner")) as connection:
        transaction = connection.transaction(isolation="repeatable_read")
        await transaction.start()
        try:
            yield connection
        finally:
            await transaction.rollback()


async def apply_as_newer_release(connection: Connection, sql: str, *, name: str = "0999_x") -> None:
    """As the release does that has this migration; the list of files stays that of this release."""
    await migrate._apply(connection, migrate.Migration(name, sql))  # pyright: ignore[reportPrivateUsage]


async def weaknesses(server: ExternalPostgres, database: str) -> list[str]:
    """What the serving role finds."""
    async with Database.open(server.dsn("corral_app", database)) as app, app.connection() as connection:
        return await find_weaknesses(connection)
