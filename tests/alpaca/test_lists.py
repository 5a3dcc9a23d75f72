"""Answers of Alpaca's other pages, read without trusting them."""

import contextlib
import json
from collections.abc import Callable
from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.alpaca.activities import NonTradeActivity, TradeActivity, read_activities
from corral.alpaca.errors import Fault, WrongShape
from corral.alpaca.fields import in_utc, instant
from corral.alpaca.items import UnreadableItem, count_unreadable, readable
from corral.alpaca.models import read_clock
from corral.alpaca.orders import Order, read_orders
from corral.alpaca.portfolio_history import read_portfolio_history
from corral.alpaca.positions import read_positions
from tests.accounts.alpaca_lists import ANSWERS, CLOCK, DIVIDEND, FILL, HISTORY, POSITION, order

READERS: dict[str, Callable[[bytes], object]] = {
    "/v2/positions": read_positions,
    "/v2/orders": read_orders,
    "/v2/account/activities": read_activities,
    "/v2/account/portfolio/history": read_portfolio_history,
    "/v2/clock": read_clock,
}


def _one(read: Callable[[bytes], tuple[Any, ...]], fields: dict[str, Any]) -> Any:  # noqa: ANN401 - one of many models
    (item,) = read(json.dumps([fields]).encode())
    return item


def test_an_order_is_read_to_the_last_digit() -> None:
    read = _one(read_orders, order(7))
    assert (read.qty, read.filled_avg_price) == ("20.000000001", "240.10")
    assert read.submitted_at == "2026-11-23T14:31:04.577215743Z"
    assert (read.order_class, read.type, read.limit_price, read.legs) == ("simple", "market", None, ())


def test_numbers_that_come_as_numbers_keep_every_digit() -> None:
    body = json.dumps([order(7)]).replace('"20.000000001"', "20.00000000000000000000000001")
    (read,) = readable(read_orders(body.encode()))
    assert read.qty == "20.00000000000000000000000001"


def test_values_that_alpaca_adds_later_pass_as_texts() -> None:
    read = _one(
        read_orders, order(7, status="pending_moon", type="iceberg", asset_class="ipo", something_new={"a": []})
    )
    assert (read.status, read.type, read.asset_class) == ("pending_moon", "iceberg", "ipo")


def test_a_multi_leg_order_has_symbol_and_side_in_its_legs() -> None:
    leg = order(8, type="", order_type="", ratio_qty="2")
    read = _one(read_orders, order(7, order_class="mleg", symbol="", side="", asset_id="", asset_class="", legs=[leg]))
    assert (read.symbol, read.side, read.asset_id, read.asset_class) == (None,) * 4
    assert [(one.symbol, one.type, one.ratio_qty) for one in read.legs] == [("AAPL", None, "2")]


def test_a_client_order_id_is_read_unchanged() -> None:
    assert _one(read_orders, order(7, client_order_id="a\nb\t👩‍🚀")).client_order_id == "a\nb\t👩‍🚀"


UNREADABLE: list[dict[str, Any]] = [
    {"status": None},
    {"status": ""},
    {"qty": "NaN"},
    {"qty": "1" * 65},
    {"qty": {"amount": 1}},
    {"limit_price": "=1+1"},
    {"submitted_at": "yesterday"},
    {"submitted_at": "2026-11-23T14:31:04"},
    {"submitted_at": "2026-02-30T14:31:04Z"},
    {"submitted_at": 1775606400},
    {"client_order_id": "x" * 257},
    {"client_order_id": "\ud800"},
    {"extended_hours": "maybe"},
    {"legs": {}},
    {"legs": [1]},
    {"legs": [order(1, legs=[order(2)])]},
    {"legs": [order(n) for n in range(1, 10)]},
    {"legs": [order(1, qty="many")]},
]


@pytest.mark.parametrize("fields", UNREADABLE, ids=str)
def test_an_order_with_an_unreadable_field_leaves_the_others_readable(fields: dict[str, Any]) -> None:
    first, second, third = read_orders(json.dumps([order(1), order(7, **fields), order(2)]).encode())
    assert isinstance(first, Order)
    assert isinstance(third, Order)
    assert isinstance(second, UnreadableItem)
    assert (second.id, list(second.faults)) == (order(7)["id"], list(fields))
    assert second.cells["symbol"] == "AAPL"
    assert not second.cells.keys() & fields.keys()


