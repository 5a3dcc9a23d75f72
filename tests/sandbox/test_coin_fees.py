"""The fee of a trade in coins: coins of a purchase, dollars of a sale."""

from decimal import Decimal
from typing import Any

import pytest

from corral_sandbox.broker.fees import coin_fee
from corral_sandbox.broker.ledger import Execution
from tests.sandbox.broker import TRADER, Broker
from tests.sandbox.judges import judge


def _coins(broker: Broker, side: str = "buy", qty: str = "0.1") -> Any:  # noqa: ANN401 - JSON
    order = broker.place(symbol="BTC/USD", side=side, qty=qty, time_in_force="gtc")
    broker.pass_time(seconds=5)
    return broker.look(order)


def _activities(broker: Broker, kind: str) -> list[dict[str, Any]]:
    return broker.get(f"/v2/account/activities/{kind}?direction=asc")


def test_buying_coins_credits_them_less_a_quarter_of_a_percent() -> None:
    broker = Broker(TRADER)
    order = _coins(broker)
    assert (order["status"], order["filled_qty"]) == ("filled", "0.1")
    assert broker.held("BTCUSD") == Decimal("0.09975")


def test_the_dollars_paid_are_those_of_the_whole_purchase() -> None:
    broker = Broker(TRADER)
    before = Decimal(broker.get("/v2/account")["cash"])
    order = _coins(broker)
    spent = Decimal(order["filled_avg_price"]) * Decimal("0.1")
    assert abs(before - Decimal(broker.get("/v2/account")["cash"]) - spent) < Decimal("0.000001")


def test_a_purchase_has_a_fee_in_coins_among_the_activities() -> None:
    broker = Broker(TRADER)
    _coins(broker, qty="0.01")
    (fee,) = _activities(broker, "CFEE")
    (fill,) = [each for each in _activities(broker, "FILL") if each["symbol"] == "BTC/USD"]
    assert (fee["symbol"], fee["qty"], fee["net_amount"]) == ("BTCUSD", "-0.000025", "0")
    assert (fee["price"], fee["description"]) == (fill["price"], "Coin Pair Transaction Fee (Non USD)")


def test_selling_coins_costs_dollars_rounded_to_a_cent() -> None:
    broker = Broker(TRADER)
    _coins(broker)
    before = Decimal(broker.get("/v2/account")["cash"])
    order = _coins(broker, "sell", "0.01")
    proceeds = Decimal(order["filled_avg_price"]) * Decimal("0.01")
    fee = _activities(broker, "CFEE")[-1]
    assert fee["description"] == "Coin Pair Transaction Fee (USD)"
    assert not fee.keys() & {"symbol", "qty", "price"}
    assert Decimal(fee["net_amount"]) == -(proceeds / 400).quantize(Decimal("0.01"))
    assert Decimal(broker.get("/v2/account")["cash"]) == before + proceeds + Decimal(fee["net_amount"])


def test_what_was_bought_cannot_be_sold_whole() -> None:
    broker = Broker(TRADER)
    _coins(broker)
    status, code, message = broker.refusal(symbol="BTC/USD", side="sell", qty="0.1", time_in_force="gtc")
    assert (status, code) == (403, 40310000)
    assert message == "insufficient balance for BTC (requested: 0.1, available: 0.09975)"


def test_closing_a_position_sells_what_the_fee_has_left() -> None:
    broker = Broker(TRADER)
    _coins(broker, qty="0.02")
    status, _ = broker.ask("DELETE", "/v2/positions/BTCUSD")
    broker.pass_time(seconds=5)
    assert (status, broker.held("BTCUSD")) == (200, Decimal())


def test_a_rest_below_the_minimum_can_be_closed() -> None:
    broker = Broker(TRADER)
    broker.place(symbol="DOGE/USD", qty="10", time_in_force="gtc")
    broker.pass_time(seconds=5)
    assert broker.held("DOGEUSD") == Decimal("9.975")
    assert broker.refusal(symbol="DOGE/USD", side="sell", qty="9.975", time_in_force="gtc")[2] == "minimal qty is 10"
    status, _ = broker.ask("DELETE", "/v2/positions/DOGEUSD")
    broker.pass_time(seconds=5)
    assert (status, broker.held("DOGEUSD")) == (200, Decimal())


@pytest.mark.parametrize(("quantity", "price"), [("0.00000001", "90000"), ("-0.00001", "90000")])
def test_a_fee_that_rounds_to_nothing_is_not_charged(quantity: str, price: str) -> None:
    trade = Execution("1", 0, "2", "BTC/USD", Decimal(quantity), Decimal(price), Decimal(), Decimal())
    assert coin_fee(trade, "3") is None


@pytest.mark.parametrize("symbol", ["KO", "NVDA261218C00180000"])
def test_shares_and_options_have_no_such_fee(symbol: str) -> None:
    broker = Broker("PKTRADER0004")
    broker.place(symbol=symbol, qty="1")
    broker.pass_time(seconds=5)
    assert _activities(broker, "CFEE") == []
    assert broker.held(symbol) > 0


def test_fees_match_the_openapi_document(official: dict[str, Any]) -> None:
    broker = Broker(TRADER)
    _coins(broker)
    _coins(broker, "sell", "0.05")
    activities = broker.get("/v2/account/activities")
    assert "CFEE" in official["components"]["schemas"]["ActivityType"]["enum"]
    judge(official, "/v2/account/activities").validate(activities)
