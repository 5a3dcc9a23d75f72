"""All SQL of users, sessions, tokens and links."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg

from corral.database.connection import Connection, Database, Fetcher, Owned, columns
from corral.identity.problems import AlreadySetUp, EmailTaken, TokenMadeAlready, TooManyTokens


@dataclass(frozen=True, slots=True)
class UserRow:
    id: UUID
    email: str
    password_sealed: bytes | None
    disabled_at: datetime | None
    access_epoch: int


@dataclass(frozen=True, slots=True)
class SessionRow:
    lookup: bytes
    seal: bytes
    user_id: UUID
    id: UUID
    email: str
    created_at: datetime
    rested: timedelta = field(compare=False)  # when it was read
    expires_at: datetime
    admin_seal: bytes | None


@dataclass(frozen=True, slots=True)
class SessionMetadata:
    id: UUID
    user_agent: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    rested: timedelta


@dataclass(frozen=True, slots=True)
class TokenRow:
    lookup: bytes
    seal: bytes
    user_id: UUID
    id: UUID
    email: str
    scopes: list[str]
    expires_at: datetime | None
    rested: timedelta | None = field(compare=False)  # when it was read


@dataclass(frozen=True, slots=True)
class TokenMetadata:
    id: UUID
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    is_expired: bool


@dataclass(frozen=True, slots=True)
class LinkRow:
    seal: bytes
    user_id: UUID | None
    email: str | None
    expires_at: datetime
    access_epoch: int | None


@dataclass(frozen=True, slots=True)
class AccessChanges:
    """Whose access has changed since a look, and what the next one needs. `users` is None for everybody."""

    moment: datetime  # by the database's clock
    server: datetime  # when it started, which tells it from any other one
    is_standby: bool
    snapshot: str
    users: frozenset[UUID] | None


# Of a new user: the column's default.
FIRST_EPOCH: Final = 0

# Per user, including expired ones.
MOST_TOKENS: Final = 100

MOST_EVENTS_OF_A_KIND: Final = 50


# Before there is a user: look-ups by hash.


async def find_sessions(database: Fetcher, lookups: Sequence[bytes]) -> Mapping[bytes, SessionRow]:
    rows = await database.fetch("SELECT * FROM corral.find_sessions($1)", lookups)
    return {row["lookup"]: SessionRow(*row) for row in rows}


async def find_api_tokens(database: Fetcher, lookups: Sequence[bytes]) -> Mapping[bytes, TokenRow]:
    rows = await database.fetch("SELECT * FROM corral.find_api_tokens($1)", lookups)
    return {row["lookup"]: TokenRow(*row) for row in rows}


async def note_sessions_seen(database: Database, seen: Sequence[Owned]) -> None:
    await database.fetchval("SELECT corral.note_sessions_seen($1, $2)", *columns(seen))


async def note_api_tokens_used(database: Database, used: Sequence[Owned]) -> None:
    await database.fetchval("SELECT corral.note_api_tokens_used($1, $2)", *columns(used))


async def find_user_by_email(database: Database, email: str) -> UserRow | None:
    rows = await database.fetch("SELECT * FROM corral.find_user_by_email($1)", email)
    return UserRow(*rows[0]) if rows else None


async def has_users(database: Database) -> bool:
    return bool(await database.fetchval("SELECT corral.has_users()"))


async def admit_sign_in(database: Database, key: bytes, free_attempts: int) -> float:
    """Counts an attempt; returns the seconds to wait, 0 for none."""
    return float(await database.fetchval("SELECT corral.admit_sign_in($1, $2)", key, free_attempts))


async def forget_sign_in_attempts(database: Database, key: bytes) -> None:
    await database.fetchval("SELECT corral.forget_sign_in_attempts($1)", key)


async def admit_confirmation(connection: Connection) -> float:
    """Counts an attempt of the current user to confirm a password; returns the seconds to wait, or 0."""
    return float(await connection.fetchval("SELECT corral.admit_confirmation()"))


async def accept_confirmation(connection: Connection, user_id: UUID) -> None:
    """The last counted attempt was correct: it is not counted after all, and a pause that it began ends."""
    await connection.execute(
        """
        UPDATE corral.password_confirmations
        SET in_row = 0, in_hour = greatest(in_hour - 1, 0), paused_until = last_at WHERE user_id = $1
        """,
        user_id,
    )


async def refuse_confirmation(connection: Connection, session_id: UUID) -> bool:
    """Returns True if it was the fifth in a row: then the session has ended."""
    return await connection.fetchval("SELECT corral.refuse_confirmation($1)", session_id)


async def issue_link(
    database: Fetcher, lookup: bytes, seal: bytes, *, kind: str, user_id: UUID | None, expires_at: datetime
) -> bool:
    """Returns False for a disabled user."""
    return await database.fetchval(
        "SELECT corral.issue_link($1, $2, $3, $4, $5)", lookup, seal, kind, user_id, expires_at
    )


async def find_link(database: Database, lookups: Sequence[bytes], kind: str) -> LinkRow | None:
    """Leaves the link unchanged. Returns None for one that was used or has expired."""
    rows = await database.fetch("SELECT * FROM corral.find_link($1, $2)", lookups, kind)
    return LinkRow(*rows[0]) if rows else None


async def redeem_link(connection: Connection, lookups: Sequence[bytes], kind: str) -> LinkRow | None:
    """Returns None for a link that was used or has expired."""
    row = await connection.fetchrow("SELECT * FROM corral.redeem_link($1, $2)", lookups, kind)
    return LinkRow(*row) if row else None


async def load_access_changes(database: Fetcher, seen: str | None, *, most: int) -> AccessChanges:
    """Returns who was changed by transactions that the snapshot `seen` does not see; everybody without one.

    Everybody, too, if there are more than `most` rows to go through.
    """
    (row,) = await database.fetch(
        """
        SELECT moment, server, is_standby, "snapshot"::text, changed
        FROM corral.access_changes_since($1::text::pg_snapshot, $2)
        """,
        seen, most,
    )  # fmt: skip
    moment, server, is_standby, snapshot, changed = row
    return AccessChanges(moment, server, is_standby, snapshot, None if changed is None else frozenset(changed))


async def prune_access_changes(database: Fetcher, settled: AccessChanges) -> None:
    """Deletes the changes that were seen by a look of a minute ago, or earlier."""
    await database.fetchval(
        "SELECT corral.prune_access_changes($1::text::pg_snapshot, $2)", settled.snapshot, settled.server
    )


# Under a user's own scope.


async def insert_user(connection: Connection, user_id: UUID, email: str, password_sealed: bytes | None) -> None:
    """Raises EmailTaken, which rolls back the transaction, including a link that was redeemed in it."""
    try:
        await connection.execute(
            "INSERT INTO corral.users (id, email, password_sealed) VALUES ($1, $2, $3)",
            user_id, email, password_sealed,
        )  # fmt: skip
    except asyncpg.UniqueViolationError:
        raise EmailTaken from None


async def insert_first_user(
    connection: Connection, user_id: UUID, email: str, password_sealed: bytes, admin_seal: bytes
) -> None:
    """As an administrator. Raises AlreadySetUp if there are users, which rolls back the transaction."""
    is_first = await connection.fetchval(
        "SELECT corral.insert_first_user($1, $2, $3, $4)", user_id, email, password_sealed, admin_seal
    )
    if not is_first:
        raise AlreadySetUp


async def load_own_user(connection: Connection, user_id: UUID) -> UserRow | None:
    row = await connection.fetchrow(
        "SELECT id, email, password_sealed, disabled_at, access_epoch FROM corral.users WHERE id = $1", user_id
    )
    return UserRow(*row) if row else None


async def read_clock(fetcher: Fetcher) -> datetime:
    """Returns the time that decides about expiry: servers' clocks may differ, the database has one."""
    return await fetcher.fetchval("SELECT clock_timestamp()")


