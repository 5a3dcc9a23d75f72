"""Rejected orders, with Alpaca's status, code and message."""

from decimal import Decimal
from typing import Any

import pytest

from tests.sandbox.broker import CASH_TRADER, OPTIONS_TRADER, Broker

_CALL, _PUT = "NVDA261218C00180000", "NVDA261218P00170000"


@pytest.mark.parametrize(
    ("fields", "status", "code", "message"),
    [
        ({}, 422, 40010001, "qty or notional is required"),
        ({"qty": "1", "notional": "5"}, 422, 40010001, "only one of qty or notional is accepted"),
        ({"qty": "0"}, 422, 40010001, "invalid qty"),
        ({"qty": "-3"}, 422, 40010001, "invalid qty"),
        ({"qty": True}, 422, 40010001, "invalid qty"),
        ({"qty": "1", "side": "hold"}, 422, 40010001, "invalid side"),
        ({"qty": "1", "side": None}, 422, 40010001, "side is required"),
        ({"qty": "1", "symbol": None}, 422, 40010001, "symbol is required"),
        ({"qty": "1", "type": None}, 422, 40010001, "invalid type"),
        ({"qty": "1", "order_class": ["bracket"]}, 422, 40010001, "invalid order_class"),
        ({"qty": "1", "symbol": "NOSUCH"}, 422, 40010001, "could not find us_equity 'NOSUCH'"),
        ({"qty": "1", "symbol": "TWTR"}, 422, 42210000, "asset TWTR is not active"),
        ({"qty": "1", "limit_price": "5"}, 422, 40010001, "market orders must not have limit price"),
        ({"qty": "1", "type": "limit"}, 422, 40010001, "limit orders require a limit price"),
        ({"qty": "1", "type": "stop"}, 422, 40010001, "stop orders require stop price"),
        ({"qty": "1", "type": "trailing_stop"}, 422, 40010001, "trailing stop orders must specify"),
        (
            {"qty": "1", "type": "trailing_stop", "trail_price": "1", "trail_percent": "1"},
            422,
            40010001,
            "trailing stop orders must specify",
        ),
        (
            {"qty": "1", "type": "limit", "limit_price": "290.123"},
            422,
            42210000,
            "invalid limit_price 290.123. sub-penny increment does not fulfill minimum pricing criteria",
        ),
        (
            {"qty": "1", "type": "limit", "limit_price": "0.12345"},
            422,
            42210000,
            "invalid limit_price 0.12345. sub-penny increment does not fulfill minimum pricing criteria",
        ),
        ({"qty": "0.5", "time_in_force": "gtc"}, 422, 42210000, "fractional orders must be DAY orders"),
        ({"qty": "0.5", "symbol": "GME"}, 403, 40310000, 'asset "GME" is not fractionable'),
        ({"notional": "0.5"}, 403, 40310000, "minimal amount of notional is 1"),
        ({"qty": "1", "extended_hours": True}, 422, 42210000, "extended hours order must be DAY or GTC limit orders"),
        ({"qty": "1", "take_profit": {"limit_price": "90"}}, 422, 42210000, "simple orders must not have take_profit"),
        ({"qty": "1", "order_class": "bracket"}, 422, 40010001, "bracket orders require"),
        ({"qty": "1", "order_class": "oto"}, 422, 40010001, "oto orders require either"),
        (
            {
                "qty": "1",
                "order_class": "bracket",
                "take_profit": {"limit_price": "50"},
                "stop_loss": {"stop_price": "60"},
            },
            422,
            42210000,
            "take_profit.limit_price must be > stop_loss.stop_price",
        ),
        ({"qty": "1", "symbol": "BTC/USD"}, 422, 42210000, "invalid crypto time_in_force"),
        ({"qty": "1", "symbol": "BTC/USD", "time_in_force": "gtc", "type": "stop"}, 422, None, ""),
        ({"qty": "1", "time_in_force": "opg"}, 422, 42210000, "opg orders are not accepted at this time"),
        ({"qty": "1", "client_order_id": "x" * 129}, 422, 40010001, "invalid client_order_id"),
        ({"qty": "1", "side": "sell", "symbol": "GME"}, 422, 42210000, 'asset "GME" cannot be sold short'),
        ({"qty": "0.5", "side": "sell"}, 422, 42210000, "fractional orders cannot be sold short"),
        (
            {"qty": "91", "side": "sell", "symbol": "GLD"},
            403,
            40310000,
            "insufficient qty available for order (requested: 91, available: 90)",
        ),
        (
            {"qty": "2", "side": "sell", "symbol": "ETH/USD", "time_in_force": "gtc"},
            403,
            40310000,
            "insufficient balance for ETH (requested: 2, available: 0)",
        ),
        (
            {"qty": "1", "position_intent": "buy_to_close"},
            422,
            42210000,
            "position intent mismatch, inferred: buy_to_open, specified: buy_to_close",
        ),
        ({"qty": "1", "symbol": _CALL}, 403, 40310000, "account not eligible to trade this options strategy"),
    ],
)
def test_an_order_is_refused(fields: dict[str, Any], status: int, code: int | None, message: str) -> None:
    broker = Broker()

    refusal = broker.refusal(**fields)

    assert refusal[0] == status
    assert code in {None, refusal[1]}
    assert refusal[2].startswith(message)
    assert broker.get("/v2/orders?status=all&limit=1")[0]["symbol"] == "GLD"  # of the day on which it opened


