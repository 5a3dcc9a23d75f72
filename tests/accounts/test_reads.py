"""Positions, orders, activities, history and clock: what comes through and what is refused, upstream and all."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from yarl import URL

from tests.accounts.alpaca_lists import ANSWERS, DIVIDEND, FILL, fill, order, orders
from tests.accounts.conftest import Account
from tests.alpaca.upstream import ACCOUNT, Visit, answer, upstream
from tests.conftest import Faults, StartService
from tests.log_lines import LogSince
from tests.people import make_person, paper_key

Json = dict[str, Any]

READS = {
    "positions": "/v2/positions",
    "orders": "/v2/orders",
    "activities": "/v2/account/activities",
    "portfolio-history": "/v2/account/portfolio/history",
    "clock": "/v2/clock",
}
FILES = {f"{name}.csv": READS[name] for name in ("positions", "orders", "activities")}


async def test_positions_are_returned_digit_for_digit(account: Account) -> None:
    await account.answer(ANSWERS["/v2/positions"], path="/v2/positions")
    reported = await account.get("positions")
    (position,) = reported["items"]
    assert reported["next_cursor"] is None
    assert (position["qty"], position["market_value"], position["unrealized_plpc"]) == (
        "-20", "-4880.00", "-0.0166666666666667",
    )  # fmt: skip


async def test_orders_are_returned_digit_for_digit(account: Account) -> None:
    await account.answer([order(1, limit_price="0.00000100", legs=[order(2)])], path="/v2/orders")
    reported = await account.get("orders")
    (one,) = reported["items"]
    assert (one["qty"], one["limit_price"], one["submitted_at"]) == (
        "20.000000001", "0.00000100", "2026-11-23T14:31:04.577215743Z",
    )  # fmt: skip
    assert (one["order_class"], [leg["id"] for leg in one["legs"]]) == ("simple", [str(UUID(int=2))])
    assert reported["next_cursor"] is None


async def test_one_order_is_returned_digit_for_digit(account: Account) -> None:
    wanted = str(UUID(int=7))
    await account.answer(order(7, legs=[order(8)]), path=f"/v2/orders/{wanted}")
    one = await account.get(f"orders/{wanted}")
    assert (one["id"], one["qty"], [leg["id"] for leg in one["legs"]]) == (wanted, "20.000000001", [str(UUID(int=8))])


async def test_an_order_that_the_account_does_not_have_is_not_found(account: Account) -> None:
    problem = await account.get(f"orders/{UUID(int=7)}", refused=404)
    assert problem["code"] == "order_not_found"
    assert (await account.get("orders/no-id", refused=422))["code"] == "invalid_request"
    await account.answer({"id": str(UUID(int=7))}, path=f"/v2/orders/{UUID(int=7)}")
    assert (await account.get(f"orders/{UUID(int=7)}", refused=502))["code"] == "upstream_failed"


async def test_orders_of_one_type_are_searched_for(account: Account) -> None:
    await account.answer([order(3, type="limit"), order(2, type="stop"), order(1, type="limit")], path="/v2/orders")
    reported = await account.get("orders", type="limit", limit=1)
    assert [one["id"] for one in reported["items"]] == [str(UUID(int=3))]
    assert reported["next_cursor"] is not None
    reported = await account.get("orders", type="limit", symbols="AAPL,BTC/USD", side="buy", asset_class="us_equity")
    assert [one["id"] for one in reported["items"]] == [str(UUID(int=3)), str(UUID(int=1))]


async def test_activities_are_returned_by_their_type(account: Account) -> None:
    await account.answer([FILL, DIVIDEND], path="/v2/account/activities")
    trade, dividend = (await account.get("activities"))["items"]
    assert (trade["kind"], trade["price"]) == ("trade", "174.780")
    assert (dividend["kind"], dividend["net_amount"], dividend["date"]) == ("non_trade", "1.020", "2019-08-01")


async def test_a_history_is_returned_as_points_digit_for_digit(account: Account) -> None:
    await account.answer(ANSWERS["/v2/account/portfolio/history"], path="/v2/account/portfolio/history")
    reported = await account.get("portfolio-history", period="5D", timeframe="1D")
    assert (reported["base_value"], reported["timeframe"], reported["next_cursor"]) == ("8413.0400", "1D", None)
    assert reported["items"][0] == {
        "at": "2026-04-08T00:00:00Z",
        "equity": "8425.21000000000000000001",
        "profit_loss": "12.170",
        "profit_loss_pct": "1.4e-3",
    }


async def test_the_clock_is_returned_in_utc(account: Account) -> None:
    await account.answer(ANSWERS["/v2/clock"], path="/v2/clock")
    assert await account.get("clock") == {
        "timestamp": "2026-11-23T19:22:20.586011618Z",
        "is_open": True,
        "next_open": "2026-11-24T14:30:00Z",
        "next_close": "2026-11-23T21:00:00Z",
    }


async def _all_pages(account: Account, read: str, **asked: str | int) -> list[Json]:
    items: list[Json] = []
    cursor: Json = {}
    while True:
        page = await account.get(read, **asked, **cursor)
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        cursor = {"cursor": page["next_cursor"]}


async def test_orders_with_the_same_time_across_pages_are_all_returned_once(account: Account) -> None:
    # Alpaca is asked for one more than wanted, and then from behind the last order of another moment.
    early = {"submitted_at": "2026-11-23T14:31:01Z"}
    await account.answer([order(9), *orders([5, 4], **early)], orders([5, 4, 3], **early), path="/v2/orders")
    reported = await _all_pages(account, "orders", limit=2)
    assert [one["id"] for one in reported] == [str(UUID(int=number)) for number in (9, 5, 4, 3)]


async def test_activities_are_paged(account: Account) -> None:
    await account.answer([fill(9), fill(8), fill(7)], [fill(7)], path="/v2/account/activities")
    reported = await _all_pages(account, "activities", limit=2)
    assert [one["id"][-1] for one in reported] == ["9", "8", "7"]


@pytest.mark.parametrize("read", ["orders", "activities"])
async def test_repeated_pages_are_an_error_of_alpaca(account: Account, read: str) -> None:
    pages = {
        "orders": [order(number, submitted_at=f"2026-11-23T14:31:0{number}Z") for number in (9, 8, 7)],
        "activities": [fill(number) for number in (9, 8, 7)],
    }
    await account.answer(pages[read], path=READS[read])
    with pytest.raises(AssertionError, match="upstream_failed"):
        await _all_pages(account, read, limit=2)
    assert await account.calls(READS[read]) <= 3


async def test_a_cursor_is_valid_only_with_its_own_filters(account: Account) -> None:
    await account.answer(orders([3, 2, 1]), path="/v2/orders")
    cursor = (await account.get("orders", limit=2, status="all"))["next_cursor"]
    before = await account.calls()
    filters: list[Json] = [{"status": "open"}, {"direction": "asc"}, {"after": "2026-11-01T00:00:00Z"}]
    for asked in filters:
        problem = await account.get("orders", refused=422, cursor=cursor, **asked)
        assert "another list" in problem["detail"]
    problem = await account.get("activities", refused=422, cursor=cursor)
    assert "another list" in problem["detail"]
    assert await account.calls() == before


_LATE, _EARLY = "2026-11-24T00:00:00Z", "2026-11-23T00:00:00Z"
_NAIVE = "2026-11-23T00:00:00"

NONSENSE: list[tuple[str, dict[str, str | int], str]] = [
    ("orders", {"symbols": "<script>"}, "pattern"),
    ("orders", {"symbols": "A" * 25}, "pattern"),
    ("orders", {"symbols": ",".join(["A"] * 21)}, "pattern"),
    ("orders", {"side": "both"}, "be 'buy' or"),
    ("orders", {"type": "iceberg"}, "'market', 'limit'"),
    ("activities", {"order_id": "7"}, "UUID"),
    ("orders", {"limit": 0}, "greater than or equal to 1"),
    ("orders", {"limit": -1}, "greater than or equal to 1"),
    ("orders", {"limit": 501}, "less than or equal to 500"),
    ("orders", {"limit": 10**9}, "less than or equal to 500"),
    ("orders", {"limit": "9" * 5000}, "integer"),
    ("orders", {"limit": "1e2"}, "integer"),
    ("orders", {"status": "opened"}, "'open', 'closed' or 'all"),
    ("orders", {"direction": "up"}, "'desc' or 'asc"),
    ("orders", {"after": _NAIVE}, "with a time zone"),
    ("orders", {"after": "yesterday"}, "with a time zone"),
    ("orders", {"after": "2026-11-23"}, "with a time zone"),
    ("orders", {"after": "1700000000"}, "with a time zone"),
    ("orders", {"after": "2026-02-30T00:00:00Z"}, "with a time zone"),
    ("orders", {"after": "1969-12-31T23:59:59.999Z"}, "after 1969"),
    ("orders", {"until": "1970-01-01T00:59:59+01:00"}, "after 1969"),
    ("orders", {"until": "0001-01-01T00:00:00Z"}, "after 1969"),
    ("orders", {"after": _LATE, "until": _EARLY}, "after has to be earlier than until"),
    ("orders", {"after": _EARLY, "until": _EARLY}, "after has to be earlier than until"),
    ("orders", {"after": _EARLY, "until": "2026-11-23T01:00:00+01:00"}, "after has to be earlier than until"),
    ("orders", {"after": "2026-11-23T00:00:00.10Z", "until": "2026-11-23T00:00:00.1Z"}, "earlier than until"),
    ("orders", {"cursor": "x"}, "This cursor is invalid"),
    ("orders", {"cursor": "x" * 5001}, "This cursor is invalid"),
    ("orders", {"before_order_id": "x"}, "not permitted"),
    ("activities", {"limit": 0}, "greater than or equal to 1"),
    ("activities", {"limit": 101}, "less than or equal to 100"),
    ("activities", {"limit": 10**9}, "less than or equal to 100"),
    ("activities", {"activity_types": "fill"}, "pattern"),
    ("activities", {"activity_types": "FILL", "category": "trade_activity"}, "Send only one of them"),
    ("activities", {"after": _LATE, "until": _EARLY}, "after has to be earlier than until"),
    ("activities", {"page_token": "x"}, "not permitted"),
    ("portfolio-history", {"period": "0D"}, "pattern"),
    ("portfolio-history", {"period": "1Y"}, "pattern"),
    ("portfolio-history", {"timeframe": "2H"}, "'1Min'"),
    ("portfolio-history", {"period": "31D", "timeframe": "1H"}, "Use 1D"),
    ("portfolio-history", {"period": "5W", "timeframe": "15Min"}, "Use 1D"),
    ("portfolio-history", {"period": "1A", "timeframe": "1Min"}, "Use 1D"),
    ("portfolio-history", {"start": "2026-09-01T00:00:00Z", "end": _LATE, "timeframe": "1H"}, "Use 1D"),
    ("portfolio-history", {"start": _EARLY, "end": _LATE, "period": "1D"}, "at most two"),
    ("portfolio-history", {"start": _LATE, "end": _EARLY}, "start has to be earlier than end"),
    ("portfolio-history", {"start": "1969-01-01T00:00:00Z"}, "after 1969"),
    ("portfolio-history", {"intraday_reporting": "sometimes"}, "'market_hours'"),
    ("portfolio-history", {"pnl_reset": "never"}, "'per_day'"),
    ("portfolio-history", {"date_end": "x"}, "not permitted"),
]


@pytest.mark.parametrize(("read", "asked", "reason"), NONSENSE, ids=lambda one: str(one)[:60])
async def test_invalid_parameters_are_refused_with_the_reason_and_without_a_call(
    account: Account, read: str, asked: Json, reason: str
) -> None:
    before = await account.calls()
    problem = await account.get(read, refused=422, **asked)
    assert problem["code"] == "invalid_request"
    assert reason in f"{problem['detail']} {problem['errors']}"
    if f"{read}.csv" in FILES:
        # A file has no pages.
        reason = "not permitted" if asked.keys() & {"limit", "cursor"} else reason
        problem = await account.get(f"{read}.csv", refused=422, **asked)
        assert reason in f"{problem['detail']} {problem['errors']}"
    assert await account.calls() == before


GOOD: list[tuple[str, dict[str, str | int], dict[str, str]]] = [
    ("orders", {}, {"status": "all", "direction": "desc", "limit": "101"}),
    ("orders", {"limit": 500}, {"limit": "500"}),
    ("orders", {"after": _EARLY, "until": "2026-11-23T00:00:00.5Z"}, {"until": "2026-11-23T00:00:00.5Z"}),
    (
        "orders",
        {"status": "open", "after": "2026-11-23T01:00:00.123456789+01:00", "until": _LATE, "direction": "asc"},
        {"status": "open", "after": "2026-11-23T00:00:00.123456789Z", "until": _LATE, "direction": "asc"},
    ),
    ("orders", {"after": "1970-01-01T00:00:00Z"}, {"after": "1970-01-01T00:00:00Z"}),
    ("activities", {}, {"page_size": "100", "direction": "desc"}),
    ("activities", {"activity_types": "FILL,DIV", "limit": 5}, {"activity_types": "FILL,DIV", "page_size": "6"}),
    ("activities", {"category": "trade_activity"}, {"category": "trade_activity"}),
    ("portfolio-history", {}, {}),
    ("portfolio-history", {"period": "1M", "timeframe": "1H"}, {"period": "1M", "timeframe": "1H"}),
    ("portfolio-history", {"period": "30D", "timeframe": "5Min"}, {"period": "30D", "timeframe": "5Min"}),
    ("portfolio-history", {"period": "9A", "timeframe": "1D"}, {"period": "9A", "timeframe": "1D"}),
    ("portfolio-history", {"start": _EARLY, "end": _LATE}, {"start": _EARLY, "end": _LATE}),
    (
        "portfolio-history",
        {"end": _LATE, "period": "1W", "intraday_reporting": "continuous", "pnl_reset": "no_reset"},
        {"end": _LATE, "period": "1W", "intraday_reporting": "continuous", "pnl_reset": "no_reset"},
    ),
]


def _by_path(path: str, body: bytes) -> Callable[[Visit], Awaitable[None]]:
    """An Alpaca that answers this path, and every other one with the account."""

    async def script(visit: Visit) -> None:
        await answer(body if path.encode() in visit.head else json.dumps(ACCOUNT).encode())(visit)

    return script


@pytest.mark.parametrize(("read", "asked", "sent"), GOOD, ids=lambda one: str(one)[:60])
async def test_alpaca_gets_exactly_the_requested_parameters(
    start_service: StartService, faults: Faults, read: str, asked: Json, sent: dict[str, str]
) -> None:
    """An upstream on a raw socket, which sees the address as it is."""
    body = b"[]" if read in {"orders", "activities"} else ANSWERS[READS[read]].encode()
    async with (
        upstream(_by_path(READS[read], body)) as alpaca,
        start_service(cache_seconds=0, alpaca_paper_url=alpaca.url) as service,
        make_person(service, "alice") as person,
    ):
        key_id = paper_key()
        account = Account(person, faults, key_id, (await person.store(key_id))["id"])
        await account.get(read, **asked)
        (target,) = [URL(head.split(b" ")[1].decode()) for head in alpaca.heads if READS[read].encode() + b" " in head
                     or READS[read].encode() + b"?" in head]  # fmt: skip
    assert target.path == READS[read]
    assert sent.items() <= target.query.items()
    assert read != "portfolio-history" or len(target.query) == len(sent)


HOSTILE: dict[str, tuple[dict[str, object], int, str]] = {
    "a 500": ({"status": 500, "body": {"message": "boom"}}, 502, "upstream_failed"),
    "an unknown order": ({"status": 404, "body": {"code": 40410000, "message": "no"}}, 409, "alpaca_refused"),
    "a refusal": ({"status": 422, "body": {"code": 42210000, "message": "no"}}, 409, "alpaca_refused"),
    "HTML": ({"status": 200, "body_text": "<html>", "content_type": "text/html"}, 502, "upstream_failed"),
    "null": ({"body_text": "null"}, 502, "upstream_failed"),
    "nulls": ({"body": [None, None]}, 502, "upstream_failed"),
    "numbers": ({"body": [1, 2]}, 502, "upstream_failed"),
    "half of it": ({"body_text": '[{"id": "x", "status'}, 502, "upstream_failed"),
    "a name twice": ({"body_text": '[{"id": "x", "id": "y"}]'}, 502, "upstream_failed"),
    "depth": ({"body_text": "[" * 100_000}, 502, "upstream_failed"),
    "10 MB": ({"status": 200, "body_bytes": 10_000_000}, 502, "upstream_failed"),
    "many nothings": ({"body_text": "[" + "{}," * 300_000 + "{}]"}, 502, "upstream_failed"),
    "many arrays": ({"body_text": "[" + "[]," * 300_000 + "[]]"}, 502, "upstream_failed"),
    "a redirect": ({"redirect_to": "http://127.0.0.1:9/elsewhere"}, 502, "upstream_failed"),
    "a cut connection": ({"cut": "before_headers"}, 502, "upstream_failed"),
    "unauthorized": ({"status": 401, "body": {"message": "unauthorized."}}, 409, "credential_refused"),
    "forbidden": ({"status": 403, "body": {"message": "forbidden."}}, 409, "credential_refused"),
    "slowness": ({"latency_ms": 3000}, 504, "upstream_timeout"),
    "a spent budget": ({"rate_limited": {"retry_after": 7}}, 429, "account_rate_limited"),
}


# Only how a body is read differs from one read to another, and whether a file or a page is the answer.
_READ_BY_ITS_OWN = ["null", "nulls", "numbers", "half of it", "a name twice", "depth"]
_MISBEHAVIOUR = [
    *[("orders", name) for name in HOSTILE],
    *[(read, name) for read in READS if read != "orders" for name in _READ_BY_ITS_OWN],
    *[(file, name) for file in FILES for name in ("a 500", "half of it", "unauthorized", "a spent budget")],
]


@pytest.mark.parametrize(("read", "misbehaviour"), _MISBEHAVIOUR)
async def test_a_fault_of_alpaca_is_reported_by_its_code(account: Account, read: str, misbehaviour: str) -> None:
    fault, status, code = HOSTILE[misbehaviour]
    await account.misbehave(**fault)
    problem = await account.get(read, refused=status)
    assert problem["code"] == code
    assert "boom" not in json.dumps(problem)


@pytest.mark.parametrize("read", [*READS, *FILES])
async def test_a_paused_credential_is_reported_without_a_call(account: Account, read: str) -> None:
    path = f"/api/credentials/{account.credential_id}"
    async with account.person.client.patch(path, json={"is_active": False}) as answer:
        assert answer.status == 200
    before = await account.calls()
    assert (await account.get(read, refused=400))["code"] == "credential_inactive"
    assert await account.calls() == before


@pytest.mark.parametrize("read", [*READS, *FILES])
async def test_a_read_counts_as_a_use_of_the_keys(account: Account, read: str) -> None:
    path = {**READS, **FILES}[read]
    await account.answer(ANSWERS[path], path=path)
    async with account.person.client.get(f"/api/credentials/{account.credential_id}/{read}") as answered:
        assert answered.status == 200
    for _ in range(600):  # uses are written with a delay
        if (await account.metadata())["last_used_at"]:
            return
        await asyncio.sleep(0.05)
    pytest.fail("last_used_at stayed empty")


@pytest.mark.parametrize("read", READS)
async def test_simultaneous_equal_requests_share_one_call(account: Account, read: str) -> None:
    await account.misbehave(path=READS[read], body_text=ANSWERS[READS[read]], latency_ms=300)
    before = await account.calls(READS[read])
    answers = await asyncio.gather(*(account.get(read) for _ in range(8)))
    assert all(answer == answers[0] for answer in answers)
    assert await account.calls(READS[read]) == before + 1


async def test_simultaneous_different_requests_make_separate_calls(account: Account) -> None:
    await account.misbehave(path="/v2/orders", body=orders([3, 2, 1]), latency_ms=300)
    cursor = (await account.get("orders", limit=2))["next_cursor"]
    before = await account.calls("/orders")
    questions: list[Json] = [
        {"limit": 2, "cursor": cursor},
        {}, {"limit": 2}, {"limit": 1}, {"status": "open"}, {"direction": "asc"}, {"until": "2027-01-01T00:00:00Z"},
    ]  # fmt: skip
    answers = await asyncio.gather(*(account.get("orders", **asked) for asked in questions))
    assert await account.calls("/orders") == before + len(questions)
    assert [len(answer["items"]) for answer in answers] == [1, 3, 2, 1, 3, 3, 3]


@pytest.mark.parametrize("read", READS)
async def test_a_cached_answer_is_only_for_users_who_may_see_it(
    start_service: StartService, faults: Faults, read: str
) -> None:
    async with (
        start_service(cache_seconds=60) as service,
        make_person(service, "alice") as alice,
        make_person(service, "bob") as bob,
    ):
        key_id = paper_key()
        hers = Account(alice, faults, key_id, (await alice.store(key_id))["id"])
        his = Account(bob, faults, key_id, (await bob.store(key_id))["id"])
        await hers.answer(ANSWERS[READS[read]], path=READS[read])
        reported = await hers.get(read)
        before = await hers.calls(READS[read])
        assert await hers.get(read) == reported
        assert await hers.calls(READS[read]) == before
        # The same account, stored by bob, too: his question is his own.
        assert await his.get(read) == reported
        assert await hers.calls(READS[read]) == before + 1
        # Nor is an answer found that was kept before the credential was switched off and on.
        for is_active in (False, True):
            path = f"/api/credentials/{hers.credential_id}"
            async with alice.client.patch(path, json={"is_active": is_active}) as changed:
                assert changed.status == 200
        assert await hers.get(read) == reported
        assert await hers.calls(READS[read]) == before + 2
        his.credential_id = hers.credential_id
        assert (await his.get(read, refused=404))["code"] == "credential_not_found"


async def test_the_log_has_the_call_without_its_parameters(account: Account, log_file: Path) -> None:
    await account.answer([], path="/v2/orders")
    logged = LogSince(log_file)
    await account.get("orders", after="2026-11-23T14:31:04.577215743Z")
    line = await logged.awaited("request", path="/api/credentials/{credential_id}/orders")
    assert line["alpaca_request_id"]
    assert "577215743" not in logged.text()
