"""HTTP for grants, for their owner."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request

from corral.credentials.problems import CredentialNotFound
from corral.edge.problems import responses_for
from corral.edge.request_state import resources_of
from corral.errors import DatabaseUnavailable, InvalidRequest
from corral.grants import management
from corral.grants.addresses import gateway_addresses
from corral.grants.management import GrantRequest, Narrowing, Renewal
from corral.grants.models import GrantRecord
from corral.grants.networks import Network
from corral.grants.problems import GrantAltered, GrantNotFound, PasswordNotSet, TooManyGrants
from corral.grants.schemas import (
    CreatedGrant,
    GrantChange,
    GrantList,
    GrantMetadata,
    GrantRenewal,
    NewGrant,
    RenewedGrant,
)
from corral.identity.dependencies import GrantsRead, GrantsWrite, SignedInPerson
from corral.identity.problems import (
    InsufficientScope,
    SessionEnded,
    SessionRequired,
    SignInRefused,
    SignInThrottled,
    Unauthenticated,
    WiderThanItsMaker,
)
from corral.identity.throttling import client_address

router = APIRouter(prefix="/api", tags=["grants"])

_ALWAYS = (Unauthenticated, InsufficientScope, DatabaseUnavailable)
_CONFIRMED = (SessionRequired, PasswordNotSet, SignInRefused, SessionEnded, SignInThrottled)


@router.post(
    "/credentials/{credential_id}/grants",
    summary="Create a grant",
    status_code=201,
    responses=responses_for(
        CredentialNotFound, TooManyGrants, WiderThanItsMaker, *_CONFIRMED, InvalidRequest, *_ALWAYS
    ),
)
async def create_grant(credential_id: UUID, body: NewGrant, user: GrantsWrite, request: Request) -> CreatedGrant:
    """Creates a key pair for this account only, with the given access. Only this response has the secret.

    An API token needs the scope `grants:write` by name, and can't create one that closes or trades on a live account.
    """
    resources = resources_of(request)
    record, secret = await management.make_grant(
        user,
        resources.database,
        resources.vault,
        credential_id,
        wanted=GrantRequest(body.name, body.access, body.expires_in, _tuple(body.networks)),
        current_password=body.current_password,
        address=client_address(request),
    )
    return CreatedGrant(**_members(record), **_addresses(request), secret_key=secret.reveal())


@router.get(
    "/credentials/{credential_id}/grants",
    summary="List the grants of an account",
    responses=responses_for(CredentialNotFound, InvalidRequest, *_ALWAYS),
)
async def list_grants_of_account(credential_id: UUID, user: GrantsRead, request: Request) -> GrantList:
    """Returns the account's grants and their last use, the oldest first, without their secrets."""
    return _list(await management.load_grants_of(user.id, resources_of(request).database, credential_id))


@router.delete(
    "/credentials/{credential_id}/grants",
    summary="Revoke all grants of an account",
    status_code=204,
    responses=responses_for(CredentialNotFound, InvalidRequest, *_ALWAYS),
)
async def revoke_grants_of_account(credential_id: UUID, user: GrantsWrite, request: Request) -> None:
    """Revokes all grants of the account immediately. Its API key stays."""
    resources = resources_of(request)
    await management.revoke_grants(
        user, resources.database, resources.vault, credential_id, address=client_address(request)
    )


@router.get("/grants", summary="List grants", responses=responses_for(*_ALWAYS))
async def list_grants(user: GrantsRead, request: Request) -> GrantList:
    """Returns the grants of all accounts and their last use, the oldest first, without their secrets."""
    return _list(await management.load_grants(user.id, resources_of(request).database))


@router.delete("/grants", summary="Revoke all grants", status_code=204, responses=responses_for(*_ALWAYS))
async def revoke_all_grants(user: GrantsWrite, request: Request) -> None:
    """Revokes the grants of all accounts immediately."""
    resources = resources_of(request)
    await management.revoke_grants(user, resources.database, resources.vault, address=client_address(request))


@router.patch(
    "/grants/{grant_id}",
    summary="Narrow a grant",
    responses=responses_for(GrantNotFound, GrantAltered, InvalidRequest, *_ALWAYS),
)
async def narrow_grant(grant_id: UUID, body: GrantChange, user: GrantsWrite, request: Request) -> GrantMetadata:
    """Renames the grant, or gives it less access, fewer networks or an earlier expiration. It never gets more."""
    resources = resources_of(request)
    change = Narrowing(body.name, body.access, body.expires_in, _tuple(body.networks))
    record = await management.narrow_grant(
        user, resources.database, resources.vault, grant_id, change, address=client_address(request)
    )
    return GrantMetadata(**_members(record))


@router.post(
    "/grants/{grant_id}/renew",
    summary="Renew a grant",
    responses=responses_for(
        GrantNotFound, GrantAltered, *_CONFIRMED, InvalidRequest, Unauthenticated, DatabaseUnavailable
    ),
)
async def renew_grant(grant_id: UUID, body: GrantRenewal, user: SignedInPerson, request: Request) -> RenewedGrant:
    """Extends the grant, even after it has expired, and issues a new secret if you ask for one.

    Its ID, key ID and history stay. The previous secret keeps working for the overlap.
    """
    resources = resources_of(request)
    record, secret = await management.renew_grant(
        user,
        resources.database,
        resources.vault,
        grant_id,
        renewal=Renewal(body.expires_in, body.new_secret, body.overlap),
        current_password=body.current_password,
        address=client_address(request),
    )
    return RenewedGrant(
        **_members(record), **_addresses(request), secret_key=None if secret is None else secret.reveal()
    )


@router.delete(
    "/grants/{grant_id}",
    summary="Revoke a grant",
    status_code=204,
    responses=responses_for(GrantNotFound, InvalidRequest, *_ALWAYS),
)
async def revoke_grant(grant_id: UUID, user: GrantsWrite, request: Request) -> None:
    """Revokes the grant immediately, with all of its secrets."""
    resources = resources_of(request)
    await management.revoke_grant(user, resources.database, resources.vault, grant_id, address=client_address(request))


def _list(records: list[GrantRecord]) -> GrantList:
    return GrantList(items=[GrantMetadata(**_members(record)) for record in records])


def _members(record: GrantRecord) -> dict[str, Any]:
    members = asdict(record)
    is_active, is_refused = members.pop("is_active"), members.pop("is_refused")
    members["networks"] = None if record.networks is None else [str(network) for network in record.networks]
    members["account_state"] = "paused" if not is_active else "key_rejected" if is_refused else "active"
    return members


def _addresses(request: Request) -> dict[str, Any]:
    resources = resources_of(request)
    return asdict(gateway_addresses(resources.public_url, resources.gateway_url))


def _tuple(networks: Iterable[Network] | None) -> tuple[Network, ...] | None:
    return None if networks is None else tuple(networks)
