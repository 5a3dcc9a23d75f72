"""The pages over all accounts of a user: holdings, orders and activity."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from corral.accounts.combined.positions import read_all_positions
from corral.accounts.routes import ACCOUNTS
from corral.credentials.management import load_active_credentials
from corral.edge.request_state import resources_of
from corral.web.page_user import PageUser
from corral.web.rendering import PAGE_WAIT_SECONDS, render_page
from corral.web.view.filters import COLUMN_NAMES, column_headings
from corral.web.view.holdings import HoldingsParams, build_holdings, choose_money, describe_missing, row_key

router = APIRouter(include_in_schema=False)


@router.get("/holdings")
async def show_holdings(user: PageUser, request: Request, params: Annotated[HoldingsParams, Query()]) -> HTMLResponse:
    """Shows live accounts or paper accounts, in their currencies; nothing is converted."""
    credentials = await load_active_credentials(user.id, resources_of(request).database)
    money = choose_money(params.money, credentials)
    shown = [credential for credential in credentials if credential.sealed.credential_type is money]
    found = await read_all_positions(
        shown, ACCOUNTS.of(request), within_seconds=None if params.wait else PAGE_WAIT_SECONDS
    )
    return render_page(
        request,
        "holdings.html",
        user=user,
        environment=money if credentials else None,
        params=params,
        money=money,
        monies=sorted({credential.sealed.credential_type for credential in credentials}),
        accounts=len(shown),
        found=found,
        missing=describe_missing(found.problems),
        sections=build_holdings(found, money, params),
        headings=column_headings(params),
        column_names=COLUMN_NAMES,
        row_key=row_key,
    )
