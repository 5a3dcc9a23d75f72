"""Positions: quantities, values, and how they are closed."""

from decimal import Decimal
from typing import Any

import pytest

from corral_sandbox.broker.ledger import LedgerPosition
from corral_sandbox.market.prices import Market, price
from tests.sandbox.broker import OPTIONS_TRADER, Broker
from tests.sandbox.people import nanoseconds

_NVDA_CALL, _NVDA_PUT, _KO_CALL = "NVDA261218C00180000", "NVDA261218P00180000", "KO261218C00060000"


def _numbers(position: dict[str, Any], *names: str) -> list[Decimal]:
    return [Decimal(position[name]) for name in names]


def test_a_purchase_changes_the_average_and_a_sale_does_not() -> None:
    broker = Broker()
    paid = Decimal()
    for quantity in ("10", "20"):
        broker.place(qty=quantity)
        paid += Decimal(quantity) * broker.price("KO")
        broker.pass_time(seconds=400)
    bought = broker.get("/v2/positions/KO")
    broker.place(qty="12", side="sell")
    left = broker.get("/v2/positions/KO")

    assert abs(Decimal(bought["avg_entry_price"]) - paid / 30) < Decimal("1e-11")
    assert left["avg_entry_price"] == bought["avg_entry_price"]
    assert (bought["qty"], left["qty"]) == ("30", "18")


def test_a_days_profit_counts_from_the_close_and_from_what_was_paid_since() -> None:
    broker = Broker()
    closed_at = nanoseconds("2026-11-23T21:00:00Z")
    at_close = price(Market(0), "GLD", closed_at)
    broker.place(symbol="GLD", qty="10")
    paid = broker.price("GLD")
    broker.pass_time(seconds=3_000)

    position = broker.get("/v2/positions/GLD")

    here = broker.price("GLD")
    current, last, change, profit = _numbers(
        position, "current_price", "lastday_price", "change_today", "unrealized_intraday_pl"
    )
    assert (current, last) == (here, at_close)
    assert abs(change - (here / at_close - 1)) < Decimal("1e-11")
    assert abs(profit - (90 * (here - at_close) + 10 * (here - paid))) < Decimal("1e-9")


def test_a_reversed_position_starts_a_new_average() -> None:
    turned = LedgerPosition(Decimal(50), Decimal(10)).after(Decimal(-80), Decimal(12))

    assert turned == LedgerPosition(Decimal(-30), Decimal(12))
    assert turned.after(Decimal(-30), Decimal(14)) == LedgerPosition(Decimal(-60), Decimal(13))
    assert turned.after(Decimal(10), Decimal(99)) == LedgerPosition(Decimal(-20), Decimal(12))


@pytest.mark.parametrize("name", ["BTCUSD", "BTC%2FUSD"])
def test_a_coin_is_found_with_and_without_its_slash(name: str) -> None:
    broker = Broker()
    broker.place(symbol="BTC/USD", notional="1000", time_in_force="gtc")

    position = broker.get(f"/v2/positions/{name}")

    assert (position["symbol"], position["asset_class"], position["exchange"]) == ("BTCUSD", "crypto", "CRYPTO")
    assert broker.get(f"/v2/positions/{position['asset_id']}") == position
    assert broker.ask("DELETE", f"/v2/positions/{name}")[0] == 200
    assert broker.held("BTCUSD") == 0


@pytest.mark.parametrize(("query", "left"), [("", 0), ("?qty=30", 60), ("?percentage=50", 45), ("?percentage=100", 0)])
def test_a_position_is_closed_by_quantity_by_percentage_or_completely(query: str, left: int) -> None:
    broker = Broker()

    status, order = broker.ask("DELETE", f"/v2/positions/GLD{query}")
    broker.pass_time(seconds=5)

    assert (status, order["side"], order["position_intent"]) == (200, "sell", "sell_to_close")
    assert broker.held("GLD") == left


@pytest.mark.parametrize(
    "query",
    [
        "?qty=1&percentage=1",
        "?qty=0",
        "?qty=-1",
        "?qty=x",
        "?percentage=101",
        "?qty=NaN",
        "?qty=1e999999",
        "?qty=1e-10",
        "?percentage=1e-9",
    ],
)
def test_an_invalid_quantity_closes_nothing(query: str) -> None:
    assert Broker().ask("DELETE", f"/v2/positions/GLD{query}")[0] in {403, 422}


