"""What a client writes is read strictly, and what is sent is what was read."""

import json
from dataclasses import asdict
from decimal import Decimal
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.gateway.bodies import (
    MOST_BODY_BYTES,
    NewOrder,
    OrderChange,
    OrderLeg,
    StopLoss,
    TakeProfit,
    WatchlistForm,
    WatchlistSymbol,
    read_body,
    with_client_order_id,
    written,
)
from corral.gateway.operations import OPERATIONS, Operation, OperationKind
from corral.gateway.refusals import Reason, Refused
from corral.gateway.targets import match
from tests.gateway.go_json import ORDER, as_go_reads
from tests.gateway.official import TRADING
from tests.gateway.recorded import CLIENTS, recorded
from tests.sandbox.judges import of_the_sdk

_BY_NAME = {operation.name: operation for operation in OPERATIONS}
_POST_ORDER = _BY_NAME["POST /v2/orders"]
_MARKET = {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}


def _read_order(content: bytes | str | dict[str, Any]) -> NewOrder:
    if isinstance(content, dict):
        content = json.dumps(content)
    order = read_body(_POST_ORDER, content.encode() if isinstance(content, str) else content)
    assert isinstance(order, NewOrder)
    return order


def _refused(content: bytes | str | dict[str, Any]) -> Refused:
    with pytest.raises(Refused) as refused:
        _read_order(content)
    return refused.value


def test_amounts_are_kept_digit_for_digit_as_text_or_as_numbers() -> None:
    order = _read_order(
        '{"symbol": "BTC/USD", "type": "limit", "time_in_force": "gtc", "side": "buy", "qty": 1e-05,'
        ' "limit_price": 60000.10, "stop_price": "0.1000", "trail_price": null, "extended_hours": false}'
    )
    assert order == NewOrder(
        symbol="BTC/USD",
        type="limit",
        time_in_force="gtc",
        side="buy",
        qty="1e-05",
        limit_price="60000.10",
        stop_price="0.1000",
        extended_hours=False,
    )
    assert json.loads(written(order)) == {
        "symbol": "BTC/USD",
        "type": "limit",
        "time_in_force": "gtc",
        "side": "buy",
        "qty": "1e-05",
        "limit_price": "60000.10",
        "stop_price": "0.1000",
        "extended_hours": False,
    }


def test_legs_and_exits_are_read_and_written() -> None:
    order = _read_order(
        """{
            "qty": 1, "type": "limit", "time_in_force": "day", "order_class": "mleg", "limit_price": -0.5,
            "legs": [
                {"symbol": "AAPL261218C00250000", "ratio_qty": 1, "side": "buy", "position_intent": "buy_to_open"},
                {"symbol": "AAPL261218C00260000", "ratio_qty": "1.0", "side": "", "position_intent": null}
            ],
            "take_profit": {"limit_price": 280.0}, "stop_loss": {"stop_price": "250", "limit_price": null}
        }"""
    )
    assert order == NewOrder(
        qty="1",
        type="limit",
        time_in_force="day",
        order_class="mleg",
        limit_price="-0.5",
        legs=(
            OrderLeg(symbol="AAPL261218C00250000", ratio_qty="1", side="buy", position_intent="buy_to_open"),
            OrderLeg(symbol="AAPL261218C00260000", ratio_qty="1.0"),
        ),
        take_profit=TakeProfit(limit_price="280.0"),
        stop_loss=StopLoss(stop_price="250"),
    )
    assert written(order) == (
        b'{"type":"limit","time_in_force":"day","qty":"1","limit_price":"-0.5","order_class":"mleg",'
        b'"take_profit":{"limit_price":"280.0"},"stop_loss":{"stop_price":"250"},'
        b'"legs":[{"symbol":"AAPL261218C00250000","ratio_qty":"1","side":"buy","position_intent":"buy_to_open"},'
        b'{"symbol":"AAPL261218C00260000","ratio_qty":"1.0"}]}'
    )


