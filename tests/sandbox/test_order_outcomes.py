"""What a fault does to an order: rejected, held pending, partly filled and stuck, busted, corrected."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import ClientSession

from corral_sandbox import Sandbox, serve_sandbox
from tests.sandbox.broker import TRADER, TUESDAY_TEN
from tests.sandbox.listeners import listening, next_message
from tests.sandbox.people import keys_of, nanoseconds

_SATURDAY = "2026-11-28T15:00:00Z"


class _Market:
    """A sandbox whose clock a test turns, and one account."""

    def __init__(self, http: ClientSession) -> None:
        self.http = http
        self.now = nanoseconds(TUESDAY_TEN)
        self.sandbox: Sandbox

    async def fault(self, order: dict[str, Any], **fields: Any) -> None:  # noqa: ANN401 - any JSON
        fault = {"method": "POST", "path": "/v2/orders", "times": 1, "order": order, **fields}
        async with self.http.put(f"{self.sandbox.url}/_faults", json={"faults": [fault]}) as response:
            assert response.status == 200, await response.text()

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        url = f"{self.sandbox.paper_url}{path}"
        async with self.http.request(method, url, headers=keys_of(TRADER), json=body) as response:
            return response.status, await response.json() if response.status != 204 else None

    async def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        status, document = await self.ask("GET", path)
        assert status == 200, document
        return document

    async def place(self, **fields: object) -> Any:  # noqa: ANN401 - JSON
        body = {"symbol": "KO", "qty": "10", "side": "buy", "type": "market", "time_in_force": "day", **fields}
        status, order = await self.ask("POST", "/v2/orders", body)
        assert status == 200, order
        return order

    async def look(self, order: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
        return await self.get(f"/v2/orders/{order['id']}?nested=true")

    async def held(self, symbol: str = "KO") -> Decimal:
        positions = {position["symbol"]: position for position in await self.get("/v2/positions")}
        return Decimal(positions[symbol]["qty"]) if symbol in positions else Decimal()

    async def cash(self) -> Decimal:
        return Decimal((await self.get("/v2/account"))["cash"])


@pytest.fixture
async def market(http: ClientSession) -> AsyncIterator[_Market]:
    market = _Market(http)
    async with serve_sandbox(port=0, rate_limit_per_minute=0, clock=lambda: market.now) as sandbox:
        market.sandbox = sandbox
        yield market


async def _events(market: _Market, count: int, **fields: object) -> list[Any]:
    async with listening(market.http, market.sandbox, TRADER) as socket:
        await market.place(**fields)
        return [(await next_message(socket))["data"] for _ in range(count)]


async def test_an_order_is_accepted_and_then_rejected(market: _Market) -> None:
    await market.fault({"outcome": "rejected"})
    order = await market.place()
    assert order["status"] == "pending_new"
    rejected = await market.look(order)
    assert (rejected["status"], rejected["failed_at"], rejected["filled_qty"]) == (
        "rejected",
        order["submitted_at"],
        "0",
    )
    assert (await market.look(await market.place()))["status"] == "filled"  # the fault was for one


async def test_a_rejection_is_published(market: _Market) -> None:
    await market.fault({"outcome": "rejected"})
    assert [event["event"] for event in await _events(market, 2)] == ["pending_new", "rejected"]


async def test_a_rejection_may_come_later(market: _Market) -> None:
    await market.fault({"outcome": "rejected", "after_seconds": 30})
    order = await market.place()
    market.now += 29_000_000_000
    assert (await market.look(order))["status"] == "pending_new"
    market.now += 2_000_000_000
    assert (await market.look(order))["status"] == "rejected"


async def test_the_exits_of_a_rejected_bracket_are_canceled(market: _Market) -> None:
    await market.fault({"outcome": "rejected"})
    exits = {"take_profit": {"limit_price": "99"}, "stop_loss": {"stop_price": "9"}}
    bracket = await market.look(await market.place(order_class="bracket", **exits))
    assert bracket["status"] == "rejected"
    assert {leg["status"] for leg in bracket["legs"]} == {"canceled"}


@pytest.mark.parametrize("at", [TUESDAY_TEN, _SATURDAY])
async def test_an_order_is_held_pending_until_it_is_canceled(market: _Market, at: str) -> None:
    market.now = nanoseconds(at)
    await market.fault({"outcome": "pending_new"})
    order = await market.place(time_in_force="gtc", type="limit", limit_price="99")
    market.now += 4 * 86_400 * 1_000_000_000
    assert (await market.look(order))["status"] == "pending_new"
    assert [each["id"] for each in await market.get("/v2/orders")] == [order["id"]]
    assert (await market.ask("PATCH", f"/v2/orders/{order['id']}", {"limit_price": "98"}))[0] == 422
    assert (await market.ask("DELETE", f"/v2/orders/{order['id']}"))[0] == 204
    assert (await market.look(order))["status"] == "canceled"


async def test_a_pending_order_for_the_day_expires_at_the_close(market: _Market) -> None:
    await market.fault({"outcome": "pending_new"})
    order = await market.place()
    market.now = nanoseconds("2026-11-24T21:00:01Z")
    assert (await market.look(order))["status"] == "expired"


@pytest.mark.parametrize("limit", [None, "99", "5"])
async def test_an_order_is_filled_in_part_and_stuck(market: _Market, limit: str | None) -> None:
    await market.fault({"outcome": "partially_filled", "filled_qty": "3"})
    fields = {} if limit is None else {"type": "limit", "limit_price": limit}
    order = await market.place(**fields)
    for seconds in (0, 60, 7_200):
        market.now += seconds * 1_000_000_000
        stuck = await market.look(order)
        assert (stuck["status"], stuck["filled_qty"]) == ("partially_filled", "3")
    assert await market.held() == 3
    assert limit is None or Decimal(stuck["filled_avg_price"]) <= Decimal(limit)
    assert (await market.ask("DELETE", f"/v2/orders/{order['id']}"))[0] == 204
    assert (await market.look(order))["status"] == "canceled"
    assert await market.held() == 3


async def test_a_partial_fill_is_published_once(market: _Market) -> None:
    await market.fault({"outcome": "partially_filled", "filled_qty": "3"})
    events = await _events(market, 3)
    assert [event["event"] for event in events] == ["pending_new", "new", "partial_fill"]
    assert (events[2]["qty"], events[2]["position_qty"], events[2]["order"]["status"]) == ("3", "3", "partially_filled")


async def test_a_partial_fill_of_everything_is_a_fill(market: _Market) -> None:
    await market.fault({"outcome": "partially_filled", "filled_qty": "50"})
    assert (await market.look(await market.place()))["status"] == "filled"
    assert await market.held() == 10


async def test_a_partial_fill_waits_for_the_market_to_open(market: _Market) -> None:
    market.now = nanoseconds(_SATURDAY)
    await market.fault({"outcome": "partially_filled", "filled_qty": "3"})
    order = await market.place()
    assert (order["status"], (await market.look(order))["filled_qty"]) == ("accepted", "0")
    market.now = nanoseconds("2026-11-30T14:30:01Z")
    assert (await market.look(order))["filled_qty"] == "3"


async def test_a_busted_fill_takes_shares_and_money_back(market: _Market) -> None:
    before = await market.cash()
    await market.fault({"outcome": "trade_bust", "after_seconds": 60})
    order = await market.place()
    filled = await market.look(order)
    assert (filled["status"], filled["filled_qty"], await market.held()) == ("filled", "10", 10)
    market.now += 61_000_000_000
    busted = await market.look(order)
    assert (busted["status"], busted["filled_qty"]) == ("filled", "0")
    assert busted["filled_avg_price"] == filled["filled_avg_price"]
    assert (await market.held(), await market.cash()) == (0, before)


async def test_a_bust_is_published_with_the_execution_that_it_takes_back(market: _Market) -> None:
    await market.fault({"outcome": "trade_bust"})
    events = await _events(market, 4)
    assert [event["event"] for event in events] == ["pending_new", "new", "fill", "trade_bust"]
    fill, bust = events[2:]
    assert bust["previous_execution_id"] == fill["execution_id"] != bust["execution_id"]
    assert (bust["qty"], bust["price"], bust["position_qty"]) == ("-10", fill["price"], "0")
    assert (bust["reason"], bust["order"]["filled_qty"], bust["order"]["status"]) == ("TRADE_BUST", "0", "filled")


async def test_every_fill_of_a_large_order_is_busted(market: _Market) -> None:
    before = await market.cash()
    await market.fault({"outcome": "trade_bust"})
    order = await market.place(qty="600")
    market.now += 60_000_000_000
    busted = await market.look(order)
    assert (busted["filled_qty"], await market.held(), await market.cash()) == ("0", 0, before)


async def test_a_corrected_fill_has_another_price(market: _Market) -> None:
    before = await market.cash()
    await market.fault({"outcome": "trade_correct", "price": "25.5"})
    corrected = await market.look(await market.place())
    assert (corrected["status"], corrected["filled_qty"], corrected["filled_avg_price"]) == ("filled", "10", "25.5")
    assert (await market.held(), await market.cash()) == (10, before - 255)
    (position,) = [each for each in await market.get("/v2/positions") if each["symbol"] == "KO"]
    assert Decimal(position["cost_basis"]) == 255


async def test_a_correction_is_published(market: _Market) -> None:
    await market.fault({"outcome": "trade_correct", "price": "25.5"})
    fill, correction = (await _events(market, 4))[2:]
    assert correction["event"] == "trade_correct"
    assert correction["previous_execution_id"] == fill["execution_id"] != correction["execution_id"]
    assert (correction["qty"], correction["price"], correction["position_qty"]) == ("10", "25.5", "10")
    assert correction["order"]["filled_avg_price"] == "25.5"


async def test_activities_add_up_after_a_bust_and_a_correction(market: _Market) -> None:
    for order in ({"outcome": "trade_bust"}, {"outcome": "trade_correct", "price": "25.5"}):
        await market.fault(order)
        await market.place()
    cash, held = Decimal(), Decimal()
    for activity in await market.get("/v2/account/activities"):
        if activity["activity_type"] != "FILL":
            cash += Decimal(activity["net_amount"])
            continue
        quantity = Decimal(activity["qty"]) * (1 if activity["side"] == "buy" else -1)
        cash -= quantity * Decimal(activity["price"])
        held += quantity if activity["symbol"] == "KO" else 0
    assert (cash, held) == (await market.cash(), await market.held())


async def test_an_outcome_can_hide_behind_an_answer_that_never_came(market: _Market) -> None:
    await market.fault({"outcome": "partially_filled", "filled_qty": "3"}, after=True, status=504)
    body = {"symbol": "KO", "qty": "10", "side": "buy", "type": "market", "time_in_force": "day"}
    assert (await market.ask("POST", "/v2/orders", body))[0] == 504
    (order,) = await market.get("/v2/orders")
    assert (order["status"], order["filled_qty"]) == ("partially_filled", "3")
