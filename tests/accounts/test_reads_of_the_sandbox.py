"""Corral returns exactly what the official SDK gets from the sandbox, page by page and as files."""

import asyncio
import csv
import io
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any

import pytest

from corral_sandbox import Sandbox, serve_sandbox
from tests.accounts.conftest import Account
from tests.conftest import Faults, StartService
from tests.people import make_person
from tests.sandbox.judges import of_the_sdk, sdk

Json = dict[str, Any]

# A Monday at half past ten in New York.
_MONDAY = int(datetime(2026, 11, 23, 15, 30, tzinfo=UTC).timestamp()) * 1_000_000_000
_RICH = "PKREADER0000"  # may trade, on margin
_MINUTE = 60 * 1_000_000_000

pytestmark = of_the_sdk


class StoppedClock:
    """A clock that a test moves: prices stay constant, and many orders have the same time."""

    def __init__(self) -> None:
        self.now = _MONDAY

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def stopped_clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
async def still(stopped_clock: StoppedClock) -> AsyncGenerator[Sandbox]:
    async with serve_sandbox(port=0, clock=stopped_clock, rate_limit_per_minute=0, characters=True) as sandbox:
        yield sandbox


@pytest.fixture
async def account(start_service: StartService, still: Sandbox, faults: Faults) -> AsyncGenerator[Account]:
    async with (
        start_service(cache_seconds=0, alpaca_paper_url=still.paper_url) as service,
        make_person(service, "alice") as person,
    ):
        yield Account(person, faults, _RICH, (await person.store(_RICH))["id"])


async def _with_the_sdk(still: Sandbox, account: Account, ask: Callable[[Any], Any]) -> Any:  # noqa: ANN401 - raw JSON
    def call() -> Any:  # noqa: ANN401 - as above
        with sdk(still.paper_url, account.key_id, raw_data=True) as client:
            return ask(client)

    return await asyncio.to_thread(call)


def _trade(client: Any) -> None:  # noqa: ANN401 - the SDK types its raw answers by half
    bought = {"symbol": "MSFT", "qty": "1", "side": "buy", "time_in_force": "gtc"}
    for number in range(4):
        kind = {"type": "market"} if number % 2 else {"type": "limit", "limit_price": "1.50"}
        client.post("/orders", {**bought, **kind, "client_order_id": _named(number)})


def _bracket(client: Any) -> None:  # noqa: ANN401 - as above
    """Orders that always have the same time."""
    sold = {"take_profit": {"limit_price": "100000"}, "stop_loss": {"stop_price": "0.5"}}
    for symbol in ("AAPL", "TSLA", "AMZN"):
        bought = {"symbol": symbol, "qty": "1", "side": "buy", "time_in_force": "gtc"}
        client.post("/orders", {**bought, "type": "market", "order_class": "bracket", **sold})


def _named(number: int) -> str:
    return f"=bought {number} {token_hex(4)}"


async def _traded(still: Sandbox, account: Account, stopped_clock: StoppedClock) -> None:
    for trade in (_trade, _bracket, _trade, _trade):
        await _with_the_sdk(still, account, trade)
        stopped_clock.now += 7 * _MINUTE


async def _turned(account: Account, read: str, **asked: Any) -> list[Json]:  # noqa: ANN401 - whatever an address can hold
    items: list[Json] = []
    while True:
        page = await account.get(read, **asked)
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        asked["cursor"] = page["next_cursor"]


@pytest.mark.parametrize("limit", [1, 2, 4, 7, 500])
@pytest.mark.parametrize("direction", ["desc", "asc"])
async def test_all_orders_are_returned_once_for_any_page_length(
    account: Account, still: Sandbox, stopped_clock: StoppedClock, limit: int, direction: str
) -> None:
    await _traded(still, account, stopped_clock)
    asked = {"status": "all", "direction": direction, "limit": 500}
    theirs = await _with_the_sdk(still, account, lambda client: client.get("/orders", asked))
    assert len(theirs) >= 3 * 4 + 3 * 3
    assert max(sum(one["submitted_at"] == other["submitted_at"] for other in theirs) for one in theirs) >= 9
    ours = await _turned(account, "orders", direction=direction, limit=limit)
    assert [one["id"] for one in ours] == [one["id"] for one in theirs]


async def test_time_bounds_apply_to_every_page(account: Account, still: Sandbox, stopped_clock: StoppedClock) -> None:
    await _traded(still, account, stopped_clock)
    moments = sorted({one["submitted_at"] for one in await _turned(account, "orders")})
    assert len(moments) >= 3
    for direction in ("desc", "asc"):
        bounds = {"after": moments[0], "until": moments[-1], "direction": direction}
        asked = {**bounds, "status": "all", "limit": 500}
        theirs = await _with_the_sdk(still, account, lambda client, asked=asked: client.get("/orders", asked))
        ours = await _turned(account, "orders", limit=2, **bounds)
        assert [one["id"] for one in ours] == [one["id"] for one in theirs]
        assert ours


