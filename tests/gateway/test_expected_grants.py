"""Changes are prepared by the grant as it was last found, and sent only when the database has confirmed it."""

import asyncio
from collections.abc import AsyncGenerator

import asyncpg
import orjson
import pytest

from tests.gateway.conftest import LIMIT_ORDER, Program
from tests.grants.conftest import GrantOwner, Json

REFUSED = ["begun", "refused"]
PLACED = ["begun", "done"]


async def results(owner: asyncpg.Connection, bot: Program, action: str = "order.submit") -> list[str]:
    """Of the grant's changes, in the order of the entries; waits until all of them are concluded."""
    async with asyncio.timeout(20):
        while True:
            rows = await owner.fetch(
                "SELECT body FROM corral.audit_entries WHERE body LIKE $1 ORDER BY seq", f"%{bot.grant['id']}%"
            )
            entries = [orjson.loads(row["body"]) for row in rows]
            outcomes = [entry["result"] for entry in entries if entry["action"] == action]
            if outcomes.count("begun") * 2 == len(outcomes):
                return outcomes
            await asyncio.sleep(0.02)


async def test_a_revoked_grant_sends_nothing_more(bot: Program, carol: GrantOwner, owner: asyncpg.Connection) -> None:
    assert (await bot.order()).status == 200
    assert (await carol.ask("DELETE", f"/api/grants/{bot.grant['id']}")).status == 204
    for _ in range(3):
        assert (await bot.order()).refusal == (401, 40110000)
    assert len(await bot.seen("POST")) == 1
    assert await results(owner, bot) == PLACED + REFUSED, "only the first one was prepared"


@pytest.mark.parametrize(
    "change",
    [
        ({"access": "close_only"}, (403, 40310000)),
        ({"networks": ["198.51.100.0/24"]}, (401, 40110000)),
    ],
)
async def test_a_narrowed_grant_sends_nothing_that_it_no_longer_allows(
    change: tuple[Json, tuple[int, int]], bot: Program, carol: GrantOwner, owner: asyncpg.Connection
) -> None:
    narrowed, refusal = change
    assert (await bot.order()).status == 200
    assert (await carol.ask("PATCH", f"/api/grants/{bot.grant['id']}", narrowed)).status == 200
    for _ in range(2):
        assert (await bot.order()).refusal == refusal
    assert len(await bot.seen("POST")) == 1
    assert await results(owner, bot) == PLACED + REFUSED


async def test_a_paused_account_sends_nothing_until_it_is_resumed(
    bot: Program, carol: GrantOwner, owner: asyncpg.Connection
) -> None:
    account = f"/api/credentials/{bot.grant['credential_id']}"
    assert (await bot.order()).status == 200
    assert (await carol.ask("PATCH", account, {"is_active": False})).status == 200
    for _ in range(2):
        assert (await bot.order()).status == 403
    assert (await carol.ask("PATCH", account, {"is_active": True})).status == 200
    assert (await bot.order()).status == 200
    assert len(await bot.seen("POST")) == 2
    assert await results(owner, bot) == PLACED + REFUSED + PLACED


async def test_a_change_that_the_changed_grant_still_allows_is_sent_once_as_it_was_asked(
    bot: Program, carol: GrantOwner, owner: asyncpg.Connection
) -> None:
    before = await bot.order()
    changed = {"networks": ["127.0.0.0/8", "::1/128"]}
    assert (await carol.ask("PATCH", f"/api/grants/{bot.grant['id']}", changed)).status == 200
    placed = await bot.order(client_order_id="asked-once", limit_price="2.50")
    assert (placed.status, placed.json["client_order_id"], placed.json["limit_price"]) == (200, "asked-once", "2.5")
    assert len(await bot.seen("POST")) == 2
    assert await results(owner, bot) == PLACED + REFUSED + PLACED
    left = [int(answered.headers["X-RateLimit-Remaining"]) for answered in (before, placed)]
    assert left[1] == left[0] - 1, "what was not sent is given back"


async def test_nothing_is_sent_before_the_database_has_confirmed_the_grant(
    bot: Program, owner: asyncpg.Connection
) -> None:
    assert (await bot.order()).status == 200
    async with owner.transaction():
        await owner.execute("LOCK TABLE corral.grants IN ACCESS EXCLUSIVE MODE")
        asking = asyncio.create_task(bot.order())
        async with asyncio.timeout(20):
            while await _begun(owner, bot) < 2:  # noqa: ASYNC110 - the database tells of nothing
                await asyncio.sleep(0.01)
        assert len(await bot.seen("POST")) == 1
    assert (await asking).status == 200
    assert len(await bot.seen("POST")) == 2
    assert await results(owner, bot) == PLACED * 2


async def test_an_order_whose_grant_cannot_be_looked_up_is_not_sent(bot: Program, owner: asyncpg.Connection) -> None:
    assert (await bot.order()).status == 200
    async with owner.transaction():
        await owner.execute("LOCK TABLE corral.grants IN ACCESS EXCLUSIVE MODE")
        assert (await bot.order()).refusal == (503, 50310000)  # after the two seconds that a lock is waited for
    assert len(await bot.seen("POST")) == 1
    assert await results(owner, bot) == [*PLACED, "begun", "failed"]


async def test_a_body_that_is_too_long_is_refused_and_not_read_on(bot: Program, owner: asyncpg.Connection) -> None:
    async def parts() -> AsyncGenerator[bytes]:
        yield b" " * 70_000
        yield orjson.dumps(LIMIT_ORDER)  # what is left of it would be an order

    assert (await bot.order()).status == 200
    assert (await bot.call("POST", "/alpaca/v2/orders", data=parts())).status == 413
    assert len(await bot.seen("POST")) == 1
    assert await results(owner, bot) == PLACED


async def test_a_refused_change_is_refused_by_the_grant_as_it_is(bot: Program, carol: GrantOwner) -> None:
    """So it is counted once, and a revoked grant learns nothing of what it could have done."""
    assert (await bot.order()).status == 200
    wrong: Json = {**LIMIT_ORDER, "side": "borrow"}
    assert (await bot.call("POST", "/alpaca/v2/orders", json=wrong)).status == 422
    assert (await bot.call("POST", "/alpaca/v2/wallets/transfers", json={})).status == 403
    assert (await carol.ask("DELETE", f"/api/grants/{bot.grant['id']}")).status == 204
    assert (await bot.call("POST", "/alpaca/v2/orders", json=wrong)).refusal == (401, 40110000)


async def _begun(owner: asyncpg.Connection, bot: Program) -> int:
    return await owner.fetchval(
        """
        SELECT count(*) FROM corral.audit_entries
        WHERE body LIKE $1 AND body::jsonb ->> 'action' = 'order.submit' AND body::jsonb ->> 'result' = 'begun'
        """,
        f"%{bot.grant['id']}%",
    )
