"""HTTP for what an account holds, did and was worth."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from corral.accounts import exports, reads
from corral.accounts.questions import (
    ActivitiesPageQuestion,
    ActivitiesQuestion,
    HistoryQuestion,
    OrdersPageQuestion,
    OrdersQuestion,
)
from corral.accounts.schemas import (
    ActivityList,
    ClockResponse,
    OrderList,
    PortfolioHistoryResponse,
    PositionList,
)
from corral.credentials.problems import (
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

router = APIRouter(prefix="/api/credentials", tags=["accounts"])

_PROBLEMS: Final = responses_for(
    CredentialInactive,
    Unauthenticated,
    InsufficientScope,
    CredentialNotFound,
    CredentialRefused,
    AnotherAccount,
    AlpacaRefused,
    InvalidRequest,
    AccountRateLimited,
    UpstreamFailed,
    DatabaseUnavailable,
    UpstreamUnavailable,
    UpstreamTimeout,
)
_CSV: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "CSV with a header row (RFC 4180), in UTF-8. If an error occurs after the first byte, the "
        "connection is closed before the end of the body.",
        "content": {"text/csv": {"schema": {"type": "string"}}},
    }
}


@router.get("/{credential_id}/positions", summary="Positions", response_model=PositionList, responses=_PROBLEMS)
async def read_positions(credential_id: UUID, user: AccountsRead, request: Request) -> Response:
    """Returns all open positions on one page."""
    return _json(await reads.answer_positions(user, credential_id, request))


@router.get("/{credential_id}/orders", summary="Orders", response_model=OrderList, responses=_PROBLEMS)
async def read_orders(
    credential_id: UUID, asked: Annotated[OrdersPageQuestion, Query()], user: AccountsRead, request: Request
) -> Response:
    """Returns a page of the account's orders, sorted by submission time. `after` and `until` are exclusive."""
    return _json(await reads.answer_orders(user, credential_id, asked, request))


@router.get("/{credential_id}/activities", summary="Activity", response_model=ActivityList, responses=_PROBLEMS)
async def read_activities(
    credential_id: UUID, asked: Annotated[ActivitiesPageQuestion, Query()], user: AccountsRead, request: Request
) -> Response:
    """Returns a page of fills, dividends, fees, transfers and other activities."""
    return _json(await reads.answer_activities(user, credential_id, asked, request))


@router.get(
    "/{credential_id}/portfolio-history",
    summary="Equity history",
    response_model=PortfolioHistoryResponse,
    responses=_PROBLEMS,
)
async def read_portfolio_history(
    credential_id: UUID, asked: Annotated[HistoryQuestion, Query()], user: AccountsRead, request: Request
) -> Response:
    """Returns the account's equity over time. Combinations that Alpaca does not accept are an error (422)."""
    return _json(await reads.answer_portfolio_history(user, credential_id, asked, request))


@router.get("/{credential_id}/clock", summary="Market clock", response_model=ClockResponse, responses=_PROBLEMS)
async def read_clock(credential_id: UUID, user: AccountsRead, request: Request) -> Response:
    """Returns whether the market is open, and when it opens and closes next."""
    return _json(await reads.answer_clock(user, credential_id, request))


@router.get(
    "/{credential_id}/positions.csv",
    summary="Positions as CSV",
    response_class=exports.CsvResponse,
    responses=_CSV | _PROBLEMS,
)
async def export_positions(credential_id: UUID, user: AccountsRead, request: Request) -> Response:
    """Returns all open positions for a spreadsheet. Cells that it would run as a formula begin with `'`."""
    return await exports.export_positions(user, credential_id, request)


@router.get(
    "/{credential_id}/orders.csv",
    summary="Orders as CSV",
    response_class=exports.CsvResponse,
    responses=_CSV | _PROBLEMS,
)
async def export_orders(
    credential_id: UUID, asked: Annotated[OrdersQuestion, Query()], user: AccountsRead, request: Request
) -> Response:
    """Returns all matching orders. A long file takes time, because of the account's rate limit at Alpaca."""
    return await exports.export_orders(user, credential_id, asked, request)


@router.get(
    "/{credential_id}/activities.csv",
    summary="Activity as CSV",
    response_class=exports.CsvResponse,
    responses=_CSV | _PROBLEMS,
)
async def export_activities(
    credential_id: UUID, asked: Annotated[ActivitiesQuestion, Query()], user: AccountsRead, request: Request
) -> Response:
    """Returns all matching activities. A long file takes time, because of the account's rate limit at Alpaca."""
    return await exports.export_activities(user, credential_id, asked, request)


def _json(answer: bytes) -> Response:
    return Response(answer, media_type="application/json")