def test_an_order_beyond_the_buying_power_is_refused_with_the_amounts() -> None:
    broker = Broker()

    status, refused = broker.ask(
        "POST", "/v2/orders", {"symbol": "KO", "qty": 9_999, "side": "buy", "type": "market", "time_in_force": "day"}
    )

    assert status == 403
    assert refused == {
        "buying_power": broker.get("/v2/account")["buying_power"],
        "code": 40310000,
        "cost_basis": str((9_999 * broker.price("KO")).normalize()),
        "message": "insufficient buying power",
    }


def test_open_orders_reserve_buying_power() -> None:
    broker = Broker()
    power = Decimal(broker.get("/v2/account")["buying_power"])
    limit = 50
    quantity = int(power * Decimal("0.6") / limit)
    order = {"type": "limit", "limit_price": limit, "qty": quantity}
    first = broker.place(**order)

    assert broker.refusal(**order, symbol="XOM")[2] == "insufficient buying power"
    broker.ask("DELETE", f"/v2/orders/{first['id']}")
    broker.place(**order, symbol="XOM")


def test_open_orders_reserve_what_they_would_sell() -> None:
    broker = Broker()
    order = {"symbol": "GLD", "side": "sell", "type": "limit", "limit_price": "900"}
    broker.place(**order, qty="60")

    assert broker.get("/v2/positions/GLD")["qty_available"] == "30"
    assert broker.refusal(**order, qty="31")[2] == "insufficient qty available for order (requested: 31, available: 30)"
    broker.place(**order, qty="30")


def test_a_wash_trade_is_refused() -> None:
    broker = Broker()
    broker.place(type="limit", limit_price="60", qty="1", time_in_force="gtc")

    refusal = broker.refusal(side="sell", qty="1")

    assert refusal == (422, 42210000, "potential wash trade detected. use complex orders")
    broker.place(side="sell", type="limit", limit_price="80", qty="1")


def test_a_client_order_id_is_used_once() -> None:
    broker = Broker()
    broker.place(qty="1", client_order_id="one")

    assert broker.refusal(qty="1", client_order_id="one") == (422, 40010001, "client_order_id must be unique")
    assert broker.get("/v2/orders:by_client_order_id?client_order_id=one")["status"] == "filled"
    assert broker.ask("GET", "/v2/orders:by_client_order_id?client_order_id=two")[0] == 404


def test_a_cash_account_cannot_sell_short() -> None:
    assert Broker(CASH_TRADER).refusal(side="sell", qty="1", symbol="KO")[0] == 403


@pytest.mark.parametrize("key_id", ["PKALICE00001", "PKBOB0001"])
def test_a_blocked_or_suspended_account_cannot_trade(key_id: str) -> None:
    broker = Broker(key_id)

    assert broker.refusal(qty="1")[:2] == (403, 40310000)
    if broker.get("/v2/account")["trade_suspended_by_user"]:
        broker.ask("PATCH", "/v2/account/configurations", {"suspend_trade": False})
        broker.place(qty="1")


def test_a_filled_order_can_be_neither_canceled_nor_replaced() -> None:
    broker = Broker()
    order = broker.place(qty="1")
    path = f"/v2/orders/{order['id']}"

    for method, body in (("DELETE", None), ("PATCH", {"qty": "2"})):
        status, refused = broker.ask(method, path, body)
        assert (status, refused["code"]) == (422, 42210000)
        assert refused["message"] == 'order is already in "filled" state'