def test_positions_that_cannot_be_closed_are_reported_beside_the_others() -> None:
    broker = Broker()
    broker.place(qty="1")
    broker.place(symbol="GLD", side="sell", type="limit", limit_price="900", qty="60")

    status, closed = broker.ask("DELETE", "/v2/positions")

    told = {part["symbol"]: part for part in closed}
    assert status == 207
    assert (told["KO"]["status"], told["KO"]["body"]["symbol"]) == (200, "KO")
    assert told["GLD"]["status"] == 403
    assert told["GLD"]["body"] == {
        "available": "30",
        "existing_qty": "90",
        "held_for_orders": "60",
        "symbol": "GLD",
        "code": 40310000,
        "message": "insufficient qty available for order (requested: 90, available: 30)",
    }
    assert broker.ask("DELETE", "/v2/positions?cancel_orders=true")[1][0]["status"] == 200


def test_an_option_costs_a_hundred_times_its_price() -> None:
    broker = Broker(OPTIONS_TRADER)
    cash = Decimal(broker.get("/v2/account")["cash"])

    broker.place(symbol=_NVDA_CALL, qty="2")

    position = broker.get(f"/v2/positions/{_NVDA_CALL}")
    cost = 200 * broker.price(_NVDA_CALL)
    assert _numbers(position, "cost_basis", "market_value") == [cost, cost]
    assert (position["exchange"], position["asset_class"], position["asset_marginable"]) == ("", "us_option", False)
    assert Decimal(broker.get("/v2/account")["cash"]) == cash - cost


def test_a_call_that_is_exercised_becomes_shares_at_its_strike() -> None:
    broker = Broker(OPTIONS_TRADER)
    broker.place(symbol=_NVDA_CALL, qty="1")
    cash = Decimal(broker.get("/v2/account")["cash"])

    assert broker.ask("POST", f"/v2/positions/{_NVDA_CALL}/exercise") == (200, None)

    assert (broker.held(_NVDA_CALL), broker.held("NVDA")) == (0, 275)
    assert Decimal(broker.get("/v2/account")["cash"]) == cash - 18_000
    traded = broker.get("/v2/account/activities/OPTRD")
    assert [(trade["symbol"], trade["qty"], trade["net_amount"]) for trade in traded] == [("NVDA", "100", "-18000")]


def test_only_a_long_option_can_be_exercised() -> None:
    broker = Broker(OPTIONS_TRADER)
    broker.place(symbol=_NVDA_CALL, side="sell", qty="1")

    assert broker.ask("POST", "/v2/positions/NVDA/exercise")[0] == 422
    assert broker.ask("POST", f"/v2/positions/{_NVDA_PUT}/exercise")[0] == 404
    assert broker.ask("POST", f"/v2/positions/{_NVDA_CALL}/exercise")[0] == 403


def _at_expiry(broker: Broker) -> tuple[Decimal, set[str]]:
    broker.pass_time(until="2026-12-18T21:00:00Z")
    kinds = {activity["activity_type"] for activity in broker.get("/v2/account/activities")}
    return broker.price("NVDA"), kinds


def test_an_option_expires_worthless_or_is_exercised_automatically() -> None:
    for symbol, pays in ((_NVDA_CALL, 1), (_NVDA_PUT, -1)):
        broker = Broker(OPTIONS_TRADER)
        broker.place(symbol=symbol, qty="1")
        share, kinds = _at_expiry(broker)

        assert broker.held(symbol) == 0
        if (share - 180) * pays > 0:
            assert {"OPEXC", "OPTRD"} <= kinds
            assert broker.held("NVDA") == 175 + 100 * pays
        else:
            assert "OPEXP" in kinds
            assert broker.held("NVDA") == 175


def test_an_option_with_do_not_exercise_expires() -> None:
    for symbol in (_NVDA_CALL, _NVDA_PUT):
        broker = Broker(OPTIONS_TRADER)
        broker.place(symbol=symbol, qty="1")
        assert broker.ask("POST", f"/v2/positions/{symbol}/do-not-exercise") == (200, None)

        assert "OPEXP" in _at_expiry(broker)[1]
        assert (broker.held(symbol), broker.held("NVDA")) == (0, 175)


