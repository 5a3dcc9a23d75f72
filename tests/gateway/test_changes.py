"""Orders, cancels and closes through a grant: sent once, written down, and never called failed if they may be done."""

import asyncio
from collections.abc import AsyncGenerator

import asyncpg
import orjson
import pytest
from aiohttp import ClientSession

from corral.gateway.changes import ACTIONS
from corral.gateway.operations import OPERATIONS, OperationKind
from corral_sandbox import Sandbox
from tests.conftest import Faults, Service, StartService
from tests.gateway.conftest import LIMIT_ORDER, Json, Program, key_headers, program_of
from tests.grants.conftest import GrantOwner

Trail = list[tuple[str, str]]


async def trail(owner: asyncpg.Connection, bot: Program) -> Trail:
    """Actions and results of the grant's changes, in the order of the entries; waits until the last is concluded."""
    async with asyncio.timeout(20):
        while True:
            rows = await owner.fetch(
                "SELECT body FROM corral.audit_entries WHERE body LIKE $1 ORDER BY seq", f"%{bot.grant['id']}%"
            )
            entries = [orjson.loads(row["body"]) for row in rows]
            told = [(entry["action"], entry["result"]) for entry in entries if "order" in entry["action"]]
            if told and told[-1][1] != "begun":
                return told
            await asyncio.sleep(0.02)


async def test_an_order_is_written_down_before_and_after(bot: Program, owner: asyncpg.Connection) -> None:
    placed = await bot.order()
    assert placed.status == 200
    assert placed.json["limit_price"] == "1"
    assert placed.json["client_order_id"].startswith("corral-")
    cancelled = await bot.call("DELETE", f"/alpaca/v2/orders/{placed.json['id']}")
    assert (cancelled.status, cancelled.body) == (204, b"")
    assert await trail(owner, bot) == [
        ("order.submit", "begun"), ("order.submit", "done"), ("order.cancel", "begun"), ("order.cancel", "done"),
    ]  # fmt: skip


async def test_the_programs_own_order_id_is_kept(bot: Program) -> None:
    placed = await bot.order(client_order_id="mine-1")
    assert placed.json["client_order_id"] == "mine-1"


async def test_what_is_sent_is_written_anew(bot: Program) -> None:
    body = b'{ "symbol":"AAPL", "qty":1, "side":"buy","type":"limit","limit_price":1.50,"time_in_force":"gtc"}'
    placed = await bot.call("POST", "/alpaca/v2/orders", data=body, headers={"Content-Type": "application/json"})
    assert placed.status == 200
    (sent,) = await bot.seen("POST")
    assert sent["body"]["qty"] == "1"
    assert sent["body"]["limit_price"] == "1.50"
    assert set(sent["body"]) == {*LIMIT_ORDER, "client_order_id"}


@pytest.mark.parametrize(
    "body",
    [
        b'{"symbol":"AAPL","qty":"1","qty":"100","side":"buy","type":"market","time_in_force":"day"}',
        b'{"symbol":"AAPL","Qty":"100","qty":"1","side":"buy","type":"market","time_in_force":"day"}',
        b'{"symbol":"AAPL","qty":"1","side":"buy","type":"market","time_in_force":"day"}{"qty":"100"}',
        b'\xef\xbb\xbf{"symbol":"AAPL","qty":"1","side":"buy","type":"market","time_in_force":"day"}',
        '{"symbol":"AAPL","qty":"1","side":"buy","type":"market","time_in_force":"day"}'.encode("utf-16"),
        b'{"symbol":"AAPL","qty":NaN,"side":"buy","type":"market","time_in_force":"day"}',
        b'{"symbol":"AAPL","qty":' + b"9" * 5_000 + b',"side":"buy","type":"market","time_in_force":"day"}',
        b"[" * 50_000,
        b"",
    ],
)
async def test_a_body_that_can_be_read_in_two_ways_is_refused(bot: Program, body: bytes) -> None:
    refused = await bot.call("POST", "/alpaca/v2/orders", data=body, headers={"Content-Type": "application/json"})
    assert refused.refusal == (422, 42210000)
    assert await bot.seen() == []


