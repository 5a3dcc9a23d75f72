"""The home page: the market, what needs attention, the equity of all accounts, and the accounts as cards or a table."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Final, Literal
from urllib.parse import urlencode
from uuid import UUID

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import StringConstraints

from corral.accounts.cache import Answer
from corral.accounts.combined.equity import AllCurves, read_all_curves
from corral.accounts.combined.today import CashFlow, read_cash_flows
from corral.accounts.reader import AccountReader, Outcome
from corral.accounts.routes import ACCOUNTS
from corral.credentials import arrangement
from corral.credentials.management import load_active_credentials
from corral.credentials.models import HomeView, NamedCredential, StoredAccount
from corral.credentials.validation import restriction_findings
from corral.edge.field_types import Body
from corral.edge.request_state import resources_of
from corral.errors import Problem
from corral.web.forms import Form, handle_form, initial_form
from corral.web.page_user import PageUser, see_other
from corral.web.rendering import PAGE_WAIT_SECONDS, render_page
from corral.web.static_files import HAS_CHART
from corral.web.view.attention import find_attention
from corral.web.view.equity import Period, history_params
from corral.web.view.home_accounts import AccountEntry, sort_entries
from corral.web.view.home_curves import HISTORY_SECONDS, curve_json, summarize_curves
from corral.web.view.home_totals import TotalsScope, add_up, choose_scope, group_entries, scopes_of
from corral.web.view.home_view import GROUPING_NAMES, SORT_NAMES, Grouping, Layout, SortKey, choose_view
from corral.web.view.market import fetch_market_state
from corral.web.view.outages import find_outage
from corral.web.view.sparklines import HEIGHT, WIDTH, Sparkline, fetch_sparklines
from corral.web.view.switcher import number_keys

# For sparklines alone, when the reader is waiting anyway or a script asks.
_SPARKLINE_WAIT_SECONDS: Final = 2.0

# So that a page with many accounts is sent as soon as others are: it takes longer to write.
_HOME_WAIT_SECONDS: Final = PAGE_WAIT_SECONDS * 2 / 3

_CURVES_SECONDS: Final = 15.0
_BYTES_OF_A_POINT: Final = 400  # about, in memory

router = APIRouter(include_in_schema=False)


class ViewForm(Body):
    """One field or several of the view; the others stay as they are. `sort` has a minus sign for descending."""

    layout: Layout | None = None
    sort: Annotated[str, StringConstraints(pattern=f"^-?({'|'.join(SortKey)})$")] | None = None
    group: Grouping | None = None
    scope: Annotated[str, StringConstraints(max_length=80)] | None = None
    shortcuts: Literal["on", "off"] | None = None

    def apply(self, view: HomeView) -> HomeView:
        if self.sort is not None:
            view = replace(view, sort_by=self.sort.removeprefix("-"), is_descending=self.sort.startswith("-"))
        return replace(
            view,
            layout=self.layout or view.layout,
            group_by=self.group or view.group_by,
            scope=self.scope or view.scope,
            has_shortcuts=view.has_shortcuts if self.shortcuts is None else self.shortcuts == "on",
        )


@router.get("/")
async def show_home(user: PageUser, request: Request) -> Response:
    """Shows what is available at once. `?wait`, which the page offers without JavaScript, waits for Alpaca."""
    return await _home_page(user, request, initial_form())


@router.post("/")
async def change_view(user: PageUser, request: Request) -> Response:
    """Keeps how the person likes the page, and shows it."""

    async def submit(body: ViewForm) -> Response:
        await arrangement.change_view(user, resources_of(request).database, body.apply)
        return see_other("/#equity" if body.scope else "/#shortcuts" if body.shortcuts else "/#accounts")

    async def redisplay(form: Form) -> Response:
        return await _home_page(user, request, form)

    return await handle_form(request, ViewForm, submit, redisplay)


@router.get("/closes")
async def show_closes(user: PageUser, request: Request) -> Response:
    """Returns what the stream does not send to the page's script: equity at the previous close, money that came in or
    went out since then, and warnings.
    """
    accounts = ACCOUNTS.of(request)
    credentials = await load_active_credentials(user.id, resources_of(request).database)
    flows = await read_cash_flows(credentials, accounts, within_seconds=PAGE_WAIT_SECONDS)
    return _json({str(one.sealed.id): _close(one, flows, accounts) for one in credentials})


@router.get("/curves")
async def show_curves(user: PageUser, request: Request) -> Response:
    """Returns the points of the page's curves to its script: those of `show`, for the period `span`."""
    accounts = ACCOUNTS.of(request)
    arranged = await arrangement.load_arrangement(user.id, resources_of(request).database)
    view = choose_view(arranged.view, request.query_params, len(arranged.accounts))
    entries = [AccountEntry(credential=account.credential) for account in arranged.accounts]
    scope = choose_scope(scopes_of(entries), view.scope)
    chosen = _chosen(arranged.accounts, scope)
    found = await _read_curves(chosen, view.period, accounts, within_seconds=_SPARKLINE_WAIT_SECONDS)
    names = {account.credential.id: account.credential.nickname for account in arranged.accounts}
    return _json(curve_json(found, names, total=len(chosen)))


