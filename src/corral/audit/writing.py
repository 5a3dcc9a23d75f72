"""Adds entries to a chain: in a transaction of their own, or in that of the change itself."""

from collections.abc import Sequence
from uuid import UUID

from corral.audit import queries
from corral.audit.chain import extend_chain, read_text
from corral.audit.models import AuditEntry, NewEntry, Result
from corral.database.connection import Connection, set_scope
from corral.vault import Vault


async def record_in(connection: Connection, vault: Vault, user_id: UUID, *entries: NewEntry) -> None:
    """Adds the entries in the transaction of the change itself, so that both or neither are stored.

    The chain is that of `user_id`, also where the transaction is another user's. To be called last in a transaction,
    because others who add to this chain wait for its end.
    """
    if entries:
        await append_entries(connection, vault, user_id, entries)


async def append_entries(
    connection: Connection, vault: Vault, user_id: UUID, entries: Sequence[NewEntry], process_id: UUID | None = None
) -> list[AuditEntry]:
    """Returns the entries as they were written.

    `process_id` is that of an audit trail, which concludes what is begun, and whose entries wait for the disk.
    """
    locked = await queries.lock_head(connection, user_id, waits_for_disk=process_id is not None)
    links = list(extend_chain(vault, user_id, locked.head, locked.moment, entries))
    await queries.append_links(
        connection,
        user_id,
        links,
        begun=[link.seq for link, entry in zip(links, entries, strict=True) if entry.result is Result.BEGUN],
        process_id=process_id,
        concluded=[entry.concludes for entry in entries if entry.concludes is not None],
    )
    if locked.scope != str(user_id):
        await set_scope(connection, locked.scope)
    return [read_text(link.body) for link in links]
