"""HTTP for live accounts."""

from typing import TYPE_CHECKING, cast
from uuid import UUID

from fastapi import APIRouter, Request, Response

from corral.accounts.account_data import fetch_account_data_of
from corral.accounts.schemas import AccountDataResponse
from corral.credentials.problems import (
    AccountRateLimited,
    CredentialInactive,
    CredentialNotFound,
    CredentialRefused,
    UpstreamFailed,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from corral.edge.problems import responses_for
from corral.edge.resources import resources
from corral.errors import DatabaseUnavailable, InvalidRequest
from corral.identity.current_user import AccountsRead
from corral.identity.problems import InsufficientScope, Unauthenticated

if TYPE_CHECKING:
    from corral.accounts.snapshots import Snapshots
    from corral.credentials.opening import CredentialReader

router = APIRouter(prefix="/api/credentials", tags=["accounts"])


@router.get(
    "/{credential_id}/account-data",
    response_model=AccountDataResponse,
    responses=responses_for(
        CredentialInactive,
        Unauthenticated,
        InsufficientScope,
        CredentialNotFound,
        CredentialRefused,
        InvalidRequest,
        AccountRateLimited,
        UpstreamFailed,
        DatabaseUnavailable,
        UpstreamUnavailable,
        UpstreamTimeout,
    ),
)
async def read_account_data(credential_id: UUID, user: AccountsRead, request: Request) -> Response:
    """How the account stands right now, asked of Alpaca's paper or live host as the credential says."""
    house = resources(request)
    reader = cast("CredentialReader", request.state.credential_reader)
    snapshots = cast("Snapshots", request.state.snapshots)
    # Asked for every request: a shared answer is shared only among those who may see it now.
    credential = await reader.find_usable(user, credential_id)
    answer = await snapshots.get(
        (credential.id, credential.revision),
        lambda: fetch_account_data_of(credential, vault=house.vault, alpaca=house.alpaca, reader=reader),
    )
    return Response(answer, media_type="application/json")
