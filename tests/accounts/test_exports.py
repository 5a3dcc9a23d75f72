"""Exports: complete or visibly broken off, of any length, and without slowing down others."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientPayloadError, ClientSession, ClientTimeout
from yarl import URL

from corral.credentials.reader import EXPORT
from tests.accounts.alpaca_lists import DIVIDEND, FILL, POSITION, fill, order
from tests.accounts.conftest import Account
from tests.alpaca.upstream import ACCOUNT, Upstream, Visit, answer, upstream
from tests.conftest import Faults, StartService
from tests.log_lines import LogSince
from tests.people import Person, make_person, paper_key

Json = dict[str, Any]


def _read(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


async def _file(account: Account, name: str, **asked: str) -> list[dict[str, str]]:
    path = f"/api/credentials/{account.credential_id}/{name}"
    async with account.person.client.get(path, params=asked) as answered:
        assert answered.status == 200, await answered.text()
        assert answered.headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
        assert answered.headers["Content-Disposition"] == (
            f'attachment; filename="{name.removesuffix(".csv")}-{account.credential_id}.csv"'
        )
        return _read(await answered.read())


async def test_positions_are_written_digit_for_digit_with_negative_numbers_as_numbers(account: Account) -> None:
    await account.answer([POSITION], path="/v2/positions")
    (row,) = await _file(account, "positions.csv")
    assert row == {name: str(row[name]) for name in row}
    assert {name: row[name] for name in POSITION if name != "asset_marginable"} == {
        name: value for name, value in POSITION.items() if name != "asset_marginable"
    }
    assert row["asset_marginable"] == "true"


async def test_cells_of_orders_that_a_spreadsheet_would_run_are_defused(account: Account) -> None:
    named = order(1, client_order_id='=HYPERLINK("http://x";"y")', limit_price=None, legs=[order(2)])
    await account.answer([named, order(3, client_order_id='a,\n"b" é')], path="/v2/orders")
    first, leg, second = await _file(account, "orders.csv", status="closed")
    assert first["client_order_id"] == '\'=HYPERLINK("http://x";"y")'
    assert (first["limit_price"], first["qty"], first["extended_hours"]) == ("", "20.000000001", "false")
    assert (leg["id"][-1], second["client_order_id"]) == ("2", 'a,\n"b" é')


async def test_activities_of_both_kinds_share_their_columns(account: Account) -> None:
    await account.answer([FILL, DIVIDEND], path="/v2/account/activities")
    trade, dividend = await _file(account, "activities.csv")
    assert (trade["kind"], trade["price"], trade["net_amount"]) == ("trade", "174.780", "")
    assert (dividend["kind"], dividend["price"], dividend["net_amount"]) == ("non_trade", "", "1.020")


@pytest.mark.parametrize(
    ("name", "path"),
    [("positions.csv", "/v2/positions"), ("orders.csv", "/v2/orders"), ("activities.csv", "/v2/account/activities")],
)
async def test_an_empty_list_is_a_header(account: Account, name: str, path: str) -> None:
    await account.answer([], path=path)
    async with account.person.client.get(f"/api/credentials/{account.credential_id}/{name}") as answered:
        text = await answered.text()
    assert text.count("\r\n") == 1
    assert text.startswith(("asset_id,symbol,", "id,client_order_id,", "kind,id,activity_type,"))


async def test_a_file_has_all_pages_and_no_activity_twice(account: Account) -> None:
    pages = [[fill(page * 100 + n) for n in range(100)] for page in range(3)]
    await account.answer(*pages, [fill(300)], path="/v2/account/activities")
    rows = await _file(account, "activities.csv")
    assert [row["id"] for row in rows] == [fill(n)["id"] for n in range(301)]


class Ledger:
    """An Alpaca with very many activities: it answers any page, and notes how many it has answered."""

    def __init__(self, pages: int, **headers: str) -> None:
        self.pages = pages
        self.answered = 0
        self.headers = headers
        self.then: Callable[[Visit], Awaitable[None]] | None = None  # instead of any further page
        self.description = ""  # of each activity

    async def __call__(self, visit: Visit) -> None:
        target = URL(visit.head.split(b" ")[1].decode())
        if target.path != "/v2/account/activities":
            await answer(json.dumps(ACCOUNT).encode(), headers=self.headers)(visit)
        elif self.then is not None:
            await self.then(visit)
        else:
            self.answered += 1
            await answer(self._page(target.query.get("page_token")), headers=self.headers)(visit)

    def _page(self, token: str | None) -> bytes:
        start = int(token.rpartition("-")[2], 16) + 1 if token else 0
        numbers = range(start, min(start + 100, self.pages * 100 - 1))
        return json.dumps([fill(n, description=self.description) for n in numbers]).encode()


@asynccontextmanager
async def _with(
    ledger: Ledger, start_service: StartService, faults: Faults, **settings: object
) -> AsyncGenerator[tuple[Account, Upstream]]:
    async with (
        upstream(ledger) as alpaca,
        start_service(cache_seconds=0, alpaca_paper_url=alpaca.url, **settings) as service,
        make_person(service, "alice") as person,
    ):
        key_id = paper_key()
        yield Account(person, faults, key_id, (await person.store(key_id))["id"]), alpaca


async def _until(is_so: Callable[[], bool | Awaitable[bool]], *, seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while True:
            found = is_so()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.02)


async def test_a_long_file_comes_whole(start_service: StartService, faults: Faults) -> None:
    ledger = Ledger(pages=60)
    async with _with(ledger, start_service, faults) as (account, _):
        rows = await _file(account, "activities.csv")
    assert [row["id"] for row in rows] == [fill(n)["id"] for n in range(60 * 100 - 1)]


def _path(account: Account) -> str:
    return f"/api/credentials/{account.credential_id}/activities.csv"


async def test_a_client_that_does_not_read_pauses_the_export(start_service: StartService, faults: Faults) -> None:
    ledger = Ledger(100_000, **{"X-RateLimit-Limit": "1000000"})
    ledger.description = "x" * 1_000  # 100 KB a page: what a connection takes by itself is soon full
    async with (
        _with(ledger, start_service, faults) as (account, _),
        ClientSession(account.url, headers=account.headers, read_bufsize=1024) as client,
        client.get(_path(account)),
    ):
        await _until(lambda: ledger.answered > 3)
        seen, still = -1, 0

        def is_still() -> bool:
            nonlocal seen, still
            still = still + 1 if seen == ledger.answered else 0
            seen = ledger.answered
            return still > 50

        await _until(is_still)
        assert ledger.answered < 1_000


async def test_a_client_that_goes_away_ends_the_file(
    start_service: StartService, faults: Faults, log_file: Path
) -> None:
    ledger = Ledger(100_000, **{"X-RateLimit-Limit": "1000000"})
    async with _with(ledger, start_service, faults) as (account, _):
        async with ClientSession(account.url, headers=account.headers) as client:
            logged = LogSince(log_file)
            answered = await client.get(_path(account))
            await answered.content.readany()
            request_id = answered.headers["X-Request-ID"]
            answered.close()

        await logged.awaited("request", request_id=request_id)
        asked = ledger.answered
        assert (await account.get("account-data"))["currency"] == "USD"  # the service goes on
        assert ledger.answered == asked


BREAKS: dict[str, Callable[[Visit], Awaitable[None]]] = {
    "a 500": answer(b"{}", status="500 Oops"),
    "nonsense": answer(b'[{"id": 5}]'),
    "a refusal of the keys": answer(b'{"message": "unauthorized."}', status="401 Unauthorized"),
    "the first page again": answer(json.dumps([fill(n) for n in range(100)]).encode()),
}


@pytest.mark.parametrize("trouble", BREAKS)
async def test_an_error_during_an_export_breaks_the_file_off(
    start_service: StartService, faults: Faults, trouble: str, log_file: Path
) -> None:
    ledger = Ledger(3)

    async def first_page_then_trouble(visit: Visit) -> None:
        await ledger(visit)
        if ledger.answered:
            ledger.then = BREAKS[trouble]

    async with (
        upstream(first_page_then_trouble) as alpaca,
        start_service(cache_seconds=0, alpaca_paper_url=alpaca.url) as service,
        make_person(service, "alice") as person,
    ):
        key_id = paper_key()
        account = Account(person, faults, key_id, (await person.store(key_id))["id"])
        logged = LogSince(log_file)
        raw = await _raw(account, _path(account))
        async with account.person.client.get(_path(account).replace("activities", "positions")) as other:
            assert other.status == 502  # the service goes on: an account is no list of positions
    head, _, body = raw.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"transfer-encoding: chunked" in head.lower()
    assert fill(99)["id"].encode() in body
    assert not body.endswith(b"0\r\n\r\n")
    assert (await logged.awaited("export_cut_off", credential_id=account.credential_id))["code"]


async def _raw(account: Account, path: str) -> bytes:
    """All that comes over the wire until the other side closes."""
    host, port = account.url.host, account.url.port
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n"
        f"Authorization: {account.headers['Authorization']}\r\n\r\n".encode()
    )
    async with asyncio.timeout(60):
        data = await reader.read()
    writer.close()
    return data


async def test_a_client_library_notices_that_a_file_is_not_whole(account: Account) -> None:
    await account.answer([fill(n) for n in range(100)], {"message": "boom"}, path="/v2/account/activities")
    async with account.person.client.get(_path(account)) as answered:
        assert answered.status == 200
        with pytest.raises(ClientPayloadError):
            await answered.read()


async def test_a_file_waits_for_the_budget_of_its_account(account: Account) -> None:
    first, last = json.dumps([fill(n) for n in range(100)]), json.dumps([fill(100)])
    path = "/v2/account/activities"
    await account.misbehave_in_turn(
        {"path": path, "times": 1, "body_text": first},
        {"path": path, "times": 1, "rate_limited": {"retry_after": 1}},
        {"path": path, "body_text": last},
    )
    assert len(await _file(account, "activities.csv")) == 101


async def test_an_export_leaves_calls_to_others(start_service: StartService, faults: Faults) -> None:
    ledger = Ledger(100, **{"X-RateLimit-Limit": str(EXPORT.leaves + 10)})
    async with (
        _with(ledger, start_service, faults) as (account, _),
        ClientSession(account.url, headers=account.headers, timeout=ClientTimeout(total=60)) as client,
        client.get(_path(account)),
    ):
        # Each page has another call for the account's id, and storing the keys made one before.
        await _until(lambda: ledger.answered >= 4)
        for _ in range(20):
            assert (await account.get("account-data"))["currency"] == "USD"
        assert ledger.answered <= 10


@pytest.mark.parametrize("name", ["orders.csv", "activities.csv"])
async def test_an_export_does_not_start_with_the_last_calls_of_a_minute(
    start_service: StartService, faults: Faults, name: str
) -> None:
    async with _with(Ledger(1, **{"X-RateLimit-Limit": str(EXPORT.leaves + 1)}), start_service, faults) as (
        account,
        _,
    ):
        assert (await account.get("account-data"))["currency"] == "USD"
        assert (await account.get(name, refused=429))["code"] == "account_rate_limited"
        assert (await account.get("account-data"))["currency"] == "USD"


async def test_a_used_up_rate_limit_before_the_first_byte_is_an_ordinary_error(account: Account) -> None:
    await account.misbehave(path="/v2/account/activities", rate_limited={"retry_after": 7})
    async with account.person.client.get(_path(account)) as answered:
        assert (answered.status, answered.headers["Retry-After"]) == (429, "7")


@pytest.mark.parametrize("loss", ["the credential", "the token"])
async def test_an_export_stops_when_its_user_loses_access(account: Account, loss: str) -> None:
    path = "/v2/account/activities"
    await account.misbehave_in_turn(
        {"path": path, "times": 1, "body_text": json.dumps([fill(n) for n in range(100)])},
        {"path": path, "times": 1, "rate_limited": {"retry_after": 2}},
        {"path": path, "body_text": json.dumps([fill(100)])},
    )
    async with await _another_token_of(account) as client, client.get(_path(account)) as answered:
        assert answered.status == 200
        if loss == "the credential":
            credential = f"/api/credentials/{account.credential_id}"
            async with account.person.client.patch(credential, json={"is_active": False}) as changed:
                assert changed.status == 200
        else:
            await _revoke_other_tokens(account.person)
        with pytest.raises(ClientPayloadError):
            await answered.read()


async def _another_token_of(account: Account) -> ClientSession:
    async with account.person.client.post("/api/tokens", json={"name": "another"}) as created:
        token: str = (await created.json())["token"]
    return ClientSession(account.url, headers={"Authorization": f"Bearer {token}"})


async def _revoke_other_tokens(person: Person) -> None:
    async with person.client.get("/api/tokens") as listed:
        tokens: list[Json] = (await listed.json())["items"]
    for token in tokens:
        if token["name"] == "another":
            async with person.client.delete(f"/api/tokens/{token['id']}") as deleted:
                assert deleted.status == 204
