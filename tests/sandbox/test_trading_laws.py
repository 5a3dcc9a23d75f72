"""Whatever is ordered, and whenever: the sums are right, and a run repeats itself byte for byte."""

from decimal import Decimal, localcontext
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sandbox.broker import CASH_TRADER, OPTIONS_TRADER, TRADER, Broker

_SYMBOLS = ["KO", "GLD", "F", "BRK.B", "BTC/USD", "DOGE/USD", "GME", "AAPL261218C00245000", "NVDA261127P00180000"]
_CENT = Decimal("0.01")


def _near(low: int, high: int) -> st.SearchStrategy[Decimal]:
    """A factor around one, in thousandths."""
    return st.integers(low, high).map(lambda thousandths: 1 + Decimal(thousandths) / 1_000)


_ORDERS = st.fixed_dictionaries(
    {
        "symbol": st.sampled_from(_SYMBOLS),
        "side": st.sampled_from(["buy", "sell"]),
        "type": st.sampled_from(["market", "limit", "stop", "stop_limit", "trailing_stop"]),
        "time_in_force": st.sampled_from(["day", "gtc", "ioc", "fok", "opg", "cls"]),
        "order_class": st.sampled_from(["", "", "bracket", "oco", "oto"]),
        "qty": st.one_of(st.none(), st.integers(1, 400), st.decimals("0.0001", "20", places=4)),
        "notional": st.one_of(st.none(), st.integers(1, 60_000)),
        "limit": _near(-6, 6),
        "stop": _near(-4, 4),
        "trail": st.integers(1, 40),
    }
)
_STEPS = st.one_of(
    _ORDERS.map(lambda order: ("order", order)),
    st.integers(0, 90_000).map(lambda seconds: ("wait", seconds)),
    st.integers(0, 60).map(lambda seconds: ("wait", seconds)),
    st.integers(0, 30).map(lambda which: ("cancel", which)),
    st.tuples(st.integers(0, 30), _near(-6, 6)).map(lambda which: ("replace", which)),
    st.sampled_from(_SYMBOLS).map(lambda symbol: ("close", symbol)),
    st.booleans().map(lambda cancel: ("close all", cancel)),
)
_RUNS = st.tuples(
    st.sampled_from([TRADER, CASH_TRADER, OPTIONS_TRADER, "PKTRADER0002", "PKTRADER0008"]),
    st.integers(0, 3),
    st.sampled_from(["2026-11-24T15:00:00Z", "2026-11-25T20:58:00Z", "2026-11-29T12:00:00Z"]),
    st.lists(_STEPS, min_size=1, max_size=14),
)
_laws = settings(deadline=None, max_examples=120)


def _do(broker: Broker, step: tuple[str, Any]) -> tuple[int, Any]:
    kind, what = step
    orders = broker.get("/v2/orders?status=all&limit=500")
    if kind == "wait":
        broker.pass_time(seconds=what)
        return broker.ask("GET", "/v2/account")
    if kind == "order":
        return broker.ask("POST", "/v2/orders", _body(broker, what))
    if kind == "cancel":
        return broker.ask("DELETE", f"/v2/orders/{orders[what % len(orders)]['id']}") if orders else (0, None)
    if kind == "replace":
        order = orders[what[0] % len(orders)] if orders else {"id": "none", "limit_price": None}
        limit = str((Decimal(order["limit_price"] or 1) * what[1]).quantize(_CENT))
        return broker.ask("PATCH", f"/v2/orders/{order['id']}", {"limit_price": limit})
    if kind == "close":
        return broker.ask("DELETE", f"/v2/positions/{what.replace('/', '%2F')}")
    return broker.ask("DELETE", f"/v2/positions?cancel_orders={str(what).lower()}")


def _body(broker: Broker, drawn: dict[str, Any]) -> dict[str, Any]:
    """Prices near the market, so that things happen; many bodies are refused all the same, which is meant."""
    here = broker.price(drawn["symbol"])
    limit, stop = (str((here * drawn[name]).quantize(_CENT)) for name in ("limit", "stop"))
    body = {name: drawn[name] for name in ("symbol", "side", "type", "time_in_force", "order_class")}
    body["qty"] = None if drawn["qty"] is None else str(drawn["qty"])
    body["notional"] = drawn["notional"] if drawn["qty"] is None else None
    body["limit_price"] = limit if "limit" in drawn["type"] else None
    body["stop_price"] = stop if drawn["type"] in {"stop", "stop_limit"} else None
    body["trail_price"] = drawn["trail"] / 100 if drawn["type"] == "trailing_stop" else None
    if drawn["order_class"]:
        body["take_profit"] = {"limit_price": limit}
        body["stop_loss"] = {"stop_price": stop} if drawn["order_class"] != "oto" else None
    return body


def _run(run: tuple[str, int, str, list[tuple[str, Any]]]) -> tuple[Broker, list[bytes]]:
    key_id, seed, start, steps = run
    broker, answers = Broker(key_id, seed=seed, at=start), list[bytes]()
    for step in steps:
        answers.append(orjson.dumps(_do(broker, step)))
    return broker, answers


