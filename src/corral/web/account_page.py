"""The pages of one account: how it stands with its equity and positions, its orders, its activities."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final
from urllib.parse import urlencode
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse

from corral.accounts.cache import Answer as KeptAnswer
from corral.accounts.lists import read_activities, read_orders, read_portfolio_history, read_positions
from corral.accounts.reader import AccountReader
from corral.accounts.routes import ACCOUNTS
from corral.accounts.schemas import (
    AccountDataResponse,
    ActivityList,
    OrderList,
)
from corral.alpaca.models import Account
from corral.credentials.management import load_credential
from corral.credentials.models import Credential
from corral.credentials.problems import CredentialInactive, CredentialNotFound, CredentialRefused
from corral.credentials.validation import restriction_findings
from corral.edge.services import resources
from corral.identity.models import AuthUser
from corral.web.account_details import details_of, figures_of
from corral.web.account_filters import (
    ACTIVITY_KINDS,
    ACTIVITY_NAMES,
    ActivitiesAsked,
    OrdersAsked,
    OverviewAsked,
    PageAsked,
    csv_query,
    headings_of,
)
from corral.web.allocation import slices_of, tones_of
from corral.web.equity import Span, equity_of, history_question
from corral.web.holdings import holdings_of
from corral.web.patience import UNNOTICED_SECONDS, Answer, Heard, hear
from corral.web.static_files import STATIC_FILES
from corral.web.templating import render_page
from corral.web.visitors import Visitor

_USUAL_CURRENCY: Final = "USD"  # as long as the account has not said its own
HAS_CHART: Final = "vendor/lightweight-charts.js" in STATIC_FILES

router = APIRouter(prefix="/accounts/{credential_id}", include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Head:
    """What stands above each page of an account."""

    credential: Credential
    account: Heard[AccountDataResponse]
    known: Account | None

    @property
    def data(self) -> AccountDataResponse | None:
        return self.account.answer

    @property
    def currency(self) -> str:
        return self.account.answer.currency if self.account.answer else _USUAL_CURRENCY

    @property
    def is_barred(self) -> bool:
        """Whether nothing at all can be asked with this credential."""
        return isinstance(self.account.problem, CredentialInactive | CredentialRefused)


@dataclass(frozen=True, slots=True)
class _Visit:
    """Somebody looks at an account of theirs."""

    credential: Credential
    user: AuthUser
    request: Request

    @property
    def accounts(self) -> AccountReader:
        return ACCOUNTS.of(self.request)

    async def hear(self, answer: Awaitable[KeptAnswer[Answer]], asked: PageAsked) -> Heard[Answer]:
        return await hear(answer, seconds=None if asked.wait else UNNOTICED_SECONDS)

    async def hear_head(self, asked: PageAsked) -> Head:
        account = await self.hear(self.accounts.account_data(self.user.id, self.credential.id), asked)
        return Head(self.credential, account, await self.find_known() if account.answer else None)

    async def find_known(self) -> Account | None:
        """Raises a Problem: the right to see it is asked for anew."""
        return await self.accounts.last_known(self.user.id, self.credential.id)


async def _visit(credential_id: str, user: Visitor, request: Request) -> _Visit:
    """Raises CredentialNotFound, for what is somebody else's and for what is no id as for what is not there."""
    try:
        wanted = UUID(credential_id)
    except ValueError:
        raise CredentialNotFound from None
    return _Visit(await load_credential(user.id, resources(request).database, wanted), user, request)


Visit = Annotated[_Visit, Depends(_visit)]


@router.get("")
async def overview(visit: Visit, asked: Annotated[OverviewAsked, Query()]) -> HTMLResponse:
    question = history_question(asked.span)

    user_id, credential_id, accounts = visit.user.id, visit.credential.id, visit.accounts
    head, positions, history = await asyncio.gather(
        visit.hear_head(asked),
        visit.hear(read_positions(user_id, credential_id, accounts), asked),
        visit.hear(read_portfolio_history(user_id, credential_id, question, accounts), asked),
    )
    listed = positions.answer
    held = listed and holdings_of(listed.items, asked.column, descending=asked.is_descending, missing=listed.unreadable)
    return render_page(
        visit.request,
        "account_overview.html",
        user=visit.user,
        environment=visit.credential.credential_type,
        head=head,
        blocks=list(restriction_findings(head.known)) if head.known else [],
        details=details_of(head.known, visit.credential.credential_type) if head.known else None,
        asked=asked,
        positions=positions,
        held=held,
        headings=headings_of(asked),
        slices=slices_of(held.rows) if held else [],
        tones=tones_of(held.rows) if held else {},
        spans=list(Span),
        history=history,
        equity=history.answer and equity_of(history.answer, asked.span, datetime.now(UTC)),
        history_query=urlencode(question.model_dump(mode="json", exclude_none=True)),
        has_chart=HAS_CHART,
    )


@router.get("/details")
async def details(visit: Visit) -> Response:
    """For the page's script, when the stream told that the account moved: what the stream does not tell of it."""
    account = await visit.find_known()
    told = account and {
        "last_equity": account.last_equity,
        "blocks": list(restriction_findings(account)),
        "figures": figures_of(account),
    }
    return Response(orjson.dumps(told), media_type="application/json")


@router.get("/orders")
async def orders(visit: Visit, asked: Annotated[OrdersAsked, Query()]) -> HTMLResponse:
    question = asked.question()

    async def listed_orders() -> KeptAnswer[OrderList]:
        asked.refuse_disorder()
        return await read_orders(visit.user.id, visit.credential.id, question, visit.accounts)

    head, listed = await asyncio.gather(visit.hear_head(asked), visit.hear(listed_orders(), asked))
    return render_page(
        visit.request,
        "account_orders.html",
        user=visit.user,
        environment=visit.credential.credential_type,
        head=head,
        asked=asked,
        listed=listed,
        csv=csv_query(question, "status", "after", "until", "direction"),
    )


@router.get("/activities")
async def activities(visit: Visit, asked: Annotated[ActivitiesAsked, Query()]) -> HTMLResponse:
    question = asked.question()

    async def listed_activities() -> KeptAnswer[ActivityList]:
        asked.refuse_disorder()
        return await read_activities(visit.user.id, visit.credential.id, question, visit.accounts)

    head, listed = await asyncio.gather(visit.hear_head(asked), visit.hear(listed_activities(), asked))
    return render_page(
        visit.request,
        "account_activities.html",
        user=visit.user,
        environment=visit.credential.credential_type,
        head=head,
        asked=asked,
        listed=listed,
        csv=csv_query(question, "activity_types", "after", "until", "direction"),
        kinds=ACTIVITY_KINDS,
        names=ACTIVITY_NAMES,
    )
