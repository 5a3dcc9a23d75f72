"""HTTP for live accounts."""

from uuid import UUID

from fastapi import APIRouter, Request, Response

from corral.accounts.account_data import answer_account_data
from corral.accounts.overview import answer_overview
from corral.accounts.overview_schemas import OverviewResponse
from corral.accounts.schemas import AccountDataResponse
from corral.credentials.problems import (
    AccountNotOpen,
    AccountRateLimited,
    AlpacaRefused,
    AnotherAccount,
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

router = APIRouter(prefix="/api", tags=["accounts"])


@router.get(
    "/overview",
    summary="How all of your accounts stand now",
    response_model=OverviewResponse,
    responses=responses_for(Unauthenticated, InsufficientScope, DatabaseUnavailable),
)
async def read_overview(user: AccountsRead, request: Request) -> Response:
    """Every active account of yours, asked side by side, each with its data or with the problem that befell it.

    `accounts:read` is enough: what an account is called, its number and its type are part of the answer, for
    a balance without a name tells nobody anything. Nothing about the keys is.
    """
    return Response(await answer_overview(user, request), media_type="application/json")


@router.get(
    "/credentials/{credential_id}/account-data",
    summary="How the account stands now",
    response_model=AccountDataResponse,
    responses=responses_for(
        CredentialInactive,
        Unauthenticated,
        InsufficientScope,
        CredentialNotFound,
        CredentialRefused,
        AnotherAccount,
        AccountNotOpen,
        AlpacaRefused,
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
