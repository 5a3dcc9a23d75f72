"""Merged positions are the sum of their parts, whatever the accounts hold and in whatever order they are read."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corral.accounts.combined.merged_positions import HeldByAccount, MergedPosition, merge_positions
from corral.accounts.schemas import PositionList, PositionResponse
from corral.alpaca.environments import Environment
from tests.accounts.alpaca_lists import POSITION
from tests.accounts.merged_accounts import account_id

SUMS = ("qty", "qty_available", "market_value", "cost_basis", "unrealized_pl", "unrealized_intraday_pl")
_AMOUNT = st.none() | st.integers(-(10**15), 10**15).map("{}e-7".format)


def position(symbol: str = "AAPL", **fields: object) -> PositionResponse:
    plain: dict[str, Any] = {"side": "long", "qty": "20", "market_value": "4880.00", "cost_basis": "4800"}
    plain |= {"unrealized_pl": "80", "unrealized_plpc": "0.0166666666666667"}
    return PositionResponse.model_validate({**POSITION, **plain, "symbol": symbol, **fields})


def held(
    number: int, *positions: PositionResponse, environment: Environment = Environment.LIVE, currency: str = "USD"
) -> HeldByAccount:
    listed = PositionList(items=list(positions), unreadable=0, next_cursor=None)
    return HeldByAccount(account_id(number), f"account {number}", environment, currency, listed)


def _fields(symbol: str, side: str, amounts: Sequence[str | None], price: str | None) -> PositionResponse:
    named = dict(zip(SUMS, amounts, strict=True))
    qty = named.pop("qty") or "1"
    asset_class = "crypto" if "USD" in symbol else "us_equity"
    return position(symbol, side=side, qty=qty, avg_entry_price=price, asset_class=asset_class, **named)


_POSITIONS = st.builds(
    _fields,
    st.sampled_from(["AAPL", "BTCUSD", "BTC/USD", "F"]),
    st.sampled_from(["long", "short"]),
    st.tuples(*[_AMOUNT] * len(SUMS)),
    _AMOUNT,
)


def _held(number: int, positions: list[PositionResponse], environment: Environment, currency: str) -> HeldByAccount:
    return held(number, *positions, environment=environment, currency=currency)


_HELD = st.builds(
    _held,
    st.integers(0, 10_000),
    st.lists(_POSITIONS, max_size=4),
    st.sampled_from(Environment),
    st.sampled_from(["USD", "EUR"]),
)
_ACCOUNTS = st.lists(_HELD, max_size=4, unique_by=lambda one: one.credential_id)


@settings(max_examples=40)
@given(_ACCOUNTS.flatmap(lambda accounts: st.tuples(st.just(accounts), st.permutations(accounts))))
def test_every_number_is_the_sum_of_its_parts_in_any_order(orders: tuple[list[HeldByAccount], ...]) -> None:
    accounts, shuffled = orders
    merged = merge_positions(accounts).items
    for one in merged:
        for name in SUMS:
            known = [value for part in one.parts if (value := getattr(part.position, name)) is not None]
            total: str | None = getattr(one, name)
            assert (total is None) == (not known)
            assert Fraction(total or 0) == sum(map(Fraction, known), Fraction())
        assert one.missing == sum(any(getattr(part.position, name) is None for name in SUMS) for part in one.parts)
    assert _identities(merged) == sorted({*_identities(merged)})
    given_parts = sorted((each.credential_id, id(one)) for each in accounts for one in each.positions.items)
    assert sorted((part.credential_id, id(part.position)) for one in merged for part in one.parts) == given_parts
    assert _without_parts(merge_positions(shuffled).items) == _without_parts(merged)


def _identities(merged: Iterable[MergedPosition]) -> list[tuple[str, ...]]:
    return sorted((one.account_type.value, one.currency, one.symbol, one.side) for one in merged)


def _without_parts(merged: Iterable[MergedPosition]) -> list[tuple[object, ...]]:
    return [
        (one.account_type, one.currency, one.symbol, one.side, *(getattr(one, name) for name in SUMS)) for one in merged
    ]


@settings(max_examples=20)
@given(_ACCOUNTS)
def test_weights_add_up_to_the_whole_of_their_account_type_and_currency(accounts: list[HeldByAccount]) -> None:
    wholes: dict[tuple[Environment, str], list[Fraction]] = {}
    for one in merge_positions(accounts).items:
        wholes.setdefault((one.account_type, one.currency), []).append(Fraction(one.weight or 0))
    for weights in wholes.values():
        assert not sum(weights) or abs(sum(weights) - 1) < Fraction(1, 10**12)


def _only(*accounts: HeldByAccount) -> MergedPosition:
    (merged,) = merge_positions(accounts).items
    return merged


def test_two_accounts_with_one_symbol_are_one_position_with_two_parts() -> None:
    merged = _only(
        held(1, position(qty="10", avg_entry_price="100", cost_basis="1000", market_value="1200", unrealized_pl="200")),
        held(2, position(qty="5", avg_entry_price="101", cost_basis="505", market_value="600.0", unrealized_pl="95")),
    )
    assert (merged.qty, merged.cost_basis, merged.market_value) == ("15", "1505", "1800.0")
    assert merged.avg_entry_price == "100.333333333333333"
    assert merged.unrealized_plpc == "0.196013289036544850"[:-1]
    assert [part.credential_id for part in merged.parts] == [account_id(1), account_id(2)]
    assert merged.weight == "1"


def test_one_part_stays_as_alpaca_wrote_it() -> None:
    merged = _only(held(1, position(avg_entry_price="240.10", unrealized_plpc="0.016666")))
    assert (merged.avg_entry_price, merged.unrealized_plpc, merged.market_value) == ("240.10", "0.016666", "4880.00")


def test_several_lots_of_one_account_are_added_and_not_overwritten() -> None:
    merged = _only(held(1, position(qty="10"), position(qty="5")))
    assert (merged.qty, len(merged.parts)) == ("15", 2)


def test_long_and_short_are_not_netted() -> None:
    long = held(1, position(qty="10", side="long"))
    short = held(2, position(qty="-10", side="short", cost_basis="-1000", market_value="-900", unrealized_pl="100"))
    assert [(one.side, one.qty) for one in merge_positions([long, short]).items] == [("long", "10"), ("short", "-10")]
    both = _only(
        short, held(3, position(qty="-5", side="short", cost_basis="-500", market_value="-600", unrealized_pl="-100"))
    )
    assert (both.qty, both.unrealized_pl, both.unrealized_plpc) == ("-15", "0", "0")
    gains = _only(short, held(3, *[one.position for one in merge_positions([short]).items[0].parts]))
    assert gains.unrealized_plpc == "0.1"  # a gain is positive, although the cost basis is negative


def test_a_quantity_that_cancels_out_has_no_average_price() -> None:
    """Brokers have reported such lots; a division by zero must not take the whole list away."""
    merged = _only(held(1, position(qty="1", avg_entry_price="5")), held(2, position(qty="-1", avg_entry_price="6")))
    assert (merged.qty, merged.avg_entry_price) == ("0", None)


def test_an_average_price_is_not_made_of_some_parts_only() -> None:
    """Dividing the cost of the priced parts by the quantity of all would halve it."""
    merged = _only(held(1, position(avg_entry_price="100")), held(2, position(avg_entry_price=None)))
    assert merged.avg_entry_price is None


def test_a_factor_is_not_made_of_some_parts_only() -> None:
    merged = _only(held(1, position()), held(2, position(cost_basis=None)))
    assert (merged.unrealized_plpc, merged.cost_basis, merged.missing) == (None, "4800", 1)


@pytest.mark.parametrize(
    ("symbols", "name"),
    [
        (["BTCUSD", "BTC/USD"], "BTC/USD"),
        (["BTCUSD"], "BTC/USD"),
        (["ETHBTC"], "ETH/BTC"),
        (["USDTUSD"], "USDT/USD"),
        (["BTCUSDT"], "BTC/USDT"),
        (["WEIRD"], "WEIRD"),
        (["AAVE/USDG", "AAVEUSDG"], "AAVE/USDG"),
    ],
)
def test_a_coin_has_one_name(symbols: list[str], name: str) -> None:
    accounts = [held(number, position(one, asset_class="crypto")) for number, one in enumerate(symbols)]
    assert _only(*accounts).symbol == name
    assert _only(*reversed(accounts)).symbol == name


def test_a_coin_of_unknown_class_is_one_with_a_coin_of_its_name_and_not_without() -> None:
    unknown, named = position("BTCUSD", asset_class=None), position("BTC/USD", asset_class="crypto")
    assert _only(held(1, unknown)).symbol == "BTCUSD"
    assert _only(held(1, unknown), held(2, named)).symbol == "BTC/USD"


def test_a_share_with_the_letters_of_a_pair_is_not_a_coin() -> None:
    share, coin = position("BTCUSD", asset_class="us_equity"), position("BTCUSD", asset_class="crypto")
    assert {one.symbol for one in merge_positions([held(1, share), held(2, coin)]).items} == {"BTCUSD", "BTC/USD"}


def test_paper_live_and_currencies_stay_apart() -> None:
    accounts = [
        held(1, position(), environment=Environment.PAPER),
        held(2, position()),
        held(3, position(), currency="EUR"),
    ]
    merged = merge_positions(accounts).items
    assert [(one.account_type, one.currency, one.weight) for one in merged] == [
        ("live", "EUR", "1"),
        ("live", "USD", "1"),
        ("paper", "USD", "1"),
    ]


def test_the_largest_come_first_and_parts_by_their_size() -> None:
    accounts = [
        held(1, position("F", market_value="10"), position("GM", market_value="-30", side="short", qty="-1")),
        held(2, position("F", market_value="15")),
    ]
    merged = merge_positions(accounts).items
    assert [one.symbol for one in merged] == ["GM", "F"]
    assert [part.position.market_value for part in merged[1].parts] == ["15", "10"]


def test_ids_are_of_the_accounts() -> None:
    merged = _only(held(1, position()), held(2, position()))
    assert {part.credential_id for part in merged.parts} == {UUID(str(account_id(1))), account_id(2)}
