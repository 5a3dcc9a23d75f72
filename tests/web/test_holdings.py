from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.accounts.schemas import PositionResponse
from corral.web.allocation import MOST_SLICES, slices_of, tones_of
from corral.web.holdings import WHOLE, Column, Holding, holdings_of, weights_of

amounts = st.decimals(allow_nan=False, allow_infinity=False, min_value="-1e40", max_value="1e40").map(str)
perhaps = st.none() | amounts


def position(number: int, **known: str | None) -> PositionResponse:
    unknown = dict.fromkeys(PositionResponse.model_fields)
    return PositionResponse.model_validate(
        unknown | {"asset_id": f"asset-{number}", "symbol": f"S{number:03}", "side": "long", "qty": "1"} | known
    )


@given(st.lists(perhaps, max_size=40))
def test_weights_sum_to_exactly_a_whole_or_there_is_nothing_to_weigh(values: list[str | None]) -> None:
    weights = weights_of(values)
    told = [weight for weight in weights if weight is not None]
    has_worth = any(Decimal(value) for value in values if value is not None)
    assert sum(told) == (WHOLE if has_worth else 0)
    assert [weight is None for weight in weights] == [value is None for value in values]


@given(st.lists(amounts, min_size=1, max_size=40))
def test_a_weight_is_less_than_a_hundredth_of_a_percent_from_the_truth(values: list[str]) -> None:
    sizes = [abs(Fraction(value)) for value in values]
    total = sum(sizes)
    if total:
        for size, weight in zip(sizes, weights_of(values), strict=True):
            assert weight is not None
            assert abs(weight - size * WHOLE / total) < 1


@given(
    numbers=st.lists(st.tuples(perhaps, perhaps, perhaps), max_size=20),
    column=st.sampled_from(Column),
    descending=st.booleans(),
)
def test_sums_are_exact_whatever_the_order(
    numbers: list[tuple[str | None, str | None, str | None]], column: Column, *, descending: bool
) -> None:
    positions = [
        position(index, market_value=value, unrealized_pl=profit, unrealized_intraday_pl=today)
        for index, (value, profit, today) in enumerate(numbers)
    ]
    told = holdings_of(positions, column, descending=descending)
    assert Fraction(told.profit) == sum(Fraction(profit) for _, profit, _ in numbers if profit is not None)
    assert Fraction(told.today) == sum(Fraction(today) for _, _, today in numbers if today is not None)
    values = [Fraction(value) for value, _, _ in numbers if value is not None]
    assert Fraction(told.value) == sum(values)
    assert told.unvalued == len(numbers) - len(values)
    assert {row.position.asset_id for row in told.rows} == {one.asset_id for one in positions}


@given(values=st.lists(perhaps, max_size=20), descending=st.booleans())
def test_sorted_by_a_number_what_has_none_stands_last(values: list[str | None], *, descending: bool) -> None:
    positions = [position(index, unrealized_pl=value) for index, value in enumerate(values)]
    rows = holdings_of(positions, Column.PROFIT, descending=descending).rows
    profits = [row.position.unrealized_pl for row in rows]
    told = [Decimal(profit) for profit in profits if profit is not None]
    assert told == sorted(told, reverse=descending)
    assert profits[len(told) :] == [None] * (len(profits) - len(told))


def test_sorted_by_symbol_either_way() -> None:
    positions = [position(2), position(3), position(1)]
    assert [row.position.symbol for row in holdings_of(positions, Column.SYMBOL, descending=False).rows] == [
        "S001",
        "S002",
        "S003",
    ]
    assert holdings_of(positions, Column.SYMBOL, descending=True).rows[0].position.symbol == "S003"


def test_a_short_position_has_weight_and_is_told_from_a_long_one() -> None:
    long, short = position(1, market_value="300"), position(2, qty="-5", market_value="-100")
    rows = holdings_of([long, short], Column.WEIGHT, descending=True).rows
    assert [(row.weight, row.is_short) for row in rows] == [(7500, False), (2500, True)]


@given(st.lists(amounts, max_size=30))
def test_the_slices_go_round_exactly_once(values: list[str]) -> None:
    rows = holdings_of([position(i, market_value=v) for i, v in enumerate(values)], Column.VALUE, descending=True).rows
    slices = slices_of(rows)
    assert len(slices) <= MOST_SLICES
    assert [one.begins for one in slices] == [sum(one.weight for one in slices[:index]) for index in range(len(slices))]
    assert sum(one.weight for one in slices) == (WHOLE if any(Decimal(value) for value in values) else 0)
    assert all(0 < one.drawn <= one.weight for one in slices)
    assert set(tones_of(rows).values()) == {one.tone for one in slices}


@pytest.mark.parametrize(("held", "others"), [(8, None), (9, "2 others"), (12, "5 others")])
def test_more_positions_than_colours_are_drawn_as_one(held: int, others: str | None) -> None:
    rows = [Holding(position(index), WHOLE // held) for index in range(held)]
    assert slices_of(rows)[-1].label == (others or "S007")
