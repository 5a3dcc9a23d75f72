"""The sandbox's time in the test's hand: it stands still, is set, and is moved on."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import ClientSession

from corral_sandbox import ClockMovedError, run_sandbox, serve_sandbox
from corral_sandbox.market.time import NEW_YORK

KEY_ID = "PKCLOCK0001"
HEADERS = {"APCA-API-KEY-ID": KEY_ID, "APCA-API-SECRET-KEY": f"sandbox-secret-for-{KEY_ID}"}
BEFORE_THE_OPEN = datetime(2026, 11, 24, 9, 29, tzinfo=NEW_YORK)
IN_HOURS = BEFORE_THE_OPEN + timedelta(hours=1)
BUY = {"symbol": "AAPL", "qty": "300", "side": "buy", "type": "market", "time_in_force": "day"}


class Broker:
    """One sandbox at speed 0, over HTTP."""

    def __init__(self, client: ClientSession) -> None:
        self.client = client

    async def call(self, method: str, path: str, body: object = None, *, status: int = 200) -> Any:  # noqa: ANN401 - JSON
        async with self.client.request(method, path, json=body, headers=HEADERS) as answer:
            text = await answer.text()
            assert answer.status == status, text
            return await answer.json() if text else None

    async def account(self) -> dict[str, Any]:
        return await self.call("GET", "/v2/account")


@pytest.fixture
async def broker() -> AsyncGenerator[Broker]:
    async with serve_sandbox(port=0, start=IN_HOURS, speed=0) as sandbox, ClientSession(sandbox.url) as client:
        yield Broker(client)


async def test_at_speed_0_time_stands_still(broker: Broker) -> None:
    first = await broker.call("GET", "/v2/clock")
    await asyncio.sleep(0.05)
    assert await broker.call("GET", "/v2/clock") == first
    state = await broker.call("GET", "/_clock")
    assert state == {
        "at": "2026-11-24T10:29:00.000000-05:00",
        "speed": 0,
        "is_open": True,
        "next_open": "2026-11-25T09:30:00-05:00",
        "next_close": "2026-11-24T16:00:00-05:00",
        "moved_by": 0,
    }


async def test_each_request_that_changes_something_is_a_microsecond_later(broker: Broker) -> None:
    orders = [await broker.call("POST", "/v2/orders", BUY | {"qty": "1"}) for _ in range(3)]
    assert [order["submitted_at"] for order in orders] == [f"2026-11-24T15:29:00.00000{n}000Z" for n in (1, 2, 3)]


async def test_a_market_order_is_filled_in_full_before_the_next_request(broker: Broker) -> None:
    order = await broker.call("POST", "/v2/orders", BUY)
    filled = await broker.call("GET", f"/v2/orders/{order['id']}")
    assert (filled["status"], filled["filled_qty"]) == ("filled", "300")
    assert filled["filled_at"] == filled["submitted_at"]


async def test_everything_else_waits_for_the_clock(broker: Broker) -> None:
    far = BUY | {"type": "limit", "limit_price": "1", "time_in_force": "day"}
    order = await broker.call("POST", "/v2/orders", far)
    assert (await broker.call("GET", f"/v2/orders/{order['id']}"))["status"] == "new"
    state = await broker.call("POST", "/_clock/advance", {"to": "close"})
    assert (state["at"], state["is_open"]) == ("2026-11-24T16:00:00.000000-05:00", False)
    assert (await broker.call("GET", f"/v2/orders/{order['id']}"))["status"] == "expired"


async def test_an_advance_moves_by_seconds_and_says_by_how_many(broker: Broker) -> None:
    state = await broker.call("POST", "/_clock/advance", {"seconds": 90})
    assert (state["at"], state["moved_by"]) == ("2026-11-24T10:30:30.000000-05:00", 90)
    state = await broker.call("POST", "/_clock/advance", {"seconds": 0.5})
    assert (state["at"], state["moved_by"]) == ("2026-11-24T10:30:30.500000-05:00", 0.5)


async def test_the_next_open_is_strictly_later(broker: Broker) -> None:
    first = await broker.call("POST", "/_clock/advance", {"to": "open"})
    second = await broker.call("POST", "/_clock/advance", {"to": "open"})
    assert [state["at"][:16] for state in (first, second)] == ["2026-11-25T09:30", "2026-11-27T09:30"]  # Thanksgiving


async def test_an_advance_of_somebody_who_believes_in_another_time_is_refused(broker: Broker) -> None:
    at = (await broker.call("GET", "/_clock"))["at"]
    await broker.call("POST", "/_clock/advance", {"seconds": 1, "if_at": at})
    refused = await broker.call("POST", "/_clock/advance", {"seconds": 1, "if_at": at}, status=409)
    assert refused["clock"]["at"] == "2026-11-24T10:29:01.000000-05:00"


@pytest.mark.parametrize(
    ("method", "path", "body", "told"),
    [
        ("POST", "/_clock/advance", {}, "give either seconds or to"),
        ("POST", "/_clock/advance", {"seconds": 1, "to": "open"}, "give either seconds or to"),
        ("POST", "/_clock/advance", {"seconds": -1}, "seconds: must be greater than 0"),
        ("POST", "/_clock/advance", {"to": "2026-11-24T10:00-05:00"}, "goes to a later time"),
        ("POST", "/_clock/advance", {"to": "2026-11-25T10:00"}, "needs a time zone"),
        ("POST", "/_clock/advance", {"to": "noon"}, "to: "),
        ("POST", "/_clock/advance", {"second": 1}, "second: unknown field; did you mean seconds?"),
        ("PUT", "/_clock", {"speed": -1}, "speed: "),
        ("PUT", "/_clock", {"speed": 86_401}, "speed: "),
        ("PUT", "/_clock", {"at": "2026-11-24T10:00"}, "needs a time zone"),
    ],
)
async def test_bad_input_is_refused_and_moves_nothing(
    broker: Broker, method: str, path: str, body: object, told: str
) -> None:
    before = await broker.call("GET", "/_clock")
    assert told in (await broker.call(method, path, body, status=400))["message"]
    assert await broker.call("GET", "/_clock") == before


@pytest.mark.parametrize("has_order", [False, True])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/_clock/advance", {"seconds": 367 * 86_400}),
        ("POST", "/_clock/advance", {"to": "2028-01-01T00:00Z", "progress": True}),
        ("PUT", "/_clock", {"at": "2028-01-01T00:00Z"}),
    ],
)
async def test_an_advance_of_more_than_a_year_is_refused(
    broker: Broker, method: str, path: str, body: object, *, has_order: bool
) -> None:
    if has_order:
        await broker.call("POST", "/v2/orders", BUY | {"type": "limit", "limit_price": "1", "time_in_force": "gtc"})
    before = await broker.call("GET", "/_clock")
    assert "more than a year" in (await broker.call(method, path, body, status=400))["message"]
    assert await broker.call("GET", "/_clock") == before


async def test_the_clock_goes_back_only_as_far_as_to_the_latest_change(broker: Broker) -> None:
    await broker.call("PUT", "/_clock", {"at": "2026-11-20T10:00-05:00"})
    await broker.call("POST", "/v2/orders", BUY)
    await broker.call("POST", "/_clock/advance", {"seconds": 60})
    refused = await broker.call("PUT", "/_clock", {"at": "2026-11-20T09:59-05:00"}, status=400)
    assert "POST /_reset" in refused["message"]
    state = await broker.call("PUT", "/_clock", {"at": "2026-11-20T10:00:30-05:00"})
    assert state["moved_by"] == -30.000001  # the order took a microsecond


async def test_a_reset_goes_back_to_the_start(broker: Broker) -> None:
    start = await broker.call("GET", "/_clock")
    await broker.call("POST", "/v2/orders", BUY)
    await broker.call("POST", "/_clock/advance", {"to": "close"})
    await broker.call("POST", "/_reset")
    assert await broker.call("GET", "/_clock") == start
    assert await broker.call("GET", "/v2/orders?status=all") == []


async def test_the_same_calls_give_the_same_answers_twice() -> None:
    async def play() -> list[object]:
        async with (
            serve_sandbox(port=0, start=BEFORE_THE_OPEN, speed=0) as sandbox,
            ClientSession(sandbox.url) as client,
        ):
            broker = Broker(client)
            return [
                await broker.call("POST", "/v2/orders", BUY),
                await broker.call("POST", "/_clock/advance", {"to": "open"}),
                await broker.call("GET", "/v2/orders?status=all"),
                await broker.call("POST", "/_clock/advance", {"seconds": 3600}),
                await broker.account(),
                await broker.call("GET", "/v2/positions"),
                await broker.call("GET", "/v2/account/activities"),
            ]

    assert await play() == await play()


async def test_a_long_advance_tells_how_far_it_is(broker: Broker) -> None:
    await broker.call("POST", "/v2/orders", BUY | {"type": "limit", "limit_price": "1", "time_in_force": "gtc"})
    async with broker.client.post("/_clock/advance", json={"seconds": 86_400 * 40, "progress": True}) as answer:
        lines = [line async for line in answer.content]
    assert len(lines) == 40
    assert b'"moved_by":3456000' in lines[-1]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v2/orders", BUY),
        ("PUT", "/_accounts/PKCLOCK0002", {"cash": "1"}),
        ("PUT", "/_prices", {"MSFT": "400"}),
        ("POST", "/_clock/advance", {"seconds": 1}),
    ],
)
async def test_changes_and_further_advances_wait_in_line(
    broker: Broker, method: str, path: str, body: dict[str, object]
) -> None:
    await broker.call("POST", "/v2/orders", BUY | {"type": "limit", "limit_price": "1", "time_in_force": "gtc"})
    over: list[str] = []

    async def call(name: str, method: str, path: str, body: dict[str, object]) -> None:
        await broker.call(method, path, body)
        over.append(name)

    long = asyncio.ensure_future(call("advance", "POST", "/_clock/advance", {"seconds": 86_400 * 150}))
    while not over and (await broker.call("GET", "/_health"))["at"].startswith("2026-11-24"):  # noqa: ASYNC110 - the sandbox tells of nothing by itself
        await asyncio.sleep(0)
    assert over == [], "the advance was over before anything else could be asked"
    await asyncio.gather(long, call("change", method, path, body))
    assert over == ["advance", "change"]


async def test_events_are_written_before_an_advance_is_answered() -> None:
    async with serve_sandbox(port=0, start=BEFORE_THE_OPEN, speed=0) as sandbox, ClientSession(sandbox.url) as client:
        broker = Broker(client)
        async with client.ws_connect("/stream") as socket:
            await socket.send_json({"action": "authenticate", "data": {
                "key_id": KEY_ID, "secret_key": HEADERS["APCA-API-SECRET-KEY"]}})  # fmt: skip
            await socket.send_json({"action": "listen", "data": {"streams": ["trade_updates"]}})
            for _ in range(2):
                await socket.receive()
            await broker.call("POST", "/v2/orders", BUY)
            await broker.call("POST", "/_clock/advance", {"to": "open"})
            events = [(await socket.receive(timeout=1)).json()["data"] for _ in range(3)]
    assert [event["event"] for event in events] == ["accepted", "new", "fill"]
    assert events[-1]["timestamp"].startswith("2026-11-24T14:30:00")


async def test_a_year_with_open_orders_ends(broker: Broker) -> None:
    for limit in range(1, 51):
        order = BUY | {"qty": "1", "type": "limit", "limit_price": str(limit), "time_in_force": "gtc"}
        await broker.call("POST", "/v2/orders", order)
    state = await broker.call("POST", "/_clock/advance", {"seconds": 3600})
    assert state["moved_by"] == 3600
    assert len(await broker.call("GET", "/v2/orders?limit=500")) == 50


async def test_the_clock_of_a_running_sandbox_is_stopped_and_runs_on() -> None:
    async with serve_sandbox(port=0, start=IN_HOURS) as sandbox:
        stopped = await sandbox.clock.set(speed=0)
        assert (await sandbox.clock.get()).at == stopped.at
        await sandbox.clock.set(speed=3600)
        await asyncio.sleep(0.05)
        assert (await sandbox.clock.get()).at > stopped.at + timedelta(seconds=60)


def test_the_same_words_without_an_event_loop() -> None:
    with run_sandbox(start=IN_HOURS, speed=0, depth=Decimal(1_000)) as sandbox:
        state = sandbox.clock.advance(to="close")
        assert state.at == datetime(2026, 11, 24, 16, tzinfo=NEW_YORK)
        with pytest.raises(ClockMovedError):
            sandbox.clock.advance(seconds=1, if_at=IN_HOURS)
        assert sandbox.clock.set(speed=1).speed == 1
        assert sandbox.clock.get().at >= state.at


@pytest.mark.parametrize(
    ("method", "path", "body", "reason"),
    [
        ("PUT", "/_clock", {"at": "9999-12-31T23:59:59Z"}, "the clock goes from 1970 to 2100"),
        ("PUT", "/_clock", {"at": "0001-01-01T00:00:00+23:00"}, "the clock goes from 1970 to 2100"),
        ("POST", "/_clock/advance", {"to": "2101-01-01T00:00:00Z"}, "the clock goes from 1970 to 2100"),
        ("POST", "/_clock/advance", {"seconds": 10**11}, "the clock goes from 1970 to 2100"),
        ("POST", "/_clock/advance", {"seconds": 1e300}, "seconds: must be less than or equal to 100000000000"),
        ("POST", "/_clock/advance", {"seconds": 10**400}, "seconds: must be less than or equal to 100000000000"),
    ],
)
async def test_a_time_that_the_calendar_does_not_know_is_refused(
    broker: Broker, method: str, path: str, body: dict[str, object], reason: str
) -> None:
    before = await broker.call("GET", "/_clock")
    refused = await broker.call(method, path, body, status=400)
    assert refused == {"message": reason}
    assert await broker.call("GET", "/_clock") == before


async def test_an_account_that_is_refused_does_not_move_the_clock(broker: Broker) -> None:
    before = await broker.call("GET", "/_clock")
    await broker.call("PUT", f"/_accounts/{KEY_ID}", {"positions": [{"symbol": "NOTHING", "qty": "1"}]}, status=400)
    assert await broker.call("GET", "/_clock") == before
    await broker.call("PUT", f"/_accounts/{KEY_ID}", {})
    assert await broker.call("GET", "/_clock") != before