def test_an_order_without_an_id_is_given_one_and_keeps_its_own() -> None:
    for nothing in ({}, {"client_order_id": ""}, {"client_order_id": None}):
        order = with_client_order_id(_read_order(_MARKET | nothing), "ours")
        assert json.loads(written(order)) == {**_MARKET, "client_order_id": "ours"}
    order = _read_order({**_MARKET, "client_order_id": "mine"})
    assert with_client_order_id(order, "ours") is order
    assert with_client_order_id(OrderChange(qty="2"), "ours") == OrderChange(qty="2", client_order_id="ours")


_TWICE = (
    '{"symbol":"AAPL","side":"buy","type":"market","time_in_force":"day","qty":"1","qty":"1000"}',
    '{"symbol":"AAPL","side":"buy","type":"market","time_in_force":"day","qty":"1","\\u0071ty":"1000"}',
    '{"symbol":"AAPL","side":"buy","type":"market","time_in_force":"day","stop_loss":{"stop_price":1,"stop_price":2}}',
    '{"type":"market","time_in_force":"day","legs":[{"symbol":"A","ratio_qty":1,"ratio_qty":2}]}',
)
_NOT_ONE_VALUE = (
    "",
    " ",
    "{",
    "{}{}",
    '{"a":1}]',
    json.dumps(_MARKET) * 2,
    json.dumps(_MARKET) + "\0",
    "/**/{}",
    "{,}",
)
_NOT_JSON = (
    '{"type":"market","time_in_force":"day","qty":NaN}',
    '{"type":"market","time_in_force":"day","qty":Infinity}',
    '{"type":"market","time_in_force":"day","qty":-Infinity}',
    '{"type":"market","time_in_force":"day","qty":01}',
    '{"type":"market","time_in_force":"day","qty":.5}',
    '{"type":"market","time_in_force":"day","qty":+1}',
    '{"type":"market","time_in_force":"day","qty":0x10}',
    '{"type":"market","time_in_force":"day","symbol":"A\tB"}',
    "{'type':'market','time_in_force':'day'}",
    '{"type":"market","time_in_force":"day",}',
    "qty=1&type=market",
)


@pytest.mark.parametrize("content", [*_TWICE, *_NOT_ONE_VALUE, *_NOT_JSON])
def test_what_is_not_one_plain_json_value_is_refused(content: str) -> None:
    assert _refused(content).reason is Reason.INVALID_BODY


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_encodings_are_refused(encoding: str) -> None:
    assert _refused(json.dumps(_MARKET).encode(encoding)).reason is Reason.INVALID_BODY


def test_bytes_that_are_no_text_are_refused() -> None:
    for content in (b'{"symbol":"\xff"}', b"\x1f\x8b\x08\x00", b'{"symbol":"\xed\xa0\x80"}', b"\x00"):
        assert _refused(content).reason is Reason.INVALID_BODY


@pytest.mark.parametrize("value", [[], "AAPL", 1, True, None, [_MARKET]], ids=str)
def test_a_body_that_is_no_object_is_refused(value: object) -> None:
    assert _refused(json.dumps(value)).message == "The body is not an object."


@pytest.mark.parametrize(
    "name",
    ["Qty", "QTY", "qtу", "qty ", " qty", "stop_loſs", "limit-price", "limitPrice", "", "order_id", "subtag", "qty\0"],  # noqa: RUF001
)
def test_an_unknown_field_is_refused_and_not_repeated(name: str) -> None:
    refused = _refused({**_MARKET, name: "1"})
    assert refused.reason is Reason.INVALID_BODY
    assert refused.message.startswith("The body has an unknown field. Known fields are symbol, qty, ")


