"""What happens to an order of each type and class, with a clock that the test turns."""

from decimal import Decimal

import pytest

from corral_sandbox.market.mean_prices import MEAN_CENTS
from corral_sandbox.market.prices import Market, price
from corral_sandbox.market.time import SECOND
from tests.sandbox.broker import CASH_TRADER, Broker
from tests.sandbox.people import nanoseconds


def _at(moment: str) -> str:
    """Without trailing zeros."""
    return moment.rstrip("Z").rstrip("0").rstrip(".")


def test_a_market_order_fills_at_once_at_the_current_price() -> None:
    broker = Broker()

    taken = broker.place(qty="10")
    filled = broker.look(taken)

    assert (taken["status"], taken["filled_qty"], taken["filled_avg_price"]) == ("pending_new", "0", None)
    assert (filled["status"], filled["filled_qty"]) == ("filled", "10")
    assert Decimal(filled["filled_avg_price"]) == broker.price("KO")
    assert filled["filled_at"] == filled["submitted_at"]
    assert broker.held("KO") == 10


def test_a_large_order_fills_in_parts_two_at_an_instant() -> None:
    broker = Broker()
    order = broker.place(qty="1000")

    parts: list[Decimal] = []
    for _ in range(8):
        parts.append(Decimal(broker.look(order)["filled_qty"]))
        broker.pass_time(seconds=0.25)

    assert parts[0] * broker.price("KO") < 20_000 < 1000 * broker.price("KO")
    assert parts == sorted(parts)
    assert parts[-1] == 1000
    fills = broker.get(f"/v2/account/activities/FILL?order_id={order['id']}")
    assert len(fills) == 7
    assert len({fill["transaction_time"] for fill in fills}) == 4
    assert [fill["type"] for fill in fills] == ["fill"] + ["partial_fill"] * 6


def test_a_limit_order_waits_for_its_price_and_never_fills_at_a_worse_one() -> None:
    broker = Broker()
    limit = broker.price("KO") - Decimal("0.10")
    order = broker.place(type="limit", qty="10", limit_price=str(limit))
    assert broker.look(order)["status"] == "new"
    reached = broker.first("KO", 6, below=limit)

    broker.now = reached - 1
    assert broker.look(order)["status"] == "new"
    broker.now = reached
    filled = broker.look(order)

    assert filled["status"] == "filled"
    assert Decimal(filled["filled_avg_price"]) == broker.price("KO") <= limit


def test_a_fill_has_its_own_time_however_late_it_is_read() -> None:
    early, late = Broker(), Broker()
    limit = early.price("KO") - Decimal("0.10")
    orders = [broker.place(type="limit", qty="700", limit_price=str(limit)) for broker in (early, late)]

    for _ in range(600):
        early.pass_time(seconds=30)
        early.get("/v2/positions")
    late.now = early.now

    assert early.look(orders[0]) == late.look(orders[1])
    assert early.get("/v2/account/activities") == late.get("/v2/account/activities")


def test_a_sales_limit_is_reached_from_below() -> None:
    broker = Broker()
    limit = broker.price("GLD") + Decimal("0.20")
    order = broker.place(symbol="GLD", side="sell", type="limit", qty="10", limit_price=str(limit))
    broker.now = broker.first("GLD", 6, above=limit)

    filled = broker.look(order)

    assert filled["status"] == "filled"
    assert Decimal(filled["filled_avg_price"]) >= limit


def test_a_stop_becomes_a_market_order_when_the_price_falls_to_it() -> None:
    broker = Broker()
    stop = broker.price("GLD") - Decimal("0.30")
    order = broker.place(symbol="GLD", side="sell", type="stop", qty="10", stop_price=str(stop))
    reached = broker.first("GLD", 6, below=stop)
    broker.now = reached - 1
    assert broker.look(order)["status"] == "new"

    broker.now = reached

    filled = broker.look(order)
    assert filled["status"] == "filled"
    assert Decimal(filled["filled_avg_price"]) == broker.price("GLD") <= stop


def test_a_stop_limit_waits_for_its_limit_once_the_stop_is_reached() -> None:
    broker = Broker()
    stop = broker.price("KO") + Decimal("0.05")
    limit = stop - Decimal("0.15")
    order = broker.place(type="stop_limit", qty="10", stop_price=str(stop), limit_price=str(limit))

    broker.now = broker.first("KO", 6, above=stop)
    assert broker.look(order)["status"] == "new"
    broker.now = broker.first("KO", 6, below=limit)

    assert Decimal(broker.look(order)["filled_avg_price"]) <= limit


