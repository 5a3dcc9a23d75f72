"""A restore into a server of one's own is one transaction: afterwards all is restored, or all is as it was."""

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path

import asyncpg
import pytest

from corral.backup.former import drop_former_schemas
from corral.backup.keyring_copy import StagedKeyring
from corral.backup.problems import FileUnusable, RestoreRefused
from corral.database.connection import Database
from corral.database.selfcheck import find_weaknesses
from corral.errors import DatabaseUnavailable
from corral.health.readiness import ReadinessMonitor
from corral.vault import KeyringMissing
from tests.backup.installations import Installation, fill, installation
from tests.journeys.clusters import ExternalPostgres


@pytest.fixture
async def there(newest: ExternalPostgres, tmp_path: Path) -> AsyncGenerator[Installation]:
    """Another database of another keyring, with carol."""
    async with installation(newest, tmp_path / "there") as made:
        await fill(made, ["carol"])
        yield made


async def state_of(target: Installation) -> tuple[object, ...]:
    schemas = await target.fetch("SELECT nspname::text FROM pg_namespace WHERE nspname ~ '^corral' ORDER BY 1")
    return (
        schemas,
        await target.rows(),
        target.keyring.read_bytes(),
        sorted(path.name for path in target.folder.iterdir()),
    )


async def test_people_who_are_there_are_not_replaced_unless_it_is_said(here: Installation) -> None:
    before = await state_of(here)
    with pytest.raises(
        RestoreRefused, match=r"^there are people in this database: choose an empty one; with --replace"
    ):
        await here.restore(here.folder / "corral.backup")
    assert await state_of(here) == before


async def test_what_is_replaced_is_kept_without_any_right_on_it_and_dropped_by_the_first_start(
    here: Installation, there: Installation
) -> None:
    outcome = await there.restore(here.folder / "corral.backup", here.keyring, may_replace=True)
    assert outcome.kept is not None
    former = outcome.kept.removeprefix("the schema ")
    assert await there.fetch(f'SELECT email FROM "{former}".users') == ["carol@corral.example"]
    assert len(await there.fetch("SELECT email FROM corral.users")) == 2
    async with Database.open(there.app) as database, database.connection() as connection:
        assert await find_weaknesses(connection) == []
        for statement in (f'SELECT FROM "{former}".users', f'SELECT "{former}".has_users()'):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    assert outcome.kept_keyring is not None
    assert outcome.kept_keyring.stat().st_mode & 0o777 == 0o600
    assert there.keyring.read_bytes() == here.keyring.read_bytes() != outcome.kept_keyring.read_bytes()
    assert await drop_former_schemas(there.owner) == [former]
    assert await drop_former_schemas(there.owner) == []
    assert await there.fetch("SELECT nspname::text FROM pg_namespace WHERE nspname ~ '^corral'") == ["corral"]