async def test_orders_equal_those_of_the_sdk(account: Account, still: Sandbox, stopped_clock: StoppedClock) -> None:
    await _traded(still, account, stopped_clock)
    asked = {"status": "all", "limit": 500}
    theirs = await _with_the_sdk(still, account, lambda client: client.get("/orders", asked))
    ours = await _turned(account, "orders")
    assert any(one["filled_avg_price"] for one in ours)
    for our, their in zip(ours, theirs, strict=True):
        reported = {name: value for name, value in our.items() if name not in {"order_class", "legs"}}
        assert reported == {name: their.get(name) for name in reported}
        assert our["order_class"] == their["order_class"] or (our["order_class"], their["order_class"]) == (
            "simple",
            "",
        )


async def test_positions_equal_those_of_the_sdk(account: Account, still: Sandbox, stopped_clock: StoppedClock) -> None:
    await _traded(still, account, stopped_clock)
    theirs = await _with_the_sdk(still, account, lambda client: client.get_all_positions())
    ours = (await account.get("positions"))["items"]
    assert ours
    for our, their in zip(ours, theirs, strict=True):
        assert our == {name: their.get(name) for name in our}
    assert await _file(account, "positions.csv") == [
        {**{name: "true" if value is True else value or "" for name, value in our.items()}, "unreadable": ""}
        for our in ours
    ]


@pytest.mark.parametrize("limit", [1, 3, 100])
@pytest.mark.parametrize("direction", ["desc", "asc"])
async def test_activities_equal_those_of_the_sdk_on_every_page(
    account: Account, still: Sandbox, stopped_clock: StoppedClock, limit: int, direction: str
) -> None:
    await _traded(still, account, stopped_clock)
    asked = {"direction": direction}
    theirs = await _with_the_sdk(still, account, lambda client: client.get("/account/activities", asked))
    ours = await _turned(account, "activities", direction=direction, limit=limit)
    assert {one["kind"] for one in ours} == {"trade", "non_trade"}
    for our, their in zip(ours, theirs, strict=True):
        reported = {name: value for name, value in our.items() if name not in {"kind", "other"}}
        assert our["other"] == {}, "the sandbox sends nothing beyond Alpaca's description"
        assert reported == {name: their.get(name) for name in reported}


async def test_a_history_equals_that_of_the_sdk(account: Account, still: Sandbox, stopped_clock: StoppedClock) -> None:
    await _traded(still, account, stopped_clock)
    questions: list[Json] = [{"period": "1W", "timeframe": "1D"}, {"period": "1D", "timeframe": "15Min"}, {}]
    for asked in questions:
        ours = await account.get("portfolio-history", **asked)
        theirs = await _with_the_sdk(
            still, account, lambda client, asked=asked: client.get("/account/portfolio/history", asked)
        )
        assert ours["items"]
        assert ours["timeframe"] == theirs["timeframe"]
        # The SDK converts them to floats; other tests compare them digit for digit.
        for name in ("equity", "profit_loss", "profit_loss_pct"):
            assert [float(point[name]) for point in ours["items"]] == theirs[name]
        assert [_seconds(point["at"]) for point in ours["items"]] == theirs["timestamp"]


async def test_the_clock_equals_that_of_the_sdk(account: Account, still: Sandbox) -> None:
    theirs = await _with_the_sdk(still, account, lambda client: client.get("/clock"))
    ours = await account.get("clock")
    assert ours["is_open"] is theirs["is_open"] is True
    for name in ("timestamp", "next_open", "next_close"):
        assert datetime.fromisoformat(ours[name]) == datetime.fromisoformat(theirs[name])
        assert ours[name].endswith("Z")


async def test_files_have_a_row_for_each_item(account: Account, still: Sandbox, stopped_clock: StoppedClock) -> None:
    await _traded(still, account, stopped_clock)
    orders = await _turned(account, "orders")
    rows = await _file(account, "orders.csv")
    assert [row["id"] for row in rows] == [one["id"] for one in orders]
    assert sum(row["client_order_id"].startswith("'=bought") for row in rows) == 3 * 4
    activities = await _turned(account, "activities")
    assert [row["id"] for row in await _file(account, "activities.csv")] == [one["id"] for one in activities]


def _seconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp())


async def _file(account: Account, name: str) -> list[dict[str, str]]:
    async with account.person.client.get(f"/api/credentials/{account.credential_id}/{name}") as answered:
        assert answered.status == 200
        return list(csv.DictReader(io.StringIO(await answered.text(), newline="")))
