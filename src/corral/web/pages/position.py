"""The page of one position: what it is worth, its lots, orders and activities, and its share of each account."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query
from fastapi.responses import HTMLResponse

from corral.accounts.activity_history import read_activity_history
from corral.accounts.combined.holders import find_position, read_holders
from corral.accounts.lists import read_orders, read_positions
from corral.accounts.params import OrdersPageParams
from corral.alpaca.orders import MOST_ORDERS, OrderStatusFilter
from corral.credentials.management import load_active_credentials
from corral.edge.request_state import resources_of
from corral.web.pages.account import AccountRequest
from corral.web.rendering import PAGE_WAIT_SECONDS, render_page
from corral.web.view.filters import PageParams
from corral.web.view.instruments import parse_option
from corral.web.view.missing import describe_missing
from corral.web.view.position_details import (
    activities_of,
    build_lots_table,
    orders_of,
    rounded_average,
    share_of_equity,
    shares_of,
)
from corral.web.view.positions import compute_weights

_RECENT_ORDERS: Final = 20

router = APIRouter(prefix="/accounts/{credential_id}/positions", include_in_schema=False)

Symbol = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9./]{0,23}$")]


@router.get("/{symbol:path}")
async def show_position(symbol: Symbol, page: AccountRequest, params: Annotated[PageParams, Query()]) -> HTMLResponse:
    """Shows also a symbol without an open position, with its orders and activities."""
    ids = page.user.id, page.credential.id
    accounts = page.accounts
    open_orders = _orders_params(symbol, OrderStatusFilter.OPEN, MOST_ORDERS)
    closed_orders = _orders_params(symbol, OrderStatusFilter.CLOSED, _RECENT_ORDERS)

    credentials = await load_active_credentials(page.user.id, resources_of(page.request).database)
    within_seconds = None if params.wait else PAGE_WAIT_SECONDS

    header, positions, opened, closed, activities, holders = await asyncio.gather(
        page.load_header(params),
        page.load(read_positions(*ids, accounts), params),
        page.load(read_orders(*ids, open_orders, accounts), params),
        page.load(read_orders(*ids, closed_orders, accounts), params),
        page.load(read_activity_history(*ids, accounts), params),
        read_holders(symbol, credentials, accounts, within_seconds=within_seconds),
    )
    listed = positions.value.items if positions.value else []
    position = find_position(symbol, listed)
    weights = compute_weights([one.market_value for one in listed])
    return render_page(
        page.request,
        "position.html",
        user=page.user,
        environment=page.credential.credential_type,
        header=header,
        params=params,
        symbol=position.symbol if position else symbol.upper(),
        contract=parse_option(symbol),
        positions=positions,
        position=position,
        average=position and rounded_average(position.avg_entry_price),
        weight=weights[listed.index(position)] if position else None,
        of_equity=position and share_of_equity(position.market_value, header.data.equity if header.data else None),
        lots=activities.value
        and positions.value
        and build_lots_table(symbol, position, activities.value, header.currency, datetime.now(UTC)),
        history=activities,
        activities=activities_of(symbol, position, activities.value) if activities.value else [],
        holders=holders,
        shares=shares_of(holders),
        missing=describe_missing(holders.problems, len(credentials)),
        orders=[opened, closed],
        open_orders=orders_of(symbol, opened.value.items) if opened.value else [],
        closed_orders=orders_of(symbol, closed.value.items) if closed.value else [],
    )


def _orders_params(symbol: str, status: OrderStatusFilter, limit: int) -> OrdersPageParams:
    return OrdersPageParams.model_validate({"status": status, "symbols": symbol.upper(), "limit": limit})
