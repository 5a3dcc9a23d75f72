"""All accounts of the visitor as cards, and the sums of what is known."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import orjson
from fastapi import APIRouter, Request, Response

from corral.accounts.standings import Outcome, find_outcomes, standing_of
from corral.accounts.totals import totals_of
from corral.credentials.desk import load_active_credentials, load_credentials
from corral.credentials.models import Credential, NamedCredential
from corral.edge.resources import resources
from corral.errors import Problem
from corral.web.forms import filled
from corral.web.templating import render_page
from corral.web.visitors import Visitor

if TYPE_CHECKING:
    from corral.accounts.last_known import LastKnown

# Long enough for an Alpaca that is well, and too short for a person to wait.
PATIENCE_SECONDS: Final = 0.15

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Card:
    """`data` is None with a problem, while the answer is under way, and for a credential that is switched off."""

    credential: Credential
    data: dict[str, Any] | None
    problem: Problem | None
    last_equity: str | None


@router.get("/")
async def show_accounts(user: Visitor, request: Request) -> Response:
    """Whatever is known at once. With `?wait`, which a page without JavaScript offers, also what takes longer."""
    database = resources(request).database
    credentials = await load_credentials(user.id, database)
    within = None if "wait" in request.query_params else PATIENCE_SECONDS
    outcomes = await find_outcomes(await load_active_credentials(user.id, database), request, within_seconds=within)
    by_id = {outcome.credential.sealed.id: outcome for outcome in outcomes}
    return render_page(
        request,
        "accounts.html",
        user=user,
        cards=[_card(credential, by_id.get(credential.id), request) for credential in credentials],
        totals=totals_of(map(standing_of, outcomes)),
        form=filled(),
        is_waiting=any(outcome.answer is None for outcome in outcomes),
    )


@router.get("/closes")
async def show_closes(user: Visitor, request: Request) -> Response:
    """For the page's script: equities at the last close, of accounts that had not answered when the page was made."""
    credentials = await load_active_credentials(user.id, resources(request).database)
    found = {str(credential.sealed.id): _last_equity(credential, request) for credential in credentials}
    return Response(orjson.dumps(found), media_type="application/json")


def _card(credential: Credential, outcome: Outcome | None, request: Request) -> Card:
    if outcome is None:
        return Card(credential, None, None, None)
    answer = outcome.answer
    if isinstance(answer, Problem):
        return Card(credential, None, answer, None)
    last_equity = _last_equity(outcome.credential, request)
    return Card(credential, orjson.loads(answer) if answer else None, None, last_equity)


def _last_equity(credential: NamedCredential, request: Request) -> str | None:
    account = cast("LastKnown", request.state.last_known).of(credential.sealed)
    return account and account.last_equity
