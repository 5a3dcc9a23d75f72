"""All SQL of the audit trail."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from corral.audit.models import Head, Link
from corral.database.connection import Connection, Database, Fetcher

_ROWS_PER_TRIP: Final = 2_000


@dataclass(frozen=True, slots=True)
class LockedHead:
    """`scope` is the user id of the transaction before, or empty."""

    head: Head
    moment: datetime  # of the database's clock
    scope: str


@dataclass(frozen=True, slots=True)
class Filters:
    """`before` is a number: entries with smaller ones, the newest first. `actions` are alternatives.

    `grant_id`: what was done by the grant, and with it.
    """

    before: int | None = None
    actor: str | None = None
    action: str | None = None
    credential_id: UUID | None = None
    actions: Sequence[str] | None = None
    grant_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Addition:
    """Links that follow each other. `begun` and `concluded` are numbers of intents, the former in these links."""

    links: Sequence[Link]
    begun: Sequence[int] = ()
    process_id: UUID | None = None
    concluded: Sequence[int] = ()

    def columns(self) -> tuple[object, ...]:
        links = self.links
        return (
            *([link.seq for link in links], [link.body for link in links], [link.mac for link in links]),
            *(self.begun, self.process_id, self.concluded),
        )


# In one user's chain.


@asynccontextmanager
async def open_writing(database: Database) -> AsyncGenerator[Connection]:
    """A transaction whose scope is set by `lock_head`."""
    async with database.connection() as connection, connection.transaction():
        yield connection


async def lock_head(connection: Connection, user_id: UUID, *, waits_for_disk: bool) -> LockedHead:
    """Until the transaction ends, nobody else adds to this chain. The transaction gets this user's scope.

    With `waits_for_disk`, its commit waits for the disk, whatever the database's settings say.
    """
    row = await connection.fetchrow(
        "SELECT seq, mac, moment, scope FROM corral.lock_audit_head($1, $2)", user_id, waits_for_disk
    )
    assert row is not None  # noqa: S101 - the function always returns one row
    return LockedHead(Head(row["seq"], row["mac"]), row["moment"], row["scope"])


async def append_links(connection: Connection, user_id: UUID, added: Addition) -> None:
    """To be called after `lock_head`, with links that follow it."""
    await connection.execute(
        """
        WITH appended AS (
            INSERT INTO corral.audit_entries (user_id, seq, body, mac)
            SELECT $1, link.* FROM unnest($2::bigint[], $3::text[], $4::bytea[]) link
        ), begun AS (
            INSERT INTO corral.audit_pending (user_id, seq, process_id) SELECT $1, unnest($5::bigint[]), $6
        ), concluded AS (
            DELETE FROM corral.audit_pending WHERE user_id = $1 AND seq = ANY ($7::bigint[])
        )
        UPDATE corral.audit_heads SET seq = $8, mac = $9, moved_at = clock_timestamp() WHERE user_id = $1
        """,
        user_id, *added.columns(), added.links[-1].seq, added.links[-1].mac,
    )  # fmt: skip


async def extend_chain(connection: Connection, user_id: UUID, head: Head, moment: datetime, added: Addition) -> bool:
    """Adds links that follow this head, in a transaction of its own, whose commit waits for the disk.

    Returns False, and adds nothing, if the chain ends otherwise, or the moment is a second from the database's time.
    """
    return await connection.fetchval(
        "SELECT corral.extend_audit_chain($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        user_id, head.seq, head.mac, moment, *added.columns(),
    )  # fmt: skip


async def find_pending_texts(connection: Connection, user_id: UUID, seqs: Sequence[int]) -> list[str]:
    """Returns the canonical texts of those that have no outcome yet. To be called after `lock_head`."""
    rows = await connection.fetch(
        """
        SELECT e.body FROM corral.audit_pending p JOIN corral.audit_entries e USING (user_id, seq)
        WHERE p.user_id = $1 AND p.seq = ANY ($2::bigint[]) ORDER BY p.seq
        """,
        user_id, seqs,
    )  # fmt: skip
    return [row["body"] for row in rows]


async def load_head(connection: Connection, user_id: UUID) -> Head | None:
    row = await connection.fetchrow("SELECT seq, mac FROM corral.audit_heads WHERE user_id = $1", user_id)
    return Head(*row) if row else None


async def load_page(connection: Connection, user_id: UUID, filters: Filters, most: int) -> list[tuple[str, bool]]:
    """Returns canonical texts, the newest first, and whether each has begun and has no outcome yet.

    In one statement: an outcome that is committed meanwhile is seen with its entry, or not at all.
    """
    rows = await connection.fetch(
        """
        SELECT body, EXISTS (
            SELECT FROM corral.audit_pending p WHERE p.user_id = e.user_id AND p.seq = e.seq
        ) AS is_pending
        FROM corral.audit_entries e
        WHERE user_id = $1 AND ($2::bigint IS NULL OR seq < $2)
          AND ($3::text IS NULL OR actor = $3 OR starts_with(actor, $3 || ':'))
          AND ($4::text IS NULL OR action = $4) AND ($5::text IS NULL OR credential_id = $5)
          AND ($6::text[] IS NULL OR action = ANY ($6))
          AND ($7::text IS NULL OR actor = 'grant:' || $7
               OR action LIKE 'grant.%' AND body::jsonb ->> 'grant_id' = $7)
        ORDER BY seq DESC LIMIT $8
        """,
        user_id, filters.before, filters.actor, filters.action,
        None if filters.credential_id is None else str(filters.credential_id), filters.actions,
        None if filters.grant_id is None else str(filters.grant_id), most,
    )  # fmt: skip
    return [(row["body"], row["is_pending"]) for row in rows]


async def load_numbered(connection: Connection, user_id: UUID, seqs: Sequence[int]) -> list[str]:
    """Returns the canonical texts of these entries."""
    rows = await connection.fetch(
        "SELECT body FROM corral.audit_entries WHERE user_id = $1 AND seq = ANY ($2::bigint[])", user_id, seqs
    )
    return [row["body"] for row in rows]


async def load_links(connection: Connection, user_id: UUID, after: int, until: int, most: int) -> list[Link]:
    """Returns the oldest first."""
    rows = await connection.fetch(
        """
        SELECT seq, body, mac FROM corral.audit_entries WHERE user_id = $1 AND seq > $2 AND seq <= $3
        ORDER BY seq LIMIT $4
        """,
        user_id, after, until, most,
    )  # fmt: skip
    return [Link(*row) for row in rows]


# For nobody in particular.


async def note_process(database: Database, process_id: UUID) -> datetime:
    """Says that this process still runs. Returns the database's time."""
    return await database.fetchval("SELECT corral.note_audit_process($1)", process_id)


