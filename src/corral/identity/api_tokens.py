"""API tokens: shown once, stored as two keyed hashes, and never with more rights than their creator."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from corral.database.connection import Connection, Database, get_connection_with_rls
from corral.identity import queries
from corral.identity.models import EVERYTHING, TO_BE_NAMED, AuthUser, scopes_from_stored
from corral.identity.problems import PersonDisabled, TokenNotFound, WiderThanItsMaker
from corral.identity.queries import TokenMetadata
from corral.identity.revalidation import authorized_connection
from corral.identity.security_events import OPERATOR, ChangeSource, note_event
from corral.identity.tokens import new_token, token_verifiers
from corral.logs import get_logger
from corral.secret import Secret
from corral.vault import Vault

_log = get_logger()


async def create_api_token(
    user_id: UUID,
    database: Database,
    vault: Vault,
    *,
    name: str,
    scopes: Sequence[str] | None,
    expires_at: datetime | None,
) -> tuple[TokenMetadata, Secret]:
    """For the operator. Without scopes the token has full access. Raises PersonDisabled.

    The secret is returned only here.
    """
    async with get_connection_with_rls(user_id, database) as connection:
        if not await queries.lock_user(connection, user_id):
            raise PersonDisabled
        made = await _insert_token(
            connection, vault, user_id, token_id=uuid4(), name=name, scopes=scopes, expires_at=expires_at
        )
        await note_event(connection, vault, user_id, "token_made", OPERATOR, subject=name, subject_id=made[0].id)
    _log_creation(user_id, made[0])
    return made


async def make_own_token(
    database: Database,
    vault: Vault,
    maker: AuthUser,
    *,
    name: str,
    scopes: Sequence[str] | None,
    expires_at: datetime | None,
    source: ChangeSource,
    token_id: UUID | None = None,
) -> tuple[TokenMetadata, Secret]:
    """Like `create_api_token`, by the user or a token. Raises Unauthenticated if that session or token ended meanwhile.

    With a `token_id`, a repeated request creates one token: raises TokenMadeAlready for the second.
    """
    async with authorized_connection(database, maker) as connection:
        made = await _insert_token(
            connection, vault, maker.id, token_id=token_id or uuid4(), name=name, scopes=scopes, expires_at=expires_at
        )
        await note_event(connection, vault, maker.id, "token_made", source, subject=name, subject_id=made[0].id)
    _log_creation(maker.id, made[0])
    return made


async def _insert_token(
    connection: Connection,
    vault: Vault,
    user_id: UUID,
    *,
    token_id: UUID,
    name: str,
    scopes: Sequence[str] | None,
    expires_at: datetime | None,
) -> tuple[TokenMetadata, Secret]:
    token = new_token()
    granted = sorted(set(scopes)) if scopes is not None else [EVERYTHING]
    lookup, seal = token_verifiers(
        vault, token, user_id=user_id, token_id=token_id, scopes=granted, expires_at=expires_at
    )
    metadata = await queries.insert_api_token(
        connection,
        user_id=user_id,
        token_id=token_id,
        name=name,
        scopes=granted,
        lookup=lookup,
        seal=seal,
        expires_at=expires_at,
    )
    return metadata, Secret(token)


def _log_creation(user_id: UUID, token: TokenMetadata) -> None:
    _log.info("api_token_created", user_id=str(user_id), token_id=str(token.id), scopes=" ".join(token.scopes))


def refuse_wider_than_its_maker(maker: AuthUser, scopes: Sequence[str] | None, expires_at: datetime | None) -> None:
    """A signed-in user may create any token; a token only one with no more scopes and no later expiration."""
    if maker.authenticated_by == "session":
        return
    wanted = scopes_from_stored((EVERYTHING,) if scopes is None else tuple(scopes))
    outlives = maker.expires_at is not None and (expires_at is None or expires_at > maker.expires_at)
    if not wanted <= maker.scopes or outlives:
        raise WiderThanItsMaker


def scopes_made_by(maker: AuthUser, wanted: Sequence[str] | None) -> Sequence[str] | None:
    """By default, a user's token has full access, also in later releases; a token's has the scopes of its creator.

    Neither has what must be named.
    """
    return sorted(maker.scopes - TO_BE_NAMED) if wanted is None and maker.authenticated_by == "token" else wanted


async def moment_in(database: Database, lifetime: timedelta) -> datetime:
    """Uses the database's clock, which also decides when it expires."""
    return await queries.read_clock(database) + lifetime


async def load_api_tokens(user_id: UUID, database: Database) -> list[TokenMetadata]:
    async with get_connection_with_rls(user_id, database, readonly=True) as connection:
        return await queries.load_api_tokens(connection, user_id)


async def revoke_api_token(
    user_id: UUID, database: Database, vault: Vault, token_id: UUID, source: ChangeSource
) -> None:
    async with get_connection_with_rls(user_id, database) as connection:
        name = await queries.delete_api_token(connection, user_id, token_id)
        if name is None:
            raise TokenNotFound
        await note_event(connection, vault, user_id, "token_revoked", source, subject=name, subject_id=token_id)
    _log.info("api_token_revoked", user_id=str(user_id), token_id=str(token_id))


async def revoke_all_api_tokens(user_id: UUID, database: Database, vault: Vault, source: ChangeSource) -> None:
    """Includes those that are being created at this moment."""
    async with get_connection_with_rls(user_id, database) as connection:
        await queries.lock_user(connection, user_id)
        await queries.delete_all_api_tokens(connection, user_id)
        await note_event(connection, vault, user_id, "tokens_revoked", source)
    _log.info("api_tokens_revoked", user_id=str(user_id))