_WRONG: dict[str, tuple[object, ...]] = {
    "qty": (
        *("", " 1", "1 ", "+1", ".5", "1.", "01", "0x1", "1_0", "1,5", "NaN", "Infinity", "\u0661", "1e", "1e999"),
        *("-1", -1, True, [], {}, ["1"], "9" * 41, "0." + "9" * 40),
    ),
    "notional": ("-5", "1e-100", "$5"),
    "limit_price": ("--1", "-", False),
    "side": ("BUY", "long", 1, "buy "),
    "type": ("", "Market", "foo", 1),
    "time_in_force": ("", "gtd", "DAY"),
    "extended_hours": ("true", 1, 0, ""),
    "symbol": ("AA PL", "AAPL\n", "../AAPL", ".A", "A/B/C", "A" * 65, 1, "AAPL,KO", "Ä"),
    "client_order_id": ("x" * 129, "a\nb", "\ud800", "a\0", 5),
    "order_class": ("Simple", "group"),
    "legs": (
        *({}, "", [None], [1], [{}], [{"symbol": "A"}], [{"symbol": "A", "ratio_qty": ""}]),
        *([{"symbol": "A", "ratio_qty": 1}] * 5, [{"symbol": "A", "ratio_qty": 1, "qty": 5}]),
    ),
    "take_profit": ([], "280", {"stop_price": 1}, {"Limit_price": 1}, {"limit_price": []}),
    "stop_loss": (5, {"stop_price": -1}, {"stop_price": {"a": 1}}),
    "advanced_instructions": ("TWAP", {"algorithm": "dma"}, {"start_time": "now"}),
}


@pytest.mark.parametrize("field", _WRONG)
def test_a_wrong_value_is_refused_by_the_name_of_its_field(field: str) -> None:
    within = {"legs": "symbol ratio_qty", "take_profit": "limit_price", "stop_loss": "stop_price"}
    names = f"{field} {within.get(field, 'algorithm start_time')}".split()
    for value in _WRONG[field]:
        refused = _refused({**_MARKET, field: value})
        assert refused.reason is Reason.INVALID_BODY, value
        assert any(name in refused.message for name in names), value


def test_endless_numbers_and_nesting_are_refused_at_once() -> None:
    for digits in ("9" * 5_000, "0." + "3" * 5_000, "1e" + "9" * 5_000, "-" + "9" * 60_000):
        assert (
            _refused(json.dumps(_MARKET).replace('"1"', digits)).message == "qty is not a number of at most 40 digits."
        )
    for content in ("[" * 60_000, '{"legs":' * 8_000, "[" * 30_000 + "]" * 30_000):
        assert _refused(content).reason is Reason.INVALID_BODY


def test_a_body_of_64_kib_is_read_and_a_longer_one_is_not() -> None:
    order = json.dumps(_MARKET)
    assert _read_order(order.ljust(MOST_BODY_BYTES)).qty == "1"
    assert _refused(order.ljust(MOST_BODY_BYTES + 1)).reason is Reason.BODY_TOO_LARGE


def test_watchlists_tell_an_empty_list_from_none() -> None:
    put = _BY_NAME["PUT /v2/watchlists/{watchlist_id}"]
    for content, form in (
        (b'{"name": "mine", "symbols": []}', WatchlistForm(name="mine", symbols=())),
        (b'{"symbols": ["AAPL", "BTC/USD"]}', WatchlistForm(symbols=("AAPL", "BTC/USD"))),
        (b'{"name": "mine", "symbols": null}', WatchlistForm(name="mine")),
    ):
        assert read_body(put, content) == form
        assert read_body(put, written(form)) == form
    added = read_body(_BY_NAME["POST /v2/watchlists/{watchlist_id}"], b'{"symbol": "AAPL"}')
    assert added == WatchlistSymbol(symbol="AAPL")
    for name, content in (("POST /v2/watchlists", b"{}"), ("POST /v2/watchlists:by_name", b'{"symbol": ""}')):
        with pytest.raises(Refused):
            read_body(_BY_NAME[name], content)


