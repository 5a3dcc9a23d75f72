"""Reads an owner's trail: page by page, or whole as a file that can be verified without the database."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import orjson

from corral.audit import queries
from corral.audit.chain import EMPTY, read_text
from corral.audit.models import AuditEntry, Head, Link, Result
from corral.audit.queries import Filters
from corral.database.connection import Database, get_connection_with_rls

MOST_ENTRIES: Final = 500  # of a page
EXPORT_FORMAT: Final = 1
_ENTRIES_PER_CHUNK: Final = 1_000

Authenticate = Callable[[], Awaitable[UUID]]
"""Returns the id of the current user. Raises a Problem if they may no longer read the trail."""


@dataclass(frozen=True, slots=True)
class AuditPage:
    """The newest entries first. `next_before` is None on the last page."""

    entries: list[AuditEntry]
    next_before: int | None


@dataclass(frozen=True, slots=True)
class Deed:
    """What was done, in one piece: the entry of its outcome, and the one from before it was sent, if there is one."""

    entry: AuditEntry
    begun: AuditEntry | None = None


@dataclass(frozen=True, slots=True)
class DeedPage:
    """The newest first. `next_before` is None on the last page."""

    deeds: list[Deed]
    next_before: int | None


async def load_entries(user_id: UUID, database: Database, filters: Filters, limit: int) -> AuditPage:
    async with get_connection_with_rls(user_id, database, readonly=True) as connection:
        rows = await queries.load_page(connection, user_id, filters, limit + 1)
    entries = [read_text(body) for body, _ in rows[:limit]]
    return AuditPage(entries, entries[-1].seq if len(rows) > limit else None)


async def load_deeds(user_id: UUID, database: Database, filters: Filters, limit: int) -> DeedPage:
    """Like `load_entries`, but what has an outcome is listed once, with the outcome. So a page may have fewer."""
    async with get_connection_with_rls(user_id, database, readonly=True) as connection:
        rows = await queries.load_page(connection, user_id, filters, limit + 1)
        entries = [(read_text(body), is_pending) for body, is_pending in rows[:limit]]
        wanted = [entry.concludes for entry, _ in entries if entry.concludes is not None]
        begun = {entry.seq: entry for entry in map(read_text, await queries.load_numbered(connection, user_id, wanted))}
    deeds = [
        Deed(entry, begun.get(entry.concludes or 0))
        for entry, is_pending in entries
        if is_pending or entry.result != Result.BEGUN
    ]
    return DeedPage(deeds, entries[-1][0].seq if len(rows) > limit else None)


async def export_trail(database: Database, authenticate: Authenticate) -> AsyncGenerator[bytes]:
    """Yields the file in chunks: a line about the export, then one for each entry, the oldest first.

    No connection is held while a chunk is sent.
    """
    user_id = await authenticate()
    async with get_connection_with_rls(user_id, database, readonly=True) as connection:
        head = await queries.load_head(connection, user_id) or EMPTY
    yield _header(user_id, head)
    last = 0
    while last < head.seq:
        await authenticate()
        async with get_connection_with_rls(user_id, database, readonly=True) as connection:
            links = await queries.load_links(connection, user_id, last, head.seq, _ENTRIES_PER_CHUNK)
        if not links:
            return  # whoever verifies the file finds the entries missing
        yield b"".join(map(_line, links))
        last = links[-1].seq


def _header(user_id: UUID, head: Head) -> bytes:
    about = {
        "corral_audit_export": EXPORT_FORMAT,
        "user_id": str(user_id),
        "exported_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "last_seq": head.seq,
        "last_mac": head.mac.hex(),
    }
    return orjson.dumps(about) + b"\n"


def _line(link: Link) -> bytes:
    """The canonical text is copied as it is, because the mac is about its bytes."""
    return b'{"mac":"%s","entry":%s}\n' % (link.mac.hex().encode(), link.body.encode())
