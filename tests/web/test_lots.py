"""Lots of a position, first in first out."""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corral.accounts.activity_history import ActivityHistory, HistoryItem
from corral.web.view.lots import Lot, Movement, decimal_text, format_held, held_days, match_lots, movements_of

TRADES = st.lists(
    st.tuples(
        st.decimals(min_value=-50, max_value=50, places=3).filter(bool), st.decimals(min_value=1, max_value=9, places=2)
    ),
    max_size=30,
)


def trade(at: int, qty: str, price: str) -> Movement:
    return Movement(f"2026-11-{at:02}", Fraction(qty), Fraction(price))


def activity(kind: str, qty: str | None, **fields: str | None) -> HistoryItem:
    blank = dict.fromkeys(("at", "day", "price", "net_amount", "currency", "status", "order_id"))
    return HistoryItem(**{**blank, "id": "1", "activity_type": kind, "symbol": "AAPL", "qty": qty, **fields})  # type: ignore[arg-type]


def history(*newest_first: HistoryItem) -> ActivityHistory:
    return ActivityHistory(items=list(newest_first), unreadable=[], is_whole=True)


def lots_of(symbol: str, held: str, *newest_first: HistoryItem) -> list[tuple[str, str | None]]:
    """Quantity and price of each lot."""
    matched = match_lots(movements_of(symbol, history(*newest_first)), Fraction(held))
    return [(decimal_text(lot.qty), None if lot.price is None else decimal_text(lot.price)) for lot in matched.lots]


@settings(max_examples=60, deadline=None)
@given(TRADES, st.decimals(min_value=-40, max_value=40, places=3))
def test_lots_sum_to_the_position_and_have_the_order_of_their_trades(
    trades: list[tuple[Decimal, Decimal]], unexplained: Decimal
) -> None:
    movements = [Movement(f"{at:04}", Fraction(qty), Fraction(price)) for at, (qty, price) in enumerate(trades)]
    held = sum((movement.qty for movement in movements), Fraction(unexplained))
    matched = match_lots(movements, held)
    assert sum(lot.qty for lot in matched.lots) == held
    assert len({lot.qty > 0 for lot in matched.lots}) <= 1
    opened = [lot.opened_at or "" for lot in matched.lots]
    assert opened == sorted(opened)
    assert matched.unexplained == Fraction(unexplained)


@settings(max_examples=60, deadline=None)
@given(TRADES)
def test_cost_of_open_lots_and_realized_gains_are_exactly_the_money_that_was_paid(
    trades: list[tuple[Decimal, Decimal]],
) -> None:
    movements = [Movement(f"{at:04}", Fraction(qty), Fraction(price)) for at, (qty, price) in enumerate(trades)]
    matched = match_lots(movements, sum((movement.qty for movement in movements), Fraction()))
    paid = sum(((movement.price or 0) * movement.qty for movement in movements), Fraction())
    assert sum((lot.cost or 0) for lot in matched.lots) - (matched.realized or 0) == paid


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.data())
def test_the_lots_of_a_long_position_are_what_was_bought_last(bought: list[int], data: st.DataObject) -> None:
    sold = data.draw(st.integers(0, sum(bought)))
    movements = [trade(at + 1, str(qty), "1") for at, qty in enumerate(bought)]
    matched = match_lots([*movements, trade(20, str(-sold), "2")], Fraction(sum(bought) - sold)) if sold else None
    left = [lot.qty for lot in matched.lots] if matched else [Fraction(qty) for qty in bought]
    assert left[1:] == [Fraction(qty) for qty in bought[len(bought) - len(left) + 1 :]] if left else True


def test_a_sale_that_is_larger_than_the_position_opens_a_short_lot() -> None:
    matched = match_lots([trade(1, "10", "5"), trade(2, "-15", "7"), trade(3, "1", "6")], Fraction(-4))
    assert matched.lots == (Lot("2026-11-02", Fraction(-4), Fraction(7)),)
    assert matched.realized == 10 * 2 + 1
    assert matched.closed == 11


def test_what_activities_do_not_explain_counts_as_the_oldest_and_is_named() -> None:
    matched = match_lots([trade(1, "5", "10"), trade(2, "-2", "12")], Fraction(13))
    assert [(lot.opened_at, lot.qty) for lot in matched.lots] == [(None, 8), ("2026-11-01", 5)]
    assert (matched.unexplained, matched.is_complete, matched.realized) == (10, False, None)


