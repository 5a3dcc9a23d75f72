"""Manages stored credentials: stores, lists, renames, pauses and deletes them, and replaces their keys."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

from corral.alpaca.client import AlpacaClient
from corral.alpaca.environments import Environment
from corral.audit.models import OPERATOR_ACTOR, Action, NewEntry
from corral.audit.writing import record_in
from corral.credentials import queries
from corral.credentials.models import Credential, NamedCredential, Replacement, SealedCredential
from corral.credentials.problems import (
    AccountAlreadyStored,
    CredentialNotFound,
    TooManyCredentials,
    WrongAccount,
    WrongEnvironment,
)
from corral.credentials.reader import seal_keys
from corral.credentials.validation import ValidatedKeys, hint_of_key, validate_keys
from corral.database.connection import Connection, Database, get_connection_with_rls
from corral.identity.models import AuthUser
from corral.identity.revalidation import authorized_connection
from corral.identity.security_events import actor_of
from corral.logs import get_logger
from corral.secret import Secret
from corral.vault import Vault

# Per user: limits the accounts of an overview, and the connections to Alpaca that one user may take.
MOST_CREDENTIALS: Final = 200

_log = get_logger()


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner of keys that an operator's command stores, without a session or token that could have ended."""

    id: UUID


async def store_credential(
    user: AuthUser | Owner,
    database: Database,
    vault: Vault,
    alpaca: AlpacaClient,
    *,
    nickname: str,
    api_key: Secret,
    secret_key: Secret,
    expected: Environment | None,
    address: str = "",
) -> Credential:
    """Stores sealed keys after Alpaca has accepted them, with the environment and account that Alpaca returned.

    Raises Unauthenticated if the session or token has ended meanwhile.
    """
    user_id = user.id
    validated = await validate_keys(user_id, alpaca, api_key, secret_key)
    if expected is not None and expected is not validated.environment:
        raise WrongEnvironment(_wrong_environment(validated.environment, expected))
    credential_id = uuid4()
    sealed = seal_keys(vault, user_id, credential_id, validated.environment, api_key=api_key, secret_key=secret_key)
    async with _changing(user, database) as connection:
        credential = await queries.insert_credential(
            connection,
            user_id=user_id,
            credential_id=credential_id,
            nickname=nickname,
            environment=validated.environment,
            account_id=validated.account.id,
            account_number=validated.account.account_number,
            account_status=validated.account.status,
            key_hint=hint_of_key(api_key),
            sealed=sealed,
            most=MOST_CREDENTIALS,
        )
        first = await queries.find_id_of_account(connection, user_id, validated.environment, validated.account.id)
        if credential is not None:
            details = {"name": nickname, "environment": validated.environment.value, "key": credential.key_hint}
            added = _entry(user, Action.CREDENTIAL_ADDED, credential_id, address, details)
            await record_in(connection, vault, user_id, added)
    if credential is None:
        raise AccountAlreadyStored(credential_id=str(first)) if first else TooManyCredentials
    _log.info(
        "credential_stored",
        user_id=str(user_id),
        credential_id=str(credential.id),
        credential_type=credential.credential_type.value,
    )
    return credential


async def load_credentials(user_id: UUID, database: Database) -> list[Credential]:
    async with get_connection_with_rls(user_id, database, readonly=True) as connection:
        return await queries.load_credentials(connection, user_id)


async def load_active_credentials(user_id: UUID, database: Database) -> list[NamedCredential]:
    """Returns all credentials for an overview, by one query. The connection is released before Alpaca is called."""
    async with get_connection_with_rls(user_id, database, readonly=True) as connection:
        return await queries.load_active_credentials(connection, user_id)


async def load_credential(user_id: UUID, database: Database, credential_id: UUID) -> Credential:
    async with get_connection_with_rls(user_id, database, readonly=True) as connection:
        credential = await queries.load_credential(connection, user_id, credential_id)
    if credential is None:
        raise CredentialNotFound
    return credential


