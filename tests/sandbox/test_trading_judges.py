"""Trading with Alpaca's SDK; the responses are validated against its OpenAPI document."""

import asyncio
from collections.abc import Callable
from copy import deepcopy
from decimal import Decimal
from typing import Any

import pytest

from corral_sandbox import serve_sandbox
from tests.sandbox.broker import OPTIONS_TRADER, TRADER, TUESDAY_TEN, Broker
from tests.sandbox.judges import judge, of_the_sdk, sdk
from tests.sandbox.people import nanoseconds

_CALLS = ("NVDA261218C00180000", "NVDA261218C00190000")


def _mleg() -> dict[str, Any]:
    return {
        "qty": "1",
        "type": "market",
        "time_in_force": "day",
        "order_class": "mleg",
        "legs": [
            {"symbol": _CALLS[0], "ratio_qty": "1", "side": "buy", "position_intent": "buy_to_open"},
            {"symbol": _CALLS[1], "ratio_qty": "1", "side": "sell", "position_intent": "sell_to_open"},
        ],
    }


def _orders() -> list[dict[str, Any]]:
    exits = {"take_profit": {"limit_price": "99"}, "stop_loss": {"stop_price": "9", "limit_price": "8.5"}}
    return [
        {"qty": "1"},
        {"qty": 2.5},
        {"notional": 100.0},
        {"qty": "1", "type": "limit", "limit_price": 5.0, "extended_hours": True},
        {"qty": "1", "type": "stop", "stop_price": "99", "time_in_force": "gtc"},
        {"qty": "1", "type": "stop_limit", "stop_price": "99", "limit_price": "100", "client_order_id": "mine"},
        {"qty": "1", "type": "trailing_stop", "trail_percent": "5"},
        {"qty": "1", "type": "trailing_stop", "trail_price": "5", "time_in_force": "gtc"},
        {"qty": "1", "time_in_force": "cls"},
        {"qty": "1", "time_in_force": "ioc"},
        {"qty": "1", "time_in_force": "fok"},
        {"qty": "1", "order_class": "bracket", "time_in_force": "gtc", **exits},
        {"qty": "1", "order_class": "oto", "stop_loss": {"stop_price": "9"}},
        {"symbol": "BTC/USD", "qty": "0.01", "time_in_force": "gtc"},
        {"symbol": "ETH/USD", "notional": "20", "time_in_force": "ioc"},
        {"symbol": _CALLS[0], "qty": "1"},
        _mleg(),
    ]


def _without_empty_names(order: dict[str, Any]) -> dict[str, Any]:
    """Alpaca's own example of an order of several options breaks its document: "" is no asset class, side, id or
    type. The sandbox writes such an order as Alpaca does.
    """
    named = {name: value for name, value in order.items() if value != "" or name == "order_class"}
    named["type"] = order["type"] or "market"
    return {**named, "legs": [_without_empty_names(leg) for leg in order["legs"]] if order.get("legs") else None}


@pytest.mark.parametrize("body", _orders(), ids=str)
def test_an_order_matches_the_openapi_document(official: dict[str, Any], body: dict[str, Any]) -> None:
    broker = Broker(OPTIONS_TRADER)
    taken = broker.place(**{"symbol": None if "legs" in body else "KO", **body})
    path = f"/v2/orders/{taken['id']}"

    judge(official, "/v2/orders", "post").validate(_without_empty_names(taken))
    judge(official, "/v2/orders/{order_id}").validate(_without_empty_names(broker.look(taken)))
    broker.ask("DELETE", path)
    for page in ("/v2/orders?status=all&nested=true", "/v2/orders?status=all"):
        orders = [_without_empty_names(order) for order in broker.get(page)]
        judge(official, "/v2/orders").validate(orders)
    judge(official, "/v2/positions").validate(broker.get("/v2/positions"))
    judge(official, "/v2/account").validate(broker.get("/v2/account"))
    judge(official, "/v2/account/activities").validate(broker.get("/v2/account/activities"))


