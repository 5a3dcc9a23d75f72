"""The pages of one account: overview with equity history and positions, orders, and activities."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Final
from urllib.parse import urlencode
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse

from corral.accounts.cache import Answer
from corral.accounts.lists import read_activities, read_orders, read_portfolio_history, read_positions
from corral.accounts.params import ActivitiesParams, OrdersParams
from corral.accounts.reader import AccountReader
from corral.accounts.routes import ACCOUNTS
from corral.accounts.schemas import (
    AccountDataResponse,
    ActivityList,
    OrderList,
)
from corral.alpaca.models import Account
from corral.credentials.arrangement import load_arrangement
from corral.credentials.models import Credential
from corral.credentials.problems import CredentialInactive, CredentialNotFound, CredentialRefused
from corral.credentials.validation import restriction_findings
from corral.edge.request_state import resources_of
from corral.errors import Problem
from corral.identity.models import AuthUser
from corral.web.page_user import PageUser
from corral.web.rendering import PAGE_WAIT_SECONDS, Deferred, Value, load_within, render_page
from corral.web.static_files import HAS_CHART
from corral.web.view.account_details import describe_account, detail_amounts
from corral.web.view.equity import CurrentEquity, Period, history_params, summarize_equity
from corral.web.view.filters import (
    ASSET_CHOICES,
    COLUMN_NAMES,
    KIND_CHOICES,
    PAGE_ROWS,
    SIDE_CHOICES,
    STATUS_CHOICES,
    TYPE_CHOICES,
    AccountOverviewParams,
    ActivitiesFilter,
    OrdersFilter,
    PageParams,
    column_headings,
    csv_query,
)
from corral.web.view.outages import is_outage, shared_problem
from corral.web.view.positions import allocation_slices, build_positions_table, tones_by_asset
from corral.web.view.switcher import Switcher, build_switcher

_DEFAULT_CURRENCY: Final = "USD"  # until the account's own is known

router = APIRouter(prefix="/accounts/{credential_id}", include_in_schema=False)


@dataclass(frozen=True, slots=True)
class AccountHeader:
    """What every page of an account shows first."""

    credential: Credential
    loaded: Deferred[AccountDataResponse]
    last_known: Account | None
    switcher: Switcher
    shared_problem: Problem | None = None  # of several sections, if the account itself could be read

    @property
    def problem(self) -> Problem | None:
        """What the page says at its top."""
        return self.loaded.problem or self.shared_problem

    @property
    def data(self) -> AccountDataResponse | None:
        return self.loaded.value

    @property
    def currency(self) -> str:
        return self.loaded.value.currency if self.loaded.value else _DEFAULT_CURRENCY

    @property
    def current_equity(self) -> CurrentEquity | None:
        return CurrentEquity(self.data.equity, self.data.last_updated) if self.data else None

    @property
    def is_unavailable(self) -> bool:
        """Whether Corral makes no requests with this credential, so that the pages have nothing else to show."""
        return isinstance(self.loaded.problem, CredentialInactive | CredentialRefused)

    def explains(self, problem: Problem) -> bool:
        """Whether the top of the page says the same, so that a section need not repeat it."""
        if self.problem is None:
            return False
        return self.problem.code == problem.code or (is_outage(self.problem) and is_outage(problem))


@dataclass(frozen=True, slots=True)
class _AccountRequest:
    """A request for a page about an account of the user."""

    credential: Credential
    user: AuthUser
    request: Request
    switcher: Switcher

    @property
    def accounts(self) -> AccountReader:
        return ACCOUNTS.of(self.request)

    async def load(self, answer: Awaitable[Answer[Value]], params: PageParams) -> Deferred[Value]:
        return await load_within(None if params.wait else PAGE_WAIT_SECONDS, answer)

    async def load_header(self, params: PageParams) -> AccountHeader:
        loaded = await self.load(self.accounts.account_data(self.user.id, self.credential.id), params)
        last_known = await self.find_last_known() if loaded.value else None
        return AccountHeader(self.credential, loaded, last_known, self.switcher)

    async def find_last_known(self) -> Account | None:
        """Checks again whether the user may see the account. Raises a Problem."""
        return await self.accounts.last_known(self.user.id, self.credential.id)


async def _account_request(credential_id: str, user: PageUser, request: Request) -> _AccountRequest:
    """Raises CredentialNotFound, also for another user's account and for an invalid id."""
    try:
        wanted = UUID(credential_id)
    except ValueError:
        raise CredentialNotFound from None
    arranged = await load_arrangement(user.id, resources_of(request).database)
    credential = arranged.find(wanted)
    return _AccountRequest(credential, user, request, build_switcher(arranged, wanted, request.url.path))