async def forget_process(database: Database, process_id: UUID) -> None:
    await database.fetchval("SELECT corral.forget_audit_process($1)", process_id)


async def find_abandoned(database: Database, process_id: UUID) -> list[tuple[UUID, int, bool]]:
    """Returns user, number, and whether it is this process's own, of 1,000 intents at most that are a minute old.

    Those of other processes only if these are gone.
    """
    rows = await database.fetch("SELECT user_id, seq, is_own FROM corral.abandoned_intents($1)", process_id)
    return [(row["user_id"], row["seq"], row["is_own"]) for row in rows]


async def load_heads_since(database: Fetcher, moment: datetime) -> dict[UUID, Head]:
    rows = await database.fetch("SELECT user_id, seq, mac FROM corral.audit_heads_since($1)", moment)
    return {row["user_id"]: Head(row["seq"], row["mac"]) for row in rows}


# As the owner, for `corral audit verify` and `corral doctor`.


@asynccontextmanager
async def open_snapshot(connection: Connection) -> AsyncGenerator[None]:
    """Heads and entries as they are at one moment, whatever is written meanwhile."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        yield


async def load_ends(connection: Connection) -> dict[UUID, Head]:
    """Returns the heads of all chains, also of those that have entries but no head."""
    rows = await connection.fetch(
        """
        SELECT user_id, seq, mac FROM corral.audit_heads
        UNION ALL
        SELECT DISTINCT user_id, 0, ''::bytea FROM corral.audit_entries e
        WHERE NOT EXISTS (SELECT FROM corral.audit_heads h WHERE h.user_id = e.user_id)
        """
    )
    return {row["user_id"]: Head(row["seq"], row["mac"]) for row in rows}


async def load_emails(connection: Connection) -> dict[UUID, str]:
    return {row["id"]: row["email"] for row in await connection.fetch("SELECT id, email FROM corral.users")}


async def read_all(connection: Connection) -> AsyncGenerator[list[asyncpg.Record]]:
    """Yields user id, number, text and mac of all entries, by user and number. In a transaction."""
    cursor = await connection.cursor("SELECT user_id, seq, body, mac FROM corral.audit_entries ORDER BY user_id, seq")
    while rows := await cursor.fetch(_ROWS_PER_TRIP):
        yield rows


async def find_locked(connection: Connection) -> list[UUID]:
    """Returns whose heads are locked at this moment."""
    rows = await connection.fetch(
        """
        WITH free AS MATERIALIZED (SELECT user_id FROM corral.audit_heads FOR UPDATE SKIP LOCKED)
        SELECT user_id FROM corral.audit_heads EXCEPT SELECT user_id FROM free
        """
    )
    return [row["user_id"] for row in rows]


async def is_soon_free(connection: Connection, user_id: UUID) -> bool:
    """Returns whether the head can be locked within two seconds, as whoever adds an entry has to."""
    try:
        async with connection.transaction():
            await connection.execute("SET LOCAL lock_timeout = '2s'")
            await connection.execute("SELECT FROM corral.audit_heads WHERE user_id = $1 FOR UPDATE", user_id)
    except asyncpg.LockNotAvailableError:
        return False
    return True


async def count_entries(connection: Connection) -> int:
    """According to the heads."""
    return await connection.fetchval("SELECT coalesce(sum(seq), 0)::bigint FROM corral.audit_heads")


async def count_stale_intents(connection: Connection) -> int:
    """Returns how many orders are without an outcome for more than five minutes."""
    return await connection.fetchval(
        "SELECT count(*) FROM corral.audit_pending WHERE begun_at < clock_timestamp() - interval '5 minutes'"
    )