_BRACKET = {"order_class": "bracket", "take_profit": {"limit_price": "99"}, "stop_loss": {"stop_price": "9"}}


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("Equity", {"type": "limit", "limit_price": "5", "qty": "2", "time_in_force": "gtc"}),
        ("Bracket", {"type": "limit", "limit_price": "50", "qty": "2", "time_in_force": "gtc", **_BRACKET}),
        ("Crypto", {"symbol": "ETH/USD", "type": "limit", "limit_price": "21", "qty": "2", "time_in_force": "gtc"}),
        ("Option", {"symbol": _CALLS[0], "qty": "1"}),
        ("MultilegOptions", _mleg()),
    ],
)
def test_an_order_has_the_fields_of_the_official_example(
    official: dict[str, Any], name: str, body: dict[str, Any]
) -> None:
    """Their examples are of different years; newer fields that do not apply to an order are left out."""
    example = official["components"]["examples"][f"{name}OrderResponse"]["value"]

    order = Broker(OPTIONS_TRADER).place(**body)

    for theirs, ours in ((example, order), *zip(example["legs"] or [], order["legs"] or [], strict=False)):
        assert theirs.keys() - ours.keys() <= {"position_intent"}
        assert ours.keys() - theirs.keys() <= {"expires_at", "position_intent", "subtag", "source", "order_type"}


def test_the_other_responses_match_the_openapi_document(official: dict[str, Any]) -> None:
    broker = Broker(OPTIONS_TRADER)
    open_order = broker.place(type="limit", limit_price="5", qty="2", time_in_force="gtc")
    _, changed = broker.ask("PATCH", f"/v2/orders/{open_order['id']}", {"limit_price": "6"})
    judge(official, "/v2/orders/{order_id}", "patch").validate(changed)
    broker.place(symbol=_CALLS[0], qty="1")
    symbol = "/v2/positions/{symbol_or_asset_id}"
    judge(official, symbol).validate(broker.get(f"/v2/positions/{_CALLS[0]}"))
    _, closing = broker.ask("DELETE", "/v2/positions/NVDA?percentage=50")
    judge(official, symbol, "delete").validate(closing)
    assert broker.ask("POST", f"/v2/positions/{_CALLS[0]}/do-not-exercise")[0] == 200
    status, canceled = broker.ask("DELETE", "/v2/orders")
    assert status == 207
    judge(official, "/v2/orders", "delete", "207").validate(canceled)
    status, closed = broker.ask("DELETE", "/v2/positions?cancel_orders=true")
    assert status == 207
    assert len(closed) == 4
    judge(official, "/v2/positions", "delete", "207").validate(closed)


def test_each_type_of_activity_matches_the_openapi_document(official: dict[str, Any]) -> None:
    broker = Broker(OPTIONS_TRADER)
    broker.place(symbol=_CALLS[0], qty="1")
    assert broker.ask("POST", f"/v2/positions/{_CALLS[0]}/exercise")[0] == 200
    official = deepcopy(official)
    content = official["paths"]["/v2/account/activities/{activity_type}"]["get"]["responses"]["200"]["content"]
    # Its document has `oneOf` of two forms without required fields, so that everything is both: any will do.
    items = content["application/json"]["schema"]["items"]
    items["anyOf"] = items.pop("oneOf")
    kinds = {activity["activity_type"] for activity in broker.get("/v2/account/activities")}
    assert kinds == {"FILL", "CSD", "OPEXC", "OPTRD"}
    assert kinds <= set(official["components"]["schemas"]["ActivityType"]["enum"])
    for kind in kinds:
        judge(official, "/v2/account/activities/{activity_type}").validate(broker.get(f"/v2/account/activities/{kind}"))


@of_the_sdk
async def test_the_sdk_trades_with_every_method_that_it_has() -> None:
    now = nanoseconds(TUESDAY_TEN)
    async with serve_sandbox(port=0, rate_limit_per_minute=0, clock=lambda: now, characters=True) as running:
        with sdk(running.paper_url, OPTIONS_TRADER) as client:
            await asyncio.to_thread(_trade, client)


