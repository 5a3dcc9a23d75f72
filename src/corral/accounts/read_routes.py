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
        "description": "A header row and a row each, as RFC 4180 has it, in UTF-8. If something goes wrong on the "
        "way, the connection breaks in the middle of the body.",
        "content": {"text/csv": {"schema": {"type": "string"}}},
    }
}


@router.get("/{credential_id}/positions", summary="What it holds", response_model=PositionList, responses=_PROBLEMS)
async def read_positions(credential_id: UUID, user: AccountsRead, request: Request) -> Response:
    """What the account holds right now. Alpaca knows no pages here: all of it is on one."""
    return _json(await reads.answer_positions(user, credential_id, request))


@router.get("/{credential_id}/orders", summary="Its orders", response_model=OrderList, responses=_PROBLEMS)
async def read_orders(
    credential_id: UUID, asked: Annotated[OrdersPageQuestion, Query()], user: AccountsRead, request: Request
) -> Response:
    """The account's orders by the time of their submission, page by page. `after` and `until` are exclusive."""
    return _json(await reads.answer_orders(user, credential_id, asked, request))


@router.get("/{credential_id}/activities", summary="What it did", response_model=ActivityList, responses=_PROBLEMS)
async def read_activities(
    credential_id: UUID, asked: Annotated[ActivitiesPageQuestion, Query()], user: AccountsRead, request: Request
) -> Response:
    """Fills, and everything else that moved money or shares, page by page."""
    return _json(await reads.answer_activities(user, credential_id, asked, request))


@router.get(
    "/{credential_id}/portfolio-history",
    summary="How its equity went",
    response_model=PortfolioHistoryResponse,
    responses=_PROBLEMS,
)
async def read_portfolio_history(
    credential_id: UUID, asked: Annotated[HistoryQuestion, Query()], user: AccountsRead, request: Request
) -> Response:
    """How the account's equity went, point by point. What Alpaca forbids together is refused before it is asked."""
    return _json(await reads.answer_portfolio_history(user, credential_id, asked, request))


@router.get(
    "/{credential_id}/clock", summary="Whether its market is open", response_model=ClockResponse, responses=_PROBLEMS
)
async def read_clock(credential_id: UUID, user: AccountsRead, request: Request) -> Response:
    """Alpaca's clock: whether the market is open, and when that changes."""
    return _json(await reads.answer_clock(user, credential_id, request))


@router.get(
    "/{credential_id}/positions.csv",
    summary="What it holds, as a file",
    response_class=exports.CsvResponse,
    responses=_CSV | _PROBLEMS,
)
async def export_positions(credential_id: UUID, user: AccountsRead, request: Request) -> Response:
    """What the account holds right now, for a spreadsheet. Cells that it would run as a formula begin with `'`."""
    return await exports.export_positions(user, credential_id, request)


@router.get(
    "/{credential_id}/orders.csv",
    summary="Its orders, as a file",
    response_class=exports.CsvResponse,
    responses=_CSV | _PROBLEMS,
)
async def export_orders(
    credential_id: UUID, asked: Annotated[OrdersQuestion, Query()], user: AccountsRead, request: Request
) -> Response:
    """All orders that fit, however many: a long file waits for the account's budget of calls at Alpaca."""
    return await exports.export_orders(user, credential_id, asked, request)


@router.get(
    "/{credential_id}/activities.csv",
    summary="What it did, as a file",
    response_class=exports.CsvResponse,
    responses=_CSV | _PROBLEMS,
)
async def export_activities(
    credential_id: UUID, asked: Annotated[ActivitiesQuestion, Query()], user: AccountsRead, request: Request
) -> Response:
    """All activities that fit, however many: a long file waits for the account's budget of calls at Alpaca."""
    return await exports.export_activities(user, credential_id, asked, request)


def _json(answer: bytes) -> Response:
    return Response(answer, media_type="application/json")
