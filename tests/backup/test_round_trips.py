"""A backup of any PostgreSQL has every row, and is restored into any other, by the schema of then and of now."""

import asyncio
import shutil
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from corral.audit import queries as audit_queries
from corral.audit.chain import read_text
from corral.audit.verification import verify_chains
from corral.backup.problems import BackupRefused, NotABackup, RestoreRefused
from corral.credentials.keyring_check import opens_whole
from corral.credentials.queries import insert_keyring_probe, load_all_sealed
from corral.database import migrate
from corral.database.access_epoch import load_access_epoch
from corral.database.connection import Database, open_owner_connection
from corral.database.selfcheck import find_weaknesses
from corral.secret import Secret
from corral.vault import Context, Vault, load_keyring, make_keyring
from tests.backup.archives import rewrite
from tests.backup.installations import CHANGED, ENDED, NOT_IN_BACKUPS, Installation, add_credential, fill, installation
from tests.journeys.clusters import ExternalPostgres
from tests.machine import POSTGRESQL_15

OLDEST = pytest.param(15, marks=POSTGRESQL_15.mark)
MADE_UP_ROWS = r"""
INSERT INTO corral.made_up (user_id, odd, blob, tags, network, span, ratio, moment, document)
SELECT id, E'tab\t newline\n return\r backslash\\ \\N \\. quote'' euro € \x7f', '\x00ff5c0a'::bytea,
       ARRAY['a,b', NULL, '{"x"}', ''], '2001:db8::/32', '1 year -3 days 04:05:06.789', 0.1::float8 + 0.2,
       'infinity', '{"a": [1, "\u00e9"], "b": null}' FROM corral.users;
INSERT INTO corral.made_up (user_id, parent, ratio, moment)
SELECT user_id, number, 'NaN', '2026-11-24 14:30:00.123456+05' FROM corral.made_up;
INSERT INTO corral.a_child SELECT user_id, number FROM corral.made_up;
CREATE TRIGGER refused BEFORE INSERT ON corral.made_up FOR EACH ROW EXECUTE FUNCTION corral.refuse()
"""