def _trade(client: Any) -> None:  # noqa: ANN401 - the SDK is imported where its warnings are expected
    from alpaca.trading import requests as ask
    from alpaca.trading.enums import OrderClass, OrderSide, OrderStatus, QueryOrderStatus

    common: dict[str, Any] = {"symbol": "KO", "side": "buy", "time_in_force": "day"}
    exits = {"take_profit": ask.TakeProfitRequest(limit_price=99), "stop_loss": ask.StopLossRequest(stop_price=9)}
    placed = [
        client.submit_order(request)
        for request in (
            ask.MarketOrderRequest(**common, qty=2),
            ask.MarketOrderRequest(**common, notional=50),
            ask.LimitOrderRequest(**common, qty=2, limit_price=5, client_order_id="mine"),
            ask.StopOrderRequest(**common, qty=2, stop_price=99),
            ask.StopLimitOrderRequest(**common, qty=2, stop_price=99, limit_price=100),
            ask.TrailingStopOrderRequest(**common, qty=2, trail_percent=3),
            ask.MarketOrderRequest(**common, qty=2, order_class=OrderClass.BRACKET, **exits),
            ask.MarketOrderRequest(**common, qty=2, order_class=OrderClass.OTO, stop_loss=exits["stop_loss"]),
            ask.MarketOrderRequest(
                qty=1,
                time_in_force="day",
                order_class=OrderClass.MLEG,
                legs=[
                    ask.OptionLegRequest(symbol=_CALLS[0], ratio_qty=1, side=OrderSide.BUY),
                    ask.OptionLegRequest(symbol=_CALLS[1], ratio_qty=1, side=OrderSide.SELL),
                ],
            ),
        )
    ]
    read = [client.get_order_by_id(order.id) for order in placed]
    filled, waiting = OrderStatus.FILLED, OrderStatus.NEW
    assert [order.status for order in read] == [filled, filled, *[waiting] * 4, filled, filled, filled]
    assert [leg.status for leg in client.get_order_by_id(placed[6].id, ask.GetOrderByIdRequest(nested=True)).legs] == [
        waiting,
        OrderStatus.HELD,
    ]
    assert client.get_order_by_client_id("mine").id == placed[2].id
    replaced = client.replace_order_by_id(placed[2].id, ask.ReplaceOrderRequest(qty=3, limit_price=6))
    assert (replaced.qty, replaced.replaces) == ("3", placed[2].id)
    assert client.cancel_order_by_id(replaced.id) is None
    open_ids = {order.id for order in client.get_orders(ask.GetOrdersRequest(status=QueryOrderStatus.OPEN))}
    assert {placed[3].id, placed[4].id} <= open_ids
    _close(client)


def _close(client: Any) -> None:  # noqa: ANN401 - the SDK is imported where its warnings are expected
    from alpaca.trading import requests as ask

    canceled = client.cancel_orders()
    assert {response.status for response in canceled} == {200}
    held = {position.symbol: Decimal(position.qty) for position in client.get_all_positions()}
    assert held["KO"] > 6
    assert client.get_open_position(_CALLS[0]).qty == "1"
    closing = client.close_position("KO", ask.ClosePositionRequest(qty="1"))
    assert (closing.side.value, closing.qty) == ("sell", "1")
    client.exercise_options_position(_CALLS[0])
    responses = client.close_all_positions(cancel_orders=True)
    assert {response.status for response in responses} == {200}
    assert {position.symbol for position in client.get_all_positions()} <= {"F", "BRKB", "BRK.B", "NVDA"}


@pytest.mark.parametrize("number_as", [str, float], ids=["text", "number"])
def test_numbers_come_as_text_or_as_json_numbers(number_as: Callable[[str], object]) -> None:
    order = Broker().place(type="limit", qty=number_as("2"), limit_price=number_as("5.25"))

    assert (order["qty"], order["limit_price"]) == ("2", "5.25")


def test_the_traders_of_these_tests_are_who_they_should_be() -> None:
    account = Broker(TRADER).get("/v2/account")
    assert (account["multiplier"], account["trading_blocked"]) == ("2", False)
    assert Broker(OPTIONS_TRADER).get("/v2/account")["options_trading_level"] == 3
