"""The page of all accounts: a card for each, and totals."""

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
from corral.edge.request_state import resources_of
from corral.errors import Problem
from corral.web.forms import initial_form
from corral.web.page_user import PageUser
from corral.web.rendering import PAGE_WAIT_SECONDS, render_page
from corral.web.view.outages import find_outage
from corral.web.view.sparklines import HEIGHT, WIDTH, Sparkline, fetch_sparklines

# For sparklines alone, when the reader is waiting anyway or a script asks.
_SPARKLINE_WAIT_SECONDS: Final = 2.0

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class AccountCard:
    """`data` is None for a paused account, with a `problem`, and while the request to Alpaca is pending."""

    credential: Credential
    data: AccountDataResponse | None
    problem: Problem | None
    last_equity: str | None
    blocks: Sequence[str] = ()
    sparkline: Sparkline | None = None


@router.get("/")
async def show_accounts(user: PageUser, request: Request) -> Response:
    """Shows what is available at once. `?wait`, which the page offers without JavaScript, waits for Alpaca."""
    database, accounts = resources_of(request).database, ACCOUNTS.of(request)
    credentials, active = await load_credentials(user.id, database), await load_active_credentials(user.id, database)
    waits = "wait" in request.query_params
    sparkline_wait = _SPARKLINE_WAIT_SECONDS if waits else PAGE_WAIT_SECONDS
    outcomes, sparklines = await asyncio.gather(
        accounts.each_account_data(active, within_seconds=None if waits else PAGE_WAIT_SECONDS),
        fetch_sparklines(active, accounts, within_seconds=sparkline_wait),
    )
    by_id = {outcome.credential.sealed.id: outcome for outcome in outcomes}
    return render_page(
        request,
        "accounts.html",
        user=user,
        cards=[_card(credential, by_id.get(credential.id), sparklines, accounts) for credential in credentials],
        sparkline_size=(WIDTH, HEIGHT),
        totals=totals_of(outcomes),
        outage=find_outage([one.answer if isinstance(one.answer, Problem) else None for one in outcomes]),
        form=initial_form(),
        is_pending=any(outcome.answer is None for outcome in outcomes),
    )


@router.get("/closes")
async def show_closes(user: PageUser, request: Request) -> Response:
    """Returns what the stream does not send to the page's script: equity at the previous close, and warnings."""
    credentials = await load_active_credentials(user.id, resources_of(request).database)
    accounts = {str(one.sealed.id): _last_known(one, ACCOUNTS.of(request)) for one in credentials}
    return _json(
        {
            credential_id: account
            and {"last_equity": account.last_equity, "blocks": list(restriction_findings(account))}
            for credential_id, account in accounts.items()
        }
    )


@router.get("/lines")
async def show_sparklines(user: PageUser, request: Request) -> Response:
    """Returns all sparklines to the page's script. null is an account without one; pending ones are left out."""
    credentials = await load_active_credentials(user.id, resources_of(request).database)
    sparklines = await fetch_sparklines(credentials, ACCOUNTS.of(request), within_seconds=_SPARKLINE_WAIT_SECONDS)
    return _json({str(credential_id): one and one.model_dump() for credential_id, one in sparklines.items()})


def _card(
    credential: Credential,
    outcome: Outcome | None,
    sparklines: Mapping[UUID, Sparkline | None],
    accounts: AccountReader,
) -> AccountCard:
    if outcome is None:
        return AccountCard(credential, None, None, None)
    answer, sparkline = outcome.answer, sparklines.get(credential.id)
    if isinstance(answer, Problem):
        return AccountCard(credential, None, answer, None)
    account = _last_known(outcome.credential, accounts)
    data = answer.value if isinstance(answer, Answer) else None
    if account is None:
        return AccountCard(credential, data, None, None, sparkline=sparkline)
    return AccountCard(credential, data, None, account.last_equity, list(restriction_findings(account)), sparkline)


def _last_known(credential: NamedCredential, accounts: AccountReader) -> Account | None:
    """The account as Alpaca last returned it."""
    return accounts.last_known_of(credential.sealed)


def _json(content: Mapping[str, object]) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")
