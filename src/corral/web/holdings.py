"""What an account holds, as the page of the account tells it: each position's weight, and the sums of all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Final

from corral.accounts.overview import exact_sum
from corral.accounts.schemas import PositionResponse

WHOLE: Final = 10_000  # hundredths of a percent


class Column(StrEnum):
    """By what positions can be sorted."""

    SYMBOL = "symbol"
    VALUE = "value"
    TODAY = "today"
    PROFIT = "profit"
    RETURN = "return"
    WEIGHT = "weight"


@dataclass(frozen=True, slots=True)
class Holding:
    """`weight` is in hundredths of a percent of all that is held; None where Alpaca has no value for the position."""

    position: PositionResponse
    weight: int | None

    @property
    def is_short(self) -> bool:
        return Decimal(self.position.qty) < 0


@dataclass(frozen=True, slots=True)
class Holdings:
    """The sums are over those positions for which Alpaca says the number; `unvalued` are those without a value.

    `missing` are the positions that cannot be read: unless it is 0, all sums and weights are incomplete.
    """

    rows: tuple[Holding, ...]
    value: str
    profit: str
    today: str
    unvalued: int
    missing: int = 0


def holdings_of(
    positions: Sequence[PositionResponse], sorted_by: Column, *, descending: bool, missing: int = 0
) -> Holdings:
    values = [position.market_value for position in positions]
    rows = [Holding(*pair) for pair in zip(positions, weights_of(values), strict=True)]
    known = [value for value in values if value is not None]
    return Holdings(
        rows=tuple(_sorted(rows, sorted_by, descending=descending)),
        value=exact_sum(known),
        profit=exact_sum(position.unrealized_pl for position in positions if position.unrealized_pl is not None),
        today=exact_sum(
            position.unrealized_intraday_pl for position in positions if position.unrealized_intraday_pl is not None
        ),
        unvalued=len(values) - len(known),
        missing=missing,
    )


def weights_of(values: Sequence[str | None]) -> list[int | None]:
    """Each value's part of all, by size and not by sign, in hundredths of a percent.

    They sum to exactly 100 %: what rounding down leaves goes to those that it cut most (largest remainders).
    """
    sizes = [None if value is None else abs(Fraction(value)) for value in values]
    total = sum((size for size in sizes if size is not None), Fraction())
    if not total:
        return [None if size is None else 0 for size in sizes]
    exact = {index: size * WHOLE / total for index, size in enumerate(sizes) if size is not None}
    left = WHOLE - sum(int(share) for share in exact.values())
    raised = set(sorted(exact, key=lambda index: int(exact[index]) - exact[index])[:left])
    return [int(exact[index]) + (index in raised) if index in exact else None for index in range(len(sizes))]


def _sorted(rows: Sequence[Holding], column: Column, *, descending: bool) -> list[Holding]:
    """What has no number stands last in either direction, and what is equal stands by symbol."""
    by_symbol = sorted(rows, key=lambda row: row.position.symbol)
    if column is Column.SYMBOL:
        return by_symbol[::-1] if descending else by_symbol
    amount = _AMOUNTS[column]
    told = [row for row in by_symbol if amount(row) is not None]
    untold = [row for row in by_symbol if amount(row) is None]
    return sorted(told, key=lambda row: Fraction(amount(row) or 0), reverse=descending) + untold


_AMOUNTS: Final[dict[Column, Callable[[Holding], str | int | None]]] = {
    Column.VALUE: lambda row: row.position.market_value,
    Column.TODAY: lambda row: row.position.unrealized_intraday_pl,
    Column.PROFIT: lambda row: row.position.unrealized_pl,
    Column.RETURN: lambda row: row.position.unrealized_plpc,
    Column.WEIGHT: lambda row: row.weight,
}
