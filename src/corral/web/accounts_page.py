"""All accounts of the visitor as cards, and the sums of what is known."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

import orjson
from fastapi import APIRouter, Request, Response

from corral.accounts.standings import Outcome, find_outcomes, standing_of
from corral.accounts.totals import totals_of
from corral.alpaca.models import Account
from corral.credentials.desk import load_active_credentials, load_credentials
from corral.credentials.findings import find_blocks
from corral.credentials.models import Credential, NamedCredential
from corral.edge.resources import resources
from corral.errors import Problem
from corral.web.forms import filled
from corral.web.lines import HEIGHT, WIDTH, Line, find_lines
from corral.web.templating import render_page
from corral.web.visitors import Visitor

if TYPE_CHECKING:
    from corral.accounts.last_known import LastKnown

# Long enough for an Alpaca that is well, and too short for a person to wait.
PATIENCE_SECONDS: Final = 0.15
# For lines alone, by somebody who waits anyway, or by a script.
_LONGER_PATIENCE_SECONDS: Final = 2.0

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Card:
    """`data` is None with a problem, while the answer is under way, and for a credential that is switched off."""

    credential: Credential
    data: dict[str, Any] | None
    problem: Problem | None
    last_equity: str | None
    blocks: Sequence[str] = ()
    line: Line | None = None


@router.get("/")
async def show_accounts(user: Visitor, request: Request) -> Response:
    """Whatever is known at once. With `?wait`, which a page without JavaScript offers, also what takes longer."""
    database = resources(request).database
    credentials, active = await load_credentials(user.id, database), await load_active_credentials(user.id, database)
    is_patient = "wait" in request.query_params
    line_patience = _LONGER_PATIENCE_SECONDS if is_patient else PATIENCE_SECONDS
    outcomes, lines = await asyncio.gather(
        find_outcomes(active, request, within_seconds=None if is_patient else PATIENCE_SECONDS),
        find_lines([named.sealed for named in active], user, request, within_seconds=line_patience),
    )
    by_id = {outcome.credential.sealed.id: outcome for outcome in outcomes}
    return render_page(
        request,
        "accounts.html",
        user=user,
        cards=[_card(credential, by_id.get(credential.id), lines, request) for credential in credentials],
        drawing=(WIDTH, HEIGHT),
        totals=totals_of(map(standing_of, outcomes)),
        form=filled(),
        is_waiting=any(outcome.answer is None for outcome in outcomes),
    )


@router.get("/closes")
async def show_closes(user: Visitor, request: Request) -> Response:
    """For the page's script, what the stream does not send: equities at the last close, and what stops trading."""
    credentials = await load_active_credentials(user.id, resources(request).database)
    accounts = {str(one.sealed.id): _known(one, request) for one in credentials}
    return _json(
        {
            credential_id: account and {"last_equity": account.last_equity, "blocks": list(find_blocks(account))}
            for credential_id, account in accounts.items()
        }
    )


@router.get("/lines")
async def show_lines(user: Visitor, request: Request) -> Response:
    """For the page's script: all lines in one answer. null is an account without one; what is under way is left out."""
    credentials = [named.sealed for named in await load_active_credentials(user.id, resources(request).database)]
    lines = await find_lines(credentials, user, request, within_seconds=_LONGER_PATIENCE_SECONDS)
    return _json({str(credential_id): line and asdict(line) for credential_id, line in lines.items()})


def _card(credential: Credential, outcome: Outcome | None, lines: Mapping[UUID, Line | None], request: Request) -> Card:
    if outcome is None:
        return Card(credential, None, None, None)
    answer, line = outcome.answer, lines.get(credential.id)
    if isinstance(answer, Problem):
        return Card(credential, None, answer, None)
    known = _known(outcome.credential, request)
    data = orjson.loads(answer) if answer else None
    if known is None:
        return Card(credential, data, None, None, line=line)
    return Card(credential, data, None, known.last_equity, list(find_blocks(known)), line)


def _known(credential: NamedCredential, request: Request) -> Account | None:
    """What Alpaca said with its last answer."""
    return cast("LastKnown", request.state.last_known).of(credential.sealed)


def _json(found: Mapping[str, object]) -> Response:
    return Response(orjson.dumps(found), media_type="application/json")