def test_a_position_smaller_than_its_activities_keeps_the_newest_lots() -> None:
    matched = match_lots([trade(1, "5", "10"), trade(2, "5", "12")], Fraction(7))
    assert [lot.qty for lot in matched.lots] == [2, 5]
    assert (matched.unexplained, matched.is_complete) == (-3, False)


def test_activities_that_do_not_reach_the_beginning_give_no_realized_gain() -> None:
    movements = [trade(1, "5", "10"), trade(2, "-5", "12")]
    assert match_lots(movements, Fraction(), is_whole=False).realized is None
    assert match_lots(movements, Fraction()).realized == 10


def test_coins_are_one_with_and_without_a_slash_and_fees_come_out_of_the_oldest_lot() -> None:
    fee = activity("CFEE", "-0.0025", symbol="BTCUSD", price="66000", day="2026-11-02", at="2026-11-02T20:00:00Z")
    bought = activity("FILL", "1", symbol="BTC/USD", price="65000", at="2026-11-02T15:00:00Z")
    assert lots_of("BTCUSD", "0.9975", fee, bought) == [("0.9975", "65000")]
    assert lots_of("BTC/USD", "0.9975", fee, bought) == [("0.9975", "65000")]
    matched = match_lots(movements_of("BTCUSD", history(fee, bought)), Fraction("0.9975"))
    assert (matched.is_complete, matched.realized) == (True, None)


@pytest.mark.parametrize(
    "split",
    [
        [activity("SPLIT", "30", day="2026-11-05", at="2026-11-09T12:00:00Z")],
        [activity("SPLIT", "40", day="2026-11-05"), activity("SPLIT", "-10", day="2026-11-05")],
    ],
    ids=["the difference", "old shares out, new ones in"],
)
def test_a_split_scales_lots_and_counts_on_its_own_day(split: list[HistoryItem]) -> None:
    later = activity("FILL", "-8", price="30", at="2026-11-06T15:00:00Z")
    second = activity("FILL", "6", price="120", at="2026-11-03T15:00:00Z")
    first = activity("FILL", "4", price="100", at="2026-11-02T15:00:00Z")
    assert lots_of("AAPL", "32", *split, later, second, first) == [("8", "25"), ("24", "30")]


def test_a_reverse_split_with_thirds_still_sums_to_the_position() -> None:
    split = activity("SPLIT", "-6", day="2026-11-05")
    bought = [activity("FILL", qty, price="10", at=f"2026-11-0{day}T15:00:00Z") for day, qty in ((3, "5"), (2, "4"))]
    matched = match_lots(movements_of("AAPL", history(split, *bought)), Fraction(3))
    assert sum(lot.qty for lot in matched.lots) == 3
    assert sum(lot.cost or 0 for lot in matched.lots) == 90
    assert decimal_text(matched.lots[0].qty) == "1.333333333"


def test_exercise_assignment_and_expiration_change_positions() -> None:
    call = "AAPL261218C00150000"
    bought = activity("FILL", "3", symbol=call, price="2", at="2026-11-02T15:00:00Z")
    exercised = activity("OPEXC", "-2", symbol=call, net_amount="0", day="2026-11-20")
    shares = activity("OPTRD", "200", price="90", net_amount="-30000", day="2026-11-20")
    expired = activity("OPEXP", "-1", symbol=call, net_amount="0", day="2026-12-18")
    assert lots_of(call, "0", expired, shares, exercised, bought) == []
    assert lots_of("AAPL", "200", expired, shares, exercised, bought) == [("200", "150")]
    matched = match_lots(movements_of(call, history(expired, exercised, bought)), Fraction())
    assert matched.realized == -2


def test_transfers_have_no_price_and_dividends_and_void_activities_no_effect() -> None:
    items = [
        activity("JNLS", "-1", day="2026-11-06"),
        activity("DIV", "9", net_amount="4.50", day="2026-11-05"),
        activity("ACATS", "7", day="2026-11-04"),
        activity("ACATS", "7", day="2026-11-04", status="canceled"),
        activity("FILL", "2", price="100", at="2026-11-03T15:00:00Z"),
    ]
    assert lots_of("AAPL", "8", *items) == [("1", "100"), ("7", None)]


def test_how_long_a_lot_is_held() -> None:
    now = datetime(2026, 11, 24, 16, tzinfo=UTC)
    assert held_days("2026-11-24T03:00:00.123456789Z", now) == 1  # late in the evening of the 23rd in New York
    assert [format_held(days) for days in (0, 1, 60, 61, 365, 729, 730)] == [
        "today", "1 day", "60 days", "2 months", "12 months", "23 months", "2 years",
    ]  # fmt: skip
