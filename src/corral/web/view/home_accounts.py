"""The accounts of the home page, and their order."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from corral.accounts.combined.today import todays_pl
from corral.accounts.schemas import AccountDataResponse
from corral.alpaca.environments import Environment
from corral.credentials.models import Credential
from corral.errors import Problem
from corral.web.view.home_view import SortKey
from corral.web.view.sparklines import Sparkline


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountEntry:
    """An account of the page. `data` is None for a paused account, with a `problem`, and while Alpaca is asked.

    `cash_flow` is the money in, or out if negative, since the last close. `key` is the number key that opens the
    account. `today` is the difference to the equity at the previous close, and
    `percent` its factor; None where that equity is unknown, or zero.
    """

    credential: Credential
    data: AccountDataResponse | None = None
    problem: Problem | None = None
    last_equity: str | None = None
    blocks: Sequence[str] = ()
    sparkline: Sparkline | None = None
    cash_flow: str | None = None
    key: int | None = None

    @property
    def environment(self) -> Environment:
        return self.credential.credential_type

    @property
    def is_pending(self) -> bool:
        return self.credential.is_active and self.data is None and self.problem is None

    @property
    def today(self) -> str | None:
        return self.data and todays_pl([(self.data.equity, self.last_equity)]).amount

    @property
    def percent(self) -> str | None:
        return self.data and todays_pl([(self.data.equity, self.last_equity)]).factor

    @property
    def deposited(self) -> str | None:
        return self.cash_flow if self.cash_flow and Decimal(self.cash_flow) > 0 else None

    @property
    def withdrawn(self) -> str | None:
        return f"{-Decimal(self.cash_flow):f}" if self.cash_flow and Decimal(self.cash_flow) < 0 else None


def sort_entries(entries: Sequence[AccountEntry], key: SortKey, *, descending: bool) -> list[AccountEntry]:
    """Pinned accounts are first, and accounts without a value last. Equal ones stay in the order of their owner.

    Amounts in different currencies are not compared: accounts are in the order of their currencies then.
    """
    order = list(entries)
    if key is SortKey.NAME:
        order.sort(key=lambda entry: entry.credential.nickname.casefold(), reverse=descending)
    elif key is SortKey.ENVIRONMENT:
        order.sort(key=lambda entry: entry.environment.value, reverse=descending)
    elif key is not SortKey.CUSTOM:
        order = _sort_by_amount(order, key, descending=descending)
    return sorted(order, key=lambda entry: not entry.credential.is_pinned)


def _sort_by_amount(entries: Sequence[AccountEntry], key: SortKey, *, descending: bool) -> list[AccountEntry]:
    known = [(entry, amount) for entry in entries if (amount := _amount(entry, key)) is not None]
    known.sort(key=lambda one: Decimal(one[1]), reverse=descending)
    if key is not SortKey.PERCENT:
        known.sort(key=lambda one: one[0].data.currency if one[0].data else "")
    return [entry for entry, _ in known] + [entry for entry in entries if _amount(entry, key) is None]


def _amount(entry: AccountEntry, key: SortKey) -> str | None:
    if key is SortKey.TODAY:
        return entry.today
    if key is SortKey.PERCENT:
        return entry.percent
    if entry.data is None:
        return None
    return {
        SortKey.EQUITY: entry.data.equity,
        SortKey.CASH: entry.data.balance,
        SortKey.BUYING_POWER: entry.data.buying_power,
    }[key]
