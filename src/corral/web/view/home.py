"""The home page: which accounts it shows in which order and groups, what needs attention, and what is added up.

Paper money and real money are never added together, and neither are currencies.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final, TypeVar
from uuid import UUID

from corral.accounts.amounts import exact_sum, total
from corral.accounts.combined.today import todays_pl
from corral.accounts.schemas import AccountDataResponse
from corral.alpaca.environments import Environment
from corral.credentials.models import Credential, HomeView
from corral.errors import Problem
from corral.web.view.equity import Period
from corral.web.view.sparklines import Sparkline

MOST_CARDS: Final = 8  # by default; more accounts are a table
KEYS: Final = 9  # accounts that a number key opens


Choice = TypeVar("Choice", bound=StrEnum)


class Layout(StrEnum):
    CARDS = "cards"
    TABLE = "table"


class SortKey(StrEnum):
    """`CUSTOM` is the order of one's own."""

    CUSTOM = "custom"
    NAME = "name"
    EQUITY = "equity"
    TODAY = "today"
    PERCENT = "percent"
    CASH = "cash"
    BUYING_POWER = "buying_power"
    ENVIRONMENT = "environment"


class Grouping(StrEnum):
    NONE = "none"
    GROUP = "group"
    ENVIRONMENT = "environment"


SORT_NAMES: Final[Mapping[str, str]] = {
    "custom": "My order",
    "name": "Name",
    "-equity": "Equity",
    "-today": "Today's P/L",
    "-percent": "Today's P/L, %",
    "-cash": "Cash",
    "-buying_power": "Buying power",
    "environment": "Live first",
}
GROUPING_NAMES: Final[Mapping[Grouping, str]] = {
    Grouping.NONE: "None",
    Grouping.GROUP: "My groups",
    Grouping.ENVIRONMENT: "Live and paper",
}


@dataclass(frozen=True, slots=True)
class View:
    """What this page shows: what the person has chosen, changed by the page's URL."""

    layout: Layout
    sort: SortKey
    is_descending: bool
    grouping: Grouping
    scope: str | None
    period: Period
    has_shortcuts: bool

    @property
    def sort_text(self) -> str:
        return f"{'-' if self.is_descending else ''}{self.sort}"

    def next_sort(self, key: str) -> str:
        """What a click on the heading of a column sorts by: numbers from the largest, and again the other way."""
        first = key if key == SortKey.NAME else f"-{key}"
        return key if first != key and self.sort_text == first else f"-{key}" if self.sort_text == key else first

    def aria_sort(self, key: str) -> str | None:
        if key != self.sort:
            return None
        return "descending" if self.is_descending else "ascending"


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


@dataclass(frozen=True, slots=True)
class Attention:
    """An account that needs the person, and where to go. `code` is the problem's, or `blocks` for restrictions."""

    credential: Credential
    code: str
    text: str
    path: str
    label: str


@dataclass(frozen=True, slots=True)
class Scope:
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

    scope: Scope
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


def choose_view(stored: HomeView, query: Mapping[str, str], accounts: int) -> View:
    """What is unknown, in the URL or stored by another release, means the default."""
    sort_by = query.get("sort") or f"{'-' if stored.is_descending else ''}{stored.sort_by}"
    return View(
        layout=_one_of(Layout, query.get("layout") or stored.layout)
        or (Layout.CARDS if accounts <= MOST_CARDS else Layout.TABLE),
        sort=_one_of(SortKey, sort_by.removeprefix("-")) or SortKey.CUSTOM,
        is_descending=sort_by.startswith("-"),
        grouping=_one_of(Grouping, query.get("group") or stored.group_by) or Grouping.NONE,
        scope=query.get("show") or stored.scope,
        period=_one_of(Period, query.get("span")) or Period.DAY,
        has_shortcuts=stored.has_shortcuts,
    )


def number_keys(credentials: Sequence[Credential]) -> dict[UUID, int]:
    """The number keys by account: the first nine in the order of their owner."""
    return {credential.id: number for number, credential in enumerate(credentials[:KEYS], 1)}


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


def group_entries(entries: Sequence[AccountEntry], grouping: Grouping) -> list[Section]:
    """Sections in the order of their names, live before paper, and last the accounts without a group."""
    if grouping is Grouping.NONE:
        return [Section(None, entries, ())]
    by_title: dict[str, list[AccountEntry]] = {}
    for entry in entries:
        by_title.setdefault(_title(entry, grouping), []).append(entry)
    titles = sorted(by_title, key=lambda title: (not title, title.casefold()))
    return [_section(title, by_title[title], grouping) for title in titles]


def scopes_of(entries: Sequence[AccountEntry]) -> list[Scope]:
    """Live, paper, and the groups; one with accounts of both is two."""
    active = [entry for entry in entries if entry.credential.is_active]
    environments = sorted({entry.environment for entry in active})
    scopes = [Scope(environment, None, environment.value.capitalize()) for environment in environments]
    groups = sorted({entry.credential.group for entry in active if entry.credential.group}, key=str.casefold)
    for group in groups:
        within = sorted({entry.environment for entry in active if entry.credential.group == group})
        scopes += [
            Scope(environment, group, group if len(within) == 1 else f"{group} ({environment.value})")
            for environment in within
        ]
    return scopes


def choose_scope(scopes: Sequence[Scope], wanted: str | None) -> Scope | None:
    """The first one, which is live if there is a live account, for one that does not exist any more."""
    return next((scope for scope in scopes if scope.key == wanted), scopes[0] if scopes else None)


def add_up(scope: Scope, entries: Iterable[AccountEntry]) -> Total:
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


def find_attention(entries: Iterable[AccountEntry]) -> list[Attention]:
    """Accounts with something that their owner has to do. An outage is not: Corral keeps trying."""
    found = [_attention(entry) for entry in entries if entry.credential.is_active]
    return [one for one in found if one]


def first_sentence(text: str) -> str:
    """`Alpaca no longer accepts this API key. Generate …` is `Alpaca no longer accepts this API key`."""
    return text.partition(". ")[0].removesuffix(".")


# What its owner has to do something about, and where: the path after the account's id.
REMEDIES: Final[Mapping[str, tuple[str, str]]] = {
    "credential_refused": ("/keys/{}/replace", "Replace API key"),
    "wrong_account": ("/keys/{}", "API key"),
    "account_not_open": ("/accounts/{}", "View account"),
    "alpaca_refused": ("/accounts/{}", "View account"),
}


def _attention(entry: AccountEntry) -> Attention | None:
    credential, problem = entry.credential, entry.problem
    if problem and problem.code in REMEDIES:
        path, label = REMEDIES[problem.code]
        return Attention(credential, problem.code, first_sentence(problem.detail), path.format(credential.id), label)
    if entry.blocks:
        text = ". ".join(map(first_sentence, entry.blocks))
        return Attention(credential, "blocks", text, f"/accounts/{credential.id}", "View account")
    return None


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
    return [add_up(Scope(environment, group, title), entries) for environment in environments]


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


def _one_of(choices: type[Choice], text: str | None) -> Choice | None:
    return next((choice for choice in choices if choice == text), None)