@pytest.mark.parametrize(
    "fields",
    [
        {"id": None},
        {"id": ""},
        {"id": 5},
        {"id": "x" * 65},
        {"symbol": ["AAPL"]},
        {"symbol": "A" * 65},
        {"symbol": "A\u202eB"},
    ],
    ids=str,
)
def test_an_order_without_a_readable_id_or_symbol_makes_the_whole_list_unusable(fields: dict[str, Any]) -> None:
    with pytest.raises(WrongShape) as refused:
        read_orders(json.dumps([order(1), order(7, **fields), order(2)]).encode())
    assert refused.value.field == next(iter(fields))


@pytest.mark.parametrize(
    ("readable", "unreadable", "is_usable"), [(1, 0, True), (1, 1, True), (0, 1, False), (2, 3, False), (3, 2, True)]
)
def test_a_list_of_which_more_than_half_is_unreadable_is_unusable(
    readable: int, unreadable: int, *, is_usable: bool
) -> None:
    many = [order(n) for n in range(readable)] + [order(10 + n, qty="?") for n in range(unreadable)]
    body = json.dumps(many).encode()
    if is_usable:
        assert count_unreadable(read_orders(body)) == unreadable
        return
    with pytest.raises(WrongShape) as refused:
        read_orders(body)
    assert (refused.value.fault, refused.value.field) == (Fault.MOSTLY_UNREADABLE, "qty")


@pytest.mark.parametrize("name", [name for name in order(7) if name not in {"id", "status", "type", "order_type"}])
def test_an_empty_text_in_an_order_is_none(name: str) -> None:
    assert _one(read_orders, order(7, **{name: ""})) == _one(read_orders, order(7, **{name: None}))


@pytest.mark.parametrize("zero", ["0001-01-01T00:00:00Z", "0000-00-00T00:00:00Z", "", None])
def test_a_zero_time_is_none(zero: str | None) -> None:
    assert _one(read_orders, order(7, filled_at=zero)).filled_at is None


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2026-08-05", "2026-08-05"),
        ("2026-08-05T00:00:00", "2026-08-05"),
        ("2026-08-05T00:00:00Z", "2026-08-05"),
        ("2026-08-05T00:00:00.000-04:00", "2026-08-05"),
        ("2026-08-05 00:00:00", "2026-08-05"),
        ("0000-00-00", None),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
        (None, None),
    ],
)
def test_a_date_is_taken_from_a_timestamp(written: str | None, read: str | None) -> None:
    assert _one(read_activities, {**DIVIDEND, "date": written}).date == read


@pytest.mark.parametrize("written", ["today", "2026-02-30", "2026-13-01", "2026-08-05T", "05.08.2026", 20260805])
def test_an_invalid_date_is_unreadable(written: object) -> None:
    fill, dividend = read_activities(json.dumps([FILL, {**DIVIDEND, "date": written}]).encode())
    assert isinstance(fill, TradeActivity)
    assert isinstance(dividend, UnreadableItem)
    assert dividend.faults == {"date": Fault.NOT_A_DATE}


@pytest.mark.parametrize("missing", ["asset_id", "symbol"])
def test_a_position_without_an_asset_makes_the_whole_list_unusable(missing: str) -> None:
    with pytest.raises(WrongShape) as refused:
        read_positions(json.dumps([POSITION, {**POSITION, missing: None}, POSITION]).encode())
    assert (refused.value.fault, refused.value.field) == (Fault.MISSING, missing)


@pytest.mark.parametrize("missing", ["side", "qty"])
def test_a_position_without_a_side_or_a_quantity_is_unreadable(missing: str) -> None:
    _, position = read_positions(json.dumps([POSITION, {**POSITION, missing: None}]).encode())
    assert isinstance(position, UnreadableItem)
    assert position.faults == {missing: Fault.MISSING}


def test_a_position_in_another_currency_keeps_its_values_in_dollars_and_its_rate() -> None:
    read = _one(
        read_positions,
        {**POSITION, "swap_rate": "0.93", "usd": {"market_value": "-4880.00", "note": "x", "cost_basis": None}},
    )
    assert (read.swap_rate, read.usd) == ("0.93", {"market_value": "-4880.00"})


@pytest.mark.parametrize("usd", ["4880", [], {"market_value": "lots"}])
def test_invalid_values_in_dollars_make_the_position_unreadable(usd: object) -> None:
    _, position = read_positions(json.dumps([POSITION, {**POSITION, "usd": usd}]).encode())
    assert isinstance(position, UnreadableItem)
    assert list(position.faults) == ["usd"]