async def lock_user(connection: Connection, user_id: UUID, access_epoch: int | None = None) -> bool:
    """Until the transaction ends, the password cannot be changed, the user not disabled, and their tokens not revoked.

    Returns False for a disabled user, or one with another epoch than the given one. Later reads in the same
    transaction see the state at the time of the lock.
    """
    locked = await connection.fetchval(
        """
        SELECT id FROM corral.users
        WHERE id = $1 AND disabled_at IS NULL AND access_epoch = coalesce($2, access_epoch)
        FOR NO KEY UPDATE
        """,
        user_id, access_epoch,
    )  # fmt: skip
    return locked is not None


async def set_password(connection: Connection, user_id: UUID, password_sealed: bytes) -> None:
    """Also ends all sessions and unused links, and begins a new epoch, so that requests in progress create nothing."""
    await connection.execute(
        "UPDATE corral.users SET password_sealed = $2, access_epoch = access_epoch + 1 WHERE id = $1",
        user_id, password_sealed,
    )  # fmt: skip
    await connection.execute("DELETE FROM corral.sessions WHERE user_id = $1", user_id)
    await connection.fetchval("SELECT corral.delete_own_links()")


async def has_session(connection: Connection, user_id: UUID, session_id: UUID) -> bool:
    return await connection.fetchval(
        "SELECT EXISTS (SELECT FROM corral.sessions WHERE user_id = $1 AND id = $2)", user_id, session_id
    )


async def has_api_token(connection: Connection, user_id: UUID, token_id: UUID) -> bool:
    return await connection.fetchval(
        "SELECT EXISTS (SELECT FROM corral.api_tokens WHERE user_id = $1 AND id = $2)", user_id, token_id
    )


async def insert_session(
    connection: Connection, *, user_id: UUID, session_id: UUID, lookup: bytes, seal: bytes,
    expires_at: datetime, user_agent: str,
) -> None:  # fmt: skip
    await connection.execute(
        "DELETE FROM corral.sessions WHERE user_id = $1 AND expires_at < clock_timestamp()", user_id
    )
    await connection.execute(
        """
        INSERT INTO corral.sessions (user_id, id, lookup, seal, expires_at, user_agent)
        VALUES ($1, $2, $3, $4, $5, $6)
        """,
        user_id, session_id, lookup, seal, expires_at, user_agent,
    )  # fmt: skip


