"""All SQL about credentials."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from corral.alpaca.environments import Environment
from corral.credentials.models import (
    Credential,
    CredentialVersion,
    HomeView,
    NamedCredential,
    Placement,
    Replacement,
    SealedCredential,
    StoredAccount,
)
from corral.database.connection import Connection, Database, Fetcher, Owned, columns
from corral.identity.queries import SessionRow, TokenRow


async def load_sealed_credentials(database: Fetcher, wanted: Sequence[Owned]) -> Mapping[Owned, SealedCredential]:
    """Reads each under its own user's scope, all in one round trip; rows hidden by row-level security are left out."""
    rows = await database.fetch(
        """
        SELECT id, user_id, credential_type, account_id, is_active, revision,
               api_key_sealed, secret_key_sealed, last_used_at, refused_at
        FROM corral.read_credentials($1, $2)
        """,
        *columns(wanted),
    )
    found = map(_sealed, rows)
    return {(credential.user_id, credential.id): credential for credential in found}


class AccessKey(NamedTuple):
    """The hashes that identify the caller of a request, and the id of the credential."""

    is_session: bool
    lookup: bytes
    credential_id: UUID


class CallerAndCredential(NamedTuple):
    """The caller's row, not verified yet, and the credential if row-level security shows it to that user."""

    caller: SessionRow | TokenRow
    stored: SealedCredential | None


async def load_access(database: Fetcher, wanted: Sequence[AccessKey]) -> Mapping[AccessKey, CallerAndCredential]:
    """Loads the caller and the credential of many requests in one round trip."""
    rows = await database.fetch(
        """
        SELECT "position", user_id, seal, caller_id, email, created_at, scopes, rested, expires_at, admin_seal,
               credential_id, user_id, credential_type, account_id, is_active, revision,
               api_key_sealed, secret_key_sealed, last_used_at, refused_at
        FROM corral.read_access($1, $2, $3)
        """,
        [key.is_session for key in wanted],
        [key.lookup for key in wanted],
        [key.credential_id for key in wanted],
    )
    found: dict[AccessKey, CallerAndCredential] = {}
    for row in rows:
        position: int = row[0]
        key = wanted[position - 1]
        found[key] = _access(key, row)
    return found


async def load_active_versions(
    database: Fetcher, user_ids: Sequence[UUID]
) -> Mapping[UUID, Mapping[UUID, CredentialVersion]]:
    """Returns the active credentials by user, each read under its own user's scope."""
    rows = await database.fetch(
        "SELECT user_id, id, revision, is_refused FROM corral.read_active_versions($1)", sorted(user_ids)
    )
    versions: dict[UUID, dict[UUID, CredentialVersion]] = {user_id: {} for user_id in user_ids}
    for user_id, credential_id, revision, is_refused in rows:
        versions[user_id][credential_id] = CredentialVersion(revision, is_refused)
    return versions


async def note_credentials_used(database: Database, used: Sequence[Owned]) -> None:
    await database.fetchval("SELECT corral.note_credentials_used($1, $2)", *columns(used))


async def load_sealed_samples(database: Database) -> list[SealedCredential]:
    """Returns one row of any user for every key id of the keyring in use, still sealed."""
    rows = await database.fetch(
        """
        SELECT id, user_id, credential_type, account_id, is_active, revision,
               api_key_sealed, secret_key_sealed, last_used_at, refused_at
        FROM corral.sealed_samples()
        """
    )
    return [_sealed(row) for row in rows]


async def load_keyring_probe(database: Fetcher) -> bytes | None:
    return await database.fetchval("SELECT keyring_probe FROM corral.instance")


async def insert_keyring_probe(database: Database, probe: bytes) -> None:
    await database.fetch("INSERT INTO corral.instance (keyring_probe) VALUES ($1) ON CONFLICT DO NOTHING", probe)


async def insert_credential(
    connection: Connection, *, user_id: UUID, credential_id: UUID, nickname: str, environment: Environment,
    account_id: str, account_number: str | None, account_status: str | None, key_hint: str,
    sealed: tuple[bytes, bytes], most: int,
) -> Credential | None:  # fmt: skip
    """Returns None when this user has already stored this account, or has `most` credentials.

    To be called after `lock_user`, so that concurrent requests do not exceed the limit.
    """
    row = await connection.fetchrow(
        """
        INSERT INTO corral.credentials (user_id, id, nickname, credential_type, account_id, account_number,
                                        account_status, key_hint, api_key_sealed, secret_key_sealed)
        SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
        WHERE (SELECT count(*) FROM corral.credentials WHERE user_id = $1) < $11
        ON CONFLICT (user_id, credential_type, account_id) DO NOTHING
        RETURNING id, nickname, credential_type, account_number, account_status, is_active, key_hint,
                  last_validated_at, refused_at, last_used_at, created_at, updated_at, group_name, is_pinned
        """,
        user_id, credential_id, nickname, environment.value, account_id, account_number, account_status, key_hint,
        *sealed, most,
    )  # fmt: skip
    return _credential(row) if row else None


