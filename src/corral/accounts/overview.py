"""All accounts of one user: each with its account data or its problem, and exact totals of the available data.

Paper money and real money are never added together, and neither are currencies.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field

from corral import logs
from corral.accounts.amounts import exact_sum
from corral.accounts.cache import Answer
from corral.accounts.combined.today import CashFlow, read_cash_flows, todays_pl
from corral.accounts.reader import AccountReader, Outcome
from corral.accounts.schemas import AccountDataResponse
from corral.alpaca.environments import Environment
from corral.credentials.management import load_active_credentials
from corral.credentials.models import NamedCredential
from corral.database.connection import Database
from corral.edge.problems import ProblemBody, problem_members
from corral.errors import Problem


class OverviewCredential(BaseModel):
    """Identifies an account."""

    id: UUID
    nickname: str
    credential_type: Environment
    account_number: str | None


class CashFlowBody(BaseModel):
    """Deposits, withdrawals, and cash that was moved between accounts or brokers. It is part of `todays_pl`."""

    model_config = ConfigDict(from_attributes=True)

    since: str = Field(description="The last close", json_schema_extra={"format": "date-time"})
    amount: str = Field(description="The exact net amount, negative if more went out", examples=["2500.00"])
    count: int = Field(description="How many transfers are included")
    missing: int = Field(description="How many transfers can't be read and are not included")


class OverviewItem(BaseModel):
    """One account with its account data or the error that occurred."""

    credential: OverviewCredential
    account_data: AccountDataResponse | None = Field(
        description="The response of the account-data call; null if there is a problem"
    )
    problem: ProblemBody | None = Field(
        description="The error of the account-data call, with `retry_after` in seconds instead of the "
        "header; null if there is account data"
    )
    cash_flow: CashFlowBody | None = Field(
        description="Money in or out since the last close; null unless `cash_flow=true`, or if it can't be read"
    )


class CurrencySums(BaseModel):
    """Exact totals of the accounts in one currency."""

    currency: str = Field(examples=["USD"])
    accounts: int = Field(description="How many accounts are included")
    balance: str = Field(examples=["12012.0000000000001"])
    equity: str = Field(examples=["103820.56"])
    buying_power: str = Field(description="Total; each account can use only its own", examples=["262113.632"])
    todays_pl: str | None = Field(
        description="Equity minus the equity at the last close, of the accounts that have both; null if none has",
        examples=["3820.56"],
    )
    todays_pl_pct: str | None = Field(
        description="`todays_pl` as a factor of these accounts' equity at the last close: 0.0382 is 3.82 %. Rounded to "
        "18 significant digits; null if that equity is not positive",
        examples=["0.0382056"],
    )
    todays_pl_missing: int = Field(description="How many of the accounts are not included in `todays_pl`")
    cash_flow: str | None = Field(
        description="The accounts' `cash_flow` added up, which is part of `todays_pl`; null unless `cash_flow=true`",
        examples=["2500.00"],
    )
    cash_flow_missing: int | None = Field(
        description="How many of the accounts are not, or not completely, included in `cash_flow`; null unless "
        "`cash_flow=true`"
    )


class EnvironmentTotals(BaseModel):
    """Totals, separately for paper and live."""

    account_type: Environment
    accounts: int = Field(description="How many accounts are included")
    missing: int = Field(
        description="How many accounts are not included because of a problem; unless it is 0, totals are partial"
    )
    by_currency: list[CurrencySums]


class OverviewResponse(BaseModel):
    """All active accounts of the user, in the order of the list of credentials."""

    items: list[OverviewItem]
    totals: list[EnvironmentTotals]


CashFlows = Mapping[UUID, CashFlow | None]


def totals_of(outcomes: Iterable[Outcome], cash_flows: CashFlows | None = None) -> list[EnvironmentTotals]:
    """One for each environment with at least one account, even if none of its accounts has data."""
    by_environment: dict[Environment, list[Outcome]] = {}
    for outcome in outcomes:
        by_environment.setdefault(outcome.credential.sealed.credential_type, []).append(outcome)
    return [_totals(environment, by_environment[environment], cash_flows) for environment in sorted(by_environment)]


def _totals(environment: Environment, outcomes: Sequence[Outcome], cash_flows: CashFlows | None) -> EnvironmentTotals:
    known = [
        _Known(outcome.credential.sealed.id, outcome.answer.value, outcome.last_equity)
        for outcome in outcomes
        if isinstance(outcome.answer, Answer)
    ]
    return EnvironmentTotals(
        account_type=environment,
        accounts=len(known),
        missing=len(outcomes) - len(known),
        by_currency=_by_currency(known, cash_flows),
    )


class _Known(NamedTuple):
    credential_id: UUID
    data: AccountDataResponse
    last_equity: str | None


def _by_currency(known: Iterable[_Known], cash_flows: CashFlows | None) -> list[CurrencySums]:
    by_currency: dict[str, list[_Known]] = {}
    for account in known:
        by_currency.setdefault(account.data.currency, []).append(account)
    return [_sums(currency, by_currency[currency], cash_flows) for currency in sorted(by_currency)]


def _sums(currency: str, accounts: Sequence[_Known], cash_flows: CashFlows | None) -> CurrencySums:
    flows = None if cash_flows is None else [cash_flows.get(account.credential_id) for account in accounts]
    today = todays_pl((account.data.equity, account.last_equity) for account in accounts)
    return CurrencySums(
        currency=currency,
        accounts=len(accounts),
        balance=exact_sum(account.data.balance for account in accounts),
        equity=exact_sum(account.data.equity for account in accounts),
        buying_power=exact_sum(account.data.buying_power for account in accounts),
        todays_pl=today.amount,
        todays_pl_pct=today.factor,
        todays_pl_missing=today.missing,
        cash_flow=None if flows is None else exact_sum(flow.amount for flow in flows if flow),
        cash_flow_missing=None if flows is None else sum(flow is None or flow.missing > 0 for flow in flows),
    )


async def read_overview(
    user_id: UUID, database: Database, accounts: AccountReader, *, cash_flow: bool = False
) -> bytes:
    """Returns the overview as JSON, with the cash flow of each account on request.

    Raises a Problem only if the accounts cannot be listed. Every account has its own deadline, that of a call to
    Alpaca. The response takes as long as the slowest account.
    """
    credentials = await load_active_credentials(user_id, database)
    outcomes = await accounts.each_account_data(credentials)
    read = [one.credential for one in outcomes if isinstance(one.answer, Answer)]
    flows = await read_cash_flows(read, accounts) if cash_flow else None  # after the answers, which say since when
    return orjson.dumps(
        {
            "items": [_item(outcome, (flows or {}).get(outcome.credential.sealed.id)) for outcome in outcomes],
            "totals": [total.model_dump() for total in totals_of(outcomes, flows)],
        },
        default=str,
    )


def _item(outcome: Outcome, cash_flow: CashFlow | None) -> dict[str, Any]:
    """Account data is inserted as bytes, exactly as account-data sends it."""
    answer = outcome.answer
    return {
        "credential": _facts(outcome.credential),
        "account_data": orjson.Fragment(answer.json) if isinstance(answer, Answer) else None,
        "problem": problem_body(answer) if isinstance(answer, Problem) else None,
        "cash_flow": cash_flow and CashFlowBody.model_validate(cash_flow).model_dump(),
    }


def _facts(credential: NamedCredential) -> dict[str, object]:
    return {
        "id": credential.sealed.id,
        "nickname": credential.nickname,
        "credential_type": credential.sealed.credential_type,
        "account_number": credential.account_number,
    }


def problem_body(problem: Problem) -> dict[str, Any]:
    """Returns the body that the error of a call has, with `retry_after` in seconds instead of the header."""
    members = problem_members(problem, logs.current_request_id() or "")
    return members if problem.retry_after is None else {**members, "retry_after": problem.retry_after}