def test_a_position_may_lack_everything_else() -> None:
    read = _one(read_positions, {name: POSITION[name] for name in ("asset_id", "symbol", "side", "qty")})
    assert (read.qty, read.market_value, read.exchange) == ("-20", None, None)


def test_fills_and_other_activities_are_distinguished() -> None:
    fill, dividend = read_activities(json.dumps([FILL, DIVIDEND]).encode())
    assert isinstance(fill, TradeActivity)
    assert (fill.price, fill.transaction_time) == ("174.780", "2022-02-02T18:55:09.981482Z")
    assert isinstance(dividend, NonTradeActivity)
    assert (dividend.net_amount, dividend.date) == ("1.020", "2019-08-01")
    assert isinstance(_one(read_activities, {**DIVIDEND, "activity_type": "NEWS"}), NonTradeActivity)


def test_a_fill_without_a_price_is_unreadable() -> None:
    _, fill = read_activities(json.dumps([DIVIDEND, {**FILL, "price": None}]).encode())
    assert isinstance(fill, UnreadableItem)
    assert (fill.id, fill.faults) == (FILL["id"], {"price": Fault.MISSING})


@pytest.mark.parametrize("fields", [{**FILL, "id": ""}, {**DIVIDEND, "id": None}, {**FILL, "symbol": None}])
def test_an_activity_without_an_id_or_a_fill_without_a_symbol_makes_the_whole_list_unusable(
    fields: dict[str, Any],
) -> None:
    with pytest.raises(WrongShape):
        read_activities(json.dumps([DIVIDEND, fields, FILL]).encode())


def test_an_activity_keeps_all_other_fields() -> None:
    fee = {"activity_type": "CFEE", "id": "1", "price": "1884.5", "description": "Coin Pair\nTransaction Fee"}
    fee |= {"venue": "X", "rate": 0.0025, "is_final": True, "nothing": None, "empty": "", "legs": [1], "deep": {"a": 1}}
    read = _one(read_activities, fee | {"Odd name": "x", "long": "x" * 1_001, "control": "a\x00b"})
    assert (read.price, read.description) == ("1884.5", "Coin Pair\nTransaction Fee")
    assert read.other == {"venue": "X", "rate": "0.0025", "is_final": True}
    assert _one(read_activities, FILL | {"note": "opened by hand"}).other == {"note": "opened by hand"}


def test_no_more_than_32_of_them_are_kept() -> None:
    many = {f"field_{number}": "x" for number in range(100)}
    assert len(_one(read_activities, DIVIDEND | many).other) == 32


def test_a_history_keeps_its_numbers_as_they_are_written() -> None:
    history = read_portfolio_history(HISTORY.encode())
    assert (history.base_value, history.base_value_asof, history.timeframe) == ("8413.0400", "2026-04-06", "1D")
    first, second = history.points
    assert first.at == "2026-04-08T00:00:00Z"
    assert (first.equity, first.profit_loss, first.profit_loss_pct) == ("8425.21000000000000000001", "12.170", "1.4e-3")
    assert (second.equity, second.profit_loss, second.profit_loss_pct) == (None, "0", None)


@pytest.mark.parametrize(
    ("well", "badly"),
    [
        ("[1775606400, 1775692800]", "[1775606400]"),
        ("[1775606400, 1775692800]", "[1775606400, null]"),
        ("[1775606400, 1775692800]", "[1775606400, 1e9]"),
        ("[1775606400, 1775692800]", "[1775606400, 999999999999]"),
        ("[1775606400, 1775692800]", "null"),
        ("[1775606400, 1775692800]", '"1775606400"'),
        ("[12.170, 0]", "[12.170, NaN]"),
        ("[12.170, 0]", "[12.170]"),
        ("[12.170, 0]", "[]"),
        ('"1D"', "null"),
    ],
)
def test_a_history_with_columns_of_different_lengths_is_refused(well: str, badly: str) -> None:
    assert well in HISTORY
    with pytest.raises(WrongShape):
        read_portfolio_history(HISTORY.replace(well, badly).encode())


def test_a_history_of_null_columns_is_empty() -> None:
    nothing = {"timestamp": None, "equity": None, "profit_loss": None, "profit_loss_pct": None, "timeframe": "1Min"}
    assert read_portfolio_history(json.dumps(nothing).encode()).points == []


def test_a_column_that_is_null_has_no_values() -> None:
    history = read_portfolio_history(HISTORY.replace("[1.4e-3, null]", "null").encode())
    assert [(point.equity, point.profit_loss_pct) for point in history.points] == [
        ("8425.21000000000000000001", None),
        (None, None),
    ]