async def test_a_former_schema_that_is_in_use_is_left_for_the_next_start(
    here: Installation, there: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = await there.restore(here.folder / "corral.backup", here.keyring, may_replace=True)
    assert outcome.kept is not None
    former = outcome.kept.removeprefix("the schema ")
    connection = await asyncpg.connect(there.postgres.dsn("postgres", there.database))
    try:
        async with connection.transaction():
            await connection.execute(f'LOCK TABLE "{former}".users')
            monkeypatch.setattr("corral.backup.queries.LOCK_TIMEOUT", "50ms")
            assert await drop_former_schemas(there.owner) == []
    finally:
        await connection.close()
    assert await drop_former_schemas(there.owner) == [former]


async def test_an_empty_schema_is_replaced_without_a_word(here: Installation, newest: ExternalPostgres) -> None:
    async with installation(newest, here.folder / "empty") as empty:
        async with empty.opened():
            pass  # the first start: a keyring and a probe
        empty.keyring.unlink()
        outcome = await empty.restore(here.folder / "corral.backup", here.keyring)
        assert (outcome.kept, outcome.kept_keyring, len(outcome.restored.people)) == (None, None, 2)
        assert await empty.fetch("SELECT nspname::text FROM pg_namespace WHERE nspname ~ '^corral'") == ["corral"]


async def test_another_keyring_is_not_replaced_unless_it_is_said(here: Installation, there: Installation) -> None:
    before = await state_of(there)
    with pytest.raises(RestoreRefused, match="and may open other data: with --replace it is kept beside"):
        await there.restore(here.folder / "corral.backup", here.keyring)
    assert await state_of(there) == before
    there.keyring.write_text("{}")
    with pytest.raises(RestoreRefused, match="another keyring than"):
        await there.restore(here.folder / "corral.backup", here.keyring)


async def test_the_same_keyring_stays_where_it_is(here: Installation) -> None:
    copy, inode = here.folder / "copy.json", here.keyring.stat().st_ino
    copy.write_bytes(here.keyring.read_bytes())
    copy.chmod(0o755)  # as on a USB stick
    outcome = await here.restore(here.folder / "corral.backup", copy, may_replace=True)
    assert (outcome.kept_keyring, here.keyring.stat().st_ino) == (None, inode)


async def test_without_a_keyring_it_says_which_option_names_one(here: Installation, there: Installation) -> None:
    there.keyring.unlink()
    with pytest.raises(KeyringMissing, match=r"^there is no keyring at .*: name its copy with --keyring FILE$"):
        await there.restore(here.folder / "corral.backup", may_replace=True)


async def test_a_server_that_is_connected_is_to_be_stopped_first(here: Installation) -> None:
    before = await state_of(here)
    async with here.opened():
        with pytest.raises(RestoreRefused, match=r"^corral_app is connected to this database \(1 times\): stop every"):
            await here.restore(here.folder / "corral.backup", may_replace=True)
    assert await state_of(here) == before


async def test_a_restore_that_fails_or_is_broken_off_anywhere_leaves_everything_as_it_was(
    here: Installation, there: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each of the statements of the restore itself, and at its commit, after the keyring was installed."""
    before = await state_of(there)
    for name in ("keep_schema_beside", "load_tables", "copy_in", "set_sequence", "end_access"):

        async def fails(*_: object) -> None:
            raise asyncio.CancelledError

        with monkeypatch.context() as patch:
            patch.setattr(f"corral.backup.queries.{name}", fails)
            if name == "set_sequence":
                patch.setattr("corral.backup.restoring.record_in", fails)
            with pytest.raises(asyncio.CancelledError):
                await there.restore(here.folder / "corral.backup", here.keyring, may_replace=True)
        assert await state_of(there) == before, name
    install = StagedKeyring.install

    def lost_at_the_commit(keyring: StagedKeyring) -> None:
        install(keyring)
        assert there.keyring.read_bytes() == here.keyring.read_bytes()
        raise ConnectionResetError

    monkeypatch.setattr(StagedKeyring, "install", lost_at_the_commit)
    with pytest.raises(DatabaseUnavailable):
        await there.restore(here.folder / "corral.backup", here.keyring, may_replace=True)
    assert await state_of(there) == before
    there.keyring.unlink()
    with pytest.raises(DatabaseUnavailable):
        await there.restore(here.folder / "corral.backup", here.keyring, may_replace=True)
    assert not there.keyring.exists()


async def test_a_process_that_went_on_meanwhile_is_not_ready(here: Installation) -> None:
    """Restoring waits for no process that connects later."""
    async with here.opened() as (database, vault):
        readiness = ReadinessMonitor(database)
        readiness.expect_epoch(vault.access_epoch)
        await readiness.check()
        assert readiness.reason is None
        await here.execute("UPDATE corral.instance SET access_epoch = gen_random_uuid()")
        await readiness.check()
        assert readiness.reason == "the database was restored from a backup while this process ran: restart it"


@pytest.mark.parametrize("place", ["a file", "no right"])
async def test_a_place_of_the_keyring_that_cannot_be_written_to_is_told_before_anything_happens(
    place: str, here: Installation, there: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = await there.rows()
    chosen = replace_place(there, there.folder / "keyring.json" / "below" / "keyring.json")
    if place == "no right":
        chosen = replace_place(there, there.folder / "another.json")
        monkeypatch.setattr(os, "access", _denied)
    with pytest.raises(FileUnusable, match="cannot be"):
        await chosen.restore(here.folder / "corral.backup", here.keyring, may_replace=True)
    assert await there.rows() == rows


def replace_place(target: Installation, place: Path) -> Installation:
    class Elsewhere(Installation):
        @property
        def keyring(self) -> Path:
            return place

    return Elsewhere(target.postgres, target.database, target.folder)


def _denied(*_: object) -> bool:
    return False
