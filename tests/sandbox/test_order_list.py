"""Filters and order of the list of orders."""

import pytest

from tests.sandbox.broker import OPTIONS_TRADER, Broker


@pytest.fixture(scope="module")
def broker() -> Broker:
    """Orders numbered by their client: 0 to 9 wait to buy, a second apart; a bracket's entry, and a coin, are done."""
    broker = Broker(OPTIONS_TRADER)
    for number in range(10):
        broker.place(type="limit", limit_price=str(number + 1), qty="1", client_order_id=str(number))
        broker.pass_time(seconds=1)
    exits = {"take_profit": {"limit_price": "990"}, "stop_loss": {"stop_price": "9"}}
    broker.place(symbol="XOM", qty="1", order_class="bracket", client_order_id="bracket", **exits)
    broker.place(symbol="BTC/USD", notional="50", time_in_force="gtc", client_order_id="coin")
    return broker


def _listed(broker: Broker, query: str) -> list[str]:
    orders = broker.get(f"/v2/orders?{query}")
    return [order["client_order_id"] for order in orders if len(order["client_order_id"]) < 9]


_NUMBERS = [str(number) for number in range(10)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("direction=asc", _NUMBERS),
        ("", _NUMBERS[::-1]),
        ("status=closed", ["coin", "bracket"]),
        ("status=all&direction=asc", [*_NUMBERS, "bracket", "coin"]),
        ("symbols=KO&limit=2", ["9", "8"]),
        ("symbols=BTCUSD,NVDA&status=all", ["coin"]),
        ("symbols=BTC/USD&status=all", ["coin"]),
        ("asset_class=crypto&status=all", ["coin"]),
        ("side=sell", []),
        ("after=2026-11-24T15:00:07Z&symbols=KO", ["9", "8"]),
        ("until=2026-11-24T15:00:02Z&symbols=KO", ["1", "0"]),
        ("after=2026-11-24T15:00:02Z&until=2026-11-24T15:00:05Z&direction=asc", ["3", "4"]),
    ],
)
def test_orders_are_filtered(broker: Broker, query: str, expected: list[str]) -> None:
    assert _listed(broker, query) == expected


def test_pagination_by_id_excludes_both_ends(broker: Broker) -> None:
    by_client = {order["client_order_id"]: order["id"] for order in broker.get("/v2/orders?limit=500")}

    assert _listed(broker, f"before_order_id={by_client['3']}") == ["2", "1", "0"]
    assert _listed(broker, f"after_order_id={by_client['6']}&direction=asc&symbols=KO") == ["7", "8", "9"]
    both = f"before_order_id={by_client['3']}&after=2026-11-24T15:00:00Z"
    assert broker.ask("GET", f"/v2/orders?{both}")[0] == 422


def test_legs_are_listed_alone_or_below_their_order(broker: Broker) -> None:
    flat = broker.get("/v2/orders?status=all&symbols=XOM")
    nested = broker.get("/v2/orders?status=all&symbols=XOM&nested=true")

    assert [len(order["legs"] or []) for order in flat if order["order_class"] == "bracket"] == [0, 0, 0]
    assert [len(order["legs"]) for order in nested if order["order_class"] == "bracket"] == [2]
    assert {leg["id"] for leg in nested[0]["legs"]} < {order["id"] for order in flat}


def test_no_more_than_the_limit_is_listed(broker: Broker) -> None:
    assert len(broker.get("/v2/orders?status=all&limit=1")) == 1
    assert len(broker.get("/v2/orders?status=all&limit=500")) > 12
