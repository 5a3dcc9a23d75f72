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
from corral.alpaca.errors import WrongShape
from corral.alpaca.market_clock import read_clock
from corral.alpaca.moments import in_utc, instant
from corral.alpaca.orders import read_orders
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
    assert read_orders(body.encode())[0].qty == "20.00000000000000000000000001"


def test_values_that_alpaca_adds_later_pass_as_texts() -> None:
    read = _one(
        read_orders, order(7, status="pending_moon", type="iceberg", asset_class="ipo", something_new={"a": []})
    )
    assert (read.status, read.type, read.asset_class) == ("pending_moon", "iceberg", "ipo")


def test_a_multi_leg_order_has_what_it_has_in_its_legs() -> None:
    leg = order(8, type="", order_type="", ratio_qty="2")
    read = _one(read_orders, order(7, order_class="mleg", symbol="", side="", asset_id="", asset_class="", legs=[leg]))
    assert (read.symbol, read.side, read.asset_id, read.asset_class) == (None,) * 4
    assert [(one.symbol, one.type, one.ratio_qty) for one in read.legs] == [("AAPL", None, "2")]


def test_what_a_client_named_its_order_is_taken_as_it_is() -> None:
    assert _one(read_orders, order(7, client_order_id="a\nb\t👩‍🚀")).client_order_id == "a\nb\t👩‍🚀"


@pytest.mark.parametrize(
    "fields",
    [
        {"id": None},
        {"id": ""},
        {"id": 5},
        {"status": None},
        {"qty": "NaN"},
        {"qty": "1" * 65},
        {"qty": {"amount": 1}},
        {"limit_price": "=1+1"},
        {"submitted_at": "yesterday"},
        {"submitted_at": "2026-11-23T14:31:04"},
        {"submitted_at": "2026-02-30T14:31:04Z"},
        {"submitted_at": 1775606400},
        {"symbol": ["AAPL"]},
        {"symbol": "A" * 65},
        {"symbol": "A\u202eB"},
        {"client_order_id": "x" * 257},
        {"client_order_id": "\ud800"},
        {"extended_hours": "maybe"},
        {"legs": {}},
        {"legs": [1]},
        {"legs": [order(1, legs=[order(2)])]},
        {"legs": [order(n) for n in range(1, 10)]},
    ],
    ids=str,
)
def test_one_order_that_makes_no_sense_refuses_the_whole_page(fields: dict[str, Any]) -> None:
    with pytest.raises(WrongShape):
        read_orders(json.dumps([order(1), order(7, **fields)]).encode())


@pytest.mark.parametrize("missing", ["asset_id", "symbol", "side", "qty"])
def test_a_position_without_what_it_is_of_is_none(missing: str) -> None:
    with pytest.raises(WrongShape):
        _one(read_positions, {**POSITION, missing: None})


def test_a_position_may_lack_everything_else() -> None:
    read = _one(read_positions, {name: POSITION[name] for name in ("asset_id", "symbol", "side", "qty")})
    assert (read.qty, read.market_value, read.exchange) == ("-20", None, None)


def test_fills_and_other_activities_are_told_apart() -> None:
    fill, dividend = read_activities(json.dumps([FILL, DIVIDEND]).encode())
    assert isinstance(fill, TradeActivity)
    assert (fill.price, fill.transaction_time) == ("174.780", "2022-02-02T18:55:09.981482Z")
    assert isinstance(dividend, NonTradeActivity)
    assert (dividend.net_amount, dividend.date) == ("1.020", "2019-08-01")
    assert isinstance(_one(read_activities, {**DIVIDEND, "activity_type": "NEWS"}), NonTradeActivity)


@pytest.mark.parametrize("fields", [{**FILL, "price": None}, {**FILL, "id": ""}, {**DIVIDEND, "date": "today"}])
def test_an_activity_that_lacks_a_part_is_none(fields: dict[str, Any]) -> None:
    with pytest.raises(WrongShape):
        _one(read_activities, fields)


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
        ("[12.170, 0]", "[12.170, NaN]"),
        ('"2026-04-06"', '"last week"'),
        ('"1D"', "null"),
    ],
)
def test_a_history_whose_columns_do_not_fit_is_none(well: str, badly: str) -> None:
    assert well in HISTORY
    with pytest.raises(WrongShape):
        read_portfolio_history(HISTORY.replace(well, badly).encode())


def test_the_clock_is_told_in_utc_to_the_nanosecond() -> None:
    clock = read_clock(json.dumps(CLOCK).encode())
    assert clock.timestamp == "2026-11-23T19:22:20.586011618Z"
    assert (clock.next_open, clock.next_close, clock.is_open) == ("2026-11-24T14:30:00Z", "2026-11-23T21:00:00Z", True)


@pytest.mark.parametrize("missing", CLOCK)
def test_a_clock_lacks_nothing(missing: str) -> None:
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
def test_what_is_something_else_is_refused(path: str, body: bytes) -> None:
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
