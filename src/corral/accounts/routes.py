"""HTTP for accounts: balances, positions, orders, activities and history, as JSON and as CSV files.

`account-data` also has a fast lane that bypasses the framework, because it is by far the most frequent request.
Routing, dependency solving and response models cost several times as much as the rest (decision 0011).
"""

import re
from typing import Annotated, Any, Final, final
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from corral.accounts import lists
from corral.accounts.exports import Authenticate, CsvFile, Exporter
from corral.accounts.overview import OverviewResponse
from corral.accounts.overview import read_overview as load_overview
from corral.accounts.params import (
    ActivitiesExportParams,
    ActivitiesPageParams,
    ExportParams,
    HistoryParams,
    OrdersExportParams,
    OrdersPageParams,
    OverviewParams,
)
from corral.accounts.problems import OrderNotFound
from corral.accounts.reader import AccountReader
from corral.accounts.schemas import (
    AccountDataResponse,
    ActivityList,
    ClockResponse,
    OrderList,
    OrderResponse,
    PortfolioHistoryResponse,
    PositionList,
)
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
from corral.credentials.reader import READ, CredentialReader
from corral.edge.problems import responses_for
from corral.edge.request_state import StateKey, resources_of
from corral.errors import DatabaseUnavailable, InvalidRequest
from corral.identity.dependencies import AccountsRead, get_accounts_reader
from corral.identity.models import AuthUser
from corral.identity.models import Scope as TokenScope
from corral.identity.problems import InsufficientScope, Unauthenticated
from corral.identity.tokens import Authenticator, require_scope

ACCOUNTS: Final = StateKey[AccountReader]("accounts")

_PATH: Final = re.compile(
    r"/api/credentials/([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})/account-data", re.ASCII
)


@final
class FastLane:
    """Wraps the application, and runs the same functions as the documented route.

    Any other request (another method, a malformed id) is passed to the framework.
    """

    path: Final = "/api/credentials/{credential_id}/account-data"  # for the request's log line

    def __init__(
        self, app: ASGIApp, authenticator: Authenticator, credentials: CredentialReader, accounts: AccountReader
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._credentials = credentials
        self._accounts = accounts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = _PATH.fullmatch(scope["path"]) if scope["type"] == "http" and scope["method"] == "GET" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = self
        body = await self._account_data(scope, UUID(found[1]))
        headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _account_data(self, scope: Scope, credential_id: UUID) -> bytes:
        """Uses one query for both authentication and access to the credential."""
        presented = self._authenticator.presented(Request(scope))
        is_kept = self._accounts.is_kept(credential_id)
        access = await self._credentials.load_access(presented, credential_id, is_kept=is_kept)
        user = self._authenticator.verify(presented, access.caller)
        scope["state"]["user_id"] = user.id  # for the request's log line
        require_scope(user, TokenScope.ACCOUNTS_READ)
        credential = self._credentials.open_row(access.stored, READ)
        return (await self._accounts.account_data_of(credential)).json


@final
class CsvResponse(StreamingResponse):
    """The export is cancelled when the client disconnects."""

    media_type = "text/csv"


router = APIRouter(prefix="/api", tags=["accounts"])


@router.get(
    "/overview",
    summary="Account data of all accounts",
    response_model=OverviewResponse,
    responses=responses_for(Unauthenticated, InsufficientScope, InvalidRequest, DatabaseUnavailable),
)
async def read_overview(params: Annotated[OverviewParams, Query()], user: AccountsRead, request: Request) -> Response:
    """Returns all your active accounts, each with its account data or the error that occurred.

    The scope `accounts:read` includes each account's name, number and type, but nothing about its API key.
    """
    database, accounts = resources_of(request).database, ACCOUNTS.of(request)
    return _json(await load_overview(user.id, database, accounts, cash_flow=params.cash_flow))


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
    return _json((await ACCOUNTS.of(request).account_data(user.id, credential_id)).json)


_LIST_PROBLEMS: Final = (
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
_PROBLEMS: Final = responses_for(*_LIST_PROBLEMS)
CSV_RESPONSE: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "CSV with a header row (RFC 4180), in UTF-8. If an error occurs after the first byte, the "
        "connection is closed before the end of the body.",
        "content": {"text/csv": {"schema": {"type": "string"}}},
    }
}


@router.get(
    "/credentials/{credential_id}/positions", summary="Positions", response_model=PositionList, responses=_PROBLEMS
)
async def read_positions(credential_id: UUID, user: AccountsRead, request: Request) -> Response:
    """Returns all open positions on one page."""
    answer = await lists.read_positions(user.id, credential_id, ACCOUNTS.of(request))
    return _json(answer.json)