async def find_id_of_account(
    connection: Connection, user_id: UUID, environment: Environment, account_id: str
) -> UUID | None:
    return await connection.fetchval(
        "SELECT id FROM corral.credentials WHERE user_id = $1 AND credential_type = $2 AND account_id = $3",
        user_id, environment.value, account_id,
    )  # fmt: skip


async def load_credentials(connection: Connection, user_id: UUID) -> list[Credential]:
    rows = await connection.fetch(
        """
        SELECT id, nickname, credential_type, account_number, account_status, is_active, key_hint,
               last_validated_at, refused_at, last_used_at, created_at, updated_at, group_name, is_pinned
        FROM corral.credentials WHERE user_id = $1 ORDER BY created_at, id
        """,
        user_id,
    )
    return [_credential(row) for row in rows]


async def load_active_credentials(connection: Connection, user_id: UUID) -> list[NamedCredential]:
    """In the order of the list, still sealed."""
    rows = await connection.fetch(
        """
        SELECT nickname, account_number, id, user_id, credential_type, account_id, is_active, revision,
               api_key_sealed, secret_key_sealed, last_used_at, refused_at
        FROM corral.credentials WHERE user_id = $1 AND is_active ORDER BY created_at, id
        """,
        user_id,
    )
    return [_named(row) for row in rows]


async def load_accounts_in_order(connection: Connection, user_id: UUID) -> list[StoredAccount]:
    """All of them in the order of their owner: pinned ones first, and new ones last."""
    rows = await connection.fetch(
        """
        SELECT id, nickname, credential_type, account_number, account_status, is_active, key_hint,
               last_validated_at, refused_at, last_used_at, created_at, updated_at, group_name, is_pinned,
               account_id, revision, api_key_sealed, secret_key_sealed
        FROM corral.credentials WHERE user_id = $1
        ORDER BY is_pinned DESC, list_position NULLS LAST, created_at, id
        """,
        user_id,
    )
    return [_stored_account(user_id, row) for row in rows]


async def load_home_view(connection: Connection, user_id: UUID) -> HomeView | None:
    row = await connection.fetchrow(
        """
        SELECT layout, sort_by, is_descending, group_by, scope, has_shortcuts
        FROM corral.home_views WHERE user_id = $1
        """,
        user_id,
    )
    return HomeView(*row) if row else None


async def store_home_view(connection: Connection, user_id: UUID, view: HomeView) -> None:
    await connection.execute(
        """
        INSERT INTO corral.home_views (user_id, layout, sort_by, is_descending, group_by, scope, has_shortcuts)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (user_id) DO UPDATE SET layout = excluded.layout, sort_by = excluded.sort_by,
            is_descending = excluded.is_descending, group_by = excluded.group_by, scope = excluded.scope,
            has_shortcuts = excluded.has_shortcuts
        """,
        user_id, view.layout, view.sort_by, view.is_descending, view.group_by, view.scope, view.has_shortcuts,
    )  # fmt: skip


async def place_credential(connection: Connection, user_id: UUID, credential_id: UUID, placement: Placement) -> bool:
    """Returns False when this user has no such credential."""
    placed = await connection.fetchval(
        """
        UPDATE corral.credentials
        SET group_name = nullif(coalesce($3, group_name), ''), is_pinned = coalesce($4, is_pinned)
        WHERE user_id = $1 AND id = $2 RETURNING id
        """,
        user_id, credential_id, placement.group, placement.is_pinned,
    )  # fmt: skip
    return placed is not None


async def store_order(connection: Connection, user_id: UUID, credential_ids: Sequence[UUID]) -> None:
    """To be called after `lock_user`, so that concurrent moves are made one after the other."""
    await connection.execute(
        """
        UPDATE corral.credentials c SET list_position = o.list_position
        FROM unnest($2::uuid[]) WITH ORDINALITY o (id, list_position)
        WHERE c.user_id = $1 AND c.id = o.id AND c.list_position IS DISTINCT FROM o.list_position
        """,
        user_id,
        credential_ids,
    )


async def load_credential(connection: Connection, user_id: UUID, credential_id: UUID) -> Credential | None:
    row = await connection.fetchrow(
        """
        SELECT id, nickname, credential_type, account_number, account_status, is_active, key_hint,
               last_validated_at, refused_at, last_used_at, created_at, updated_at, group_name, is_pinned
        FROM corral.credentials WHERE user_id = $1 AND id = $2
        """,
        user_id, credential_id,
    )  # fmt: skip
    return _credential(row) if row else None