async def change_credential(
    user: AuthUser,
    database: Database,
    vault: Vault,
    credential_id: UUID,
    *,
    nickname: str | None,
    is_active: bool | None,
    replacement: Replacement | None,
    address: str = "",
) -> Credential:
    """Makes all changes in one transaction. None leaves a field unchanged.

    Raises Unauthenticated as `store_credential` does.
    """
    user_id = user.id
    async with authorized_connection(database, user) as connection:
        before = await queries.load_credential(connection, user_id, credential_id)
        if replacement is not None:
            await queries.replace_keys(connection, user_id, credential_id, replacement)
        await queries.update_credential(connection, user_id, credential_id, nickname=nickname, is_active=is_active)
        credential = await queries.load_credential(connection, user_id, credential_id)
        if before is None or credential is None:
            raise CredentialNotFound
        changes = _changes(before, credential, replacement)
        entries = [_entry(user, action, credential_id, address, details) for action, details in changes]
        await record_in(connection, vault, user_id, *entries)
    _log.info(
        "credential_changed",
        user_id=str(user_id),
        credential_id=str(credential_id),
        is_active=credential.is_active,
        keys_replaced=replacement is not None,
    )
    return credential


async def prepare_replacement(
    user_id: UUID,
    database: Database,
    vault: Vault,
    alpaca: AlpacaClient,
    credential_id: UUID,
    *,
    api_key: Secret,
    secret_key: Secret,
) -> Replacement:
    """Validates and seals new keys of the same account. Raises WrongEnvironment or WrongAccount for others."""
    credential = await _load_sealed(user_id, database, credential_id)
    validated = await validate_keys(user_id, alpaca, api_key, secret_key)
    _refuse_keys_of_another_account(credential, validated)
    return Replacement(
        key_hint=hint_of_key(api_key),
        account_number=validated.account.account_number,
        account_status=validated.account.status,
        sealed=seal_keys(vault, user_id, credential_id, validated.environment, api_key=api_key, secret_key=secret_key),
    )


async def delete_credential(
    user: AuthUser, database: Database, vault: Vault, credential_id: UUID, *, address: str = ""
) -> None:
    """Raises Unauthenticated as `store_credential` does."""
    async with authorized_connection(database, user) as connection:
        nickname = await queries.delete_credential(connection, user.id, credential_id)
        if nickname is None:
            raise CredentialNotFound
        deleted = _entry(user, Action.CREDENTIAL_DELETED, credential_id, address, {"name": nickname})
        await record_in(connection, vault, user.id, deleted)
    _log.info("credential_deleted", user_id=str(user.id), credential_id=str(credential_id))


def _changing(user: AuthUser | Owner, database: Database) -> AbstractAsyncContextManager[Connection]:
    if isinstance(user, Owner):
        return get_connection_with_rls(user.id, database)
    return authorized_connection(database, user)


def _entry(
    user: AuthUser | Owner, action: Action, credential_id: UUID, address: str, details: Mapping[str, str]
) -> NewEntry:
    actor = OPERATOR_ACTOR if isinstance(user, Owner) else actor_of(user)
    return NewEntry(actor, action, credential_id=credential_id, details=details, address=address)


def _changes(
    before: Credential, after: Credential, replacement: Replacement | None
) -> Iterator[tuple[Action, Mapping[str, str]]]:
    """Yields what is different, so that a request that changes nothing leaves no entry."""
    if replacement is not None:
        yield Action.CREDENTIAL_REKEYED, {"name": after.nickname, "key": after.key_hint}
    if after.nickname != before.nickname:
        yield Action.CREDENTIAL_RENAMED, {"name": after.nickname, "before": before.nickname}
    if after.is_active != before.is_active:
        yield Action.CREDENTIAL_RESUMED if after.is_active else Action.CREDENTIAL_PAUSED, {"name": after.nickname}


async def _load_sealed(user_id: UUID, database: Database, credential_id: UUID) -> SealedCredential:
    found = await queries.load_sealed_credentials(database, [(user_id, credential_id)])
    if not found:
        raise CredentialNotFound
    return found[user_id, credential_id]


def _refuse_keys_of_another_account(credential: SealedCredential, validated: ValidatedKeys) -> None:
    if validated.environment is not credential.credential_type:
        raise WrongEnvironment(_wrong_environment(validated.environment, credential.credential_type))
    if validated.account.id != credential.account_id:
        raise WrongAccount


def _wrong_environment(found: Environment, wanted: Environment) -> str:
    return (
        f"This API key is for {found.value} trading, not for {wanted.value}. "
        f"Choose {found.value}, or copy the {wanted.value} API key from Alpaca's dashboard. Nothing was stored."
    )
