"""The pages of one account: overview with equity history and positions, orders, and activities."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final
from urllib.parse import urlencode
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse

from corral.accounts.account_data import answer_account_data, find_last_known
from corral.accounts.reads import answer_activities, answer_orders, answer_portfolio_history, answer_positions
from corral.accounts.schemas import (
    AccountDataResponse,
    ActivityList,
    OrderList,
    PortfolioHistoryResponse,
    PositionList,
)
from corral.alpaca.models import Account
from corral.credentials.desk import load_credential
from corral.credentials.findings import find_blocks
from corral.credentials.models import Credential
from corral.credentials.problems import CredentialInactive, CredentialNotFound, CredentialRefused
from corral.edge.resources import resources
from corral.identity.models import AuthUser
from corral.web.page_user import PageUser
from corral.web.rendering import PAGE_WAIT_SECONDS, Deferred, Value, load_within, render_page
from corral.web.static_files import HAS_CHART
from corral.web.view.account_details import describe_account, detail_amounts
from corral.web.view.equity import Period, history_params, summarize_equity
from corral.web.view.filters import (
    ACTIVITY_FILTERS,
    ACTIVITY_NAMES,
    COLUMN_NAMES,
    ActivitiesParams,
    OrdersParams,
    OverviewParams,
    PageParams,
    column_headings,
    csv_query,
)
from corral.web.view.positions import allocation_slices, build_positions_table, tones_by_asset

_DEFAULT_CURRENCY: Final = "USD"  # until the account's own is known

router = APIRouter(prefix="/accounts/{credential_id}", include_in_schema=False)


@dataclass(frozen=True, slots=True)
class AccountHeader:
    """What every page of an account shows first."""

    credential: Credential
    loaded: Deferred[AccountDataResponse]
    last_known: Account | None

    @property
    def data(self) -> AccountDataResponse | None:
        return self.loaded.value

    @property
    def currency(self) -> str:
        return self.loaded.value.currency if self.loaded.value else _DEFAULT_CURRENCY

    @property
    def is_unavailable(self) -> bool:
        """Whether Corral makes no requests with this credential, so that the pages have nothing else to show."""
        return isinstance(self.loaded.problem, CredentialInactive | CredentialRefused)


_Read = Callable[[AuthUser, UUID, Request], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class _AccountRequest:
    """A request for a page about an account of the user."""

    credential: Credential
    user: AuthUser
    request: Request

    async def load(self, read: _Read, model: type[Value], params: PageParams) -> Deferred[Value]:
        json = read(self.user, self.credential.id, self.request)
        return await load_within(None if params.wait else PAGE_WAIT_SECONDS, json, model)

    async def load_header(self, params: PageParams) -> AccountHeader:
        loaded = await self.load(answer_account_data, AccountDataResponse, params)
        return AccountHeader(self.credential, loaded, await self.find_last_known() if loaded.value else None)

    async def find_last_known(self) -> Account | None:
        """Checks again whether the user may see the account. Raises a Problem."""
        return await find_last_known(self.user, self.credential.id, self.request)


async def _account_request(credential_id: str, user: PageUser, request: Request) -> _AccountRequest:
    """Raises CredentialNotFound, also for another user's account and for an invalid id."""
    try:
        wanted = UUID(credential_id)
    except ValueError:
        raise CredentialNotFound from None
    return _AccountRequest(await load_credential(user.id, resources(request).database, wanted), user, request)


AccountRequest = Annotated[_AccountRequest, Depends(_account_request)]


@router.get("")
async def show_overview(page: AccountRequest, params: Annotated[OverviewParams, Query()]) -> HTMLResponse:
    history_query = history_params(params.span)

    def read_history(user: AuthUser, credential_id: UUID, request: Request) -> Awaitable[bytes]:
        return answer_portfolio_history(user, credential_id, history_query, request)

    header, positions, history = await asyncio.gather(
        page.load_header(params),
        page.load(answer_positions, PositionList, params),
        page.load(read_history, PortfolioHistoryResponse, params),
    )
    listed = positions.value
    table = listed and build_positions_table(
        listed.items, params.column, descending=params.is_descending, missing=listed.unreadable
    )
    return render_page(
        page.request,
        "account_overview.html",
        user=page.user,
        environment=page.credential.credential_type,
        header=header,
        blocks=list(find_blocks(header.last_known)) if header.last_known else [],
        details=describe_account(header.last_known, page.credential.credential_type) if header.last_known else None,
        params=params,
        positions=positions,
        table=table,
        headings=column_headings(params),
        column_names=COLUMN_NAMES,
        slices=allocation_slices(table.rows) if table else [],
        tones=tones_by_asset(table.rows) if table else {},
        periods=list(Period),
        history=history,
        equity=history.value and summarize_equity(history.value, params.span, datetime.now(UTC)),
        history_query=urlencode(history_query.model_dump(mode="json", exclude_none=True)),
        has_chart=HAS_CHART,
    )


@router.get("/details")
async def show_details(page: AccountRequest) -> Response:
    """Returns what the stream does not send to the page's script when the account changes."""
    account = await page.find_last_known()
    details = account and {
        "last_equity": account.last_equity,
        "blocks": list(find_blocks(account)),
        "figures": detail_amounts(account),
    }
    return Response(orjson.dumps(details), media_type="application/json")


@router.get("/orders")
async def show_orders(page: AccountRequest, params: Annotated[OrdersParams, Query()]) -> HTMLResponse:
    api_params = params.api_params()

    async def read_orders(user: AuthUser, credential_id: UUID, request: Request) -> bytes:
        params.check_dates()
        return await answer_orders(user, credential_id, api_params, request)

    header, orders = await asyncio.gather(page.load_header(params), page.load(read_orders, OrderList, params))
    return render_page(
        page.request,
        "account_orders.html",
        user=page.user,
        environment=page.credential.credential_type,
        header=header,
        params=params,
        orders=orders,
        csv=csv_query(api_params, "status", "after", "until", "direction"),
    )


@router.get("/activities")
async def show_activities(page: AccountRequest, params: Annotated[ActivitiesParams, Query()]) -> HTMLResponse:
    api_params = params.api_params()

    async def read_activities(user: AuthUser, credential_id: UUID, request: Request) -> bytes:
        params.check_dates()
        return await answer_activities(user, credential_id, api_params, request)

    header, activities = await asyncio.gather(
        page.load_header(params), page.load(read_activities, ActivityList, params)
    )
    return render_page(
        page.request,
        "account_activities.html",
        user=page.user,
        environment=page.credential.credential_type,
        header=header,
        params=params,
        activities=activities,
        csv=csv_query(api_params, "activity_types", "after", "until", "direction"),
        filters=ACTIVITY_FILTERS,
        names=ACTIVITY_NAMES,
    )