async def test_bodies_that_are_too_long_or_compressed_are_refused(bot: Program) -> None:
    assert (await bot.call("POST", "/alpaca/v2/orders", data=b" " * 70_000)).status == 413
    coded = await bot.call("POST", "/alpaca/v2/orders", data=b"x", headers={"Content-Encoding": "gzip"})
    assert coded.refusal == (400, 40010000)
    assert await bot.seen() == []


@pytest.mark.parametrize(
    "asked",
    [
        ("read", "POST", "/v2/orders", 403),
        ("read", "DELETE", "/v2/orders", 403),
        ("close_only", "POST", "/v2/orders", 403),
        ("close_only", "DELETE", "/v2/orders", 207),
        ("close_only", "DELETE", "/v2/positions", 207),
        ("trade", "PATCH", "/v2/account/configurations", 403),
        ("trade", "POST", "/v2/wallets/transfers", 403),
    ],
)
async def test_a_grant_allows_what_it_is_for(
    asked: tuple[str, str, str, int], carol: GrantOwner, service: Service, sandbox: Sandbox, faults: Faults
) -> None:
    access, method, path, status = asked
    async with program_of(carol, service, sandbox, faults, access=access) as program:
        answered = await program.call(method, f"/alpaca{path}")
        assert answered.status == status
        assert (await program.seen() != []) == (status != 403)


async def test_an_order_whose_answer_is_lost_is_found_and_not_sent_again(
    bot: Program, owner: asyncpg.Connection
) -> None:
    lost = [{"cut": "before_headers"}, {"cut": "mid_body"}, {"status": 504}, {"status": 500, "body": {"message": "x"}}]
    for fault in lost:
        await bot.faults.set(bot.key_id, method="POST", path="/v2/orders", after=True, times=1, **fault)
        placed = await bot.order()
        assert placed.status == 200, fault
        assert placed.json["status"] in {"new", "accepted", "pending_new"}
    assert len(await bot.seen("POST")) == len(lost)
    assert {result for _, result in await trail(owner, bot)} == {"begun", "done"}


@pytest.mark.parametrize(
    "fault", [{"cut": "before_headers", "status": 200}, {"status": 503}, {"latency_ms": 5_000, "status": 200}]
)
async def test_an_order_that_is_not_found_is_answered_with_500_and_its_id(
    fault: Json, bot: Program, owner: asyncpg.Connection
) -> None:
    await bot.faults.set(bot.key_id, method="POST", path="/v2/orders", **fault)
    unknown = await bot.order(client_order_id="look-for-me")
    assert unknown.refusal == (500, 50010000)
    assert unknown.json["message"].startswith("Outcome unknown: look for client_order_id look-for-me")
    assert "Retry-After" not in unknown.headers
    assert (await trail(owner, bot))[-1] == ("order.submit", "unknown")
    assert len(await bot.seen("POST")) <= 1


async def test_a_cancel_whose_outcome_is_unknown_is_answered_with_500(bot: Program, owner: asyncpg.Connection) -> None:
    await bot.faults.set(bot.key_id, method="DELETE", path="/v2/orders", cut="before_headers")
    assert (await bot.call("DELETE", "/alpaca/v2/orders")).refusal == (500, 50010000)
    assert (await trail(owner, bot))[-1] == ("orders.cancel", "unknown")


async def test_the_order_that_was_to_be_replaced_is_not_taken_for_the_one_in_its_place(bot: Program) -> None:
    placed = await bot.order(client_order_id="mine")
    await bot.faults.set(bot.key_id, method="PATCH", status=503)
    change = {"qty": "2", "client_order_id": "mine"}
    changed = await bot.call("PATCH", f"/alpaca/v2/orders/{placed.json['id']}", json=change)
    assert changed.refusal == (500, 50010000)


