"""The audit trail: what was done with a person's accounts and access, in plain words."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from corral.audit.reading import load_deeds
from corral.credentials.arrangement import load_arrangement
from corral.edge.request_state import resources_of
from corral.grants.management import load_grants
from corral.identity.api_tokens import load_api_tokens
from corral.web.page_user import PageUser
from corral.web.rendering import render_page
from corral.web.view.audit import GROUP_CHOICES, PresentNames, TrailParams, by_day

router = APIRouter(include_in_schema=False)

_PAGE_ENTRIES: Final = 100  # two for what was sent to Alpaca


@router.get("/you/audit")
async def show_audit_trail(user: PageUser, request: Request, params: Annotated[TrailParams, Query()]) -> Response:
    database = resources_of(request).database
    page = await load_deeds(user.id, database, params.filters, _PAGE_ENTRIES)
    arranged = await load_arrangement(user.id, database)
    names = PresentNames(
        accounts={account.credential.id: account.credential.nickname for account in arranged.accounts},
        grants={grant.id: grant.name for grant in await load_grants(user.id, database)},
        tokens={token.id: token.name for token in await load_api_tokens(user.id, database)},
    )
    return render_page(
        request,
        "audit_trail.html",
        user=user,
        params=params,
        days=by_day(page.deeds, names),
        next_cursor=page.next_before,
        names=names,
        groups=GROUP_CHOICES,
    )
