"""The page of one order: what it is, its legs, and its life as a timeline."""

import asyncio
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from corral.accounts.order_life import OrderLife, read_order_life
from corral.accounts.problems import OrderNotFound
from corral.stream.routes import STREAM_SERVICE
from corral.web.pages.account import AccountRequest
from corral.web.rendering import render_page
from corral.web.view.filters import PageParams
from corral.web.view.order_timeline import Timeline, build_timeline
from corral.web.view.orders import is_open

router = APIRouter(prefix="/accounts/{credential_id}/orders", include_in_schema=False)


@router.get("/{order_id}")
async def show_order(page: AccountRequest, order_id: str, params: Annotated[PageParams, Query()]) -> HTMLResponse:
    """Raises OrderNotFound, also for an order of another account and for an invalid id."""
    wanted = _parse_id(order_id)
    life = read_order_life(page.user.id, page.credential.id, wanted, page.accounts)
    header, loaded = await asyncio.gather(page.load_header(params), page.load(life, params))
    if isinstance(loaded.problem, OrderNotFound):
        raise loaded.problem
    return render_page(
        page.request,
        "order.html",
        user=page.user,
        environment=page.credential.credential_type,
        header=header,
        params=params,
        order_id=wanted,
        loaded=loaded,
        order=loaded.value and loaded.value.order,
        is_open=bool(loaded.value and is_open(loaded.value.order)),
        timeline=loaded.value and _timeline(page, loaded.value),
    )


def _timeline(page: AccountRequest, life: OrderLife) -> Timeline:
    log, whose = STREAM_SERVICE.of(page.request).order_log, (page.user.id, page.credential.id)
    heard = [event for one in (life.order, *life.order.legs) for event in log.heard(*whose, one.id)]
    return build_timeline(life.order, life.filled, heard, lambda at: log.was_watching(*whose, at))


def _parse_id(order_id: str) -> UUID:
    try:
        return UUID(order_id)
    except ValueError:
        raise OrderNotFound from None