@pytest.mark.parametrize("trail", [{"trail_price": "0.50"}, {"trail_percent": "0.2"}])
@pytest.mark.parametrize("side", ["sell", "buy"])
def test_a_trailing_stop_follows_the_best_price_and_never_goes_back(side: str, trail: dict[str, str]) -> None:
    broker = Broker()
    symbol = "GLD" if side == "sell" else "KO"
    if side == "buy":
        trail = {name: str(Decimal(value) / 5) for name, value in trail.items()}
    order = broker.place(symbol=symbol, side=side, type="trailing_stop", qty="5", **trail)
    sign = 1 if side == "sell" else -1
    best = broker.price(symbol)

    for _ in range(24_000):
        best = max(best * sign, broker.price(symbol) * sign) * sign
        away = Decimal(trail.get("trail_price") or best * Decimal(trail.get("trail_percent", 0)) / 100)
        if broker.price(symbol) * sign <= (best - sign * away) * sign:
            break
        if broker.now % (600 * SECOND) == 0:
            seen = broker.look(order)
            assert (seen["status"], Decimal(seen["hwm"])) == ("new", best)
            assert Decimal(seen["stop_price"]) == best - sign * away
        broker.pass_time(seconds=0.1)

    filled = broker.look(order)
    assert filled["status"] == "filled"
    assert Decimal(filled["filled_avg_price"]) == broker.price(symbol)
    assert Decimal(filled["hwm"]) == best


def test_a_trailing_stop_ignores_prices_outside_the_session() -> None:
    broker = Broker(at="2026-11-24T20:59:00Z")
    order = broker.place(
        symbol="GLD", side="sell", type="trailing_stop", qty="5", trail_price="30", time_in_force="gtc"
    )
    broker.pass_time(until="2026-11-24T20:59:59Z")
    evening = broker.look(order)["hwm"]

    broker.pass_time(until="2026-11-25T14:00:00Z")

    assert broker.look(order)["hwm"] == evening


def test_a_day_order_placed_at_night_waits_for_the_open() -> None:
    broker = Broker(at="2026-11-22T18:00:00Z")  # a Sunday
    order = broker.place(qty="3")
    assert order["status"] == "accepted"
    broker.pass_time(until="2026-11-23T14:29:59Z")
    assert broker.look(order)["status"] == "accepted"

    broker.pass_time(until="2026-11-23T14:30:00Z")

    filled = broker.look(order)
    assert (filled["status"], _at(filled["filled_at"])) == ("filled", "2026-11-23T14:30:00")


def test_coins_trade_on_a_sunday() -> None:
    broker = Broker(at="2026-11-22T18:00:00Z")

    order = broker.place(symbol="BTC/USD", qty="0.01", time_in_force="gtc")

    assert broker.look(order)["status"] == "filled"
    assert broker.held("BTCUSD") == Decimal("0.009975")  # less the fee


def test_a_day_order_expires_at_the_close_and_a_gtc_order_does_not() -> None:
    broker = Broker()
    far = str(broker.price("KO") - 20)
    day = broker.place(type="limit", qty="1", limit_price=far)
    lasting = broker.place(type="limit", qty="1", limit_price=far, time_in_force="gtc")

    broker.pass_time(until="2026-11-24T20:59:59Z")
    assert [broker.look(order)["status"] for order in (day, lasting)] == ["new", "new"]
    broker.pass_time(until="2026-11-24T21:00:00Z")

    expired = broker.look(day)
    assert (expired["status"], _at(expired["expired_at"])) == ("expired", "2026-11-24T21:00:00")
    assert _at(day["expires_at"]) == "2026-11-24T21:00:00"
    assert broker.look(lasting)["status"] == "new"
    broker.pass_time(until="2027-03-01T21:00:00Z")
    assert broker.look(lasting)["status"] == "expired"


def test_an_order_with_extended_hours_trades_in_the_evening() -> None:
    broker = Broker(at="2026-11-24T22:00:00Z")
    above = str(broker.price("KO") + 1)

    plain = broker.place(type="limit", qty="1", limit_price=above)
    extended = broker.place(type="limit", qty="1", limit_price=above, extended_hours=True)

    assert broker.look(plain)["status"] == "accepted"
    assert broker.look(extended)["status"] == "filled"


