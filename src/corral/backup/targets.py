"""Where a backup is restored to: the embedded database or a server of one's own, each completely or not at all."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from corral.backup import queries
from corral.backup.archive import Archive
from corral.backup.keyring_copy import ChosenKeyring, StagedKeyring
from corral.backup.manifest import Manifest
from corral.backup.problems import RestoreRefused
from corral.backup.restoring import Restored, restore_within
from corral.database.connection import Connection, Database, open_owner_connection
from corral.database.embedded.errors import EmbeddedPostgresError
from corral.database.embedded.instance import EmbeddedDatabase
from corral.database.embedded.replacement import kept_beside
from corral.database.embedded.staging import ReplaceableFolder
from corral.database.migrate import SERVING_ROLE, lock_migrations
from corral.database.selfcheck import find_weaknesses
from corral.vault import Vault

_PUT_ASIDE: Final = "with --replace the backup is restored all the same, and the present data is kept beside it"


@dataclass(frozen=True, slots=True)
class Restoration:
    """What is restored, by which keyring, and whether it may take the place of people who are there."""

    archive: Archive
    manifest: Manifest
    chosen: ChosenKeyring
    may_replace: bool
    advance: Callable[[int], object]  # is told how many bytes more were restored

    async def into(self, connection: Connection) -> Restored:
        vault = Vault(self.chosen.keyring)
        return await restore_within(connection, self.archive, self.manifest, vault, self.advance)


@dataclass(frozen=True, slots=True)
class RestoreOutcome:
    """`kept` names the data from before, if there was any, and `kept_keyring` the file of the keyring from before."""

    restored: Restored
    kept: str | None
    kept_keyring: Path | None


async def restore_embedded(data_dir: Path, restoration: Restoration) -> RestoreOutcome:
    """Builds a second cluster beside the first, and lets them change places when everything is in it.

    Raises OperatorError; then everything is as it was.
    """
    async with ReplaceableFolder.open(data_dir) as folder:
        if folder.has_data and not restoration.may_replace:
            await _refuse_people_of(folder, data_dir)
        moment = datetime.now(UTC)
        kept = str(kept_beside(data_dir / "postgres", moment)) if folder.has_data else None
        with StagedKeyring.of(restoration.chosen, moment) as keyring:
            async with folder.staged() as database:
                restored = await _fill_staged(database, restoration)
            keyring.is_left = True
            await folder.replace(moment, keyring.moves)
            return RestoreOutcome(restored, kept, keyring.kept)


async def _refuse_people_of(folder: ReplaceableFolder, data_dir: Path) -> None:
    try:
        async with folder.running() as database, open_owner_connection(database.dsn("corral_owner")) as connection:
            has_people = await queries.has_people(connection)
    except EmbeddedPostgresError as error:
        raise RestoreRefused(f"the database in {data_dir} cannot be looked into ({error}): {_PUT_ASIDE}") from None
    if has_people:
        raise RestoreRefused(f"there are people in {data_dir}: choose an empty --data-dir; {_PUT_ASIDE}")


async def _fill_staged(database: EmbeddedDatabase, restoration: Restoration) -> Restored:
    async with open_owner_connection(database.dsn("corral_owner")) as owner, owner.transaction():
        restored = await restoration.into(owner)
    async with Database.open(database.dsn("corral_app")) as app, app.connection() as connection:
        weaknesses = await find_weaknesses(connection)
    if weaknesses:
        raise RestoreRefused(f"the restored database does not isolate people: {weaknesses[0]}")
    return restored


async def restore_external(owner_dsn: str, restoration: Restoration) -> RestoreOutcome:
    """Restores in one transaction, in which the former schema gets another name.

    Raises OperatorError and DatabaseUnavailable; then everything is as it was.
    """
    moment = datetime.now(UTC)
    with StagedKeyring.of(restoration.chosen, moment) as keyring:
        async with open_owner_connection(owner_dsn) as connection:
            try:
                with queries.as_owner():
                    restored, kept = await _restore_in_transaction(connection, restoration, keyring, moment)
            except BaseException:
                keyring.take_back()
                raise
        return RestoreOutcome(restored, kept, keyring.kept)


async def _restore_in_transaction(
    connection: Connection, restoration: Restoration, keyring: StagedKeyring, moment: datetime
) -> tuple[Restored, str | None]:
    async with connection.transaction():
        await lock_migrations(connection)
        kept = await _make_room(connection, moment, may_replace=restoration.may_replace)
        restored = await restoration.into(connection)
        keyring.install()  # last, so that there is never the new data with the former keyring
        return restored, kept


async def _make_room(connection: Connection, moment: datetime, *, may_replace: bool) -> str | None:
    if serving := await queries.count_serving(connection):
        raise RestoreRefused(
            f"{SERVING_ROLE} is connected to this database ({serving} times): stop every `corral serve` and corral "
            "command on it, and a pooler in front of it, and try again"
        )
    if await queries.has_people(connection):
        if not may_replace:
            raise RestoreRefused(f"there are people in this database: choose an empty one; {_PUT_ASIDE}")
        name = f"{queries.FORMER_SCHEMA}_{moment:%Y%m%dt%H%M%S_%f}"
        await queries.keep_schema_beside(connection, name)
        return f"the schema {name}"
    if await queries.has_any_schema(connection):
        await queries.drop_schema(connection, "corral")
    return None