@given(_RUNS)
@_laws
def test_the_identities_hold(run: tuple[str, int, str, list[tuple[str, Any]]]) -> None:
    key_id, seed, start, steps = run
    broker = Broker(key_id, seed=seed, at=start)
    for step in steps:
        _do(broker, step)
        with localcontext(prec=100):
            _check_account(broker)
            _check_positions(broker)
            _check_orders(broker)


def _check_account(broker: Broker) -> None:
    account = broker.get("/v2/account")
    money = {name: Decimal(account[name]) for name in ("cash", "equity", "long_market_value", "short_market_value")}
    values = [Decimal(position["market_value"]) for position in broker.get("/v2/positions")]
    assert money["long_market_value"] == sum(value for value in values if value > 0)
    assert money["short_market_value"] == sum(value for value in values if value < 0)
    assert money["equity"] == money["cash"] + sum(values)
    powers = [name for name in account if name.endswith("buying_power")]
    assert len(powers) == 5
    assert all(Decimal(account[name]) >= 0 for name in powers)
    if account["multiplier"] == "1":
        assert money["cash"] >= 0
        assert money["short_market_value"] == 0


def _check_positions(broker: Broker) -> None:
    activities = _all_activities(broker)
    held: dict[str, Decimal] = {}
    cash = Decimal()
    for activity in activities:
        if activity["activity_type"] != "FILL":
            cash += Decimal(activity["net_amount"])
            continue
        signed = Decimal(activity["qty"]) * (1 if activity["side"] == "buy" else -1)
        symbol = activity["symbol"].replace("/", "")
        held[symbol] = held.get(symbol, Decimal()) + signed
        cash -= signed * Decimal(activity["price"]) * (100 if len(symbol) > 8 else 1)
    positions = {position["symbol"]: position for position in broker.get("/v2/positions")}
    assert {symbol: quantity for symbol, quantity in held.items() if quantity} == {
        symbol: Decimal(position["qty"]) for symbol, position in positions.items()
    }
    assert cash == Decimal(broker.get("/v2/account")["cash"])
    for position in positions.values():
        _check_position(position)


def _check_position(position: dict[str, str]) -> None:
    amount = {name: Decimal(text) for name, text in position.items() if name not in _WORDS}
    units = amount["qty"] * (100 if position["asset_class"] == "us_option" else 1)
    assert amount["market_value"] == units * amount["current_price"]
    assert amount["cost_basis"] == units * amount["avg_entry_price"]
    assert amount["unrealized_pl"] == amount["market_value"] - amount["cost_basis"]
    assert 0 <= amount["qty_available"] * amount["qty"] <= amount["qty"] ** 2
    assert (position["side"] == "long") == (amount["qty"] > 0)


_WORDS = {"asset_id", "symbol", "exchange", "asset_class", "asset_marginable", "side"}


def _check_orders(broker: Broker) -> None:
    fills = [activity for activity in _all_activities(broker) if activity["activity_type"] == "FILL"]
    for order in broker.get("/v2/orders?status=all&limit=500"):
        parts = [fill for fill in fills if fill["order_id"] == order["id"]]
        done = sum(Decimal(part["qty"]) for part in parts)
        assert Decimal(order["filled_qty"]) == done
        assert (order["filled_avg_price"] is None) == (not parts)
        if order["status"] == "filled":
            assert order["qty"] is None or Decimal(order["qty"]) == done
            assert parts
        if order["status"] in {"new", "accepted", "held", "pending_new", "rejected", "expired"}:
            assert order["qty"] is None or done < Decimal(order["qty"])
        if order["limit_price"]:
            limit = Decimal(order["limit_price"])
            better = (lambda price: price <= limit) if order["side"] == "buy" else (lambda price: price >= limit)
            assert all(better(Decimal(part["price"])) for part in parts)


def _all_activities(broker: Broker) -> list[Any]:
    found: list[Any] = []
    while True:
        token = f"&page_token={found[-1]['id']}" if found else ""
        page = broker.get(f"/v2/account/activities?direction=asc&page_size=7{token}")
        found += page
        if len(page) < 7:
            return found


@given(_RUNS)
@_laws
def test_the_same_run_gives_the_same_bytes(run: tuple[str, int, str, list[tuple[str, Any]]]) -> None:
    assert _run(run)[1] == _run(run)[1]


@given(_RUNS, st.integers(60, 7_200))
@settings(deadline=None, max_examples=40)
def test_it_makes_no_difference_how_often_one_looks(
    run: tuple[str, int, str, list[tuple[str, Any]]], seconds: int
) -> None:
    seldom, _ = _run(run)
    key_id, seed, start, steps = run
    often = Broker(key_id, seed=seed, at=start)
    for kind, what in steps:
        if kind == "wait":
            for _ in range(min(what // seconds, 20)):
                often.pass_time(seconds=seconds)
                often.get("/v2/orders")
            often.pass_time(seconds=what - min(what // seconds, 20) * seconds)
        else:
            _do(often, (kind, what))
    for page in ("/v2/account", "/v2/positions", "/v2/orders?status=all&limit=500", "/v2/account/activities"):
        assert often.get(page) == seldom.get(page)
