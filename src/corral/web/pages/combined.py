"""The pages over all accounts of a user: holdings, orders and activity. Live and paper accounts are never mixed."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, TypeVar
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from corral.accounts.combined.lists import ActivityLists, CombinedPage, Lists, OrderLists, read_page
from corral.accounts.combined.positions import read_all_positions
from corral.accounts.params import ActivitiesParams, OrdersParams
from corral.accounts.reader import AccountReader
from corral.accounts.routes import ACCOUNTS
from corral.alpaca.environments import Environment
from corral.alpaca.orders import OrderStatusFilter
from corral.alpaca.paging import Listed
from corral.credentials.management import load_active_credentials
from corral.credentials.models import NamedCredential
from corral.edge.request_state import resources_of
from corral.errors import InvalidRequest
from corral.identity.models import AuthUser
from corral.web.display import current_display
from corral.web.page_user import PageUser
from corral.web.rendering import PAGE_WAIT_SECONDS, render_page
from corral.web.view.filters import (
    ASSET_CHOICES,
    COLUMN_NAMES,
    KIND_CHOICES,
    PAGE_ROWS,
    SIDE_CHOICES,
    STATUS_CHOICES,
    TYPE_CHOICES,
    ActivitiesFilter,
    ListFilter,
    OrdersFilter,
    PageParams,
    column_headings,
    csv_query,
)
from corral.web.view.holdings import HoldingsParams, build_holdings, choose_money, row_key
from corral.web.view.missing import describe_missing

_DEFAULT_CURRENCY: Final = "USD"  # of an account that has not been read yet
_MOST_OPEN: Final = 100  # above the recent orders

router = APIRouter(include_in_schema=False)
Item = TypeVar("Item", bound=Listed)
Response = TypeVar("Response")


class AllOrdersFilter(OrdersFilter):
    """`money` is live or paper, by default live if there is a live account."""

    money: Environment | None = None

    def lists(self, reader: AccountReader) -> OrderLists:
        """To be called only without `errors`."""
        return OrderLists(self.api_params().query(), reader)


class AllActivitiesFilter(ActivitiesFilter):
    money: Environment | None = None

    def lists(self, reader: AccountReader) -> ActivityLists:
        """To be called only without `errors`."""
        return ActivityLists(self.api_params().query(), reader)


@dataclass(frozen=True, slots=True)
class _Scope:
    """The accounts that a page shows: the live or the paper ones. `monies` are the kinds that there are."""

    request: Request
    user: AuthUser
    money: Environment
    monies: tuple[Environment, ...]
    credentials: tuple[NamedCredential, ...]

    @property
    def reader(self) -> AccountReader:
        return ACCOUNTS.of(self.request)

    @property
    def currencies(self) -> dict[UUID, str]:
        """By the account's id."""
        known = {one.sealed.id: self.reader.last_known_of(one.sealed) for one in self.credentials}
        return {credential_id: one.currency if one else _DEFAULT_CURRENCY for credential_id, one in known.items()}

    @property
    def environment(self) -> Environment | None:
        """Sets the color of the layout."""
        return self.money if self.credentials else None


@router.get("/holdings")
async def show_holdings(user: PageUser, request: Request, params: Annotated[HoldingsParams, Query()]) -> HTMLResponse:
    """Shows positions merged by symbol, in one table for each currency; nothing is converted."""
    scope = await _scope(user, request, params.money)
    found = await read_all_positions(scope.credentials, scope.reader, within_seconds=_wait(params))
    return _render(
        "holdings.html",
        scope,
        params,
        is_live=bool(scope.credentials),
        missing=describe_missing(found.problems, len(scope.credentials)),
        pending=found.pending,
        found=found,
        sections=build_holdings(found, scope.money, params),
        headings=column_headings(params),
        column_names=COLUMN_NAMES,
        row_key=row_key,
    )