async def test_alpacas_refusal_of_an_order_is_passed_on(bot: Program, owner: asyncpg.Connection) -> None:
    refused = await bot.order(qty="1000000", limit_price="100")
    assert refused.status == 403
    assert "insufficient" in refused.json["message"]
    assert (await trail(owner, bot))[-1] == ("order.submit", "refused")


async def test_alpacas_limit_is_certain_and_passed_on(bot: Program, owner: asyncpg.Connection) -> None:
    await bot.faults.set(bot.key_id, method="POST", path="/v2/orders", rate_limited={"retry_after": 3}, times=1)
    limited = await bot.order()
    assert (limited.status, limited.headers["Retry-After"]) == (429, "3")
    assert (await trail(owner, bot))[-1] == ("order.submit", "refused")


@pytest.fixture
async def cut_off(start_service: StartService, service: Service) -> AsyncGenerator[Service]:
    """A second Corral on the same data that reaches nobody at Alpaca's addresses."""
    nowhere = {"alpaca_paper_url": "http://127.0.0.1:9", "alpaca_live_url": "http://127.0.0.1:9/live"}
    async with start_service(**nowhere, alpaca_data_url="http://127.0.0.1:9") as other:
        yield other


async def test_where_nothing_was_sent_the_program_may_send_again(
    bot: Program, cut_off: Service, owner: asyncpg.Connection
) -> None:
    async with ClientSession(cut_off.url, headers=key_headers(bot.grant)) as client:
        async with client.post("/alpaca/v2/orders", json=LIMIT_ORDER) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
            assert (await answer.json())["code"] == 50310000
        async with client.get("/alpaca/v2/account") as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert (await trail(owner, bot))[-1] == ("order.submit", "failed")


async def test_a_program_that_hangs_up_cancels_nothing(bot: Program, owner: asyncpg.Connection) -> None:
    await bot.faults.set(bot.key_id, method="POST", path="/v2/orders", latency_ms=300, after=True, status=200, body={})
    asking = asyncio.ensure_future(bot.order())
    async with asyncio.timeout(20):
        while not await bot.seen("POST"):  # noqa: ASYNC110 - another process would have to tell
            await asyncio.sleep(0.01)
    asking.cancel()
    assert (await trail(owner, bot))[-1][1] != "begun"
    assert len(await bot.seen("POST")) == 1


async def test_without_an_entry_there_is_no_order(bot: Program, owner: asyncpg.Connection, carol: GrantOwner) -> None:
    assert (await bot.order()).status == 200
    async with owner.transaction():
        await owner.execute("SELECT FROM corral.audit_heads WHERE user_id = $1 FOR UPDATE", carol.user_id)
        stuck = await bot.order()
    assert (stuck.status, stuck.json["code"]) == (503, 50310000)
    assert len(await bot.seen("POST")) == 1
    assert (await bot.order()).status == 200


async def test_a_change_drops_what_corral_has_kept_of_the_account(bot: Program, carol: GrantOwner) -> None:
    path = f"/api/credentials/{bot.grant['credential_id']}/orders?status=open"
    assert (await carol.ask("GET", path)).body["items"] == []
    placed = await bot.order()
    (order,) = (await carol.ask("GET", path)).body["items"]
    assert order["id"] == placed.json["id"]


async def test_an_answer_to_an_order_that_echoes_the_keys_is_not_passed_on(bot: Program) -> None:
    await bot.faults.set(bot.key_id, method="POST", path="/v2/orders", echo=True)
    answered = await bot.order()
    assert answered.refusal == (500, 50010000)
    assert bot.key_id not in str(answered)


def test_the_audit_trail_has_a_name_for_every_change() -> None:
    changes = {
        operation.name for operation in OPERATIONS if operation.kind in {OperationKind.TRADE, OperationKind.CLOSE}
    }
    assert set(ACTIONS) == changes
