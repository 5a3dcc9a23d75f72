"""What is added up on the home page: all accounts of an environment, those of a group, and each section of the list.

Paper money and real money are never added together, and neither are currencies.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from corral.accounts.amounts import exact_sum, total
from corral.accounts.combined.today import todays_pl
from corral.alpaca.environments import Environment
from corral.web.view.home_accounts import AccountEntry
from corral.web.view.home_view import Grouping


@dataclass(frozen=True, slots=True)
class TotalsScope:
    """Accounts whose figures are added up: those of an environment, or of a group in it."""

    environment: Environment
    group: str | None
    label: str

    @property
    def key(self) -> str:
        return self.environment.value if self.group is None else f"{self.environment.value}:{self.group}"

    def includes(self, entry: AccountEntry) -> bool:
        return (
            entry.credential.is_active
            and entry.environment is self.environment
            and self.group in {None, entry.credential.group}
        )


@dataclass(frozen=True, slots=True)
class CurrencyTotal:
    """Exact sums in one currency. `today` is that of the accounts of which both values are known; None without any.

    It includes `deposited` and `withdrawn`, which are None for nothing.
    """

    currency: str
    equity: str
    cash: str
    buying_power: str
    today: str | None
    percent: str | None
    deposited: str | None
    withdrawn: str | None


@dataclass(frozen=True, slots=True)
class Total:
    """`missing` accounts have no data, and `unclosed` ones no equity at the previous close, or none but zero."""

    scope: TotalsScope
    accounts: int
    missing: int
    unclosed: int
    by_currency: Sequence[CurrencyTotal]


@dataclass(frozen=True, slots=True)
class Section:
    """Accounts below one heading; without a title the only one."""

    title: str | None
    entries: Sequence[AccountEntry]
    totals: Sequence[Total]


def group_entries(entries: Sequence[AccountEntry], grouping: Grouping) -> list[Section]:
    """Sections in the order of their names, live before paper, and last the accounts without a group."""
    if grouping is Grouping.NONE:
        return [Section(None, entries, ())]
    by_title: dict[str, list[AccountEntry]] = {}
    for entry in entries:
        by_title.setdefault(_title(entry, grouping), []).append(entry)
    titles = sorted(by_title, key=lambda title: (not title, title.casefold()))
    return [_section(title, by_title[title], grouping) for title in titles]


def scopes_of(entries: Sequence[AccountEntry]) -> list[TotalsScope]:
    """Live, paper, and the groups; one with accounts of both is two."""
    active = [entry for entry in entries if entry.credential.is_active]
    environments = sorted({entry.environment for entry in active})
    scopes = [TotalsScope(environment, None, environment.value.capitalize()) for environment in environments]
    groups = sorted({entry.credential.group for entry in active if entry.credential.group}, key=str.casefold)
    for group in groups:
        within = sorted({entry.environment for entry in active if entry.credential.group == group})
        scopes += [
            TotalsScope(environment, group, group if len(within) == 1 else f"{group} ({environment.value})")
            for environment in within
        ]
    return scopes


def choose_scope(scopes: Sequence[TotalsScope], wanted: str | None) -> TotalsScope | None:
    """The first one, which is live if there is a live account, for one that does not exist any more."""
    return next((scope for scope in scopes if scope.key == wanted), scopes[0] if scopes else None)


def add_up(scope: TotalsScope, entries: Iterable[AccountEntry]) -> Total:
    included = [entry for entry in entries if scope.includes(entry)]
    known = [entry for entry in included if entry.data]
    by_currency: dict[str, list[AccountEntry]] = {}
    for entry in known:
        by_currency.setdefault(entry.data.currency if entry.data else "", []).append(entry)
    return Total(
        scope,
        accounts=len(known),
        missing=len(included) - len(known),
        unclosed=sum(entry.today is None for entry in known),
        by_currency=[_currency_total(currency, by_currency[currency]) for currency in sorted(by_currency)],
    )


def _title(entry: AccountEntry, grouping: Grouping) -> str:
    if grouping is Grouping.ENVIRONMENT:
        return entry.environment.value.capitalize()
    return entry.credential.group or ""


def _section(title: str, entries: Sequence[AccountEntry], grouping: Grouping) -> Section:
    return Section(title or "No group", entries, _totals(title, entries, grouping))


def _totals(title: str, entries: Sequence[AccountEntry], grouping: Grouping) -> list[Total]:
    if not title:
        return []
    environments = sorted({entry.environment for entry in entries if entry.credential.is_active})
    group = title if grouping is Grouping.GROUP else None
    return [add_up(TotalsScope(environment, group, title), entries) for environment in environments]


def _currency_total(currency: str, entries: Sequence[AccountEntry]) -> CurrencyTotal:
    data = [entry.data for entry in entries if entry.data]
    today = todays_pl((entry.data.equity, entry.last_equity) for entry in entries if entry.data)
    flows = [Decimal(entry.cash_flow) for entry in entries if entry.cash_flow and entry.today is not None]
    return CurrencyTotal(
        currency,
        equity=exact_sum(one.equity for one in data),
        cash=exact_sum(one.balance for one in data),
        buying_power=exact_sum(one.buying_power for one in data),
        today=today.amount,
        percent=today.factor,
        deposited=_sum_of(flow for flow in flows if flow > 0),
        withdrawn=_sum_of(-flow for flow in flows if flow < 0),
    )


def _sum_of(amounts: Iterable[Decimal]) -> str | None:
    known = list(amounts)
    return f"{total(known):f}" if known else None