def test_an_order_for_the_open_or_the_close_fills_completely_or_expires() -> None:
    broker = Broker()
    at_close = broker.place(qty="900", time_in_force="cls")
    too_low = broker.place(type="limit", qty="1", limit_price="1", time_in_force="cls")
    broker.pass_time(until="2026-11-25T01:00:00Z")
    at_open = broker.place(qty="2", time_in_force="opg")
    broker.pass_time(until="2026-11-25T14:30:00Z")

    closed, missed, opened = (broker.look(order) for order in (at_close, too_low, at_open))

    assert (closed["status"], _at(closed["filled_at"])) == ("filled", "2026-11-24T21:00:00")
    assert missed["status"] == "expired"
    assert (opened["status"], _at(opened["filled_at"])) == ("filled", "2026-11-25T14:30:00")


def test_ioc_fills_what_is_available_and_fok_all_or_nothing() -> None:
    broker = Broker()

    orders = [
        broker.place(qty="1000", time_in_force="ioc"),
        broker.place(qty="1000", time_in_force="fok"),
        broker.place(qty="100", time_in_force="fok"),
        broker.place(type="limit", qty="1", limit_price="1", time_in_force="ioc"),
    ]

    seen = [broker.look(order) for order in orders]
    assert [order["status"] for order in seen] == ["canceled", "canceled", "filled", "canceled"]
    assert 0 < Decimal(seen[0]["filled_qty"]) < 1000
    assert [order["filled_qty"] for order in seen[1:]] == ["0", "100", "0"]


def test_a_notional_order_buys_what_its_dollars_buy() -> None:
    broker = Broker()

    order = broker.look(broker.place(notional="100"))

    assert (order["status"], order["qty"], order["notional"]) == ("filled", None, "100")
    spent = Decimal(order["filled_qty"]) * broker.price("KO")
    assert 0 <= 100 - spent < broker.price("KO") / 10**9


def test_a_large_notional_order_spends_all_but_dust() -> None:
    broker = Broker()
    order = broker.place(notional="70000")
    broker.pass_time(seconds=5)

    filled = broker.look(order)

    assert filled["status"] == "filled"
    spent = Decimal(filled["filled_qty"]) * Decimal(filled["filled_avg_price"])
    assert abs(70_000 - spent) < Decimal("0.001")


def test_a_short_sale_and_its_cover_leave_nothing_but_the_difference() -> None:
    broker = Broker()
    cash = Decimal(broker.get("/v2/account")["cash"])
    broker.place(side="sell", qty="100")
    sold = broker.price("KO")
    position = broker.get("/v2/positions/KO")
    assert (position["side"], position["qty"]) == ("short", "-100")
    assert Decimal(position["market_value"]) == -100 * sold
    assert Decimal(broker.get("/v2/account")["short_market_value"]) == -100 * sold
    broker.pass_time(seconds=600)

    broker.place(side="buy", qty="100")

    assert broker.held("KO") == 0
    assert Decimal(broker.get("/v2/account")["cash"]) == cash + 100 * (sold - broker.price("KO"))


def test_all_orders_are_canceled_at_once() -> None:
    broker = Broker()
    placed = [broker.place(type="limit", qty="1", limit_price=str(price)) for price in range(3, 8)]

    status, canceled = broker.ask("DELETE", "/v2/orders")

    assert (status, canceled) == (207, [{"id": order["id"], "status": 200} for order in placed])
    assert broker.get("/v2/orders") == []
    assert {order["status"] for order in broker.get("/v2/orders?status=closed&limit=5")} == {"canceled"}


def test_a_cash_account_cannot_borrow_when_the_price_rises_overnight() -> None:
    broker = Broker(CASH_TRADER, at="2026-11-22T18:00:00Z")
    opens = nanoseconds("2026-11-23T14:30:00Z")
    symbol = next(
        name for name in sorted(MEAN_CENTS) if price(Market(0), name, opens) > broker.price(name) * Decimal("1.001")
    )
    cash = Decimal(broker.get("/v2/account")["cash"])
    orders = [broker.place(symbol=symbol, qty=str(round(cash / 4 / broker.price(symbol), 4))) for _ in range(4)]
    before = broker.held(symbol)

    broker.now = opens

    assert [broker.look(order)["status"] for order in orders] == ["filled"] * 3 + ["rejected"]
    assert broker.look(orders[3])["failed_at"] is not None
    assert broker.held(symbol) == before + sum(Decimal(order["qty"]) for order in orders[:3])
    assert Decimal(broker.get("/v2/account")["cash"]) >= 0
