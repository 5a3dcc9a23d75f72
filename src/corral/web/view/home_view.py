"""How a person sees the accounts of the home page: layout, order, groups, and what is added up."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from corral.credentials.models import HomeView
from corral.web.view.equity import Period

MOST_CARDS: Final = 8  # by default; more accounts are a table

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


def _one_of(choices: type[Choice], text: str | None) -> Choice | None:
    return next((choice for choice in choices if choice == text), None)
