"""HTTP for all active accounts of the caller at once: positions, orders, activities and equity, as JSON and as CSV."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response

from corral.accounts.combined.answers import write_curves, write_page, write_positions
from corral.accounts.combined.equity import read_all_curves
from corral.accounts.combined.exports import CombinedExporter
from corral.accounts.combined.lists import ActivityLists, OrderLists, read_page
from corral.accounts.combined.params import (
    AllActivitiesExportParams,
    AllActivitiesParams,
    AllHistoryExportParams,
    AllHistoryParams,
    AllOrdersExportParams,
    AllOrdersParams,
    AllPositionsExportParams,
    AllPositionsParams,
)
from corral.accounts.combined.positions import read_all_positions
from corral.accounts.combined.schemas import AllActivitiesList, AllCurvesList, AllOrdersList, AllPositionsList
from corral.accounts.combined.selection import Selected, Selection, load_selected
from corral.accounts.routes import ACCOUNTS, CSV_RESPONSE, CsvResponse, authenticator_of, csv_response
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
from corral.edge.request_state import resources_of
from corral.errors import DatabaseUnavailable, InvalidRequest
from corral.identity.dependencies import AccountsRead
from corral.identity.models import AuthUser
from corral.identity.problems import InsufficientScope, Unauthenticated

router = APIRouter(prefix="/api", tags=["all accounts"])

_PROBLEMS: Final = responses_for(Unauthenticated, InsufficientScope, InvalidRequest, DatabaseUnavailable)
_CSV: Final[dict[int | str, dict[str, Any]]] = CSV_RESPONSE | responses_for(
    Unauthenticated,
    InsufficientScope,
    InvalidRequest,
    DatabaseUnavailable,
    CredentialInactive,
    CredentialNotFound,
    CredentialRefused,
    AnotherAccount,
    AlpacaRefused,
    AccountRateLimited,
    UpstreamFailed,
    UpstreamUnavailable,
    UpstreamTimeout,
)


@router.get("/positions", summary="Positions of all accounts", response_model=AllPositionsList, responses=_PROBLEMS)
async def read_positions(
    params: Annotated[AllPositionsParams, Query()], user: AccountsRead, request: Request
) -> Response:
    """Returns the positions of all your active accounts, merged by symbol, each with its split by account.

    An account that fails is in `problems` and is not an error of the call.
    """
    selected = await _selected(params.selection, user, request)
    found = await read_all_positions(selected.credentials, ACCOUNTS.of(request))
    return _json(await write_positions(found, selected.problems))


@router.get("/orders", summary="Orders of all accounts", response_model=AllOrdersList, responses=_PROBLEMS)
async def read_orders(params: Annotated[AllOrdersParams, Query()], user: AccountsRead, request: Request) -> Response:
    """Returns a page of the orders of all your active accounts, sorted by submission time.

    A cursor outlives accounts that are added, removed or fail in between, and returns nothing twice.
    """
    lists = OrderLists(params.query(), ACCOUNTS.of(request))
    selected = await _selected(params.selection, user, request)
    found = await read_page(
        user.id,
        selected.credentials,
        lists,
        limit=params.limit,
        cursor=params.cursor,
        bound_to=params.selection,
    )
    return _json(await write_page(found, selected.problems))


@router.get("/activities", summary="Activity of all accounts", response_model=AllActivitiesList, responses=_PROBLEMS)
async def read_activities(
    params: Annotated[AllActivitiesParams, Query()], user: AccountsRead, request: Request
) -> Response:
    """Returns a page of fills, dividends, fees, transfers and other activities of all your active accounts, by time.

    A cursor outlives accounts that are added, removed or fail in between, and returns nothing twice.
    """
    lists = ActivityLists(params.query(), ACCOUNTS.of(request))
    selected = await _selected(params.selection, user, request)
    found = await read_page(
        user.id,
        selected.credentials,
        lists,
        limit=params.limit,
        cursor=params.cursor,
        bound_to=params.selection,
    )
    return _json(await write_page(found, selected.problems))


@router.get(
    "/portfolio-history", summary="Equity history of all accounts", response_model=AllCurvesList, responses=_PROBLEMS
)
async def read_portfolio_history(
    params: Annotated[AllHistoryParams, Query()], user: AccountsRead, request: Request
) -> Response:
    """Returns the added-up equity of your active accounts over time: one curve for each account type and currency.

    Between and after its own points an account counts with its last value, before its first with nothing. An account
    that can't be read, or only in part, is left out of the whole curve.
    """
    query = params.query()
    selected = await _selected(params.selection, user, request)
    found = await read_all_curves(selected.credentials, query, ACCOUNTS.of(request))
    return _json(await write_curves(found, selected.problems))


@router.get("/positions.csv", summary="Positions of all accounts as CSV", response_class=CsvResponse, responses=_CSV)
async def export_positions(
    params: Annotated[AllPositionsExportParams, Query()], user: AccountsRead, request: Request
) -> Response:
    """Returns each account's positions for a spreadsheet. If an account can't be read, the whole file is refused."""
    return csv_response(await _exporter(user, request).positions(params))


@router.get("/orders.csv", summary="Orders of all accounts as CSV", response_class=CsvResponse, responses=_CSV)
async def export_orders(
    params: Annotated[AllOrdersExportParams, Query()], user: AccountsRead, request: Request
) -> Response:
    """Returns all matching orders by submission time. If an account can't be read, the whole file is refused."""
    return csv_response(await _exporter(user, request).orders(params))


@router.get("/activities.csv", summary="Activity of all accounts as CSV", response_class=CsvResponse, responses=_CSV)
async def export_activities(
    params: Annotated[AllActivitiesExportParams, Query()], user: AccountsRead, request: Request
) -> Response:
    """Returns all matching activities by time. If an account can't be read, the whole file is refused."""
    return csv_response(await _exporter(user, request).activities(params))


@router.get(
    "/portfolio-history.csv",
    summary="Equity history of all accounts as CSV",
    response_class=CsvResponse,
    responses=_CSV,
)
async def export_portfolio_history(
    params: Annotated[AllHistoryExportParams, Query()], user: AccountsRead, request: Request
) -> Response:
    """Returns the points of the curves for a spreadsheet. If an account can't be read, the whole file is refused."""
    return csv_response(await _exporter(user, request).portfolio_history(params))


async def _selected(selection: Selection, user: AuthUser, request: Request) -> Selected:
    return await load_selected(user.id, resources_of(request).database, ACCOUNTS.of(request), selection)


def _exporter(user: AuthUser, request: Request) -> CombinedExporter:
    database = resources_of(request).database
    return CombinedExporter(ACCOUNTS.of(request), database, authenticator_of(user, request))


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