async def load_sessions(connection: Connection, user_id: UUID) -> list[SessionMetadata]:
    """Returns those that have not expired, the last seen first."""
    rows = await connection.fetch(
        """
        SELECT id, user_agent, created_at, last_seen_at, expires_at, clock_timestamp() - last_seen_at
        FROM corral.sessions WHERE user_id = $1 AND expires_at > clock_timestamp() ORDER BY last_seen_at DESC, id
        """,
        user_id,
    )
    return [SessionMetadata(*row) for row in rows]


async def delete_session(connection: Connection, user_id: UUID, session_id: UUID) -> bool:
    """Returns False if this user has no such session."""
    deleted = await connection.fetchval(
        "DELETE FROM corral.sessions WHERE user_id = $1 AND id = $2 RETURNING id", user_id, session_id
    )
    return deleted is not None


async def delete_other_sessions(connection: Connection, user_id: UUID, kept_id: UUID) -> None:
    await connection.execute("DELETE FROM corral.sessions WHERE user_id = $1 AND id <> $2", user_id, kept_id)


async def insert_api_token(
    connection: Connection, *, user_id: UUID, token_id: UUID, name: str, scopes: Sequence[str],
    lookup: bytes, seal: bytes, expires_at: datetime | None,
) -> TokenMetadata:  # fmt: skip
    """To be called after `lock_user`. Raises TokenMadeAlready if there is a token with this id, and TooManyTokens."""
    row = await connection.fetchrow(
        """
        INSERT INTO corral.api_tokens (user_id, id, name, scopes, lookup, seal, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT DO NOTHING
        RETURNING id, name, scopes, created_at, expires_at, last_used_at, false
        """,
        user_id, token_id, name, scopes, lookup, seal, expires_at,
    )  # fmt: skip
    if row is None:
        raise TokenMadeAlready
    if await connection.fetchval("SELECT count(*) FROM corral.api_tokens WHERE user_id = $1", user_id) > MOST_TOKENS:
        raise TooManyTokens  # which rolls back the transaction
    return TokenMetadata(*row)


async def load_api_tokens(connection: Connection, user_id: UUID) -> list[TokenMetadata]:
    rows = await connection.fetch(
        """
        SELECT id, name, scopes, created_at, expires_at, last_used_at,
               coalesce(expires_at <= clock_timestamp(), false)
        FROM corral.api_tokens WHERE user_id = $1 ORDER BY created_at, id
        """,
        user_id,
    )
    return [TokenMetadata(*row) for row in rows]


async def delete_api_token(connection: Connection, user_id: UUID, token_id: UUID) -> str | None:
    """Returns its name; None if this user has no such token."""
    return await connection.fetchval(
        "DELETE FROM corral.api_tokens WHERE user_id = $1 AND id = $2 RETURNING name", user_id, token_id
    )


async def delete_all_api_tokens(connection: Connection, user_id: UUID) -> None:
    """To be called after `lock_user`, so that none that is being created remains."""
    await connection.execute("DELETE FROM corral.api_tokens WHERE user_id = $1", user_id)


async def delete_all_grants(connection: Connection, user_id: UUID) -> None:
    """As `delete_all_api_tokens`: a grant lets somebody in just as well."""
    await connection.execute("DELETE FROM corral.grants WHERE user_id = $1", user_id)


async def delete_own_invitations(connection: Connection) -> None:
    """Deletes those that the current user created."""
    await connection.fetchval("SELECT corral.delete_own_invitations()")


async def insert_account_event(
    connection: Connection, user_id: UUID, *, kind: str, made_by: str, address: str, device: str, subject: str
) -> None:
    """Keeps the newest of each kind."""
    await connection.execute(
        """
        INSERT INTO corral.account_events (user_id, kind, made_by, address, device, subject)
        VALUES ($1, $2, $3, $4, $5, $6)
        """,
        user_id, kind, made_by, address[:64], device[:200], subject,
    )  # fmt: skip
    await connection.execute(
        """
        DELETE FROM corral.account_events WHERE user_id = $1 AND kind = $2 AND id IN (
            SELECT id FROM corral.account_events WHERE user_id = $1 AND kind = $2
            ORDER BY happened_at DESC, id OFFSET $3
        )
        """,
        user_id, kind, MOST_EVENTS_OF_A_KIND,
    )  # fmt: skip


async def load_account_events(connection: Connection, user_id: UUID) -> list[asyncpg.Record]:
    return await connection.fetch(
        """
        SELECT kind, made_by, address, device, subject, happened_at
        FROM corral.account_events WHERE user_id = $1 ORDER BY happened_at DESC, id
        """,
        user_id,
    )


async def mark_recoveries_shown(connection: Connection, user_id: UUID) -> bool:
    """Returns True if there was one that had not been shown."""
    marked = await connection.fetch(
        """
        UPDATE corral.account_events SET shown_at = clock_timestamp()
        WHERE user_id = $1 AND kind = 'password_recovered' AND shown_at IS NULL RETURNING id
        """,
        user_id,
    )
    return bool(marked)
