"""Restores a backup into a schema that does not exist yet, in one transaction of the database's owner."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from corral.audit.models import OPERATOR_ACTOR, Action, NewEntry
from corral.audit.writing import record_in
from corral.backup import queries
from corral.backup.archive import Archive
from corral.backup.manifest import Manifest, spoken
from corral.backup.problems import NotABackup, RestoreRefused
from corral.backup.queries import EndedGrant
from corral.credentials.keyring_check import opens_whole
from corral.credentials.queries import load_all_sealed
from corral.database.connection import Connection
from corral.database.migrate import migrate_within
from corral.people.members import Member
from corral.people.operators import load_people
from corral.vault import Vault


@dataclass(frozen=True, slots=True)
class Restored:
    """`unopened` are credentials whose keys were not decryptable when the backup was made either."""

    people: Sequence[Member]
    credentials: int
    unopened: int


async def restore_within(
    connection: Connection, archive: Archive, manifest: Manifest, vault: Vault, advance: Callable[[int], object]
) -> Restored:
    """Makes the schema as it was then, fills it, brings it to this release, and ends all access.

    `advance` is told how many bytes more were read. Raises RestoreRefused, NotABackup, and MigrationRefused; then the
    transaction must not be committed.
    """
    await migrate_within(connection, manifest.migrations)
    await _fill(connection, archive, manifest, advance)
    await migrate_within(connection)
    grants = await queries.end_access(connection)
    people = await load_people(connection, vault)
    await _write_down(connection, vault, manifest, people, grants)
    credentials = await load_all_sealed(connection)
    unopened = sum(not opens_whole(vault, credential) for credential in credentials)
    return Restored(people, len(credentials), unopened)


async def _fill(connection: Connection, archive: Archive, manifest: Manifest, advance: Callable[[int], object]) -> None:
    tables = await queries.load_tables(connection)
    contents = {content.name: content for content in manifest.tables}
    if contents.keys() != {table.name for table in tables}:
        raise RestoreRefused(
            f"the tables of the backup are not those of release {manifest.corral}: restore it with that"
        )
    async with queries.unguarded(connection, tables):
        for table in tables:
            content = contents[table.name]
            rows = await queries.copy_in(connection, content.name, content.columns, archive.text_of(content))
            if rows != content.rows:
                raise NotABackup(
                    f"{content.name} has {rows} rows and not {content.rows}: the backup cannot be restored"
                )
            advance(content.size)
    for state in manifest.sequences:
        await queries.set_sequence(connection, state)


async def _write_down(
    connection: Connection, vault: Vault, manifest: Manifest, people: Sequence[Member], grants: Sequence[EndedGrant]
) -> None:
    """Into each person's audit trail: that it goes on from the moment of the backup, and which grants have ended."""
    ended: defaultdict[object, list[EndedGrant]] = defaultdict(list)
    for grant in grants:
        ended[grant.user_id].append(grant)
    for person in people:
        restored = NewEntry(
            OPERATOR_ACTOR, Action.INSTALLATION_RESTORED, details={"backup_of": spoken(manifest.taken_at)}
        )
        revoked = [_revocation(grant) for grant in ended[person.id]]
        await record_in(connection, vault, person.id, restored, *revoked)


def _revocation(grant: EndedGrant) -> NewEntry:
    return NewEntry(
        OPERATOR_ACTOR,
        Action.GRANT_REVOKED,
        credential_id=grant.credential_id,
        grant_id=grant.id,
        details={"name": grant.name, "access": grant.access, "reason": "a backup was restored"},
    )