def test_an_assigned_short_call_delivers_its_shares() -> None:
    for strike, pays in (("00150000", True), ("00220000", False)):
        broker = Broker(OPTIONS_TRADER)
        symbol = f"NVDA261218C{strike}"
        broker.place(symbol=symbol, side="sell", qty="1")
        share, kinds = _at_expiry(broker)

        assert 150 < share < 220
        assert ({"OPASN", "OPTRD"} <= kinds) is pays
        assert (broker.held(symbol), broker.held("NVDA")) == (0, 75 if pays else 175)


def test_an_option_that_cannot_be_exercised_is_settled_in_cash() -> None:
    broker = Broker(OPTIONS_TRADER)
    broker.place(symbol=_KO_CALL, qty="40")  # 4,000 shares for 240,000 dollars
    broker.pass_time(seconds=5)
    broker.place(symbol="GME", qty=str(int(Decimal(broker.get("/v2/account")["cash"]) / broker.price("GME")) - 5))
    broker.pass_time(until="2026-12-18T21:00:00Z")

    kinds = {activity["activity_type"] for activity in broker.get("/v2/account/activities")}

    assert broker.price("KO") > 60
    assert "OPCSH" in kinds
    assert (broker.held(_KO_CALL), broker.held("KO")) == (0, 0)


def _spread(bought: str, sold: str, **fields: object) -> dict[str, Any]:
    legs = [
        {"symbol": bought, "ratio_qty": "1", "side": "buy", "position_intent": "buy_to_open"},
        {"symbol": sold, "ratio_qty": "1", "side": "sell", "position_intent": "sell_to_open"},
    ]
    return {"symbol": None, "order_class": "mleg", "qty": "2", "legs": legs, **fields}


def test_a_spread_fills_as_one_at_its_net_price() -> None:
    broker = Broker(OPTIONS_TRADER)
    far = "NVDA261218C00190000"
    net = broker.price(_NVDA_CALL) - broker.price(far)
    waiting = broker.place(**_spread(_NVDA_CALL, far, type="limit", limit_price=str(net - Decimal("0.50"))))
    cash = Decimal(broker.get("/v2/account")["cash"])
    assert broker.look(waiting)["status"] == "new"
    broker.ask("DELETE", f"/v2/orders/{waiting['id']}")

    order = broker.look(broker.place(**_spread(_NVDA_CALL, far, type="limit", limit_price=str(net))))

    assert [order["status"], *(leg["status"] for leg in order["legs"])] == ["filled"] * 3
    assert [leg["ratio_qty"] for leg in order["legs"]] == ["1", "1"]
    assert Decimal(order["filled_avg_price"]) == net
    assert (broker.held(_NVDA_CALL), broker.held(far)) == (2, -2)
    assert Decimal(broker.get("/v2/account")["cash"]) == cash - 200 * net


def test_a_spread_takes_no_shares_from_those_that_may_be_sold() -> None:
    broker = Broker(OPTIONS_TRADER)
    legs = [{**leg, "side": ""} for leg in _spread(_NVDA_CALL, "NVDA261218C00190000")["legs"]]  # as the SDK for Go
    broker.look(broker.place(**_spread("", "", legs=legs, side="", type="market")))

    position = broker.get("/v2/positions/NVDA")

    assert position["qty_available"] == position["qty"] == "175"


def test_a_strategy_with_unlimited_loss_is_refused() -> None:
    broker = Broker(OPTIONS_TRADER)

    refusal = broker.refusal(**_spread(_NVDA_PUT, _NVDA_CALL))

    assert refusal == (403, 40310000, "account not eligible to trade uncovered option contracts")
    assert broker.refusal(**_spread("NVDA261218P00150000", "NVDA261218P00240000", qty="90"))[2] == (
        "insufficient options buying power"
    )


@pytest.mark.parametrize(("percentage", "qty"), [("33.333333333", "3.333333333"), ("50", "5"), ("0.1", "0.01")])
def test_a_percentage_of_a_position_has_at_most_nine_decimals(percentage: str, qty: str) -> None:
    broker = Broker(OPTIONS_TRADER)
    broker.place(symbol="MSFT", qty="10")
    broker.pass_time(seconds=2)
    status, order = broker.ask("DELETE", f"/v2/positions/MSFT?percentage={percentage}")
    assert (status, order["qty"]) == (200, qty)
