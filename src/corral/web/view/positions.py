"""The positions of an account as a table with weights and totals, and as an allocation chart."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from math import cos, pi, sin
from typing import Final, Protocol, TypeVar

from corral.accounts.amounts import EXACT, exact_sum
from corral.web.view.instruments import instrument_name, parse_option, underlying_of

WHOLE: Final = 10_000  # hundredths of a percent
MAX_SLICES: Final = 8  # the last one is for all others: more colors are hard to tell apart

_RADIUS: Final = 80  # of the middle of the ring, in a square of 200
_GAP: Final = 40  # between two slices
_SMALLEST_LABELED: Final = 700  # a label does not fit into less than 7 %
_LONGEST_LABEL: Final = 5


Item = TypeVar("Item")


class Column(StrEnum):
    """The columns that can be sorted."""

    SYMBOL = "symbol"
    VALUE = "value"
    TODAY = "today"
    PROFIT = "profit"
    RETURN = "return"
    WEIGHT = "weight"


class Held(Protocol):
    """A position of one account, or the merged one of several."""

    @property
    def asset_id(self) -> str: ...
    @property
    def symbol(self) -> str: ...
    @property
    def asset_class(self) -> str | None: ...
    @property
    def qty(self) -> str: ...
    @property
    def market_value(self) -> str | None: ...
    @property
    def unrealized_pl(self) -> str | None: ...
    @property
    def unrealized_plpc(self) -> str | None: ...
    @property
    def unrealized_intraday_pl(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class PositionRow:
    """`weight` is in hundredths of a percent of all positions; None if Alpaca has no value for this one."""

    position: Held
    weight: int | None

    @property
    def is_short(self) -> bool:
        return Decimal(self.position.qty) < 0


@dataclass(frozen=True, slots=True)
class PositionGroup:
    """The positions in an underlying and in options on it. A sum includes those for which Alpaca returns the number."""

    underlying: str
    rows: tuple[PositionRow, ...]
    value: str
    unrealized_pl: str
    todays_pl: str
    weight: int | None

    @property
    def has_heading(self) -> bool:
        """Whether a row with the sums is worth its place: for options that are not alone."""
        return len(self.rows) > 1 and any(parse_option(row.position.symbol) for row in self.rows)


@dataclass(frozen=True, slots=True)
class PositionsTable:
    """A total includes the positions for which Alpaca returns the number; `unvalued` counts those without a value.

    `missing` counts the unreadable positions: unless it is 0, all totals and weights are incomplete.
    """

    groups: tuple[PositionGroup, ...]
    value: str
    unrealized_pl: str
    todays_pl: str
    unvalued: int
    missing: int = 0

    @property
    def rows(self) -> tuple[PositionRow, ...]:
        return tuple(row for group in self.groups for row in group.rows)


@dataclass(frozen=True, slots=True)
class Slice:
    """Part of the allocation ring. `begins`, `weight` and `drawn` (shorter by a gap) are in hundredths of a percent.

    `x` and `y` are its middle in a square of 200. `tone` is the number of its color.
    """

    label: str
    tone: int
    begins: int
    weight: int
    drawn: int
    x: str
    y: str

    @property
    def is_labeled(self) -> bool:
        return self.weight >= _SMALLEST_LABELED and len(self.label) <= _LONGEST_LABEL


def build_positions_table(
    positions: Sequence[Held], sorted_by: Column, *, descending: bool, missing: int = 0
) -> PositionsTable:
    values = [position.market_value for position in positions]
    rows = [PositionRow(*pair) for pair in zip(positions, compute_weights(values), strict=True)]
    return PositionsTable(
        groups=tuple(_group(rows, sorted_by, descending=descending)),
        value=_sum(position.market_value for position in positions),
        unrealized_pl=_sum(position.unrealized_pl for position in positions),
        todays_pl=_sum(position.unrealized_intraday_pl for position in positions),
        unvalued=values.count(None),
        missing=missing,
    )


def compute_weights(values: Sequence[str | None]) -> list[int | None]:
    """Returns each absolute value's share of the total, in hundredths of a percent.

    They sum to exactly 100 %: the remainder goes to those that were rounded down most (largest remainder method).
    """
    sizes = _as_integers(values)
    total = sum(size for size in sizes if size is not None)
    if not total:
        return [None if size is None else 0 for size in sizes]
    shares = {index: divmod(size * WHOLE, total) for index, size in enumerate(sizes) if size is not None}
    remainder = WHOLE - sum(share for share, _ in shares.values())
    raised = set(sorted(shares, key=lambda index: -shares[index][1])[:remainder])
    return [shares[index][0] + (index in raised) if index in shares else None for index in range(len(sizes))]


def _as_integers(values: Sequence[str | None]) -> list[int | None]:
    """Returns the absolute values, multiplied by the power of ten that makes all of them whole."""
    sizes = [None if value is None else Decimal(value).copy_abs() for value in values]
    places = max((-int(size.as_tuple().exponent) for size in sizes if size), default=0)
    return [None if size is None else int(EXACT.scaleb(size, max(places, 0))) for size in sizes]


def allocation_slices(rows: Sequence[PositionRow]) -> list[Slice]:
    """Returns the largest positions first, then all others as one. Together they fill the ring."""
    begins = 0
    slices: list[Slice] = []
    for tone, (label, weight) in enumerate(_slice_weights(rows)):
        x, y = _ring_point((begins + weight / 2) / WHOLE)
        drawn = weight - _GAP if WHOLE > weight > 2 * _GAP else weight
        slices.append(Slice(label, tone, begins, weight, drawn, x, y))
        begins += weight
    return slices


def tones_by_asset(rows: Sequence[PositionRow]) -> dict[str, int]:
    """Returns the color number of each position by asset id; those that share the last slice have its color."""
    ranked = _by_weight(rows)
    last = MAX_SLICES if len(ranked) <= MAX_SLICES else MAX_SLICES - 1
    return {row.position.asset_id: min(rank, last) for rank, (row, _) in enumerate(ranked)}


def _group(rows: Sequence[PositionRow], column: Column, *, descending: bool) -> list[PositionGroup]:
    """Sorts groups by their sums (by their first row's return), and the rows within each."""
    by_underlying: dict[str, list[PositionRow]] = {}
    for row in _sorted(rows, column, descending=descending):
        by_underlying.setdefault(underlying_of(row.position.symbol), []).append(row)
    groups = [group for name, members in by_underlying.items() for group in _divide(_sum_up(name, tuple(members)))]
    if column is Column.SYMBOL:
        return sorted(groups, key=lambda group: group.underlying, reverse=descending)
    amount = _GROUP_AMOUNTS[column]
    return _sorted_by(groups, amount, descending=descending)


def _divide(group: PositionGroup) -> list[PositionGroup]:
    """Without a heading each row is sorted on its own, as the long and short positions of several accounts are."""
    return [group] if group.has_heading else [_sum_up(group.underlying, (row,)) for row in group.rows]


def _sum_up(underlying: str, rows: tuple[PositionRow, ...]) -> PositionGroup:
    weights = [row.weight for row in rows if row.weight is not None]
    return PositionGroup(
        underlying=underlying,
        rows=rows,
        value=_sum(row.position.market_value for row in rows),
        unrealized_pl=_sum(row.position.unrealized_pl for row in rows),
        todays_pl=_sum(row.position.unrealized_intraday_pl for row in rows),
        weight=sum(weights) if weights else None,
    )


def _sum(amounts: Iterable[str | None]) -> str:
    known = [amount for amount in amounts if amount is not None]
    return known[0] if len(known) == 1 else exact_sum(known)


def _sorted(rows: Sequence[PositionRow], column: Column, *, descending: bool) -> list[PositionRow]:
    """Equal rows are sorted by symbol."""
    by_symbol = sorted(rows, key=lambda row: row.position.symbol)
    if column is Column.SYMBOL:
        return by_symbol[::-1] if descending else by_symbol
    return _sorted_by(by_symbol, _AMOUNTS[column], descending=descending)


def _sorted_by(items: Sequence[Item], amount: Callable[[Item], str | int | None], *, descending: bool) -> list[Item]:
    """Items without the number come last in both directions."""
    known = [item for item in items if amount(item) is not None]
    unknown = [item for item in items if amount(item) is None]
    return sorted(known, key=lambda item: Decimal(amount(item) or 0), reverse=descending) + unknown


_AMOUNTS: Final[dict[Column, Callable[[PositionRow], str | int | None]]] = {
    Column.VALUE: lambda row: row.position.market_value,
    Column.TODAY: lambda row: row.position.unrealized_intraday_pl,
    Column.PROFIT: lambda row: row.position.unrealized_pl,
    Column.RETURN: lambda row: row.position.unrealized_plpc,
    Column.WEIGHT: lambda row: row.weight,
}


_GROUP_AMOUNTS: Final[dict[Column, Callable[[PositionGroup], str | int | None]]] = {
    Column.VALUE: lambda group: _known_sum(group, Column.VALUE, group.value),
    Column.TODAY: lambda group: _known_sum(group, Column.TODAY, group.todays_pl),
    Column.PROFIT: lambda group: _known_sum(group, Column.PROFIT, group.unrealized_pl),
    Column.RETURN: lambda group: group.rows[0].position.unrealized_plpc,
    Column.WEIGHT: lambda group: group.weight,
}


def _known_sum(group: PositionGroup, column: Column, total: str) -> str | None:
    return total if any(_AMOUNTS[column](row) is not None for row in group.rows) else None


def _slice_weights(rows: Sequence[PositionRow]) -> Iterator[tuple[str, int]]:
    ranked = _by_weight(rows)
    shown = ranked if len(ranked) <= MAX_SLICES else ranked[: MAX_SLICES - 1]
    yield from ((_name_of(row.position), weight) for row, weight in shown)
    if others := ranked[len(shown) :]:
        yield f"{len(others)} others", sum(weight for _, weight in others)


def _name_of(position: Held) -> str:
    return instrument_name(position.symbol, position.asset_class)


def _by_weight(rows: Sequence[PositionRow]) -> list[tuple[PositionRow, int]]:
    weighted = [(row, row.weight) for row in rows if row.weight]
    return sorted(weighted, key=lambda pair: (-pair[1], pair[0].position.symbol))


def _ring_point(turn: float) -> tuple[str, str]:
    """Clockwise from the top."""
    return f"{100 + _RADIUS * sin(2 * pi * turn):.1f}", f"{100 - _RADIUS * cos(2 * pi * turn):.1f}"
