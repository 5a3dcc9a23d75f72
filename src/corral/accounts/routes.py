"""HTTP for live accounts."""

from uuid import UUID

from fastapi import APIRouter, Request, Response

from corral.accounts.account_data import answer_account_data
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
from corral.errors import DatabaseUnavailable, InvalidRequest
from corral.identity.current_user import AccountsRead
from corral.identity.problems import InsufficientScope, Unauthenticated

router = APIRouter(prefix="/api/credentials", tags=["accounts"])


@router.get(
    "/{credential_id}/account-data",
    summary="How the account stands now",
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
    return Response(await answer_account_data(user, credential_id, request), media_type="application/json")
