"""The pages of one account: how it stands with its equity and positions, its orders, its activities."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final
from urllib.parse import urlencode
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse

from corral.accounts.account_data import answer_account_data, find_last_known
from corral.accounts.reads import answer_activities, answer_orders, answer_portfolio_history, answer_positions
from corral.accounts.schemas import (
    AccountDataResponse,
    ActivityList,
    OrderList,
    PortfolioHistoryResponse,
    PositionList,
)
from corral.alpaca.models import Account
from corral.credentials.desk import load_credential
from corral.credentials.findings import find_blocks
from corral.credentials.models import Credential
from corral.credentials.problems import CredentialInactive, CredentialNotFound, CredentialRefused
from corral.edge.resources import resources
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

    async def hear(self, read: "_Read", model: type[Answer], asked: PageAsked) -> Heard[Answer]:
        answer = read(self.user, self.credential.id, self.request)
        return await hear(answer, model, seconds=None if asked.wait else UNNOTICED_SECONDS)

    async def hear_head(self, asked: PageAsked) -> Head:
        account = await self.hear(answer_account_data, AccountDataResponse, asked)
        return Head(self.credential, account, await self.find_known() if account.answer else None)

    async def find_known(self) -> Account | None:
        """Raises a Problem: the right to see it is asked for anew."""
        return await find_last_known(self.user, self.credential.id, self.request)


_Read = Callable[[AuthUser, UUID, Request], Awaitable[bytes]]


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

    def read_history(user: AuthUser, credential_id: UUID, request: Request) -> Awaitable[bytes]:
        return answer_portfolio_history(user, credential_id, question, request)

    head, positions, history = await asyncio.gather(
        visit.hear_head(asked),
        visit.hear(answer_positions, PositionList, asked),
        visit.hear(read_history, PortfolioHistoryResponse, asked),
    )
    listed = positions.answer
    held = listed and holdings_of(listed.items, asked.column, descending=asked.is_descending, missing=listed.unreadable)
    return render_page(
        visit.request,
        "account_overview.html",
        user=visit.user,
        environment=visit.credential.credential_type,
        head=head,
        blocks=list(find_blocks(head.known)) if head.known else [],
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
        "blocks": list(find_blocks(account)),
        "figures": figures_of(account),
    }
    return Response(orjson.dumps(told), media_type="application/json")


@router.get("/orders")
async def orders(visit: Visit, asked: Annotated[OrdersAsked, Query()]) -> HTMLResponse:
    question = asked.question()

    async def read_orders(user: AuthUser, credential_id: UUID, request: Request) -> bytes:
        asked.refuse_disorder()
        return await answer_orders(user, credential_id, question, request)

    head, listed = await asyncio.gather(visit.hear_head(asked), visit.hear(read_orders, OrderList, asked))
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

    async def read_activities(user: AuthUser, credential_id: UUID, request: Request) -> bytes:
        asked.refuse_disorder()
        return await answer_activities(user, credential_id, question, request)

    head, listed = await asyncio.gather(visit.hear_head(asked), visit.hear(read_activities, ActivityList, asked))
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