async def update_credential(
    connection: Connection, user_id: UUID, credential_id: UUID, *,
    nickname: str | None, is_active: bool | None,
) -> None:  # fmt: skip
    """None leaves a field unchanged. A new `is_active` invalidates cached answers; a new name does not."""
    await connection.execute(
        """
        UPDATE corral.credentials
        SET nickname = coalesce($3, nickname),
            revision = revision + (coalesce($4, is_active) <> is_active)::integer,
            is_active = coalesce($4, is_active),
            updated_at = clock_timestamp()
        WHERE user_id = $1 AND id = $2
        """,
        user_id, credential_id, nickname, is_active,
    )  # fmt: skip


async def replace_keys(connection: Connection, user_id: UUID, credential_id: UUID, replacement: Replacement) -> None:
    await connection.execute(
        """
        UPDATE corral.credentials
        SET key_hint = $3, account_number = $4, account_status = $5, api_key_sealed = $6, secret_key_sealed = $7,
            revision = revision + 1, last_validated_at = clock_timestamp(), refused_at = NULL,
            updated_at = clock_timestamp()
        WHERE user_id = $1 AND id = $2
        """,
        user_id, credential_id, replacement.key_hint, replacement.account_number, replacement.account_status,
        *replacement.sealed,
    )  # fmt: skip


async def claim_checks(database: Database, *, most: int, every_seconds: float) -> list[Owned]:
    """Returns user and credential ids to check now; no other server gets them within the interval."""
    rows = await database.fetch("SELECT user_id, id FROM corral.claim_checks($1, $2)", most, every_seconds)
    return [(row["user_id"], row["id"]) for row in rows]


async def note_credentials_suspected(database: Database, suspected: Sequence[Owned]) -> None:
    await database.fetchval("SELECT corral.note_credentials_suspected($1, $2)", *columns(suspected))


async def mark_refused(connection: Connection, user_id: UUID, credential_id: UUID, revision: int) -> bool:
    """Returns False when it is already marked, or has changed since: new keys, paused, deleted."""
    marked = await connection.fetchval(
        """
        UPDATE corral.credentials SET refused_at = clock_timestamp()
        WHERE user_id = $1 AND id = $2 AND revision = $3 AND refused_at IS NULL RETURNING id
        """,
        user_id, credential_id, revision,
    )  # fmt: skip
    return marked is not None


async def mark_validated(
    connection: Connection, user_id: UUID, credential_id: UUID, at: datetime, account_status: str | None
) -> None:
    """Also clears the mark of refused keys."""
    await connection.execute(
        """
        UPDATE corral.credentials SET last_validated_at = $3, account_status = $4, refused_at = NULL
        WHERE user_id = $1 AND id = $2
        """,
        user_id, credential_id, at, account_status,
    )  # fmt: skip


async def delete_credential(connection: Connection, user_id: UUID, credential_id: UUID) -> str | None:
    """Returns its name; None when this user has no such credential."""
    return await connection.fetchval(
        "DELETE FROM corral.credentials WHERE user_id = $1 AND id = $2 RETURNING nickname", user_id, credential_id
    )


# As the owner, for `corral doctor`.


async def load_all_sealed(connection: Connection) -> list[SealedCredential]:
    rows = await connection.fetch(
        """
        SELECT id, user_id, credential_type, account_id, is_active, revision,
               api_key_sealed, secret_key_sealed, last_used_at, refused_at
        FROM corral.credentials ORDER BY created_at, id
        """
    )
    return [_sealed(row) for row in rows]


def _access(key: AccessKey, row: asyncpg.Record) -> CallerAndCredential:
    _, user_id, seal, caller_id, email, created_at, scopes, rested, expires_at, admin_seal, *rest = row
    caller = (
        SessionRow(key.lookup, seal, user_id, caller_id, email, created_at, rested, expires_at, admin_seal)
        if key.is_session
        else TokenRow(key.lookup, seal, user_id, caller_id, email, scopes, expires_at, rested)
    )
    return CallerAndCredential(caller, None if rest[0] is None else _sealed(rest))


def _credential(row: asyncpg.Record) -> Credential:
    identifier, nickname, credential_type, *rest = row
    return Credential(identifier, nickname, Environment(credential_type), *rest)


def _stored_account(user_id: UUID, row: asyncpg.Record) -> StoredAccount:
    *own, account_id, revision, api_key_sealed, secret_key_sealed = row
    identifier, nickname, credential_type, *rest = own
    one = Credential(identifier, nickname, Environment(credential_type), *rest)
    sealed = SealedCredential(
        one.id, user_id, one.credential_type, account_id, one.is_active, revision,
        api_key_sealed, secret_key_sealed, one.last_used_at, one.refused_at,
    )  # fmt: skip
    return StoredAccount(one, sealed)


def _named(row: asyncpg.Record) -> NamedCredential:
    nickname, account_number, *rest = row
    return NamedCredential(nickname, account_number, _sealed(rest))


def _sealed(row: Iterable[Any]) -> SealedCredential:
    identifier, user_id, credential_type, *rest = row
    return SealedCredential(identifier, user_id, Environment(credential_type), *rest)