def test_an_operation_without_a_body_gets_none() -> None:
    for operation in OPERATIONS:
        if _documented_body(operation) is None:
            assert all(read_body(operation, content) is None for content in (b"", b"{}", b" null\n"))
            for content in (b'{"qty": 1}', b"[]", b"0", b"{}{}", b"\0"):
                with pytest.raises(Refused):
                    read_body(operation, content)


def _documented_body(operation: Operation) -> Any:  # noqa: ANN401 - a schema
    return next((known.body for known in TRADING if known.name == operation.name), None)


def test_the_forms_have_the_fields_and_choices_of_the_document() -> None:
    forms = {
        operation: _documented_body(operation) for operation in OPERATIONS if operation.kind is not OperationKind.NEVER
    }
    for operation, schema in forms.items():
        if schema is None:
            continue
        fields = _fields_of(operation) - {"order_id"}
        assert fields == schema["properties"].keys(), operation
    order = _documented_body(_POST_ORDER)["properties"]
    for field in ("side", "type", "time_in_force", "order_class", "position_intent"):
        for choice in order[field]["enum"]:
            required = choice or {"order_class": None}[field]
            assert getattr(_read_order({**_MARKET, field: choice}), field) == required
    for nested, fields in (("legs", order["legs"]["items"]), ("advanced_instructions", order["advanced_instructions"])):
        message = _refused({**_MARKET, nested: [{"?": 1}] if nested == "legs" else {"?": 1}}).message
        assert set(_listed_in(message)) == fields["properties"].keys()


def _fields_of(operation: Operation) -> set[str]:
    with pytest.raises(Refused) as refused:
        read_body(operation, b'{"?": 1}')
    return _listed_in(refused.value.message)


def _listed_in(message: str) -> set[str]:
    return set(message.rpartition(" are ")[2].removesuffix(".").split(", "))


@pytest.mark.parametrize("client", CLIENTS)
def test_what_a_client_writes_is_sent_with_the_same_meaning(client: str) -> None:
    for request in recorded(client):
        if not request.body:
            continue
        try:
            operation = match(request.method, request.target).operation
        except Refused:
            continue
        body = read_body(operation, request.body)
        assert body
        assert _meant(json.loads(written(body))) == _meant(json.loads(request.body))