@router.get("/lines")
async def show_sparklines(user: PageUser, request: Request) -> Response:
    """Returns all sparklines to the page's script. null is an account without one; pending ones are left out."""
    credentials = await load_active_credentials(user.id, resources_of(request).database)
    sparklines = await fetch_sparklines(credentials, ACCOUNTS.of(request), within_seconds=_SPARKLINE_WAIT_SECONDS)
    return _json({str(credential_id): one and one.model_dump() for credential_id, one in sparklines.items()})


@router.get("/market")
async def show_market(user: PageUser, request: Request) -> Response:
    """Returns the state of the market to the page's script; null if no account answers."""
    credentials = await load_active_credentials(user.id, resources_of(request).database)
    state = await fetch_market_state(credentials, ACCOUNTS.of(request), within_seconds=_SPARKLINE_WAIT_SECONDS)
    return _json(state and {"text": state.text, "is_open": state.is_open, "changes_in": state.changes_in})


async def _home_page(user: PageUser, request: Request, form: Form) -> Response:
    accounts = ACCOUNTS.of(request)
    arranged = await arrangement.load_arrangement(user.id, resources_of(request).database)
    active = [account.named for account in arranged.accounts if account.credential.is_active]
    view = choose_view(arranged.view, request.query_params, len(arranged.accounts))
    scopes = scopes_of([AccountEntry(credential=account.credential) for account in arranged.accounts])
    scope = choose_scope(scopes, view.scope)
    waits = "wait" in request.query_params
    wait = _SPARKLINE_WAIT_SECONDS if waits else _HOME_WAIT_SECONDS
    has_totals = len(active) > 1
    chosen = _chosen(arranged.accounts, scope) if has_totals else []
    outcomes, sparklines, market, flows, curves = await asyncio.gather(
        accounts.each_account_data(active, within_seconds=None if waits else _HOME_WAIT_SECONDS),
        fetch_sparklines(active, accounts, within_seconds=wait),
        fetch_market_state(active, accounts, within_seconds=wait),
        read_cash_flows(active, accounts, within_seconds=wait),
        _read_curves(chosen, view.period, accounts, within_seconds=wait),
    )
    entries = _entries(arranged.accounts, outcomes, _Known(sparklines, flows, accounts))
    ordered = sort_entries(entries, view.sort, descending=view.is_descending)
    by_id = {entry.credential.id: entry for entry in entries}
    return render_page(
        request,
        "home.html",
        user=user,
        status=form.status,
        view_form=form,
        form=initial_form(),
        entries=entries,
        sections=group_entries(ordered, view.grouping),
        attention=find_attention(entries) if len(entries) > 1 else [],
        view=view,
        scopes=scopes,
        total=add_up(scope, entries) if scope and has_totals else None,
        curves=summarize_curves(curves, by_id, view.period, datetime.now(UTC), total=len(chosen)),
        curves_pending=bool(curves.pending),
        curves_failed=bool(curves.problems),
        scope_query=urlencode({"show": scope.key if scope else ""}),
        curve_query=urlencode({"show": scope.key if scope else "", "span": view.period.value}),
        is_intraday=view.period in {Period.DAY, Period.WEEK},
        periods=list(Period),
        has_chart=HAS_CHART,
        sort_names=SORT_NAMES,
        grouping_names=GROUPING_NAMES,
        market=market,
        outage=find_outage([one.answer if isinstance(one.answer, Problem) else None for one in outcomes]),
        sparkline_size=(WIDTH, HEIGHT),
        is_pending=any(entry.is_pending for entry in entries),
    )