def test_a_replacement_must_be_valid_and_change_something() -> None:
    broker = Broker()
    path = f"/v2/orders/{broker.place(type='limit', limit_price='5', qty='2')['id']}"

    def refusal(**change: object) -> str:
        status, refused = broker.ask("PATCH", path, change)
        assert status in {403, 422}
        return refused["message"]

    assert refusal() == "order parameters are not changed"
    assert refusal(limit_price="5", qty="2") == "order parameters are not changed"
    assert refusal(trail="3") == "trail is only for trailing stop orders"
    assert refusal(limit_price="5.001").startswith("invalid limit_price 5.001. sub-penny")
    assert refusal(qty="1000000") == "insufficient buying power"
    assert broker.get(f"{path}?nested=true")["status"] == "new"


def test_a_notional_order_cannot_be_replaced() -> None:
    broker = Broker()
    order = broker.place(type="limit", limit_price="5", notional="100")

    status, refused = broker.ask("PATCH", f"/v2/orders/{order['id']}", {"limit_price": "6"})

    assert (status, refused["message"]) == (422, "notional orders cannot be replaced")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/orders/not-an-id", 422),
        ("/v2/orders/00000000-0000-4000-8000-000000000000", 404),
        ("/v2/orders?limit=0", 422),
        ("/v2/orders?limit=501", 422),
        ("/v2/orders?status=some", 422),
        ("/v2/orders?after=yesterday", 422),
        ("/v2/orders?before_order_id=a&after_order_id=b", 422),
        ("/v2/positions/KO", 404),
        ("/v2/positions/NOSUCH", 404),
        ("/v2/account/activities?page_size=0", 422),
        ("/v2/account/activities?page_size=101", 422),
        ("/v2/account/activities?page_token=none", 422),
        ("/v2/account/activities?activity_types=FILL&category=trade_activity", 422),
    ],
)
def test_an_invalid_query_is_refused(path: str, status: int) -> None:
    answered, refused = Broker().ask("GET", path)

    assert answered == status
    assert refused["message"]


def test_short_calls_need_shares_and_short_puts_cash() -> None:
    broker = Broker(OPTIONS_TRADER)  # with 175 shares of NVDA and less than 50,000 dollars

    status, refused = broker.ask(
        "POST",
        "/v2/orders",
        {"symbol": _CALL, "qty": "2", "side": "sell", "type": "market", "time_in_force": "day"},
    )
    assert (status, refused["message"]) == (
        403,
        "insufficient underlying qty available for covered call (required: 200, available: 175)",
    )
    assert (refused["required_qty"], refused["available_qty"], refused["symbol"]) == ("200", "175", _CALL)
    broker.place(symbol=_CALL, side="sell", qty="1")
    assert broker.get("/v2/positions/NVDA")["qty_available"] == "75"
    assert broker.refusal(symbol=_CALL, side="sell", qty="1")[0] == 403
    broker.place(symbol=_PUT, side="sell", qty="1")
    assert broker.refusal(symbol=_PUT, side="sell", qty="3")[2] == "insufficient options buying power"


def test_a_short_put_reserves_the_cash_of_its_assignment() -> None:
    broker = Broker(OPTIONS_TRADER)
    broker.place(symbol=_PUT, side="sell", qty="1")  # 17,000 dollars
    held = Decimal(broker.get("/v2/account")["buying_power"]) - 17_000
    quantity = int(held / 60)

    assert broker.refusal(type="limit", limit_price="60", qty=str(quantity + 100))[2] == "insufficient buying power"
    broker.place(type="limit", limit_price="60", qty=str(quantity))


def test_the_same_buying_power_is_not_used_twice() -> None:
    """With a multiplier of four the account shows the buying power of the last close, whatever was bought since."""
    broker = Broker("PKTRADER0002")
    power = broker.get("/v2/account")["buying_power"]
    while broker.ask("POST", "/v2/orders", {**_BIG, "qty": 300})[0] == 200:
        broker.pass_time(seconds=5)

    account = broker.get("/v2/account")
    assert account["multiplier"] == "4"
    assert Decimal(account["cash"]) < 0
    assert Decimal(account["buying_power"]) == Decimal(power)
    assert Decimal(account["position_market_value"]) <= 4 * Decimal(account["equity"])


_BIG = {"symbol": "KO", "side": "buy", "type": "market", "time_in_force": "day"}
