"""Positions, orders, activities and equity of all accounts over HTTP, with the accounts that fail beside them."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiohttp import ClientPayloadError, ClientSession
from pydantic import BaseModel

from corral.accounts.combined.equity import read_all_curves
from corral.accounts.combined.exports import CombinedExporter
from corral.accounts.combined.lists import OrderLists, read_page
from corral.accounts.combined.params import AllActivitiesExportParams
from corral.accounts.combined.positions import read_all_positions
from corral.accounts.combined.schemas import AllActivitiesList, AllCurvesList, AllOrdersList, AllPositionsList
from corral.accounts.combined.today import read_cash_flows
from corral.alpaca.orders import OrderQuery
from corral.alpaca.portfolio_history import HistoryQuery
from corral.credentials.management import load_active_credentials
from corral.database.embedded.instance import EmbeddedDatabase
from corral_sandbox import Sandbox, serve_sandbox
from tests.accounts.alpaca_lists import POSITION, fill, order
from tests.conftest import Faults, Service, StartService, service_starter
from tests.people import Person, live_key, make_person, paper_key

Json = dict[str, Any]

_MONDAY = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)  # half past ten in New York

LISTS: Mapping[str, type[BaseModel]] = {
    "positions": AllPositionsList,
    "orders": AllOrdersList,
    "activities": AllActivitiesList,
    "portfolio-history": AllCurvesList,
}


class Accounts:
    """Accounts of one person, by their key ids, and what Alpaca answers about them."""

    def __init__(self, person: Person, faults: Faults, service: Service) -> None:
        self.person = person
        self.service = service
        self.ids: dict[str, str] = {}
        self._faults = faults
        self._answers: list[dict[str, object]] = []

    async def add(self, key_id: str, nickname: str = "mine") -> str:
        self.ids[key_id] = (await self.person.store(key_id, nickname=nickname))["id"]
        return self.ids[key_id]

    async def answer(self, key_id: str, **fault: object) -> None:
        """What Alpaca answers next about this account, after what was set before."""
        self._answers.append({"key_id": key_id, **fault})
        await self._faults.set_all(self._answers)

    async def forget_answers(self) -> None:
        self._answers.clear()
        await self._faults.clear()

    async def get(self, path: str, *, status: int = 200, **asked: Any) -> Json:  # noqa: ANN401 - whatever is asked
        params = {name: str(value) for name, value in asked.items()}
        async with self.person.client.get(f"/api/{path}", params=params) as answered:
            assert answered.status == status, await answered.text()
            return await answered.json(content_type=None)

    async def pages(self, path: str, **asked: Any) -> list[Json]:  # noqa: ANN401 - as above
        pages = [await self.get(path, **asked)]
        while pages[-1]["next_cursor"]:
            pages.append(await self.get(path, **asked, cursor=pages[-1]["next_cursor"]))
        return pages

    async def file(self, path: str, **asked: str) -> list[dict[str, str]]:
        async with self.person.client.get(f"/api/{path}", params=asked) as answered:
            assert answered.status == 200, await answered.text()
            return list(csv.DictReader(io.StringIO(await answered.text(), newline="")))


@pytest.fixture(scope="module")
async def unmoved() -> AsyncGenerator[Sandbox]:
    """A sandbox whose clock stands still: no price moves between two reads that are compared."""
    async with serve_sandbox(port=0, start=_MONDAY, speed=0, characters=True) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def start_unmoved(postgres: EmbeddedDatabase, unmoved: Sandbox, run_dir: Path) -> StartService:
    return service_starter(postgres, unmoved, run_dir)


@pytest.fixture(scope="module")
async def unmoved_service(start_unmoved: StartService) -> AsyncGenerator[Service]:
    async with start_unmoved(cache_seconds=0) as service:
        yield service


@pytest.fixture
async def faults(unmoved: Sandbox) -> AsyncGenerator[Faults]:
    async with ClientSession(unmoved.url) as client:
        yield Faults(client)


@pytest.fixture
async def accounts(unmoved_service: Service, faults: Faults) -> AsyncGenerator[Accounts]:
    """Two paper accounts and a live one, whose answers are not cached."""
    async with make_person(unmoved_service, "alice") as person:
        found = Accounts(person, faults, unmoved_service)
        for number, key_id in enumerate([paper_key(), paper_key(), live_key()]):
            await found.add(key_id, f"account {number}")
        yield found


@asynccontextmanager
async def cached_accounts(start_unmoved: StartService, faults: Faults) -> AsyncGenerator[Accounts]:
    async with start_unmoved(cache_seconds=60) as service, make_person(service, "alice") as person:
        found = Accounts(person, faults, service)
        for key_id in (paper_key(), live_key()):
            await found.add(key_id)
        yield found


def _codes(answered: Json) -> dict[str, str]:
    return {one["credential_id"]: one["problem"]["code"] for one in answered["problems"]}


def _ids(pages: Sequence[Json]) -> list[str]:
    return [item["id"] for page in pages for item in page["items"]]


@pytest.mark.parametrize("path", LISTS)
async def test_answers_are_as_the_document_says_and_a_failing_account_is_a_problem_of_its_own(
    accounts: Accounts, path: str
) -> None:
    first, bad, live = accounts.ids
    await accounts.answer(bad, status=500, body={})
    for number, key_id in enumerate((first, live)):  # an account of the sandbox may hold nothing
        await accounts.answer(key_id, path="/v2/positions", body_text=json.dumps([POSITION]))
        await accounts.answer(key_id, path="/v2/orders", body_text=json.dumps([order(number)]))
    answered = await accounts.get(path)
    model = LISTS[path]
    assert model.model_validate(answered).model_dump(mode="json") == answered
    assert _codes(answered) == {accounts.ids[bad]: "upstream_failed"}
    assert answered["unreadable"] == 0
    assert answered["items"]
    only_live = await accounts.get(path, account_type="live")
    assert only_live["problems"] == []
    whose = json.dumps(only_live)
    assert accounts.ids[live] in whose
    assert not any(accounts.ids[one] in whose for one in accounts.ids if one != live)
    assert (await accounts.get(path, credential_ids=accounts.ids[live]))["items"] == only_live["items"]


async def test_a_rate_limit_says_when_and_another_account_is_not_shown(accounts: Accounts) -> None:
    limited, other, live = accounts.ids
    await accounts.answer(limited, path="/v2/positions", rate_limited={"retry_after": 7})
    await accounts.answer(other, path="/v2/account", account_raw={"id": f'"{uuid4()}"', "account_number": '"PA9"'})
    answered = await accounts.get("positions")
    assert _codes(answered) == {accounts.ids[limited]: "account_rate_limited", accounts.ids[other]: "wrong_account"}
    assert {one["credential_id"]: one["problem"].get("retry_after") for one in answered["problems"]} == {
        accounts.ids[limited]: 7,
        accounts.ids[other]: None,
    }
    assert {part["credential_id"] for item in answered["items"] for part in item["parts"]} == {accounts.ids[live]}


async def test_positions_of_one_symbol_are_one_item_with_its_parts(accounts: Accounts) -> None:
    first, second, live = accounts.ids
    await accounts.answer(first, path="/v2/positions", body_text=json.dumps([POSITION]))
    await accounts.answer(
        second, path="/v2/positions", body_text=json.dumps([{**POSITION, "qty": "-5"}, {"symbol": 1}])
    )
    await accounts.answer(live, path="/v2/positions", body_text=json.dumps([POSITION, {**POSITION, "qty": "x"}]))
    answered = await accounts.get("positions", account_type="paper")
    assert _codes(answered) == {
        accounts.ids[second]: "upstream_failed"
    }  # without a symbol, nothing of the list is known
    await accounts.forget_answers()
    await accounts.answer(first, path="/v2/positions", body_text=json.dumps([POSITION]))
    await accounts.answer(second, path="/v2/positions", body_text=json.dumps([{**POSITION, "qty": "-5"}]))
    await accounts.answer(live, path="/v2/positions", body_text=json.dumps([POSITION, {**POSITION, "qty": "x"}]))
    answered = await accounts.get("positions")
    live_item, item = answered["items"]
    assert (item["qty"], item["market_value"], item["account_type"], item["weight"]) == (
        "-25",
        "-9760.00",
        "paper",
        "1",
    )
    assert sorted((part["credential_id"], part["qty"]) for part in item["parts"]) == sorted(
        [(accounts.ids[first], "-20"), (accounts.ids[second], "-5")]
    )
    assert (live_item["qty"], answered["unreadable"]) == ("-20", 1)
    assert [total["short_market_value"] for total in answered["totals"]] == ["-4880.00", "-9760.00"]


@pytest.mark.parametrize("path", ["orders", "activities"])
@pytest.mark.parametrize("direction", ["desc", "asc"])
async def test_pages_over_all_accounts_have_each_item_of_each_account_once(
    accounts: Accounts, path: str, direction: str
) -> None:
    pages = await accounts.pages(path, limit=3, direction=direction)
    assert all(len(page["items"]) <= 3 for page in pages)
    single: dict[str, list[str]] = {}
    for credential_id in accounts.ids.values():
        listed = await accounts.get(f"credentials/{credential_id}/{path}", direction=direction)
        single[credential_id] = [item["id"] for item in listed["items"]]
    merged = [item for page in pages for item in page["items"]]
    assert len(_ids(pages)) == sum(map(len, single.values()))
    for credential_id, ids in single.items():
        assert [item["id"] for item in merged if item["credential_id"] == credential_id] == ids
    times = [item.get("submitted_at") or item.get("transaction_time") or item["created_at"] for item in merged]
    assert times == sorted(times, reverse=direction == "desc")


def _orders(numbers: Sequence[int]) -> str:
    """Order n is submitted in minute n."""
    listed = [order(n, submitted_at=f"2026-11-23T14:{n:02}:00.000000001Z") for n in sorted(numbers, reverse=True)]
    return json.dumps(listed)


async def test_an_account_that_failed_for_one_page_continues_where_the_list_stands(accounts: Accounts) -> None:
    first, second, _ = accounts.ids
    both: Json = {"account_type": "paper", "limit": 3}
    await accounts.answer(first, path="/v2/orders", body_text=_orders([50, 48, 46, 44]))
    await accounts.answer(second, path="/v2/orders", status=500, body={})
    one = await accounts.get("orders", **both)
    assert [item["submitted_at"][14:16] for item in one["items"]] == ["50", "48", "46"]
    assert _codes(one) == {accounts.ids[second]: "upstream_failed"}
    await accounts.forget_answers()
    await accounts.answer(first, path="/v2/orders", body_text=_orders([46, 44]))
    await accounts.answer(second, path="/v2/orders", body_text=_orders([46, 45, 40]))
    two = await accounts.get("orders", **both, cursor=one["next_cursor"])
    assert [item["submitted_at"][14:16] for item in two["items"]] == ["46", "45", "44"]
    assert _codes(two) == {accounts.ids[second]: "items_skipped"}
    assert two["problems"][0]["problem"]["status"] == 409


async def test_a_cursor_outlives_an_account_that_goes_and_one_that_comes(accounts: Accounts) -> None:
    one = await accounts.get("activities", limit=2)
    gone = one["items"][0]["credential_id"]
    async with accounts.person.client.delete(f"/api/credentials/{gone}") as deleted:
        assert deleted.status == 204
    await accounts.add(paper_key(), "new")
    two = await accounts.get("activities", limit=100, cursor=one["next_cursor"])
    ids = _ids([one, two])
    assert len(ids) == len({*ids})
    assert gone not in {item["credential_id"] for item in two["items"]}


async def test_simultaneous_readers_share_calls_and_a_merged_value(start_unmoved: StartService, faults: Faults) -> None:
    async with cached_accounts(start_unmoved, faults) as accounts:
        answers = await asyncio.gather(*(accounts.get("positions") for _ in range(5)))
        assert all(answer == answers[0] for answer in answers)
        for path in ("orders", "activities", "portfolio-history"):
            await asyncio.gather(*(accounts.get(path) for _ in range(5)))
        for key_id, credential_id in accounts.ids.items():
            await accounts.get(f"credentials/{credential_id}/positions")  # the list of one account is the same call
            for path in ("/positions", "/orders", "/activities", "/history"):
                assert await faults.calls_of(key_id, path) == 1


@pytest.mark.parametrize("path", LISTS)
async def test_somebody_elses_account_is_like_one_that_does_not_exist(
    accounts: Accounts, bob: Person, path: str
) -> None:
    his = (await bob.store(paper_key()))["id"]
    nobodys = str(uuid4())
    answers = [await accounts.get(path, credential_ids=one) for one in (his, nobodys)]
    for one, answered in zip((his, nobodys), answers, strict=True):
        assert answered["items"] == []
        assert _codes(answered) == {one: "credential_not_found"}
        answered["problems"][0]["problem"].pop("request_id")
        answered["problems"][0].pop("credential_id")
    assert answers[0] == answers[1]
    refused = await accounts.get(f"{path}.csv", credential_ids=f"{his},{next(iter(accounts.ids.values()))}", status=404)
    assert (refused["code"], refused["credential_id"]) == ("credential_not_found", his)


async def test_a_paused_account_is_left_out_and_named_if_it_is_asked_for(accounts: Accounts) -> None:
    paused, *others = accounts.ids.values()
    async with accounts.person.client.patch(f"/api/credentials/{paused}", json={"is_active": False}) as changed:
        assert changed.status == 200
    answered = await accounts.get("positions")
    assert answered["problems"] == []
    assert {part["credential_id"] for item in answered["items"] for part in item["parts"]} <= {*others}
    assert _codes(await accounts.get("positions", credential_ids=paused)) == {paused: "credential_inactive"}


async def test_a_cursor_of_another_user_list_or_filter_is_refused(accounts: Accounts, bob: Person) -> None:
    key_id = next(iter(accounts.ids))
    await accounts.answer(key_id, path="/v2/orders", body_text=_orders([2, 1]))
    cursor = (await accounts.get("orders", limit=1))["next_cursor"]
    await accounts.get("orders", limit=1, cursor=cursor)
    for asked in ({"status": "open"}, {"account_type": "paper"}, {"direction": "asc"}):
        assert await accounts.get("orders", cursor=cursor, **asked, status=422) if "status" not in asked else True
    refused = await accounts.get("orders", cursor=cursor, account_type="paper", status=422)
    assert refused["errors"][0]["loc"] == ["query", "cursor"]
    await accounts.get("activities", cursor=cursor, status=422)
    await bob.store(paper_key())
    async with bob.client.get("/api/orders", params={"cursor": cursor}) as answered:
        assert answered.status == 422, await answered.text()


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("positions", {"limit": "5"}),
        ("positions", {"account_type": "both"}),
        ("orders", {"credential_ids": "1"}),
        ("orders", {"credential_ids": ""}),
        ("orders", {"credential_ids": ",".join([str(uuid4())] * 201)}),
        ("orders", {"limit": "501"}),
        ("orders", {"cursor": "A" * 7_000}),
        ("activities", {"activity_types": "FILL", "category": "trade_activity"}),
        ("portfolio-history", {"period": "1Y"}),
        ("portfolio-history", {"timeframe": "1H", "period": "6M"}),
        ("orders.csv", {"limit": "5"}),
        ("orders.csv", {"time_zone": "New York"}),
        ("positions.csv", {"time_zone": "../../etc/passwd"}),
        ("portfolio-history.csv", {"time_zone": "America/New_York\x00"}),
    ],
)
async def test_parameters_that_make_no_sense_are_refused(alice: Person, path: str, asked: dict[str, str]) -> None:
    async with alice.client.get(f"/api/{path}", params=asked) as answered:
        assert answered.status == 422
        assert (await answered.json(content_type=None))["code"] == "invalid_request"


async def test_a_user_without_accounts_has_empty_lists_and_files(alice: Person) -> None:
    for path in LISTS:
        async with alice.client.get(f"/api/{path}") as answered:
            listed = await answered.json()
        assert (listed["items"], listed["problems"], listed["next_cursor"]) == ([], [], None)
        async with alice.client.get(f"/api/{path}.csv") as answered:
            assert (await answered.text()).count("\r\n") == 1


async def test_files_name_the_account_and_are_in_the_order_of_their_lists(accounts: Accounts) -> None:
    names = {credential_id: f"account {n}" for n, credential_id in enumerate(accounts.ids.values())}
    for path in ("orders", "activities"):
        rows = await accounts.file(f"{path}.csv")
        assert [row["id"] for row in rows] == _ids(await accounts.pages(path))
        assert all(row["account"] == names[row["credential_id"]] for row in rows)
    held = [part for item in (await accounts.get("positions"))["items"] for part in item["parts"]]
    rows = await accounts.file("positions.csv")
    expected = {(part["credential_id"], part["symbol"], part["qty"]) for part in held}
    assert {(row["credential_id"], row["symbol"], row["qty"]) for row in rows} == expected
    curves = (await accounts.get("portfolio-history", period="1M"))["items"]
    points = [(curve["account_type"], point["at"], point["equity"]) for curve in curves for point in curve["points"]]
    rows = await accounts.file("portfolio-history.csv", period="1M")
    assert [(row["account_type"], row["at"], row["equity"]) for row in rows] == points


async def test_times_of_files_are_written_in_the_time_zone_that_is_asked_for(accounts: Accounts) -> None:
    key_id, credential_id = next(iter(accounts.ids.items()))
    await accounts.answer(key_id, path="/v2/orders", body_text=json.dumps([order(1)]))
    one = {"credential_ids": credential_id}
    (utc,), (york,) = (
        await accounts.file("orders.csv", **one),
        await accounts.file("orders.csv", **one, time_zone="America/New_York"),
    )
    assert utc["submitted_at"] == "2026-11-23T14:31:04.577215743Z"
    assert york["submitted_at"] == "2026-11-23T09:31:04.577215743-05:00"
    assert york["expires_at"] == "2026-11-23T16:00:00-05:00"
    assert {name for name in utc if utc[name] != york[name]} == {
        *("created_at", "submitted_at", "filled_at", "updated_at", "expires_at")
    }
    (single,) = await accounts.file(f"credentials/{credential_id}/orders.csv", time_zone="Asia/Kolkata")
    assert single["submitted_at"] == "2026-11-23T20:01:04.577215743+05:30"


@pytest.mark.parametrize("path", [f"{path}.csv" for path in LISTS])
async def test_an_account_that_fails_refuses_the_whole_file_and_can_be_left_out(accounts: Accounts, path: str) -> None:
    first, bad, live = accounts.ids
    await accounts.answer(bad, status=500, body={})
    refused = await accounts.get(path, status=502)
    assert (refused["code"], refused["credential_id"]) == ("upstream_failed", accounts.ids[bad])
    assert refused["detail"] == "account 1: Alpaca returned an error (500)."
    others = {accounts.ids[first], accounts.ids[live]}
    rows = await accounts.file(path, credential_ids=",".join(others))
    assert {row["credential_id"] for row in rows if "credential_id" in row} <= others


async def test_a_file_breaks_off_when_an_account_fails_in_the_middle(accounts: Accounts) -> None:
    first, second, _ = accounts.ids
    path = "/v2/account/activities"
    for key_id in (first, second):
        page = json.dumps([fill(n, transaction_time="2026-11-23T14:00:00Z") for n in range(100)])
        await accounts.answer(key_id, path=path, times=1, body_text=page)
    await accounts.answer(second, path=path, status=500, body={})
    async with accounts.person.client.get("/api/activities.csv", params={"account_type": "paper"}) as answered:
        assert answered.status == 200
        with pytest.raises(ClientPayloadError):
            await answered.read()


async def test_a_file_waits_for_the_rate_limit_of_one_account_and_reads_no_page_of_the_others_twice(
    accounts: Accounts, faults: Faults
) -> None:
    first, second, _ = accounts.ids
    path, slept = "/v2/account/activities", list[float]()
    pages = {
        first: [[fill(n) for n in range(100)], [fill(n) for n in range(100, 150)]],
        second: [[fill(n) for n in range(1_000, 1_100)], [fill(n) for n in range(1_100, 1_103)]],
    }
    for key_id, (one, two) in pages.items():
        await accounts.answer(key_id, path=path, times=1, body_text=json.dumps(one))
        if key_id == first:
            await accounts.answer(key_id, path=path, times=1, rate_limited={"retry_after": 1})
        await accounts.answer(key_id, path=path, times=1, body_text=json.dumps(two))

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(seconds)

    async def authenticate() -> UUID:
        return accounts.person.user_id

    reader, database = accounts.service.services.state["accounts"], accounts.service.resources.database
    exporter = CombinedExporter(reader, database, authenticate, sleep)
    file = await exporter.activities(AllActivitiesExportParams.model_validate({"account_type": "paper"}))
    text = b"".join([chunk async for chunk in file.chunks]).decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert sorted(row["id"] for row in rows) == sorted(
        one["id"] for of in pages.values() for page in of for one in page
    )
    assert set(slept) == {1}  # more than once, where the first sleep ended a moment too soon
    assert [await faults.calls_of(key_id, path) for key_id in (first, second)] == [3, 2]


async def test_an_account_of_which_a_point_cannot_be_read_is_not_in_the_curve(accounts: Accounts) -> None:
    whole, partly, _ = accounts.ids
    for key_id, last in ((whole, "8.25"), (partly, '"a lot"')):
        body = (
            f'{{"timeframe": "1D", "base_value": 5, "timestamp": [60, 120, 180], "equity": [10, 20.50, {last}],'
            ' "profit_loss": [5, 15.5, 3.25], "profit_loss_pct": [null, null, null]}'
        )
        await accounts.answer(key_id, path="/v2/account/portfolio/history", body_text=body)
    answered = await accounts.get("portfolio-history", account_type="paper")
    (curve,) = answered["items"]
    assert (curve["accounts"], curve["missing"], curve["credential_ids"]) == (1, 1, [accounts.ids[whole]])
    assert [point["equity"] for point in curve["points"]] == ["10", "20.50", "8.25"]
    assert (curve["profit_loss"], curve["profit_loss_pct"], answered["unreadable"]) == ("3.25", "0.65", 1)
    assert _codes(answered) == {accounts.ids[partly]: "upstream_failed"}


async def test_pages_get_what_is_there_and_later_the_rest(start_unmoved: StartService, faults: Faults) -> None:
    async with cached_accounts(start_unmoved, faults) as accounts:
        slow, quick = accounts.ids
        await accounts.answer(slow, latency_ms=600)
        reader, database = accounts.service.services.state["accounts"], accounts.service.resources.database
        credentials = await load_active_credentials(accounts.person.user_id, database)
        user_id, query = accounts.person.user_id, OrderQuery()

        async def read(within: float | None) -> Sequence[Any]:
            return await asyncio.gather(
                read_all_positions(credentials, reader, within_seconds=within),
                read_page(user_id, credentials, OrderLists(query, reader), limit=5, within_seconds=within),
                read_all_curves(credentials, HistoryQuery(), reader, within_seconds=within),
            )

        for found in await read(0.3):
            assert [str(one.sealed.id) for one in found.pending] == [accounts.ids[slow]]
            assert found.problems == ()
        for found in await read(None):
            assert found.pending == ()
        flows = await read_cash_flows(credentials, reader)
        assert await read_cash_flows(credentials, reader) == flows
        assert {str(one) for one in flows} == {*accounts.ids.values()}
        for key_id in (slow, quick):
            assert await faults.calls_of(key_id, "/positions") == await faults.calls_of(key_id, "/history") == 1
            assert await faults.calls_of(key_id, "/activities") == 1


async def test_no_key_is_in_any_answer(accounts: Accounts) -> None:
    for path in (*LISTS, *(f"{path}.csv" for path in LISTS)):
        async with accounts.person.client.get(f"/api/{path}") as answered:
            text = await answered.text()
        assert not any(key_id in text for key_id in accounts.ids)
