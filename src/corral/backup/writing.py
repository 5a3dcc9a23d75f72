"""Writes a backup, of a database that others use meanwhile."""

from collections.abc import Callable
from typing import BinaryIO
from uuid import uuid4

from corral.backup import queries
from corral.backup.archive import ArchiveWriter, TableWriter
from corral.backup.manifest import Manifest, TableContent, keyring_probe
from corral.backup.problems import BackupRefused
from corral.backup.queries import TableShape, Write
from corral.database.connection import Connection
from corral.database.migrate import applied_migrations, refuse_newer_release
from corral.vault import Vault


async def write_backup(
    connection: Connection,
    vault: Vault,
    file: BinaryIO,
    *,
    begin: Callable[[int], object],
    advance: Callable[[int], object],
) -> Manifest:
    """Writes all rows of one moment, as the database's owner.

    `begin` is told how many there are, and `advance` how many more were written.

    Raises BackupRefused, and MigrationRefused for the database of a newer release.
    """
    await refuse_newer_release(connection)
    async with queries.snapshot(connection) as moment:
        if hidden := await queries.find_hidden(connection):
            raise BackupRefused(
                f"the database does not show its owner every row of {', '.join(hidden)}: run `corral doctor`, and "
                "connect as the role that owns the tables"
            )
        tables = await queries.load_tables(connection)
        counts = {table.name: await queries.count_rows(connection, table.name) for table in tables}
        begin(sum(counts.values()))
        with ArchiveWriter.open(file) as archive:
            contents = [await _write_table(connection, archive, table, advance) for table in tables]
            if {content.name: content.rows for content in contents} != counts:
                raise BackupRefused("the database gave another number of rows than it counted: check it, and try again")
            backup_id = uuid4()
            manifest = Manifest(
                id=backup_id,
                postgresql=await queries.server_version(connection),
                taken_at=moment,
                migrations=tuple(sorted(await applied_migrations(connection))),
                tables=tuple(contents),
                sequences=tuple(await queries.load_sequences(connection)),
                keyring=keyring_probe(vault, backup_id),
            )
            archive.finish(vault, manifest)
    return manifest


async def _write_table(
    connection: Connection, archive: ArchiveWriter, table: TableShape, advance: Callable[[int], object]
) -> TableContent:
    with archive.table(table.name) as writer:
        rows = await queries.copy_out(connection, table, _counting(writer, advance))
        return writer.content(table.name, table.columns, rows)


def _counting(writer: TableWriter, advance: Callable[[int], object]) -> Write:
    async def write(text: bytes) -> None:
        await writer.write(text)
        advance(text.count(b"\n"))

    return write
