"""Account activities and their pagination."""

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corral_sandbox.broker.characters import open_account_with_character
from corral_sandbox.market.prices import Market
from tests.sandbox.broker import TRADER, Broker


def _busy() -> Broker:
    """Many fills, two and two at the same instant."""
    broker = Broker()
    for _ in range(6):
        broker.place(qty="500")
        broker.pass_time(seconds=2)
        broker.place(qty="500", side="sell")
        broker.pass_time(seconds=2)
    return broker


def _pages(broker: Broker, query: str, size: int) -> list[Any]:
    found: list[Any] = []
    while True:
        token = f"&page_token={found[-1]['id']}" if found else ""
        page = broker.get(f"/v2/account/activities?page_size={size}{query}{token}")
        assert len(page) <= size
        found += page
        if len(page) < size:
            return found


@given(st.integers(1, 60), st.sampled_from(["asc", "desc"]), st.sampled_from(["", "&category=trade_activity"]))
@settings(deadline=None, max_examples=40)
def test_pagination_neither_loses_nor_repeats_activities_of_one_instant(size: int, direction: str, more: str) -> None:
    broker = _busy()
    whole = _pages(broker, f"&direction={direction}{more}", 100)

    assert _pages(broker, f"&direction={direction}{more}", size) == whole

    ids = [activity["id"] for activity in whole]
    moments = [activity.get("transaction_time") or activity["created_at"] for activity in whole]
    assert len(set(ids)) == len(ids) > len(set(moments)) + 10
    assert moments == sorted(moments, reverse=direction == "desc")


def test_an_id_is_new_yorks_time_and_something_unique() -> None:
    broker = Broker()
    broker.place(qty="1")

    fill = broker.get("/v2/account/activities?page_size=1")[0]

    assert fill["id"].startswith("20261124100000000::")
    assert len(fill["id"].split("::")[1]) == 36


def test_a_fill_has_its_part_of_the_order() -> None:
    broker = Broker()
    order = broker.place(qty="700")
    broker.pass_time(seconds=3)

    fills = broker.get(f"/v2/account/activities?order_id={order['id']}&direction=asc")

    done = Decimal()
    for fill in fills:
        done += Decimal(fill["qty"])
        assert Decimal(fill["cum_qty"]) == done
        assert Decimal(fill["leaves_qty"]) == 700 - done
    assert done == 700
    assert [fill["order_status"] for fill in fills] == ["partially_filled"] * (len(fills) - 1) + ["filled"]
    assert all(before["transaction_time"] <= after["transaction_time"] for before, after in pairwise(fills))


@pytest.mark.parametrize(
    ("query", "kinds"),
    [
        ("?category=non_trade_activity", {"CSD"}),
        ("?category=trade_activity", {"FILL"}),
        ("?activity_types=CSD,DIV", {"CSD"}),
        ("/FILL", {"FILL"}),
        ("/DIV", set[str]()),
        ("?after=2026-11-24T15:00:00Z", set[str]()),
        ("?after=2026-11-24T14:59:59.999999999Z", {"FILL"}),
        ("?until=2026-11-24T15:00:00Z", {"CSD", "FILL"}),
        ("?until=2019-10-30", set[str]()),
        ("?date=2026-11-24", {"FILL"}),
        ("?date=2019-10-30", {"CSD", "FILL"}),
        ("?date=2019-10-31", set[str]()),
    ],
)
def test_activities_are_filtered_by_type_and_by_time(query: str, kinds: set[str]) -> None:
    broker = Broker()  # opened on 2019-10-30
    broker.place(qty="1")

    assert {activity["activity_type"] for activity in broker.get(f"/v2/account/activities{query}")} == kinds


@pytest.mark.parametrize("key_id", [TRADER, "PKTRADER0007", "PKTRADER0008", "PKBOB0000001"])
def test_the_activities_of_the_opening_day_add_up_to_the_cash(key_id: str) -> None:
    broker = Broker(key_id)

    told = broker.get("/v2/account/activities?direction=asc")

    transfers = sum(Decimal(activity["net_amount"]) for activity in told if activity["activity_type"] != "FILL")
    spent = sum(
        Decimal(fill["qty"]) * Decimal(fill["price"]) * (1 if fill["side"] == "buy" else -1)
        for fill in told
        if fill["activity_type"] == "FILL"
    )
    assert transfers - spent == Decimal(broker.get("/v2/account")["cash"])
    assert told[0]["net_amount"] == f"{open_account_with_character(Market(0), key_id).deposit.normalize():f}"
    orders = broker.get("/v2/orders?status=closed&direction=asc")
    assert [order["id"] for order in orders] == [
        activity["order_id"] for activity in told if activity["activity_type"] == "FILL"
    ]