@router.get("/orders")
async def show_orders(user: PageUser, request: Request, params: Annotated[AllOrdersFilter, Query()]) -> HTMLResponse:
    """Shows open orders before the others, unless a status is chosen."""
    scope = await _scope(user, request, params.money)
    is_divided = params.status is OrderStatusFilter.ALL
    listed = params.model_copy(update={"status": OrderStatusFilter.CLOSED}) if is_divided else params
    opened = params.model_copy(update={"status": OrderStatusFilter.OPEN})
    open_orders, orders = await asyncio.gather(
        _load(scope, opened, opened.lists, _MOST_OPEN) if is_divided and not params.cursor else _nothing(),
        _load(scope, listed, listed.lists, PAGE_ROWS),
    )
    return _render_list(
        "all_orders.html",
        scope,
        params,
        orders,
        open_orders=open_orders,
        unreadable=sum(page.unreadable for page in (open_orders, orders) if page),
        is_divided=is_divided,
        is_partial=_is_partial(orders, bool(params.type)),
        choices={"status": STATUS_CHOICES, "side": SIDE_CHOICES, "type": TYPE_CHOICES, "asset": ASSET_CHOICES},
        csv=None if params.errors else csv_query(params.api_params(), *OrdersParams.model_fields),
    )


@router.get("/activity")
async def show_activity(
    user: PageUser, request: Request, params: Annotated[AllActivitiesFilter, Query()]
) -> HTMLResponse:
    scope = await _scope(user, request, params.money)
    activities = await _load(scope, params, params.lists, PAGE_ROWS)
    return _render_list(
        "all_activity.html",
        scope,
        params,
        activities,
        is_over=params.ends_before(datetime.now(current_display().zone).date()),
        unreadable=activities.unreadable if activities else 0,
        is_partial=_is_partial(activities, bool(params.symbol)),
        choices={"kind": KIND_CHOICES},
        csv=None if params.errors else csv_query(params.api_params(), *ActivitiesParams.model_fields),
    )


async def _scope(user: AuthUser, request: Request, wanted: Environment | None) -> _Scope:
    credentials = await load_active_credentials(user.id, resources_of(request).database)
    money = choose_money(wanted, credentials)
    shown = tuple(credential for credential in credentials if credential.sealed.credential_type is money)
    monies = tuple(sorted({credential.sealed.credential_type for credential in credentials}))
    return _Scope(request, user, money, monies, shown)


async def _load(
    scope: _Scope, params: ListFilter, lists: Callable[[AccountReader], Lists[Item, Response]], limit: int
) -> CombinedPage[Response] | None:
    """Returns None for filters or a cursor that are wrong."""
    if params.errors:
        return None
    try:
        return await read_page(
            scope.user.id,
            scope.credentials,
            lists(scope.reader),
            limit=limit,
            cursor=params.cursor,
            bound_to=scope.money,
            within_seconds=_wait(params),
        )
    except InvalidRequest:
        return None


async def _nothing() -> None:
    return None


def _wait(params: PageParams) -> float | None:
    return None if params.wait else PAGE_WAIT_SECONDS


def _is_partial(page: CombinedPage[Response] | None, is_searched: bool) -> bool:  # noqa: FBT001 - private
    """Whether the search with a filter that Alpaca does not have has not come to the end."""
    return bool(is_searched and page and page.next_cursor and len(page.items) < PAGE_ROWS)


def _render_list(
    template: str,
    scope: _Scope,
    params: ListFilter,
    page: CombinedPage[Response] | None,
    *,
    is_over: bool = False,
    **content: object,
) -> HTMLResponse:
    """`page` is None for filters or a cursor that are wrong. If the list `is_over`, nothing of it changes any more."""
    return _render(
        template,
        scope,
        params,
        is_live=bool(page and scope.credentials and not params.cursor and not is_over),
        missing=describe_missing(page.problems, len(scope.credentials)) if page else None,
        pending=page.pending if page else (),
        page=page,
        currencies=scope.currencies,
        **content,
    )


def _render(template: str, scope: _Scope, params: PageParams, **content: object) -> HTMLResponse:
    return render_page(
        scope.request,
        template,
        user=scope.user,
        environment=scope.environment,
        status=200,
        scope=scope,
        params=params,
        **content,
    )
