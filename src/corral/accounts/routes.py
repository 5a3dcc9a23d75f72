"""HTTP for accounts: how they stand, what they hold and did, and the same as files.

`account-data` also has a lane of its own past the framework, for it is what everybody asks all the time. Routing,
dependency solving and response models cost several times as much as all that is behind them (decision 0011).
"""

import re
from typing import Annotated, Any, Final, final
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from corral.accounts import lists
from corral.accounts.exports import CsvFile, Exporter
from corral.accounts.overview import OverviewResponse
from corral.accounts.overview import read_overview as load_overview
from corral.accounts.params import (
    ActivitiesPageParams,
    ActivitiesParams,
    HistoryParams,
    OrdersPageParams,
    OrdersParams,
)
from corral.accounts.reader import AccountReader
from corral.accounts.schemas import (
    AccountDataResponse,
    ActivityList,
    ClockResponse,
    OrderList,
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
from corral.edge.services import ServiceKey, resources
from corral.errors import DatabaseUnavailable, InvalidRequest
from corral.identity.authenticator import AccountsRead, Authenticator, get_accounts_reader, require_scope
from corral.identity.models import AuthUser
from corral.identity.models import Scope as TokenScope
from corral.identity.problems import InsufficientScope, Unauthenticated

ACCOUNTS: Final = ServiceKey[AccountReader]("accounts")

_PATH: Final = re.compile(
    r"/api/credentials/([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})/account-data", re.ASCII
)


@final
class FastLane:
    """Wraps the application, and runs the very functions that the documented route runs.

    Whatever is not exactly of this form (another method, a malformed id) goes on to the framework.
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
        """Asks the database once, who sends this and whether they may see the credential."""
        presented = self._authenticator.presented(Request(scope))
        access = await self._credentials.load_access(presented, credential_id)
        user = self._authenticator.verify(presented, access.caller)
        scope["state"]["user_id"] = user.id  # for the request's log line
        require_scope(user, TokenScope.ACCOUNTS_READ)
        credential = self._credentials.open_row(access.stored, READ)
        return (await self._accounts.account_data_of(credential)).json


@final
class CsvResponse(StreamingResponse):
    """It ends with its client: what it is written from is cancelled when the client has gone."""

    media_type = "text/csv"

    def __init__(self, file: CsvFile) -> None:
        headers = {"content-disposition": f'attachment; filename="{file.name}"'}
        super().__init__(file.chunks, headers=headers, media_type="text/csv; charset=utf-8; header=present")  # RFC 4180


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
    return _json(await load_overview(user.id, resources(request).database, ACCOUNTS.of(request)))


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
    return _json((await ACCOUNTS.of(request).account_data(user.id, credential_id)).json)


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


@router.get(
    "/credentials/{credential_id}/positions", summary="What it holds", response_model=PositionList, responses=_PROBLEMS
)
async def read_positions(credential_id: UUID, user: AccountsRead, request: Request) -> Response:
    """What the account holds right now. Alpaca knows no pages here: all of it is on one."""
    answer = await lists.read_positions(user.id, credential_id, ACCOUNTS.of(request))
    return _json(answer.json)


@router.get("/credentials/{credential_id}/orders", summary="Its orders", response_model=OrderList, responses=_PROBLEMS)
async def read_orders(
    credential_id: UUID, params: Annotated[OrdersPageParams, Query()], user: AccountsRead, request: Request
) -> Response:
    """The account's orders by the time of their submission, page by page. `after` and `until` are exclusive."""
    answer = await lists.read_orders(user.id, credential_id, params, ACCOUNTS.of(request))
    return _json(answer.json)


@router.get(
    "/credentials/{credential_id}/activities", summary="What it did", response_model=ActivityList, responses=_PROBLEMS
)
async def read_activities(
    credential_id: UUID, params: Annotated[ActivitiesPageParams, Query()], user: AccountsRead, request: Request
) -> Response:
    """Fills, and everything else that moved money or shares, page by page."""
    answer = await lists.read_activities(user.id, credential_id, params, ACCOUNTS.of(request))
    return _json(answer.json)


@router.get(
    "/credentials/{credential_id}/portfolio-history",
    summary="How its equity went",
    response_model=PortfolioHistoryResponse,
    responses=_PROBLEMS,
)
async def read_portfolio_history(
    credential_id: UUID, params: Annotated[HistoryParams, Query()], user: AccountsRead, request: Request
) -> Response:
    """How the account's equity went, point by point. What Alpaca forbids together is refused before it is asked."""
    answer = await lists.read_portfolio_history(user.id, credential_id, params, ACCOUNTS.of(request))
    return _json(answer.json)


@router.get(
    "/credentials/{credential_id}/clock",
    summary="Whether its market is open",
    response_model=ClockResponse,
    responses=_PROBLEMS,
)
async def read_clock(credential_id: UUID, user: AccountsRead, request: Request) -> Response:
    """Alpaca's clock: whether the market is open, and when that changes."""
    answer = await lists.read_clock(user.id, credential_id, ACCOUNTS.of(request))
    return _json(answer.json)


@router.get(
    "/credentials/{credential_id}/positions.csv",
    summary="What it holds, as a file",
    response_class=CsvResponse,
    responses=_CSV | _PROBLEMS,
)
async def export_positions(credential_id: UUID, user: AccountsRead, request: Request) -> Response:
    """What the account holds right now, for a spreadsheet. Cells that it would run as a formula begin with `'`."""
    return CsvResponse(await _exporter(user, credential_id, request).positions())


@router.get(
    "/credentials/{credential_id}/orders.csv",
    summary="Its orders, as a file",
    response_class=CsvResponse,
    responses=_CSV | _PROBLEMS,
)
async def export_orders(
    credential_id: UUID, params: Annotated[OrdersParams, Query()], user: AccountsRead, request: Request
) -> Response:
    """All orders that fit, however many: a long file waits for the account's budget of calls at Alpaca."""
    return CsvResponse(await _exporter(user, credential_id, request).orders(params))


@router.get(
    "/credentials/{credential_id}/activities.csv",
    summary="What it did, as a file",
    response_class=CsvResponse,
    responses=_CSV | _PROBLEMS,
)
async def export_activities(
    credential_id: UUID, params: Annotated[ActivitiesParams, Query()], user: AccountsRead, request: Request
) -> Response:
    """All activities that fit, however many: a long file waits for the account's budget of calls at Alpaca."""
    return CsvResponse(await _exporter(user, credential_id, request).activities(params))


def _exporter(user: AuthUser, credential_id: UUID, request: Request) -> Exporter:
    """The caller was authenticated for the first page already, and is again for each further one."""
    first: list[UUID] = [user.id]

    async def authenticate() -> UUID:
        return first.pop() if first else (await get_accounts_reader(request)).id

    return Exporter(ACCOUNTS.of(request), credential_id, authenticate)


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