AccountRequest = Annotated[_AccountRequest, Depends(_account_request)]


@router.get("")
async def show_overview(page: AccountRequest, params: Annotated[AccountOverviewParams, Query()]) -> HTMLResponse:
    history_query = history_params(params.span)

    user_id, credential_id, accounts = page.user.id, page.credential.id, page.accounts
    header, positions, history = await asyncio.gather(
        page.load_header(params),
        page.load(read_positions(user_id, credential_id, accounts), params),
        page.load(read_portfolio_history(user_id, credential_id, history_query, accounts), params),
    )
    header = replace(header, shared_problem=shared_problem([positions.problem, history.problem]))
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
        blocks=list(restriction_findings(header.last_known)) if header.last_known else [],
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
        equity=history.value
        and summarize_equity(history.value, params.span, datetime.now(UTC), current=header.current_equity),
        history_query=urlencode(history_query.model_dump(mode="json", exclude_none=True)),
        has_chart=HAS_CHART,
    )


@router.get("/details")
async def show_details(page: AccountRequest) -> Response:
    """Returns what the stream does not send to the page's script when the account changes."""
    account = await page.find_last_known()
    details = account and {
        "last_equity": account.last_equity,
        "blocks": list(restriction_findings(account)),
        "figures": detail_amounts(account),
    }
    return Response(orjson.dumps(details), media_type="application/json")


@router.get("/orders")
async def show_orders(page: AccountRequest, params: Annotated[OrdersFilter, Query()]) -> HTMLResponse:
    header, orders = await asyncio.gather(page.load_header(params), _load_orders(page, params))
    listed = orders.value
    return render_page(
        page.request,
        "account_orders.html",
        user=page.user,
        environment=page.credential.credential_type,
        header=header,
        params=params,
        orders=orders,
        is_partial=bool(params.type and listed and listed.next_cursor and len(listed.items) < PAGE_ROWS),
        choices={"status": STATUS_CHOICES, "side": SIDE_CHOICES, "type": TYPE_CHOICES, "asset": ASSET_CHOICES},
        csv=None if params.errors else csv_query(params.api_params(), *OrdersParams.model_fields),
    )


@router.get("/activities")
async def show_activities(page: AccountRequest, params: Annotated[ActivitiesFilter, Query()]) -> HTMLResponse:
    header, activities = await asyncio.gather(page.load_header(params), _load_activities(page, params))
    listed = activities.value
    return render_page(
        page.request,
        "account_activities.html",
        user=page.user,
        environment=page.credential.credential_type,
        header=header,
        params=params,
        activities=activities,
        is_partial=bool(params.symbol and listed and listed.next_cursor and len(listed.items) < PAGE_ROWS),
        kinds=KIND_CHOICES,
        csv=None if params.errors else csv_query(params.api_params(), *ActivitiesParams.model_fields),
    )


async def _load_orders(page: AccountRequest, params: OrdersFilter) -> Deferred[OrderList]:
    """Nothing is requested with filters that are wrong."""
    if params.errors:
        return Deferred()
    answer = read_orders(page.user.id, page.credential.id, params.api_params(), page.accounts)
    return await page.load(answer, params)


async def _load_activities(page: AccountRequest, params: ActivitiesFilter) -> Deferred[ActivityList]:
    """Nothing is requested with filters that are wrong."""
    if params.errors:
        return Deferred()
    answer = read_activities(page.user.id, page.credential.id, params.api_params(), page.accounts)
    return await page.load(answer, params)
