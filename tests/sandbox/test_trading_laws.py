"""Whatever is ordered, and whenever: the sums are right, and a run is reproducible byte for byte."""

from collections import defaultdict
from decimal import Decimal, localcontext
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sandbox.broker import CASH_TRADER, OPTIONS_TRADER, TRADER, Broker

_SHARES = ["KO", "GLD", "F", "BRK.B", "TSLA", "GME"]
_COINS = ["BTC/USD", "DOGE/USD"]
_OPTIONS = ["AAPL261218C00245000", "AAPL261218P00245000", "NVDA261127P00180000"]
_CENT = Decimal("0.01")
_SIDES = st.sampled_from(["buy", "sell"])


def _near(low: int, high: int) -> st.SearchStrategy[Decimal]:
    """A factor around one, in thousandths."""
    return st.integers(low, high).map(lambda thousandths: 1 + Decimal(thousandths) / 1_000)


def _orders(symbols: list[str], types: list[str], forces: list[str], **fields: Any) -> st.SearchStrategy[Any]:  # noqa: ANN401 - strategies
    """Prices are factors of the market's, so that things happen; some orders are refused all the same."""
    return st.fixed_dictionaries(
        {
            "symbol": st.sampled_from(symbols),
            "side": _SIDES,
            "type": st.sampled_from(types),
            "time_in_force": st.sampled_from(forces),
            "limit": _near(-6, 6),
            "stop": _near(-4, 4),
            **fields,
        }
    )


_ALL_TYPES = ["market", "limit", "stop", "stop_limit", "trailing_stop"]
_ORDERS = st.one_of(
    _orders(_SHARES, _ALL_TYPES, ["day", "gtc"], qty=st.integers(1, 400)),
    _orders(_SHARES, ["market", "limit"], ["ioc", "fok", "opg", "cls"], qty=st.integers(1, 400)),
    _orders(_SHARES, _ALL_TYPES[:4], ["day"], qty=st.decimals("0.0001", "200", places=4)),
    _orders(_SHARES, ["market", "limit"], ["day"], notional=st.integers(1, 60_000)),
    _orders(_SHARES, ["market", "limit"], ["day", "gtc"], qty=st.integers(1, 200), order_class=st.just("bracket")),
    _orders(_SHARES, ["market", "limit"], ["day", "gtc"], qty=st.integers(1, 200), order_class=st.just("oto")),
    _orders(_SHARES, ["limit"], ["day", "gtc"], qty=st.integers(1, 90), order_class=st.just("oco")),
    _orders(_COINS, ["market", "limit", "stop_limit"], ["gtc", "ioc"], notional=st.integers(10, 60_000)),
    _orders(_OPTIONS, ["market", "limit"], ["day"], qty=st.integers(1, 12)),
)
_STRATEGIES = st.tuples(st.sampled_from([1, -1]), st.integers(1, 3)).map(
    lambda drawn: {
        "order_class": "mleg",
        "type": "market",
        "time_in_force": "day",
        "qty": str(drawn[1]),
        "legs": [
            {"symbol": "AAPL261218C00245000", "ratio_qty": "1", "side": "buy" if drawn[0] > 0 else "sell"},
            {"symbol": "AAPL261218C00255000", "ratio_qty": "1", "side": "sell" if drawn[0] > 0 else "buy"},
        ],
    }
)
_STEPS = st.one_of(
    _STRATEGIES.map(lambda body: ("strategy", body)),
    st.sampled_from(_OPTIONS).map(lambda symbol: ("exercise", symbol)),
    st.just(("wait", 2_000_000)),
    _ORDERS.map(lambda order: ("order", order)),
    _ORDERS.map(lambda order: ("order", order)),
    st.integers(0, 90_000).map(lambda seconds: ("wait", seconds)),
    st.integers(0, 60).map(lambda seconds: ("wait", seconds)),
    st.integers(0, 5).map(lambda which: ("cancel", which)),
    st.tuples(st.integers(0, 5), _near(-6, 6)).map(lambda which: ("replace", which)),
    st.sampled_from(_SHARES + _COINS).map(lambda symbol: ("close", symbol)),
    st.booleans().map(lambda cancel: ("close all", cancel)),
)
Run = tuple[str, int, str, list[tuple[str, Any]]]
"""A key id, a seed, a time to start at, and steps."""

RUNS: st.SearchStrategy[Run] = st.tuples(
    st.sampled_from([TRADER, CASH_TRADER, OPTIONS_TRADER, "PKTRADER0002", "PKTRADER0008"]),
    st.just(0),
    st.sampled_from(["2026-11-24T15:00:00Z", "2026-11-25T20:58:00Z", "2026-11-29T12:00:00Z"]),
    st.lists(_STEPS, min_size=5, max_size=16),
)
_laws = settings(deadline=None, max_examples=120)


