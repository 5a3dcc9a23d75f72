"""`corral backup` and `corral restore`."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from rich.markup import escape

from corral.backup import queries
from corral.backup.archive import Archive
from corral.backup.files import new_file, refuse_taken
from corral.backup.keyring_copy import choose_keyring
from corral.backup.manifest import Manifest, spoken
from corral.backup.problems import BackupRefused, FileUnusable
from corral.backup.targets import Restoration, RestoreOutcome, restore_embedded, restore_external
from corral.backup.writing import write_backup
from corral.commands.console import counted, out, progress
from corral.credentials.keyring_check import refuse_foreign
from corral.credentials.queries import load_keyring_probe
from corral.database.connection import Connection
from corral.people.members import Member
from corral.people.operators import OwnerUnknown, owner_connection
from corral.settings import Settings
from corral.storage import database_addresses
from corral.vault import KeyringFile, Vault, read_keyring_file

_MOST_NAMED: Final = 50


async def make_backup(settings: Settings, file: Path, keyring_copy: Path | None) -> None:
    """Both files get their names when both are complete."""
    if keyring_copy == file:
        raise FileUnusable(
            "the keyring cannot be in the same file as the backup: name another one, and keep them apart"
        )
    for target in filter(None, (file, keyring_copy)):
        refuse_taken(target)
    if settings.database_url is None and not (settings.data_dir / "postgres").exists():
        raise BackupRefused(f"there is no data in {settings.data_dir}: name the folder with --data-dir")
    keyring = read_keyring_file(settings.keyring_path)
    async with AsyncExitStack() as stack:
        target = stack.enter_context(new_file(file))
        if keyring_copy is not None:
            stack.enter_context(new_file(keyring_copy)).write(keyring.text)
        addresses = await stack.enter_async_context(database_addresses(settings))
        stack.enter_context(queries.as_owner())
        connection = await stack.enter_async_context(owner_connection(addresses.owner))
        if not await queries.has_schema(connection):
            raise BackupRefused("there is no data in this database: check which one the settings name")
        vault = await _vault_of(connection, keyring, settings.keyring_path)
        with progress() as shown:
            task = shown.add_task("Backing up", total=None)
            manifest = await write_backup(
                connection,
                vault,
                target,
                begin=lambda rows: shown.update(task, total=rows),
                advance=lambda rows: shown.advance(task, rows),
            )
    _print_backup(manifest, file, keyring_copy, settings.keyring_path)


async def _vault_of(connection: Connection, keyring: KeyringFile, place: Path) -> Vault:
    vault, probe = Vault(keyring.keyring), await load_keyring_probe(connection)
    if probe is None:
        raise BackupRefused("this database has never been served, so there is nothing to back up")
    refuse_foreign(vault, probe, place)
    return vault


async def restore_backup(settings: Settings, file: Path, keyring_copy: Path | None, *, may_replace: bool) -> None:
    """Reads and verifies the whole file before anything is touched."""
    owner_dsn = settings.database_owner_url
    if settings.database_url is not None and owner_dsn is None:
        raise OwnerUnknown("set CORRAL_DATABASE_OWNER_URL: only the database's owner can restore a backup")
    with Archive.open(file) as archive, progress() as shown:
        chosen = choose_keyring(settings.keyring_path, keyring_copy, may_replace=may_replace)
        manifest = archive.read_manifest(Vault(chosen.keyring))
        size = sum(table.size for table in manifest.tables)
        task = shown.add_task("Checking", total=size)
        for table in manifest.tables:
            for read in archive.verify(table):
                shown.advance(task, read)
                await asyncio.sleep(0)  # for Ctrl-C
        task = shown.add_task("Restoring", total=size)
        restoration = Restoration(
            archive, manifest, chosen, may_replace=may_replace, advance=lambda restored: shown.advance(task, restored)
        )
        if owner_dsn is not None and settings.database_url is not None:
            outcome = await restore_external(owner_dsn.get_secret_value(), restoration)
        else:
            outcome = await restore_embedded(settings.data_dir, restoration)
    for line in _told(manifest, outcome):
        out.print(escape(line))


def _print_backup(manifest: Manifest, file: Path, keyring_copy: Path | None, place: Path) -> None:
    rows = {table.name: table.rows for table in manifest.tables}
    people, accounts = counted(rows["users"], "person", "people"), counted(rows["credentials"], "account")
    out.print(escape(f"{file} has {people} and {accounts}, as of {spoken(manifest.taken_at)}."))
    if keyring_copy is None:
        out.print(escape(f"It is useless without the keyring, {place}: keep a copy of that in another place."))
    else:
        out.print(
            escape(f"{keyring_copy} is a copy of the keyring. Together they open every account: keep them apart.")
        )


def _told(manifest: Manifest, outcome: RestoreOutcome) -> Iterator[str]:
    restored, moment = outcome.restored, spoken(manifest.taken_at)
    people, accounts = counted(len(restored.people), "person", "people"), counted(restored.credentials, "account")
    yield f"Restored {people} and {accounts}, as of {moment}."
    if restored.unopened:
        yield f"{restored.unopened} of the accounts had keys that could not be decrypted: `corral doctor` lists them."
    if outcome.kept is not None:
        yield f"The data from before is kept in {outcome.kept} until `corral serve` has started once."
    if outcome.kept_keyring is not None:
        yield f"The keyring from before is kept in {outcome.kept_keyring}. Corral does not remove it."
    yield ""
    yield "Everyone has to sign in again: all sessions, links, invitations, API tokens and grants have ended."
    yield "  corral users link EMAIL      prints a link for someone who does not know the password of that time"
    yield "  corral tokens create EMAIL   creates a new API token; new grants are created on the pages"
    yield ""
    yield f"What was ended since {moment} is back, such as people who were disabled and accounts that were removed."
    yield "  corral users disable EMAIL   disables a person"
    yield "  corral users demote EMAIL    makes an administrator an ordinary person"
    yield "Not disabled now:"
    yield from _active(restored.people)
    yield "Only revoking an API key at Alpaca makes certain that nobody can use it."


def _active(people: Sequence[Member]) -> Iterator[str]:
    active = [person for person in people if person.disabled_at is None]
    for person in active[:_MOST_NAMED]:
        yield f"  {person.email}{' (administrator)' if person.is_administrator else ''}"
    if len(active) > _MOST_NAMED:
        yield f"  and {len(active) - _MOST_NAMED} more: `corral users list` shows everyone"
