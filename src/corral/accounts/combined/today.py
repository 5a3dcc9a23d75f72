"""What accounts have gained since the last close, and the money that came in or went out since then.

The two are never netted: a deposit is part of today's P/L as Alpaca's equity has it, and is named beside it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from corral.accounts.amounts import difference, exact_sum, quotient
from corral.accounts.combined.reading import read_accounts
from corral.accounts.reader import AccountReader
from corral.alpaca.activities import MOST_ACTIVITIES, Activity, ActivityQuery, NonTradeActivity
from corral.alpaca.items import UnreadableItem
from corral.alpaca.models import Account
from corral.alpaca.paging import Place
from corral.credentials.models import NamedCredential
from corral.credentials.reader import OpenCredential
from corral.errors import Problem

# How long an account's cash flows, or that they can't be read, are cached: at most one call to Alpaca in this time.
CASH_FLOW_SECONDS: Final = 180.0
# Deposits, withdrawals, and cash that was moved between accounts or brokers.
CASH_FLOW_TYPES: Final = ("CSD", "CSW", "JNLC", "ACATC", "TRANS")

_NEW_YORK: Final = ZoneInfo("America/New_York")
_CLOSE: Final = time(16)
_SATURDAY: Final = 5
_BYTES: Final = 500  # about, in memory


@dataclass(frozen=True, slots=True)
class TodaysPl:
    """`factor` is of the equity at the last close: 0.0084 is 0.84 %; None if that is negative. `missing` accounts have
    no equity at the last close, or 0, and are not included; `amount` is None if no account has one.
    """

    amount: str | None
    factor: str | None
    missing: int


def todays_pl(accounts: Iterable[tuple[str, str | None]]) -> TodaysPl:
    """Returns the sum for accounts in one currency, each with its equity and its equity at the last close."""
    pairs = list(accounts)
    known = [(equity, last_equity) for equity, last_equity in pairs if last_equity and Decimal(last_equity)]
    if not known:
        return TodaysPl(None, None, len(pairs))
    before = exact_sum(last_equity for _, last_equity in known)
    amount = difference(exact_sum(equity for equity, _ in known), before)
    factor = quotient(Decimal(amount), Decimal(before)) if Decimal(before) > 0 else None
    return TodaysPl(amount, factor, len(pairs) - len(known))


@dataclass(frozen=True, slots=True)
class CashFlow:
    """Money in, or out if negative, since the last close. `count` is how many transfers were added up.

    `missing` is how many are not included: without a readable amount, or beyond the first hundred (then at least 1).
    """

    since: str
    amount: str
    count: int
    missing: int


async def read_cash_flows(
    credentials: Sequence[NamedCredential], accounts: AccountReader, *, within_seconds: float | None = None
) -> dict[UUID, CashFlow | None]:
    """Returns None for an account of which they can't be read, and leaves out those that are still pending.

    The credentials have to be loaded for this request.
    """

    async def read(credential: OpenCredential) -> CashFlow | None:
        return await cash_flow_of(credential, accounts)

    found = await read_accounts(credentials, read, accounts, within_seconds=within_seconds)
    failed: dict[UUID, CashFlow | None] = dict.fromkeys(problem.credential_id for problem in found.problems)
    return failed | {each.credential_id: each.value for each in found.reads}


async def cash_flow_of(credential: OpenCredential, accounts: AccountReader) -> CashFlow | None:
    """Reads an account's cash flow since the last close. A failure is cached, too: None."""
    since = last_close(accounts.last_known_of(credential.stored), datetime.now(UTC))
    query = ActivityQuery(types=CASH_FLOW_TYPES, after=since)

    async def fetch() -> _Read:
        try:
            page = await accounts.activities(credential, query, Place(), limit=MOST_ACTIVITIES)
        except Problem:
            return _Read(None)
        flow = add_up_transfers(page.items, since)
        return _Read(flow if page.goes_on is None else replace(flow, missing=flow.missing + 1))

    cached = await accounts.shared(credential, ("cash_flow", since), fetch, keep_seconds=CASH_FLOW_SECONDS)
    return cached.flow


def add_up_transfers(entries: Iterable[Activity | UnreadableItem], since: str) -> CashFlow:
    """Transfers that were canceled did not move money."""
    known, missing = list[str](), 0
    for entry in entries:
        if isinstance(entry, NonTradeActivity) and entry.status == "canceled":
            continue
        if isinstance(entry, NonTradeActivity) and entry.net_amount is not None:
            known.append(entry.net_amount)
        else:
            missing += 1
    return CashFlow(since, exact_sum(known), len(known), missing)


def last_close(account: Account | None, now: datetime) -> str:
    """Returns the time, in UTC, at which `last_equity` was the account's equity.

    If Alpaca doesn't name the day, it is the last weekday before today in New York; holidays are not known here.
    """
    if account is not None and account.balance_asof is not None:
        day = datetime.fromisoformat(account.balance_asof).date()
    else:
        day = now.astimezone(_NEW_YORK).date() - timedelta(days=1)
        day -= timedelta(days=max(0, day.weekday() - _SATURDAY + 1))
    return f"{datetime.combine(day, _CLOSE, _NEW_YORK).astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"


@dataclass(frozen=True, slots=True)
class _Read:
    """As the cache keeps it."""

    flow: CashFlow | None
    size: int = _BYTES
