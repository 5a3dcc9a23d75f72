"""Trade updates and activities as server-sent events."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from datetime import datetime
from typing import Any

import orjson
import pytest
from aiohttp import ClientResponse, ClientSession
from jsonschema import Draft202012Validator

from corral_sandbox import Sandbox, serve_sandbox, token_of
from corral_sandbox.stream import server_sent_events
from corral_sandbox.stream.messages import end_of_event_id, event_id
from tests.sandbox.broker import CASH_TRADER, TRADER, TUESDAY_TEN
from tests.sandbox.listeners import PATIENCE, listening, next_message, place_order
from tests.sandbox.people import keys_of, nanoseconds

_TRADES, _ACTIVITIES = "/v2/events/trades", "/v2beta1/events/activities"
_TUESDAY = datetime.fromisoformat(TUESDAY_TEN)
_ACCOUNT = "98bb22b5-4326-5e84-bc74-6ee07098acb0"


@asynccontextmanager
async def _reading(
    http: ClientSession, sandbox: Sandbox, path: str, headers: dict[str, str] | None = None
) -> AsyncGenerator[ClientResponse]:
    async with http.get(f"{sandbox.url}{path}", headers=headers or keys_of(TRADER)) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"
        yield response


async def _events(response: ClientResponse) -> AsyncIterator[Any]:
    async for line in response.content:
        if line.startswith(b"data: "):
            yield orjson.loads(line.removeprefix(b"data: "))


async def _next(response: ClientResponse, count: int) -> list[Any]:
    async with asyncio.timeout(PATIENCE):
        events = _events(response)
        return [await anext(events) for _ in range(count)]


async def _all(http: ClientSession, sandbox: Sandbox, path: str, key_id: str = TRADER) -> list[Any]:
    async with asyncio.timeout(PATIENCE), _reading(http, sandbox, path, keys_of(key_id)) as response:
        return [event async for event in _events(response)]


@pytest.mark.parametrize("prefix", ["", "/paper"])
async def test_trade_events_say_what_the_socket_says(sandbox: Sandbox, http: ClientSession, prefix: str) -> None:
    async with (
        listening(http, sandbox, TRADER) as socket,
        _reading(http, sandbox, f"{prefix}{_TRADES}") as response,
    ):
        await place_order(http, sandbox)
        told = [(await next_message(socket))["data"] for _ in range(3)]
        events = await _next(response, 3)
    assert [event["event"] for event in events] == ["pending_new", "new", "fill"]
    for event, update in zip(events, told, strict=True):
        assert {name: event[name] for name in update} == update
        assert event.keys() - update.keys() == {"account_id", "at", "event_id"}


async def test_a_token_opens_the_events(sandbox: Sandbox, http: ClientSession) -> None:
    headers = {"Authorization": f"Bearer {token_of(TRADER)}"}
    async with _reading(http, sandbox, _TRADES, headers) as response:
        await place_order(http, sandbox)
        assert (await _next(response, 1))[0]["event"] == "pending_new"


@pytest.mark.parametrize("path", [_TRADES, _ACTIVITIES])
async def test_wrong_keys_are_refused(sandbox: Sandbox, http: ClientSession, path: str) -> None:
    async with http.get(f"{sandbox.url}{path}", headers=keys_of(TRADER) | {"APCA-API-SECRET-KEY": "x"}) as response:
        assert response.status == 401
    async with http.post(f"{sandbox.url}{path}", headers=keys_of(TRADER)) as response:
        assert response.status == 405


async def test_events_of_another_account_are_not_sent(sandbox: Sandbox, http: ClientSession) -> None:
    async with _reading(http, sandbox, _TRADES) as response:
        await place_order(http, sandbox, CASH_TRADER)
        mine = await place_order(http, sandbox)
        assert {event["order"]["id"] for event in await _next(response, 3)} == {mine["id"]}


async def test_since_repeats_what_has_happened_as_it_was_then(http: ClientSession) -> None:
    now = nanoseconds(TUESDAY_TEN)
    async with serve_sandbox(port=0, rate_limit_per_minute=0, clock=lambda: now) as sandbox:
        async with _reading(http, sandbox, _TRADES) as response:
            await place_order(http, sandbox)
            live = await _next(response, 3)
        now += 60_000_000_000
        again = await _all(http, sandbox, f"{_TRADES}?since=2026-11-24&until=2026-11-24T15:00:30Z")
        assert again == live
        assert [event["order"]["status"] for event in again] == ["pending_new", "new", "filled"]
        ids = [event["event_id"] for event in live]
        assert await _all(http, sandbox, f"{_TRADES}?since_id={ids[1]}&until_id={ids[2]}") == live[1:]
        assert await _all(http, sandbox, f"{_TRADES}?since=2026-11-24T15:00:01Z&until=2026-11-24T15:00:30Z") == []


async def test_a_stream_ends_when_the_sandbox_passes_until(http: ClientSession) -> None:
    now = nanoseconds(TUESDAY_TEN)
    async with serve_sandbox(port=0, rate_limit_per_minute=0, clock=lambda: now) as sandbox:
        path = f"{_TRADES}?since=2026-11-24T15:00:00Z&until=2026-11-24T15:01:00Z"
        async with _reading(http, sandbox, path) as response:
            await place_order(http, sandbox)
            assert len(await _next(response, 3)) == 3
            now += 61_000_000_000
            await place_order(http, sandbox)
            async with asyncio.timeout(PATIENCE):
                assert [event async for event in _events(response)] == []


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("until=2026-11-24", "since is required if until is specified"),
        ("until_id=01J5R000000000000000000001", "since_id is required if until_id is specified"),
        ("since=2026-11-24&since_id=01J5R000000000000000000001", "cannot be used together"),
        ("since=yesterday", "neither RFC 3339 nor YYYY-MM-DD"),
        ("since_id=17", "not a ULID"),
        ("since_id=01J5R00000000000000000000U", "not a ULID"),
    ],
)
@pytest.mark.parametrize("path", [_TRADES, _ACTIVITIES])
async def test_a_range_that_makes_no_sense_is_refused(
    sandbox: Sandbox, http: ClientSession, path: str, query: str, reason: str
) -> None:
    async with http.get(f"{sandbox.url}{path}?{query}", headers=keys_of(TRADER)) as response:
        assert response.status == 400
        assert reason in (await response.json())["message"]


async def test_activities_are_sent_as_they_are_booked(sandbox: Sandbox, http: ClientSession) -> None:
    async with _reading(http, sandbox, _ACTIVITIES) as response:
        order = await place_order(http, sandbox)
        trade, fee = await _next(response, 2)
    assert (trade["activity_type"], trade["qty"], trade["details"]["order_id"]) == ("TRD", "0.01", order["id"])
    assert (fee["activity_type"], fee["qty"], fee["net_amount"]) == ("CFEE", "-0.000025", "0")


async def test_the_history_of_activities_is_that_of_the_account(http: ClientSession, official: dict[str, Any]) -> None:
    now = nanoseconds(TUESDAY_TEN)
    async with serve_sandbox(port=0, rate_limit_per_minute=0, clock=lambda: now) as sandbox:
        async with _reading(http, sandbox, _ACTIVITIES) as response:
            await place_order(http, sandbox)
            live = await _next(response, 2)
        now += 60_000_000_000
        whole = await _all(http, sandbox, f"{_ACTIVITIES}?since=2000-01-01&until=2026-11-24T15:00:30Z")
        async with http.get(f"{sandbox.url}/v2/account/activities?direction=asc", headers=keys_of(TRADER)) as response:
            listed = await response.json()
    assert whole[-2:] == live
    assert [event["ref_id"] for event in whole] == [activity["id"].partition("::")[2] for activity in listed]
    assert [event["event_id"] for event in whole] == sorted({event["event_id"] for event in whole})
    judge = _judge(official)
    for event in whole:
        judge.validate(event)


def _judge(official: dict[str, Any]) -> Any:  # noqa: ANN401 - jsonschema types its calls by half
    """Its document has `oneOf` of forms that differ in nothing that is required: any will do."""
    official = deepcopy(official)
    schemas = official["components"]["schemas"]
    schemas["ActivityV2DetailNTA"]["anyOf"] = schemas["ActivityV2DetailNTA"].pop("oneOf")
    details = schemas["ActivityEventV2"]["allOf"][1]["properties"]["details"]
    details["anyOf"] = details.pop("oneOf")
    return Draft202012Validator({"components": official["components"], **schemas["ActivityEventV2"]})


async def test_a_client_that_leaves_disturbs_nobody(sandbox: Sandbox, http: ClientSession) -> None:
    async with _reading(http, sandbox, _TRADES) as response:
        await place_order(http, sandbox)
        await _next(response, 1)
    await place_order(http, sandbox)
    async with http.get(f"{sandbox.url}/_requests") as answer:
        counts = (await answer.json())["key_ids"][TRADER]
    assert counts["paths"] == {_TRADES: 1, "/v2/orders": 2}


async def test_a_stream_until_now_ends_although_the_clock_stands_still(http: ClientSession) -> None:
    async with serve_sandbox(port=0, rate_limit_per_minute=0, speed=0, start=_TUESDAY) as sandbox:
        await place_order(http, sandbox)
        async with http.get(f"{sandbox.url}/_clock") as response:
            at = (await response.json())["at"].replace("+", "%2B")
        whole = await _all(http, sandbox, f"{_TRADES}?since=2026-11-24&until={at}")
        assert [event["event"] for event in whole] == ["pending_new", "new", "fill"]
        first, last = whole[0]["event_id"], whole[1]["event_id"]
        assert await _all(http, sandbox, f"{_TRADES}?since_id={first}&until_id={last}") == whole[:2]


async def test_events_are_written_before_an_advance_is_answered(http: ClientSession) -> None:
    async with (
        serve_sandbox(port=0, rate_limit_per_minute=0, speed=0, start=_TUESDAY) as sandbox,
        _reading(http, sandbox, _TRADES) as response,
    ):
        await place_order(http, sandbox, symbol="KO", qty="1", time_in_force="day", type="limit", limit_price="1")
        assert [event["event"] for event in await _next(response, 2)] == ["pending_new", "new"]
        async with http.post(f"{sandbox.url}/_clock/advance", json={"to": "close"}) as advanced:
            assert advanced.status == 200
        assert (await _next(response, 1))[0]["event"] == "expired"


@pytest.mark.parametrize("path", [_TRADES, _ACTIVITIES])
async def test_a_stream_goes_on_with_the_account_that_replaces_its_own(
    sandbox: Sandbox, http: ClientSession, path: str
) -> None:
    async with _reading(http, sandbox, path) as response:
        await place_order(http, sandbox)
        await _next(response, 1)
        async with http.delete(f"{sandbox.url}/_accounts/{TRADER}") as reset:
            assert reset.status == 200
        order = await place_order(http, sandbox)
        async with asyncio.timeout(PATIENCE):
            async for event in _events(response):
                if order["id"] in str(event):
                    return


async def test_faults_answer_in_place_of_events(sandbox: Sandbox, http: ClientSession) -> None:
    await http.put(f"{sandbox.url}/_faults", json={"faults": [{"path": _TRADES, "status": 429, "times": 1}]})
    async with http.get(f"{sandbox.url}{_TRADES}", headers=keys_of(TRADER)) as response:
        assert response.status == 429
    async with _reading(http, sandbox, _TRADES):
        pass


async def test_a_client_that_reads_too_slowly_is_told_how_much_it_missed(
    sandbox: Sandbox, http: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_sent_events, "_MAX_UNSENT", 2)
    async with _reading(http, sandbox, _TRADES) as response:
        await place_order(http, sandbox)  # three events at one instant
        assert len(await _next(response, 2)) == 2
        async with asyncio.timeout(PATIENCE):
            assert await response.content.readline() == b"\n"
            assert await response.content.readline() == b": you are reading too slowly, dropped 1 messages\n"


async def test_a_quiet_stream_sends_heartbeats(
    sandbox: Sandbox, http: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_sent_events, "_HEARTBEAT_SECONDS", 0.05)
    async with _reading(http, sandbox, _TRADES) as response, asyncio.timeout(PATIENCE):
        assert [await response.content.readline() for _ in range(4)] == [b":heartbeat\n", b"\n"] * 2
        await place_order(http, sandbox)
        assert (await _next(response, 1))[0]["event"] == "pending_new"


def test_event_ids_are_ulids_that_sort_in_the_order_of_the_events() -> None:
    at = nanoseconds(TUESDAY_TEN)
    ids = [event_id(_ACCOUNT, number, at + number // 3 * 1_000_000) for number in range(1, 200)]
    assert ids == sorted(set(ids))
    assert all(re.fullmatch("[0-7][0-9A-HJKMNP-TV-Z]{25}", each) for each in ids)
    assert at <= end_of_event_id(event_id(_ACCOUNT, 1, at)) < at + 1_000_000
