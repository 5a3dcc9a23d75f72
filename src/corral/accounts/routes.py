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
    summary="Account data of all accounts",
    response_model=OverviewResponse,
    responses=responses_for(Unauthenticated, InsufficientScope, DatabaseUnavailable),
)
async def read_overview(user: AccountsRead, request: Request) -> Response:
    """Returns all your active accounts, each with its account data or the error that occurred.

    The scope `accounts:read` includes each account's name, number and type, but nothing about its API key.
    """
    return Response(await answer_overview(user, request), media_type="application/json")


@router.get(
    "/credentials/{credential_id}/account-data",
    summary="Account data",
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
    """Returns balances and restrictions of the account, from Alpaca's paper or live environment."""
    return Response(await answer_account_data(user, credential_id, request), media_type="application/json")