@pytest.fixture
def more_migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all migrations, which a test may add to or take from."""
    folder = tmp_path / "migrations"
    shutil.copytree(migrate.MIGRATIONS, folder)
    monkeypatch.setattr(migrate, "MIGRATIONS", folder)
    return folder


@pytest.mark.parametrize(("source", "target"), [(18, 18), pytest.param(15, 18, marks=POSTGRESQL_15.mark), (18, 15)])
async def test_every_row_of_every_kind_of_table_arrives_at_another_version(
    source: int, target: int, clusters: dict[int, ExternalPostgres], more_migrations: Path, tmp_path: Path
) -> None:
    if target not in clusters:
        POSTGRESQL_15.lacks()
    shutil.copy(Path(__file__).with_name("made_up.sql"), more_migrations / "0999_made_up.sql")
    async with (
        installation(clusters[source], tmp_path / "old") as old,
        installation(clusters[target], tmp_path / "new", migrated=False) as new,
    ):
        await fill(old)
        await old.execute(MADE_UP_ROWS)
        before = await old.rows()
        manifest = await old.back_up(tmp_path / "corral.backup")
        assert {table.name: table.rows for table in manifest.tables} == {
            table: len(rows) for table, rows in before.items() if table not in NOT_IN_BACKUPS
        }
        await new.restore(tmp_path / "corral.backup", old.keyring)
        after = await new.rows()
        for table, rows in before.items():
            if table not in CHANGED:
                assert after[table] == rows, table
        assert [after[table] for table in ENDED] == [[]] * len(ENDED)
        everybody = "SELECT user_id::text FROM corral.access_changes ORDER BY 1 LIMIT 1"
        assert await new.fetch(everybody) == ["00000000-0000-0000-0000-000000000000"], "open streams must end"
        assert not set(before["access_changes"]) & set(after["access_changes"])
        assert await new.fetch("SELECT doubled FROM corral.made_up WHERE odd IS NOT NULL LIMIT 1") == await old.fetch(
            "SELECT doubled FROM corral.made_up WHERE odd IS NOT NULL LIMIT 1"
        )
        # Sequences go on where they were, and what was switched off for the rows is on again.
        await new.execute("ALTER TABLE corral.made_up ALTER moment SET DEFAULT now()")
        numbers = (
            'INSERT INTO corral.made_up (user_id) SELECT id FROM corral.users LIMIT 1 RETURNING number * 100 + "order"'
        )
        assert await new.fetch(numbers) == [505]
        await new.execute(
            "CREATE TRIGGER refused BEFORE INSERT ON corral.made_up FOR EACH ROW EXECUTE FUNCTION corral.refuse()"
        )
        with pytest.raises(asyncpg.RaiseError):
            await new.fetch(numbers)
        forced = "SELECT relname FROM pg_class WHERE relforcerowsecurity ORDER BY 1"
        assert await new.fetch(forced) == await old.fetch(forced)


@pytest.mark.parametrize("version", [OLDEST, 18])
async def test_what_is_restored_is_whole_isolated_and_without_access(
    version: int, clusters: dict[int, ExternalPostgres], tmp_path: Path
) -> None:
    async with (
        installation(clusters[version], tmp_path / "old") as old,
        installation(clusters[version], tmp_path / "new", migrated=False) as new,
    ):
        people = await fill(old)
        await old.execute("UPDATE corral.users SET disabled_at = now() WHERE email LIKE 'bob@%'")
        await old.back_up(tmp_path / "corral.backup")
        outcome = await new.restore(tmp_path / "corral.backup", old.keyring)
        told = [(one.email, one.disabled_at is not None, one.is_administrator) for one in outcome.restored.people]
        assert told == [("alice@corral.example", False, True), ("bob@corral.example", True, False)]
        assert (outcome.restored.credentials, outcome.restored.unopened, outcome.kept) == (2, 0, None)
        vault = Vault(load_keyring(new.keyring))
        async with Database.open(new.app) as database, database.connection() as connection:
            assert await find_weaknesses(connection) == []
        async with open_owner_connection(new.owner) as owner:
            assert all(opens_whole(vault, one) for one in await load_all_sealed(owner))
            async with audit_queries.open_snapshot(owner):
                reports = await verify_chains(owner, vault, {}, lambda _: None)
            assert [report.problem for report in reports] == [None, None]
            assert await load_access_epoch(owner) is not None
        assert await _last_entries(new, people["alice"]) == [
            ("installation.restored", "done"),
            ("grant.revoked", "done"),
        ]


async def test_the_owner_may_have_another_name_where_it_is_restored(newest: ExternalPostgres, tmp_path: Path) -> None:
    await newest.execute("CREATE ROLE somebody LOGIN", database="postgres")
    async with (
        installation(newest, tmp_path / "old") as old,
        installation(newest, tmp_path / "new", migrated=False, owner="somebody") as new,
    ):
        await fill(old)
        await old.back_up(tmp_path / "corral.backup")
        assert len((await new.restore(tmp_path / "corral.backup", old.keyring)).restored.people) == 2
        assert set(await new.fetch("SELECT tableowner::text FROM pg_tables WHERE schemaname = 'corral'")) == {
            "somebody"
        }
        async with new.opened() as (database, _), database.connection() as connection:
            assert await find_weaknesses(connection) == []
    await newest.execute("DROP ROLE somebody", database="postgres")


async def test_each_restore_has_an_epoch_of_its_own(newest: ExternalPostgres, tmp_path: Path) -> None:
    async with installation(newest, tmp_path) as one:
        await fill(one)
        await one.back_up(tmp_path / "first.backup")
        await one.restore(tmp_path / "first.backup", may_replace=True)
        (first,) = await one.fetch("SELECT access_epoch FROM corral.instance")
        await one.back_up(tmp_path / "second.backup")
        await one.restore(tmp_path / "second.backup", may_replace=True)
        (second,) = await one.fetch("SELECT access_epoch FROM corral.instance")
        assert len({first, second, None}) == 3


async def test_a_backup_sees_one_moment_while_others_write(newest: ExternalPostgres, tmp_path: Path) -> None:
    async with (
        installation(newest, tmp_path / "old") as old,
        installation(newest, tmp_path / "new", migrated=False) as new,
    ):
        people = await fill(old)
        stop = asyncio.Event()

        async def keep_writing() -> int:
            written = 0
            async with old.opened() as (database, vault):
                while not stop.is_set():
                    await add_credential(database, vault, people["alice"])
                    written += 1
            return written

        writing = asyncio.ensure_future(keep_writing())
        manifests = [await old.back_up(tmp_path / f"{number}.backup") for number in range(3)]
        stop.set()
        await writing
        rows = [{table.name: table.rows for table in manifest.tables} for manifest in manifests]
        assert rows[0]["credentials"] <= rows[1]["credentials"] <= rows[2]["credentials"]
        outcome = await new.restore(tmp_path / "1.backup", old.keyring)
        assert (outcome.restored.credentials, outcome.restored.unopened) == (rows[1]["credentials"], 0)


async def test_a_backup_from_before_the_audit_trail_becomes_the_schema_of_now(
    newest: ExternalPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made by the migrations of then; a person and their keys are as they were written then."""
    then = tmp_path / "then"
    shutil.copytree(migrate.MIGRATIONS, then)
    for migration in then.glob("*.sql"):
        if migration.name >= "0007_audit":
            migration.unlink()
    async with (
        installation(newest, tmp_path / "old", migrated=False) as old,
        installation(newest, tmp_path / "new", migrated=False) as new,
    ):
        with monkeypatch.context() as patch:
            patch.setattr(migrate, "MIGRATIONS", then)
            await apply_of_then(old)
            await old.back_up(tmp_path / "corral.backup")
        outcome = await new.restore(tmp_path / "corral.backup", old.keyring)
        assert (len(outcome.restored.people), outcome.restored.credentials, outcome.restored.unopened) == (1, 1, 0)
        async with new.opened() as (database, _), database.connection() as connection:
            assert await find_weaknesses(connection) == []
            assert await migrate.pending_migrations(connection) == []
        assert await new.fetch("SELECT seq FROM corral.audit_heads") == [1]