def do(broker: Broker, step: tuple[str, Any]) -> tuple[int, Any]:
    kind, what = step
    if kind == "wait":
        broker.pass_time(seconds=what)
    return broker.ask(*_request(broker, kind, what))


def _request(broker: Broker, kind: str, what: Any) -> tuple[str, str, Any]:  # noqa: ANN401 - as it was drawn
    orders = broker.get("/v2/orders?status=open&limit=500")
    if kind == "cancel" and orders:
        return "DELETE", f"/v2/orders/{orders[what % len(orders)]['id']}", None
    if kind == "replace" and orders:
        order = orders[what[0] % len(orders)]
        limit = str((Decimal(order["limit_price"] or 1) * what[1]).quantize(_CENT))
        return "PATCH", f"/v2/orders/{order['id']}", {"limit_price": limit}
    others = {
        "order": ("POST", "/v2/orders", _body(broker, what) if kind == "order" else None),
        "strategy": ("POST", "/v2/orders", what),
        "exercise": ("POST", f"/v2/positions/{what}/exercise", None),
        "close": ("DELETE", f"/v2/positions/{str(what).replace('/', '%2F')}", None),
        "close all": ("DELETE", f"/v2/positions?cancel_orders={str(what).lower()}", None),
    }
    return others.get(kind, ("GET", "/v2/account", None))


def _body(broker: Broker, drawn: dict[str, Any]) -> dict[str, Any]:
    here = broker.price(drawn["symbol"])
    limit, stop = (str(max((here * drawn[name]).quantize(_CENT), _CENT)) for name in ("limit", "stop"))
    body = {name: drawn[name] for name in ("symbol", "side", "type", "time_in_force", "notional") if name in drawn}
    body["qty"] = str(drawn["qty"]) if "qty" in drawn else None
    body["limit_price"] = limit if "limit" in drawn["type"] else None
    body["stop_price"] = stop if drawn["type"] in {"stop", "stop_limit"} else None
    body["trail_price"] = str((here / 300).quantize(_CENT)) if drawn["type"] == "trailing_stop" else None
    if order_class := drawn.get("order_class"):
        is_sale = (drawn["side"] == "sell") == (order_class == "oco")
        higher, lower = (str((here * factor).quantize(_CENT)) for factor in (Decimal("1.003"), Decimal("0.997")))
        profit, loss = (higher, lower) if is_sale else (lower, higher)
        body |= {"order_class": order_class, "stop_loss": {"stop_price": loss}}
        if order_class != "oto":
            body["take_profit"] = {"limit_price": profit}
    return body


def _run(run: Run) -> tuple[Broker, list[bytes]]:
    key_id, seed, start, steps = run
    broker, answers = Broker(key_id, seed=seed, at=start), list[bytes]()
    for step in steps:
        answers.append(orjson.dumps(do(broker, step)))
    return broker, answers


@given(RUNS)
@_laws
def test_the_identities_hold(run: Run) -> None:
    key_id, seed, start, steps = run
    broker = Broker(key_id, seed=seed, at=start)
    for step in steps:
        do(broker, step)
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
        assert all(
            position["side"] == "long" or len(position["symbol"]) > 8 for position in broker.get("/v2/positions")
        )


def _check_positions(broker: Broker) -> None:
    activities = _all_activities(broker)
    held: defaultdict[str, Decimal] = defaultdict(Decimal)
    cash = Decimal()
    for activity in activities:
        if activity["activity_type"] != "FILL":
            cash += Decimal(activity["net_amount"])
            held[activity.get("symbol", "")] = held.get(activity.get("symbol", ""), Decimal()) + Decimal(
                activity.get("qty", 0)
            )
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
    orders = broker.get("/v2/orders?status=all&limit=500")
    for order in (part for whole in orders for part in (whole["legs"] or [whole])):
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
            sign = 1 if order["side"] == "buy" else -1
            assert all(Decimal(part["price"]) * sign <= limit * sign for part in parts)


def _all_activities(broker: Broker) -> list[Any]:
    found: list[Any] = []
    while True:
        token = f"&page_token={found[-1]['id']}" if found else ""
        page = broker.get(f"/v2/account/activities?direction=asc&page_size=7{token}")
        found += page
        if len(page) < 7:
            return found


@given(RUNS)
@_laws
def test_the_same_run_gives_the_same_bytes(run: Run) -> None:
    assert _run(run)[1] == _run(run)[1]


@given(RUNS, st.integers(60, 7_200))
@settings(deadline=None, max_examples=40)
def test_reading_does_not_change_the_result(run: Run, seconds: int) -> None:
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
            do(often, (kind, what))
    for page in ("/v2/account", "/v2/positions", "/v2/orders?status=all&limit=500", "/v2/account/activities"):
        assert often.get(page) == seldom.get(page)
