from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.accounts.schemas import PositionResponse
from corral.web.view.positions import (
    MAX_SLICES,
    WHOLE,
    Column,
    PositionRow,
    allocation_slices,
    build_positions_table,
    compute_weights,
    tones_by_asset,
)

amounts = st.decimals(allow_nan=False, allow_infinity=False, min_value="-1e40", max_value="1e40").map(str)
optional_amounts = st.none() | amounts


def position(number: int, **known: str | None) -> PositionResponse:
    unknown = dict.fromkeys(PositionResponse.model_fields)
    return PositionResponse.model_validate(
        unknown | {"asset_id": f"asset-{number}", "symbol": f"S{number:03}", "side": "long", "qty": "1"} | known
    )


@given(st.lists(optional_amounts, max_size=40))
def test_weights_sum_to_exactly_100_percent_unless_all_values_are_zero(values: list[str | None]) -> None:
    weights = compute_weights(values)
    known = [weight for weight in weights if weight is not None]
    has_value = any(Decimal(value) for value in values if value is not None)
    assert sum(known) == (WHOLE if has_value else 0)
    assert [weight is None for weight in weights] == [value is None for value in values]


@given(st.lists(amounts, min_size=1, max_size=40))
def test_a_weight_is_off_by_less_than_a_hundredth_of_a_percent(values: list[str]) -> None:
    sizes = [abs(Fraction(value)) for value in values]
    total = sum(sizes)
    if total:
        for size, weight in zip(sizes, compute_weights(values), strict=True):
            assert weight is not None
            assert abs(weight - size * WHOLE / total) < 1


@given(
    numbers=st.lists(st.tuples(optional_amounts, optional_amounts, optional_amounts), max_size=20),
    column=st.sampled_from(Column),
    descending=st.booleans(),
)
def test_totals_are_exact_in_any_order(
    numbers: list[tuple[str | None, str | None, str | None]], column: Column, *, descending: bool
) -> None:
    positions = [
        position(index, market_value=value, unrealized_pl=profit, unrealized_intraday_pl=today)
        for index, (value, profit, today) in enumerate(numbers)
    ]
    table = build_positions_table(positions, column, descending=descending)
    assert Fraction(table.unrealized_pl) == sum(Fraction(profit) for _, profit, _ in numbers if profit is not None)
    assert Fraction(table.todays_pl) == sum(Fraction(today) for _, _, today in numbers if today is not None)
    values = [Fraction(value) for value, _, _ in numbers if value is not None]
    assert Fraction(table.value) == sum(values)
    assert table.unvalued == len(numbers) - len(values)
    assert {row.position.asset_id for row in table.rows} == {one.asset_id for one in positions}


@given(values=st.lists(optional_amounts, max_size=20), descending=st.booleans())
def test_rows_without_the_number_are_sorted_last(values: list[str | None], *, descending: bool) -> None:
    positions = [position(index, unrealized_pl=value) for index, value in enumerate(values)]
    rows = build_positions_table(positions, Column.PROFIT, descending=descending).rows
    profits = [row.position.unrealized_pl for row in rows]
    known = [Decimal(profit) for profit in profits if profit is not None]
    assert known == sorted(known, reverse=descending)
    assert profits[len(known) :] == [None] * (len(profits) - len(known))


def test_sorting_by_symbol_in_both_directions() -> None:
    positions = [position(2), position(3), position(1)]
    assert [row.position.symbol for row in build_positions_table(positions, Column.SYMBOL, descending=False).rows] == [
        "S001",
        "S002",
        "S003",
    ]
    assert build_positions_table(positions, Column.SYMBOL, descending=True).rows[0].position.symbol == "S003"


def test_a_short_position_has_a_weight_and_is_marked() -> None:
    long, short = position(1, market_value="300"), position(2, qty="-5", market_value="-100")
    rows = build_positions_table([long, short], Column.WEIGHT, descending=True).rows
    assert [(row.weight, row.is_short) for row in rows] == [(7500, False), (2500, True)]


@given(st.lists(amounts, max_size=30))
def test_the_slices_fill_the_ring_exactly(values: list[str]) -> None:
    rows = build_positions_table(
        [position(i, market_value=v) for i, v in enumerate(values)], Column.VALUE, descending=True
    ).rows
    slices = allocation_slices(rows)
    assert len(slices) <= MAX_SLICES
    assert [one.begins for one in slices] == [sum(one.weight for one in slices[:index]) for index in range(len(slices))]
    assert sum(one.weight for one in slices) == (WHOLE if any(Decimal(value) for value in values) else 0)
    assert all(0 < one.drawn <= one.weight for one in slices)
    assert set(tones_by_asset(rows).values()) == {one.tone for one in slices}


@pytest.mark.parametrize(("held", "others"), [(8, None), (9, "2 others"), (12, "5 others")])
def test_positions_beyond_the_colors_share_a_slice(held: int, others: str | None) -> None:
    rows = [PositionRow(position(index), WHOLE // held) for index in range(held)]
    assert allocation_slices(rows)[-1].label == (others or "S007")
