"""All SQL of grants."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg

from corral.alpaca.environments import Environment
from corral.credentials.models import SealedCredential
from corral.database.connection import Connection, Database, Fetcher, Owned, columns
from corral.grants.access import Access
from corral.grants.models import MOST_GRANTS, GrantRecord, GrantTerms, SecretRow
from corral.grants.networks import Network
from corral.grants.problems import TooManyGrants

GrantKey = tuple[bytes, ...]
"""The hashes of one secret, by each key of the keyring."""


@dataclass(frozen=True, slots=True)
class GrantRow:
    """A grant as the database has it, its seal not verified yet."""

    terms: GrantTerms
    secret: SecretRow
    rested: timedelta | None
    stored: SealedCredential


@dataclass(frozen=True, slots=True)
class HeldGrant:
    """A grant that is locked until the transaction ends."""

    terms: GrantTerms
    secrets: list[SecretRow]


# Before there is a user: look-ups by hash.


async def find_grants(database: Fetcher, wanted: Sequence[GrantKey]) -> Mapping[GrantKey, GrantRow]:
    """Finds the grants of many programs, and the credentials that they open, in one round trip."""
    rows = await database.fetch(
        """
        SELECT lookup, seal, valid_until, user_id, id, credential_id, key_id, access, networks, created_at, expires_at,
               rested, credential_type, account_id, is_active, revision, api_key_sealed, secret_key_sealed,
               last_used_at, refused_at
        FROM corral.read_grants($1)
        """,
        [lookup for key in wanted for lookup in key],
    )
    found = {row["lookup"]: row for row in rows}
    return {key: _grant_row(found[lookup]) for key in wanted for lookup in key if lookup in found}


async def note_grants_used(database: Database, used: Sequence[Owned]) -> None:
    await database.fetchval("SELECT corral.note_grants_used($1, $2)", *columns(used))


# Under a user's own scope.


async def insert_grant(connection: Connection, terms: GrantTerms, name: str) -> bool:
    """To be called after `lock_user`. Returns False if this user has no such credential. Raises TooManyGrants."""
    inserted = await connection.fetchval(
        """
        INSERT INTO corral.grants (user_id, id, credential_id, name, key_id, access, networks, created_at, expires_at)
        SELECT $1, $2, c.id, $4, $5, $6, $7, $8, $9
        FROM corral.credentials c WHERE c.user_id = $1 AND c.id = $3
        RETURNING id
        """,
        terms.user_id, terms.id, terms.credential_id, name, terms.key_id, terms.access, terms.networks,
        terms.created_at, terms.expires_at,
    )  # fmt: skip
    count = await connection.fetchval(
        "SELECT count(*) FROM corral.grants WHERE user_id = $1 AND credential_id = $2",
        terms.user_id, terms.credential_id,
    )  # fmt: skip
    if count > MOST_GRANTS:
        raise TooManyGrants  # which rolls back the transaction
    return inserted is not None


async def update_grant(connection: Connection, terms: GrantTerms, name: str | None = None) -> None:
    """Stores what may change: access, networks and expiry, and the name unless it is None."""
    await connection.execute(
        """
        UPDATE corral.grants SET name = coalesce($3, name), access = $4, networks = $5, expires_at = $6
        WHERE user_id = $1 AND id = $2
        """,
        terms.user_id, terms.id, name, terms.access, terms.networks, terms.expires_at,
    )  # fmt: skip


async def lock_grant(connection: Connection, user_id: UUID, grant_id: UUID) -> HeldGrant | None:
    """Until the transaction ends it can neither be changed nor revoked. Returns None if this user has no such grant."""
    row = await connection.fetchrow(
        """
        SELECT user_id, id, credential_id, key_id, access, networks, created_at, expires_at
        FROM corral.grants WHERE user_id = $1 AND id = $2 FOR UPDATE
        """,
        user_id, grant_id,
    )  # fmt: skip
    if row is None:
        return None
    secrets = await connection.fetch(
        "SELECT lookup, seal, valid_until FROM corral.grant_secrets WHERE user_id = $1 AND grant_id = $2",
        user_id, grant_id,
    )  # fmt: skip
    return HeldGrant(_terms(row), [SecretRow(*secret) for secret in secrets])


async def replace_secrets(connection: Connection, terms: GrantTerms, secrets: Iterable[SecretRow]) -> None:
    """To be called after `lock_grant`, or for a new grant: they are sealed with its terms, whichever changed."""
    await connection.execute(
        "DELETE FROM corral.grant_secrets WHERE user_id = $1 AND grant_id = $2", terms.user_id, terms.id
    )
    await connection.executemany(
        "INSERT INTO corral.grant_secrets (user_id, grant_id, lookup, seal, valid_until) VALUES ($1, $2, $3, $4, $5)",
        [(terms.user_id, terms.id, secret.lookup, secret.seal, secret.valid_until) for secret in secrets],
    )


async def load_grants(
    connection: Connection, user_id: UUID, *, credential_id: UUID | None = None, grant_id: UUID | None = None
) -> list[GrantRecord]:
    """Returns all, those of a credential, or one; the oldest first."""
    rows = await connection.fetch(
        """
        SELECT g.id, g.credential_id, c.credential_type, g.name, g.key_id, g.access, g.networks, g.created_at,
               g.expires_at, g.last_used_at, g.expires_at <= clock_timestamp(),
               g.expires_at BETWEEN clock_timestamp() AND clock_timestamp() + interval '7 days',
               (SELECT least(s.valid_until, g.expires_at) FROM corral.grant_secrets s
                WHERE s.user_id = g.user_id AND s.grant_id = g.id AND s.valid_until IS NOT NULL
                  AND least(s.valid_until, g.expires_at) > clock_timestamp() LIMIT 1),
               c.is_active, c.refused_at IS NOT NULL
        FROM corral.grants g JOIN corral.credentials c ON c.user_id = g.user_id AND c.id = g.credential_id
        WHERE g.user_id = $1 AND g.credential_id = coalesce($2, g.credential_id) AND g.id = coalesce($3, g.id)
        ORDER BY g.created_at, g.id
        """,
        user_id, credential_id, grant_id,
    )  # fmt: skip
    return [_record(row) for row in rows]


async def delete_grant(connection: Connection, user_id: UUID, grant_id: UUID) -> bool:
    """Returns False if this user has no such grant."""
    deleted = await connection.fetchval(
        "DELETE FROM corral.grants WHERE user_id = $1 AND id = $2 RETURNING id", user_id, grant_id
    )
    return deleted is not None


async def delete_grants(connection: Connection, user_id: UUID, credential_id: UUID | None) -> None:
    """All of a credential, or all. To be called after `lock_user`, so that none that is being made remains."""
    await connection.execute(
        "DELETE FROM corral.grants WHERE user_id = $1 AND credential_id = coalesce($2, credential_id)",
        user_id, credential_id,
    )  # fmt: skip


def _grant_row(row: asyncpg.Record) -> GrantRow:
    lookup, seal, valid_until, *terms, rested, credential_type, account_id, is_active, revision = row[:16]
    user_id, _, credential_id, *_ = terms
    stored = SealedCredential(
        credential_id, user_id, Environment(credential_type), account_id, is_active, revision, *row[16:]
    )
    return GrantRow(_terms(terms), SecretRow(lookup, seal, valid_until), rested, stored)


def _terms(row: Iterable[Any]) -> GrantTerms:
    user_id, identifier, credential_id, key_id, access, networks, created_at, expires_at = row
    return GrantTerms(
        user_id, identifier, credential_id, key_id, Access(access), _networks(networks), created_at, expires_at
    )


def _networks(stored: list[Network] | None) -> tuple[Network, ...] | None:
    return None if stored is None else tuple(stored)


def _record(row: asyncpg.Record) -> GrantRecord:
    identifier, credential_id, credential_type, name, key_id, access, networks, *rest = row
    return GrantRecord(
        identifier,
        credential_id,
        Environment(credential_type),
        name,
        key_id,
        Access(access),
        _networks(networks),
        *rest,
    )