def _chosen(stored: Sequence[StoredAccount], scope: TotalsScope | None) -> list[NamedCredential]:
    """The active accounts of the scope."""
    if scope is None:
        return []
    return [account.named for account in stored if scope.includes(AccountEntry(credential=account.credential))]


async def _read_curves(
    credentials: Sequence[NamedCredential], period: Period, accounts: AccountReader, *, within_seconds: float
) -> AllCurves:
    """Complete curves are shared for a moment, because adding them up takes as long as the rest of the page.

    They are cached under the first account, and by the revisions of all: the credentials were loaded for this request.
    """
    query = history_params(period).query()
    readable = [credential for credential in credentials if credential.sealed.refused_at is None]
    if not readable:
        return await read_all_curves(credentials, query, accounts, within_seconds=within_seconds)

    async def fetch() -> _Curves:
        found = await read_all_curves(
            credentials, query, accounts, within_seconds=within_seconds, keep_seconds=HISTORY_SECONDS
        )
        if found.pending or found.problems:
            raise _Incomplete(found)
        return _Curves(found)

    question = ("curves", query, tuple((one.sealed.id, one.sealed.revision) for one in credentials))
    try:
        first = accounts.open_row(readable[0].sealed)
        return (await accounts.shared(first, question, fetch, keep_seconds=_CURVES_SECONDS)).found
    except _Incomplete as incomplete:
        return incomplete.found


class _Incomplete(Exception):  # noqa: N818 - not an error: it is not cached
    def __init__(self, found: AllCurves) -> None:
        self.found = found
        super().__init__()


@dataclass(frozen=True, slots=True)
class _Curves:
    """As the cache keeps them."""

    found: AllCurves

    @property
    def size(self) -> int:
        return _BYTES_OF_A_POINT * sum(len(curve.points) for curve in self.found.curves)


@dataclass(frozen=True, slots=True)
class _Known:
    """What has been read of the accounts besides their data."""

    sparklines: Mapping[UUID, Sparkline | None]
    flows: Mapping[UUID, CashFlow | None]
    accounts: AccountReader


def _entries(stored: Sequence[StoredAccount], outcomes: Sequence[Outcome], known: _Known) -> list[AccountEntry]:
    by_id = {outcome.credential.sealed.id: outcome for outcome in outcomes}
    keys = number_keys([account.credential for account in stored])
    return [
        _entry(account, by_id.get(account.credential.id), known, keys.get(account.credential.id)) for account in stored
    ]


def _entry(stored: StoredAccount, outcome: Outcome | None, known: _Known, key: int | None) -> AccountEntry:
    answer = outcome.answer if outcome else None
    if isinstance(answer, Problem):
        return AccountEntry(credential=stored.credential, problem=answer, key=key)
    account = known.accounts.last_known_of(stored.sealed) if outcome else None
    flow = known.flows.get(stored.credential.id)
    return AccountEntry(
        credential=stored.credential,
        data=answer.value if isinstance(answer, Answer) else None,
        last_equity=account and account.last_equity,
        blocks=list(restriction_findings(account)) if account else (),
        sparkline=known.sparklines.get(stored.credential.id),
        cash_flow=flow and flow.amount,
        key=key,
    )


def _close(
    credential: NamedCredential, flows: Mapping[UUID, CashFlow | None], accounts: AccountReader
) -> dict[str, object] | None:
    """Returns None for an account that has not been read yet."""
    account = accounts.last_known_of(credential.sealed)
    flow = flows.get(credential.sealed.id)
    return account and {
        "last_equity": account.last_equity,
        "blocks": list(restriction_findings(account)),
        "cash_flow": flow and flow.amount,
    }


def _json(content: Mapping[str, object] | None) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")