def _meant(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Amounts as numbers, and nothing for what is left open or repeats the path."""
    if isinstance(value, dict):
        pairs = ((name, _meant(content)) for name, content in cast("dict[str, Any]", value).items())
        return {name: content for name, content in pairs if content not in (None, "") and name != "order_id"}
    if isinstance(value, list):
        return [_meant(item) for item in cast("list[Any]", value)]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Decimal(str(value))
    try:
        return Decimal(value)
    except (ArithmeticError, TypeError, ValueError):
        return value


@of_the_sdk
def test_what_alpaca_py_writes_is_sent_with_the_same_meaning() -> None:
    for request in _orders_of_the_sdk():
        content = request.to_request_fields()
        assert _meant(json.loads(written(_read_order(content)))) == _meant(json.loads(json.dumps(content)))


def _orders_of_the_sdk() -> list[Any]:
    from alpaca.trading import requests as ask
    from alpaca.trading.enums import OrderClass, OrderSide, PositionIntent

    common: dict[str, Any] = {"symbol": "AAPL", "side": "buy", "time_in_force": "day"}
    exits = {"take_profit": ask.TakeProfitRequest(limit_price=99), "stop_loss": ask.StopLossRequest(stop_price=9.5)}
    legs = [
        ask.OptionLegRequest(symbol="AAPL261218C00250000", ratio_qty=1, side=OrderSide.BUY),
        ask.OptionLegRequest(symbol="AAPL261218C00260000", ratio_qty=2, position_intent=PositionIntent.SELL_TO_OPEN),
    ]
    return [
        ask.MarketOrderRequest(**common, qty=0.00000001),
        ask.MarketOrderRequest(**common, notional=50, client_order_id="mine"),
        ask.LimitOrderRequest(**common, qty=2, limit_price=5.25, extended_hours=True),
        ask.StopLimitOrderRequest(**common, qty=2, stop_price=99, limit_price=100),
        ask.TrailingStopOrderRequest(**common, qty=2, trail_percent=3),
        ask.MarketOrderRequest(**common, qty=2, order_class=OrderClass.BRACKET, **exits),
        ask.LimitOrderRequest(qty=1, time_in_force="day", order_class=OrderClass.MLEG, legs=legs, limit_price=-0.35),
    ]


# Names as another reader may take them, and values of every kind.
_NAMES = st.sampled_from([*ORDER, "order_id", "subtag", "x"]).flatmap(
    lambda name: st.sampled_from([name, name, name, name.upper(), name.title(), name.replace("s", "ſ"), name + " "])  # noqa: RUF001
)
_AMOUNTS = st.one_of(
    st.decimals(0, 10**9, places=3).map(str),
    st.sampled_from(["0", "1", "1e-05", "1E+3", "-1", "9" * 50, "1.50", "", "NaN", "null", "true"]),
)
_CHOICES = st.sampled_from(
    ["AAPL", "BTC/USD", "buy", "sell", "limit", "market", "day", "gtc", "bracket", "mleg", "", "x"]
)
_VALUES = st.one_of(
    _AMOUNTS.filter(bool).filter(lambda text: text != "NaN"),
    st.one_of(_AMOUNTS, _CHOICES).map(json.dumps),
    st.sampled_from(["true", "false", "null", "[]", "{}"]),
)


def _object(pairs: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{json.dumps(name, ensure_ascii=False)}:{value}" for name, value in pairs) + "}"


_EXIT_PAIRS = st.lists(
    st.tuples(st.sampled_from(["limit_price", "limit_price", "stop_price", "Stop_Price", "x"]), _VALUES), max_size=3
)
_LEG_PAIRS = st.lists(
    st.tuples(st.sampled_from(["symbol", "ratio_qty", "side", "position_intent", "Symbol"]), _VALUES), max_size=4
)


_FIELDS = st.one_of(
    st.tuples(_NAMES, _VALUES),
    st.tuples(st.sampled_from(["stop_loss", "take_profit", "Stop_loss"]), _EXIT_PAIRS.map(_object)),
    st.tuples(st.just("legs"), st.lists(_LEG_PAIRS.map(_object), max_size=2).map(lambda legs: f"[{','.join(legs)}]")),
)


@st.composite
def _contents(draw: st.DrawFn) -> str:
    """An order with a few fields added, set again or spelled differently, and perhaps something behind it."""
    pairs = [(name, json.dumps(value)) for name, value in _MARKET.items()]
    for name, value in draw(st.lists(_FIELDS, max_size=3)):
        if draw(st.booleans()):
            pairs = [pair for pair in pairs if pair[0] != name]
        pairs.insert(draw(st.integers(0, len(pairs))), (name, value))
    return _object(pairs) + draw(st.sampled_from(["", "", "", "\n", "{}", " 1"]))


@given(_contents())
def test_a_reader_with_gos_habits_understands_what_was_judged(content: str) -> None:
    try:
        order = _read_order(content)
    except Refused:
        return
    judged = _given(asdict(order))
    assert as_go_reads(written(order), ORDER) == judged
    assert _given(as_go_reads(content.encode(), ORDER)) == judged
    assert _read_order(written(order)) == order


def _given(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Without what is left open by null, by the empty text, or by not being there."""
    if isinstance(value, dict):
        pairs = ((name, _given(content)) for name, content in cast("dict[str, Any]", value).items())
        return {name: content for name, content in pairs if content not in (None, "")}
    return tuple(map(_given, cast("list[Any]", value))) if isinstance(value, tuple | list) else value