@pytest.mark.parametrize("asof", ['"0000-00-00"', '"last week"', '""', "null"])
def test_a_history_without_a_base_date_has_its_points(asof: str) -> None:
    history = read_portfolio_history(HISTORY.replace('"2026-04-06"', asof).replace("8413.0400", '"?"').encode())
    assert (history.base_value, history.base_value_asof, len(history.points)) == (None, None, 2)


def test_a_point_that_cannot_be_read_is_left_out_and_counted() -> None:
    history = read_portfolio_history(HISTORY.replace("[12.170, 0]", '[12.170, "?"]').encode())
    assert [point.at for point in history.points] == ["2026-04-08T00:00:00Z"]
    assert count_unreadable(history.entries) == 1


def test_the_clock_is_read_in_utc_to_the_nanosecond() -> None:
    clock = read_clock(json.dumps(CLOCK).encode())
    assert clock.timestamp == "2026-11-23T19:22:20.586011618Z"
    assert (clock.next_open, clock.next_close, clock.is_open) == ("2026-11-24T14:30:00Z", "2026-11-23T21:00:00Z", True)


@pytest.mark.parametrize("missing", CLOCK)
def test_every_field_of_the_clock_is_required(missing: str) -> None:
    with pytest.raises(WrongShape):
        read_clock(json.dumps({**CLOCK, missing: None}).encode())


@pytest.mark.parametrize("path", READERS)
@pytest.mark.parametrize(
    "body",
    [
        *[b"", b"null", b"5", b'"x"', b"{", b"[", b"[1]", b"[null]", b"[[]]", b"[{}]", b"\xff", b"NaN"],
        *[b"[" * 100_000, b'{"a":' * 100_000, b'[{"id": "1", "id": "1"}]'],
    ],
    ids=lambda body: repr(body[:12]),
)
def test_other_bodies_are_refused(path: str, body: bytes) -> None:
    with pytest.raises(WrongShape):
        READERS[path](body)


@pytest.mark.parametrize("path", READERS)
def test_an_answer_cut_anywhere_is_refused(path: str) -> None:
    whole = ANSWERS[path].encode()
    READERS[path](whole)
    for end in range(len(whole)):
        with pytest.raises(WrongShape):
            READERS[path](whole[:end])


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from([*READERS]), st.data())
def test_no_value_anywhere_breaks_a_reader(path: str, data: st.DataObject) -> None:
    whole: list[dict[str, Any]] | dict[str, Any] = json.loads(ANSWERS[path])
    fields = data.draw(st.sampled_from(whole)) if isinstance(whole, list) else whole
    fields[data.draw(st.sampled_from([*fields]))] = data.draw(_JSON)
    with contextlib.suppress(WrongShape):
        READERS[path](json.dumps(whole).encode())


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-11-23T14:22:20-05:00", "2026-11-23T19:22:20Z"),
        ("2026-11-23t14:22:20.5z", "2026-11-23T14:22:20.5Z"),
        ("2026-12-31T23:59:59.999999999-01:00", "2027-01-01T00:59:59.999999999Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("0001-01-01T00:00:00+01:00", None),
        ("2026-11-23T14:22:20", None),
        ("2026-11-23", None),
        ("2026-11-23T24:22:20Z", None),
        ("2026-11-23T14:22:60Z", None),
        ("2026-11-23T14:22:20.1234567890Z", None),
        ("2026-11-23T14:22:20.Z", None),
        ("\uff12026-11-23T14:22:20Z", None),
        (" 2026-11-23T14:22:20Z", None),
        ("2026-11-23T14:22:20Z\n", None),
    ],
)
def test_moments_are_turned_into_utc_digit_for_digit(written: str, meant: str | None) -> None:
    assert in_utc(written) == meant


@st.composite
def _moments(draw: st.DrawFn) -> str:
    at = draw(st.datetimes(timezones=st.just(UTC)))
    digits = draw(st.text("0123456789", max_size=9))
    return at.isoformat()[:19] + (f".{digits}" if digits else "") + "Z"


@given(_moments(), _moments())
def test_instants_sort_as_time_does(one: str, other: str) -> None:
    def exactly(moment: str) -> tuple[str, int]:
        whole, _, fraction = moment[:-1].partition(".")
        return whole, int(fraction.ljust(9, "0")) if fraction else 0

    assert (instant(one) < instant(other)) == (exactly(one) < exactly(other))
