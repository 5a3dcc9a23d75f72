"""The holdings of all accounts: positions merged by symbol, in one section for each currency."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pydantic import Field

from corral.accounts.combined.merged_positions import MergedPosition, PositionTotals
from corral.accounts.combined.positions import AllPositions
from corral.alpaca.environments import Environment
from corral.credentials.models import NamedCredential
from corral.web.view.filters import SortParams
from corral.web.view.instruments import instrument_name, underlying_of
from corral.web.view.positions import (
    PositionGroup,
    PositionRow,
    PositionsTable,
    Slice,
    allocation_slices,
    build_positions_table,
    tones_by_asset,
)

MOST_ROWS: Final = 100  # on a page, unless all are asked for
_TOP: Final = 5


class HoldingsParams(SortParams):
    """`money` is live or paper, by default live if there is a live account. `split` is the key of the position that is
    shown account by account.
    """

    money: Environment | None = None
    q: str = Field("", max_length=64)
    every: bool = False
    split: str = Field("", max_length=64)

    @property
    def query(self) -> str:
        return self.q.strip()


@dataclass(frozen=True, slots=True)
class Concentration:
    """Shares of the whole in hundredths of a percent."""

    largest: str
    largest_weight: int
    top_weight: int
    top: int


@dataclass(frozen=True, slots=True)
class HoldingsSection:
    """All positions in one currency. `table` has the `shown` of the `found` ones, with the totals of all."""

    currency: str
    totals: PositionTotals
    table: PositionsTable
    found: int
    shown: int
    slices: Sequence[Slice]
    tones: dict[str, int]
    concentration: Concentration | None


def choose_money(wanted: Environment | None, credentials: Iterable[NamedCredential]) -> Environment:
    """Returns what is wanted, or live money if there is any."""
    if wanted is not None:
        return wanted
    environments = {credential.sealed.credential_type for credential in credentials}
    return Environment.PAPER if environments == {Environment.PAPER} else Environment.LIVE


def build_holdings(found: AllPositions, money: Environment, params: HoldingsParams) -> list[HoldingsSection]:
    """Returns a section for each currency in which there are positions."""
    return [
        _section([item for item in found.items if _is_within(item, totals)], totals, params)
        for totals in found.totals
        if totals.account_type is money
    ]


def row_key(position: MergedPosition) -> str:
    """Identifies a row of one currency: `AAPL`, or `AAPL:short`."""
    return f"{position.symbol}:short" if position.side == "short" else position.symbol


def _is_within(item: MergedPosition, totals: PositionTotals) -> bool:
    return (item.account_type, item.currency) == (totals.account_type, totals.currency)


def _section(items: Sequence[MergedPosition], totals: PositionTotals, params: HoldingsParams) -> HoldingsSection:
    table = build_positions_table(items, params.column, descending=params.is_descending)
    wanted = [group for group in (_matching(group, params.query) for group in table.groups) if group.rows]
    shown = wanted if params.every else _first(wanted, MOST_ROWS)
    return HoldingsSection(
        currency=totals.currency,
        totals=totals,
        table=replace(table, groups=tuple(shown)),
        found=sum(len(group.rows) for group in wanted),
        shown=sum(len(group.rows) for group in shown),
        slices=allocation_slices(table.rows),
        tones=tones_by_asset(table.rows),
        concentration=_concentration(table.rows),
    )


def _matching(group: PositionGroup, query: str) -> PositionGroup:
    """Keeps the rows whose symbol, name or underlying has the query in it."""
    if not query:
        return group
    return replace(group, rows=tuple(row for row in group.rows if _matches(row, query.casefold())))


def _matches(row: PositionRow, query: str) -> bool:
    symbol = row.position.symbol
    texts = (symbol, symbol.replace("/", ""), underlying_of(symbol), instrument_name(symbol, row.position.asset_class))
    return any(query in text.casefold() for text in texts)


def _first(groups: Sequence[PositionGroup], most: int) -> list[PositionGroup]:
    """Returns the first groups with at most so many rows; the last one may be cut."""
    first: list[PositionGroup] = []
    for group in groups:
        if most <= 0:
            break
        first.append(replace(group, rows=group.rows[:most]))
        most -= len(group.rows)
    return first


def _concentration(rows: Sequence[PositionRow]) -> Concentration | None:
    ranked = sorted((row for row in rows if row.weight), key=lambda row: -(row.weight or 0))
    if not ranked:
        return None
    position = ranked[0].position
    return Concentration(
        largest=instrument_name(position.symbol, position.asset_class),
        largest_weight=ranked[0].weight or 0,
        top_weight=sum(row.weight or 0 for row in ranked[:_TOP]),
        top=min(len(ranked), _TOP),
    )