async def apply_of_then(old: Installation) -> None:
    """The same steps as `open_vault` and `add_user`, which ask for columns that were not there yet."""
    await migrate.apply_migrations(old.owner)
    vault = Vault(make_keyring(old.keyring))
    async with Database.open(old.app) as database:
        probe = vault.seal(
            Context("instance", ("keyring_probe", vault.verifier("instance", "corral").hex())), Secret("corral")
        )
        await insert_keyring_probe(database, probe)
        user_id = UUID(int=7)
        await old.execute(f"INSERT INTO corral.users (id, email) VALUES ('{user_id}', 'alice@corral.example')")
        await add_credential(database, vault, user_id)


async def test_a_backup_of_a_newer_release_is_refused(
    newest: ExternalPostgres, more_migrations: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = more_migrations.parent / "of now"
    shutil.copytree(more_migrations, original)
    shutil.copy(Path(__file__).with_name("made_up.sql"), more_migrations / "0999_made_up.sql")
    async with (
        installation(newest, tmp_path / "old") as old,
        installation(newest, tmp_path / "new", migrated=False) as new,
    ):
        await fill(old)
        await old.back_up(tmp_path / "corral.backup")
        monkeypatch.setattr(migrate, "MIGRATIONS", original)
        with pytest.raises(NotABackup, match=r"with the migration 0999_made_up: install release 0\.1\.0 or newer"):
            await new.restore(tmp_path / "corral.backup", old.keyring)
        assert await new.fetch("SELECT to_regnamespace('corral')") == [None]
        with pytest.raises(migrate.MigrationRefused, match="newer release"):
            await old.back_up(tmp_path / "again.backup")


async def test_rows_that_a_policy_hides_from_the_owner_are_not_left_out_in_silence(
    newest: ExternalPostgres, tmp_path: Path
) -> None:
    async with installation(newest, tmp_path) as old:
        await fill(old)
        for change, table in (
            ("DROP POLICY owner ON corral.sessions", "sessions"),
            ("ALTER POLICY owner ON corral.users USING (email <> 'bob@corral.example')", "sessions, users"),
            (
                "CREATE POLICY narrow ON corral.grants AS RESTRICTIVE TO corral_owner USING (name <> 'My bot')",
                "grants, sessions, users",
            ),
        ):
            await old.execute(change)
            with pytest.raises(BackupRefused, match=f"does not show its owner every row of {table}: run `corral doc"):
                await old.back_up(tmp_path / "corral.backup")
        assert not (tmp_path / "corral.backup").exists()


async def test_a_database_that_counts_other_rows_than_it_gives_is_not_believed(
    newest: ExternalPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a damaged index."""

    async def too_many(*_: object) -> int:
        return 1_000_000

    monkeypatch.setattr("corral.backup.queries.count_rows", too_many)
    async with installation(newest, tmp_path) as old:
        await fill(old)
        with pytest.raises(BackupRefused, match="another number of rows"):
            await old.back_up(tmp_path / "corral.backup")


async def test_a_backup_without_a_keyring_s_probe_or_with_a_wrong_number_of_rows_is_not_restored(
    newest: ExternalPostgres, tmp_path: Path
) -> None:
    async with (
        installation(newest, tmp_path / "old") as old,
        installation(newest, tmp_path / "new", migrated=False) as new,
    ):
        await fill(old)
        file, vault = tmp_path / "corral.backup", Vault(load_keyring(old.keyring))
        manifest = await old.back_up(file)
        more = [table.model_copy(update={"rows": table.rows + 1}) for table in manifest.tables]
        text = manifest.model_copy(update={"tables": tuple(more)}).to_text()
        rewrite(file, {"manifest.json": text.encode()}, vault)
        with pytest.raises(NotABackup, match=r" has \d rows and not \d: the backup cannot be restored"):
            await new.restore(file, old.keyring)
        await old.execute("DELETE FROM corral.instance")
        await old.back_up(tmp_path / "without.backup")
        with pytest.raises(RestoreRefused, match="of a database that no keyring belongs to"):
            await new.restore(tmp_path / "without.backup", old.keyring)
        assert await new.fetch("SELECT to_regnamespace('corral')") == [None]


async def test_rows_that_the_schema_does_not_take_are_refused_and_nothing_is_left(
    newest: ExternalPostgres, more_migrations: Path, tmp_path: Path
) -> None:
    """The message of PostgreSQL would quote the row."""
    made_up, made = more_migrations / "0999_made_up.sql", "CREATE TABLE corral.made_up (text text {});"
    async with (
        installation(newest, tmp_path / "old", migrated=False) as old,
        installation(newest, tmp_path / "new", migrated=False) as new,
    ):
        made_up.write_text(made.format(""))
        await migrate.apply_migrations(old.owner)
        await fill(old)
        await old.execute("INSERT INTO corral.made_up VALUES ('precious')")
        await old.back_up(tmp_path / "corral.backup")
        made_up.write_text(made.format("CHECK (text <> 'precious')"))
        with pytest.raises(RestoreRefused, match=r"does not take the rows of made_up \(SQLSTATE 23514\)") as refused:
            await new.restore(tmp_path / "corral.backup", old.keyring)
        assert "precious" not in str(refused.value)
        made_up.write_text("CREATE TABLE corral.another (text text);")
        with pytest.raises(RestoreRefused, match=r"not those of release 0\.1\.0: restore it with that"):
            await new.restore(tmp_path / "corral.backup", old.keyring)
        assert await new.fetch("SELECT to_regnamespace('corral')") == [None]
        assert not new.keyring.exists()


async def _last_entries(target: Installation, user_id: UUID) -> list[tuple[str, str]]:
    bodies = await target.fetch(
        f"SELECT body FROM corral.audit_entries WHERE user_id = '{user_id}' ORDER BY seq DESC LIMIT 2"
    )
    return [(entry.action, entry.result) for entry in map(read_text, reversed(bodies))]