@router.get("/credentials/{credential_id}/orders", summary="Orders", response_model=OrderList, responses=_PROBLEMS)
async def read_orders(
    credential_id: UUID, params: Annotated[OrdersPageParams, Query()], user: AccountsRead, request: Request
) -> Response:
    """Returns a page of the account's orders, sorted by submission time. `after` and `until` are exclusive."""
    answer = await lists.read_orders(user.id, credential_id, params, ACCOUNTS.of(request))
    return _json(answer.json)


@router.get(
    "/credentials/{credential_id}/orders/{order_id}",
    summary="Order",
    response_model=OrderResponse,
    responses=responses_for(*_LIST_PROBLEMS, OrderNotFound),
)
async def read_order(credential_id: UUID, order_id: UUID, user: AccountsRead, request: Request) -> Response:
    """Returns one order with its legs. Its fills are the account's activities with its `order_id`."""
    answer = await lists.read_order(user.id, credential_id, order_id, ACCOUNTS.of(request))
    return _json(answer.json)


@router.get(
    "/credentials/{credential_id}/activities", summary="Activity", response_model=ActivityList, responses=_PROBLEMS
)
async def read_activities(
    credential_id: UUID, params: Annotated[ActivitiesPageParams, Query()], user: AccountsRead, request: Request
) -> Response:
    """Returns a page of fills, dividends, fees, transfers and other activities."""
    answer = await lists.read_activities(user.id, credential_id, params, ACCOUNTS.of(request))
    return _json(answer.json)


@router.get(
    "/credentials/{credential_id}/portfolio-history",
    summary="Equity history",
    response_model=PortfolioHistoryResponse,
    responses=_PROBLEMS,
)
async def read_portfolio_history(
    credential_id: UUID, params: Annotated[HistoryParams, Query()], user: AccountsRead, request: Request
) -> Response:
    """Returns the account's equity over time. Combinations that Alpaca does not accept are an error (422)."""
    answer = await lists.read_portfolio_history(user.id, credential_id, params, ACCOUNTS.of(request))
    return _json(answer.json)


@router.get(
    "/credentials/{credential_id}/clock",
    summary="Market clock",
    response_model=ClockResponse,
    responses=_PROBLEMS,
)
async def read_clock(credential_id: UUID, user: AccountsRead, request: Request) -> Response:
    """Returns whether the market is open, and when it opens and closes next."""
    answer = await lists.read_clock(user.id, credential_id, ACCOUNTS.of(request))
    return _json(answer.json)


@router.get(
    "/credentials/{credential_id}/positions.csv",
    summary="Positions as CSV",
    response_class=CsvResponse,
    responses=CSV_RESPONSE | _PROBLEMS,
)
async def export_positions(
    credential_id: UUID, params: Annotated[ExportParams, Query()], user: AccountsRead, request: Request
) -> Response:
    """Returns all open positions for a spreadsheet. Cells that it would run as a formula begin with `'`."""
    return csv_response(await _exporter(user, credential_id, request).positions(params))


@router.get(
    "/credentials/{credential_id}/orders.csv",
    summary="Orders as CSV",
    response_class=CsvResponse,
    responses=CSV_RESPONSE | _PROBLEMS,
)
async def export_orders(
    credential_id: UUID, params: Annotated[OrdersExportParams, Query()], user: AccountsRead, request: Request
) -> Response:
    """Returns all matching orders. A long file takes time, because of the account's rate limit at Alpaca."""
    return csv_response(await _exporter(user, credential_id, request).orders(params))


@router.get(
    "/credentials/{credential_id}/activities.csv",
    summary="Activity as CSV",
    response_class=CsvResponse,
    responses=CSV_RESPONSE | _PROBLEMS,
)
async def export_activities(
    credential_id: UUID, params: Annotated[ActivitiesExportParams, Query()], user: AccountsRead, request: Request
) -> Response:
    """Returns all matching activities. A long file takes time, because of the account's rate limit at Alpaca."""
    return csv_response(await _exporter(user, credential_id, request).activities(params))


def _exporter(user: AuthUser, credential_id: UUID, request: Request) -> Exporter:
    """The caller has been authenticated for the first page, and is authenticated again for each further one."""
    return Exporter(ACCOUNTS.of(request), credential_id, authenticator_of(user, request))


def authenticator_of(user: AuthUser, request: Request) -> Authenticate:
    """Returns who the caller is: once as authenticated already, and from then on anew."""
    first: list[UUID] = [user.id]

    async def authenticate() -> UUID:
        return first.pop() if first else (await get_accounts_reader(request)).id

    return authenticate


def csv_response(file: CsvFile) -> CsvResponse:
    headers = {"content-disposition": f'attachment; filename="{file.name}"'}
    media_type = "text/csv; charset=utf-8; header=present"  # RFC 4180, 3
    return CsvResponse(file.chunks, headers=headers, media_type=media_type)


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
