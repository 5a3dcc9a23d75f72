"""HTTP for stored credentials."""

from dataclasses import asdict
from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request

from corral.credentials import management
from corral.credentials.models import Credential, Replacement
from corral.credentials.problems import (
    AccountAlreadyStored,
    AccountRateLimited,
    AlpacaRefused,
    AnotherAccount,
    CredentialInactive,
    CredentialNotFound,
    KeysRefused,
    TooManyCredentials,
    UpstreamFailed,
    UpstreamTimeout,
    WrongAccount,
    WrongEnvironment,
)
from corral.credentials.reader import VALIDATE, CredentialReader
from corral.credentials.schemas import (
    CredentialChange,
    CredentialList,
    CredentialMetadata,
    NewCredential,
    ValidationResult,
)
from corral.credentials.validation import validate_stored_keys
from corral.edge.problems import responses_for
from corral.edge.request_state import StateKey, resources_of
from corral.errors import DatabaseUnavailable, InvalidRequest
from corral.identity.dependencies import CredentialsRead, CredentialsWrite
from corral.identity.models import AuthUser
from corral.identity.problems import InsufficientScope, Unauthenticated
from corral.identity.throttling import client_address

CREDENTIALS: Final = StateKey[CredentialReader]("credentials")

router = APIRouter(prefix="/api/credentials", tags=["credentials"])

_ALWAYS = (Unauthenticated, InsufficientScope, InvalidRequest, DatabaseUnavailable)
_ASKS_ALPACA = (KeysRefused, WrongEnvironment, AlpacaRefused, AccountRateLimited, UpstreamFailed, UpstreamTimeout)


@router.post(
    "",
    summary="Add an API key",
    status_code=201,
    responses=responses_for(AccountAlreadyStored, TooManyCredentials, *_ASKS_ALPACA, *_ALWAYS),
)
async def store_credential(body: NewCredential, user: CredentialsWrite, request: Request) -> CredentialMetadata:
    """Detects whether the API key is for paper or live, and stores it encrypted."""
    resources = resources_of(request)
    credential = await management.store_credential(
        user,
        resources.database,
        resources.vault,
        resources.alpaca,
        nickname=body.nickname,
        api_key=body.api_key,
        secret_key=body.secret_key,
        expected=body.credential_type,
        address=client_address(request),
    )
    return _metadata(credential)


@router.get(
    "", summary="List credentials", responses=responses_for(Unauthenticated, InsufficientScope, DatabaseUnavailable)
)
async def list_credentials(user: CredentialsRead, request: Request) -> CredentialList:
    credentials = await management.load_credentials(user.id, resources_of(request).database)
    return CredentialList(items=[_metadata(credential) for credential in credentials])


@router.get("/{credential_id}", summary="Read a credential", responses=responses_for(CredentialNotFound, *_ALWAYS))
async def read_credential(credential_id: UUID, user: CredentialsRead, request: Request) -> CredentialMetadata:
    return _metadata(await management.load_credential(user.id, resources_of(request).database, credential_id))


@router.patch(
    "/{credential_id}",
    summary="Rename, pause, resume or replace",
    responses=responses_for(CredentialNotFound, WrongAccount, *_ASKS_ALPACA, *_ALWAYS),
)
async def change_credential(
    credential_id: UUID, body: CredentialChange, user: CredentialsWrite, request: Request
) -> CredentialMetadata:
    """Renames or pauses the account, resumes it, or replaces its API key with a new one of the same account."""
    resources = resources_of(request)
    credential = await management.change_credential(
        user,
        resources.database,
        resources.vault,
        credential_id,
        nickname=body.nickname,
        is_active=body.is_active,
        replacement=await _replacement(credential_id, body, user, request),
        address=client_address(request),
    )
    return _metadata(credential)


@router.delete(
    "/{credential_id}",
    summary="Delete a credential",
    status_code=204,
    responses=responses_for(CredentialNotFound, *_ALWAYS),
)
async def delete_credential(credential_id: UUID, user: CredentialsWrite, request: Request) -> None:
    """Removes the account and its API key from Corral only. Revoke the key at Alpaca, too."""
    resources = resources_of(request)
    address = client_address(request)
    await management.delete_credential(user, resources.database, resources.vault, credential_id, address=address)


@router.post(
    "/{credential_id}/validate",
    summary="Check the API key",
    responses=responses_for(
        CredentialNotFound,
        CredentialInactive,
        AnotherAccount,
        AlpacaRefused,
        AccountRateLimited,
        UpstreamFailed,
        UpstreamTimeout,
        *_ALWAYS,
    ),
)
async def validate_credential(credential_id: UUID, user: CredentialsWrite, request: Request) -> ValidationResult:
    """Checks whether Alpaca still accepts the API key, and the restrictions of the account.

    A successful check clears `refused_at`.
    """
    resources = resources_of(request)
    credential = await CREDENTIALS.of(request).open_credential(user.id, credential_id, VALIDATE)
    return ValidationResult.model_validate(await validate_stored_keys(resources.database, resources.alpaca, credential))


async def _replacement(
    credential_id: UUID, body: CredentialChange, user: AuthUser, request: Request
) -> Replacement | None:
    if body.api_key is None or body.secret_key is None:
        return None
    resources = resources_of(request)
    return await management.prepare_replacement(
        user.id,
        resources.database,
        resources.vault,
        resources.alpaca,
        credential_id,
        api_key=body.api_key,
        secret_key=body.secret_key,
    )


def _metadata(credential: Credential) -> CredentialMetadata:
    return CredentialMetadata(**asdict(credential))
