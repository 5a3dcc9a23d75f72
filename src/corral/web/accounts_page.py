"""All accounts of the visitor as cards, and the sums of what is known."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import orjson
from fastapi import APIRouter, Request, Response

from corral.accounts.cache import Answer
from corral.accounts.overview import totals_of
from corral.accounts.reader import AccountReader, Outcome
from corral.accounts.routes import ACCOUNTS
from corral.accounts.schemas import AccountDataResponse
from corral.alpaca.models import Account
from corral.credentials.management import load_active_credentials, load_credentials
from corral.credentials.models import Credential, NamedCredential
from corral.credentials.validation import restriction_findings
from corral.edge.services import resources
from corral.errors import Problem
from corral.web.forms import filled
from corral.web.lines import HEIGHT, WIDTH, Line, find_lines
from corral.web.templating import render_page
from corral.web.visitors import Visitor

# Long enough for an Alpaca that is well, and too short for a person to wait.
PATIENCE_SECONDS: Final = 0.15
# For lines alone, by somebody who waits anyway, or by a script.
_LONGER_PATIENCE_SECONDS: Final = 2.0

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Card:
    """`data` is None with a problem, while the answer is under way, and for a credential that is switched off."""

    credential: Credential
    data: AccountDataResponse | None
    problem: Problem | None
    last_equity: str | None
    blocks: Sequence[str] = ()
    line: Line | None = None


@router.get("/")
async def show_accounts(user: Visitor, request: Request) -> Response:
    """Whatever is known at once. With `?wait`, which a page without JavaScript offers, also what takes longer."""
    database, accounts = resources(request).database, ACCOUNTS.of(request)
    credentials, active = await load_credentials(user.id, database), await load_active_credentials(user.id, database)
    is_patient = "wait" in request.query_params
    line_patience = _LONGER_PATIENCE_SECONDS if is_patient else PATIENCE_SECONDS
    outcomes, lines = await asyncio.gather(
        accounts.each_account_data(active, within_seconds=None if is_patient else PATIENCE_SECONDS),
        find_lines(active, accounts, within_seconds=line_patience),
    )
    by_id = {outcome.credential.sealed.id: outcome for outcome in outcomes}
    return render_page(
        request,
        "accounts.html",
        user=user,
        cards=[_card(credential, by_id.get(credential.id), lines, accounts) for credential in credentials],
        drawing=(WIDTH, HEIGHT),
        totals=totals_of(outcomes),
        form=filled(),
        is_waiting=any(outcome.answer is None for outcome in outcomes),
    )


@router.get("/closes")
async def show_closes(user: Visitor, request: Request) -> Response:
    """For the page's script, what the stream does not send: equities at the last close, and what stops trading."""
    credentials = await load_active_credentials(user.id, resources(request).database)
    accounts = {str(one.sealed.id): _known(one, ACCOUNTS.of(request)) for one in credentials}
    return _json(
        {
            credential_id: account
            and {"last_equity": account.last_equity, "blocks": list(restriction_findings(account))}
            for credential_id, account in accounts.items()
        }
    )


@router.get("/lines")
async def show_lines(user: Visitor, request: Request) -> Response:
    """For the page's script: all lines in one answer. null is an account without one; what is under way is left out."""
    credentials = await load_active_credentials(user.id, resources(request).database)
    lines = await find_lines(credentials, ACCOUNTS.of(request), within_seconds=_LONGER_PATIENCE_SECONDS)
    return _json({str(credential_id): line and line.model_dump() for credential_id, line in lines.items()})


def _card(
    credential: Credential, outcome: Outcome | None, lines: Mapping[UUID, Line | None], accounts: AccountReader
) -> Card:
    if outcome is None:
        return Card(credential, None, None, None)
    answer, line = outcome.answer, lines.get(credential.id)
    if isinstance(answer, Problem):
        return Card(credential, None, answer, None)
    known = _known(outcome.credential, accounts)
    data = answer.value if isinstance(answer, Answer) else None
    if known is None:
        return Card(credential, data, None, None, line=line)
    return Card(credential, data, None, known.last_equity, list(restriction_findings(known)), line)


def _known(credential: NamedCredential, accounts: AccountReader) -> Account | None:
    """What Alpaca said in its last answer."""
    return accounts.last_known_of(credential.sealed)


def _json(found: Mapping[str, object]) -> Response:
    return Response(orjson.dumps(found), media_type="application/json")
