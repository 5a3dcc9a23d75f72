"""Guessing passwords gets slower and slower, for one account only."""

import asyncio
import json
from collections import Counter
from datetime import timedelta

import asyncpg
import pytest
from aiohttp import ClientSession

from corral.identity.throttling import network_of
from tests.access import browser, sign_in_by_link
from tests.conftest import Service, StartService
from tests.identity.members import Member, Reply, add_member, post, sign_in_as

WRONG = "not the password that it is"


@pytest.fixture(autouse=True)
async def _no_attempts_yet(owner: asyncpg.Connection) -> None:
    """So that the one row of the table is the tested account's."""
    await owner.execute("DELETE FROM corral.sign_in_attempts")


async def _attempts(owner: asyncpg.Connection) -> asyncpg.Record:
    (row,) = await owner.fetch("SELECT * FROM corral.sign_in_attempts")
    return row


async def _has_guessed(owner: asyncpg.Connection, anonymous: ClientSession, member: Member, times: int) -> None:
    """As if so many attempts had failed just now."""
    await sign_in_as(anonymous, member, WRONG)
    await owner.execute(
        """
        UPDATE corral.sign_in_attempts
        SET failures = $1, blocked_until = now() + make_interval(secs => 2 ^ ($1 - 3))
        """,
        times,
    )


def _is_throttled(reply: Reply) -> bool:
    return (reply.status, reply.reported["code"]) == (429, "sign_in_throttled")


async def test_the_wait_doubles_after_three_attempts_up_to_a_minute(
    carol: Member, owner: asyncpg.Connection, anonymous: ClientSession
) -> None:
    waits: list[float] = []
    for _ in range(10):
        assert (await sign_in_as(anonymous, carol, WRONG)).status == 401
        row = await _attempts(owner)
        waits.append((row["blocked_until"] - row["last_attempt_at"]).total_seconds())
        await owner.execute("UPDATE corral.sign_in_attempts SET blocked_until = now()")  # the wait is over
    assert waits == [0, 0, 1, 2, 4, 8, 16, 32, 60, 60]


async def test_a_throttled_response_says_how_long_to_wait(
    carol: Member, owner: asyncpg.Connection, anonymous: ClientSession
) -> None:
    await _has_guessed(owner, anonymous, carol, 8)
    reply = await sign_in_as(anonymous, carol, WRONG)
    assert _is_throttled(reply)
    assert 1 <= int(reply.headers["Retry-After"]) <= 32


async def test_during_the_wait_even_the_correct_password_is_not_checked(
    carol: Member, owner: asyncpg.Connection, anonymous: ClientSession
) -> None:
    await _has_guessed(owner, anonymous, carol, 8)
    before = await _attempts(owner)
    assert _is_throttled(await sign_in_as(anonymous, carol))
    assert await _attempts(owner) == before  # and waiting is not made longer by asking


async def test_counted_attempts_survive_a_restart(
    start_service: StartService, carol: Member, owner: asyncpg.Connection, anonymous: ClientSession
) -> None:
    await _has_guessed(owner, anonymous, carol, 8)
    async with start_service() as restarted, browser(restarted.url) as page:
        assert _is_throttled(await sign_in_as(page, carol))


async def test_signing_in_resets_the_count(carol: Member, owner: asyncpg.Connection, anonymous: ClientSession) -> None:
    for password in (WRONG, WRONG, carol.password):
        reply = await sign_in_as(anonymous, carol, password)
    assert reply.status == 200
    assert await owner.fetch("SELECT * FROM corral.sign_in_attempts") == []


async def test_a_day_without_attempts_resets_the_count(
    carol: Member, owner: asyncpg.Connection, anonymous: ClientSession
) -> None:
    await _has_guessed(owner, anonymous, carol, 9)
    await owner.execute(
        "UPDATE corral.sign_in_attempts SET last_attempt_at = now() - $1::interval", timedelta(hours=25)
    )
    assert (await sign_in_as(anonymous, carol, WRONG)).status == 401
    assert (await _attempts(owner))["failures"] == 1


async def test_guessing_in_parallel_gains_nothing(
    carol: Member, owner: asyncpg.Connection, anonymous: ClientSession
) -> None:
    await _has_guessed(owner, anonymous, carol, 7)
    await owner.execute("UPDATE corral.sign_in_attempts SET blocked_until = now()")  # the wait is over
    replies = await asyncio.gather(*(sign_in_as(anonymous, carol, WRONG) for _ in range(30)))
    assert Counter(reply.status for reply in replies) == {401: 1, 429: 29}


async def test_other_spellings_of_an_address_share_its_guesses(
    carol: Member, owner: asyncpg.Connection, anonymous: ClientSession
) -> None:
    await _has_guessed(owner, anonymous, carol, 8)
    fullwidth = carol.email.replace("@", "＠")  # noqa: RUF001 - that very sign
    for email in (carol.email.upper(), f"  {carol.email} ", fullwidth, carol.email.replace("c", "C")):
        assert _is_throttled(await post(anonymous, "/api/session", email=email, password=WRONG))


async def test_another_account_is_not_affected(
    service: Service, carol: Member, owner: asyncpg.Connection, anonymous: ClientSession
) -> None:
    dave = await add_member(service)
    await _has_guessed(owner, anonymous, carol, 9)
    assert (await sign_in_as(anonymous, dave)).status == 200


async def test_an_unknown_email_is_throttled_in_the_same_way(
    carol: Member, owner: asyncpg.Connection, anonymous: ClientSession
) -> None:
    nobody = Member(carol.user_id, "nobody@corral.example", WRONG)
    await _has_guessed(owner, anonymous, nobody, 8)
    assert _is_throttled(await sign_in_as(anonymous, nobody))


async def test_a_throttled_user_can_sign_in_by_a_link(
    service: Service, carol: Member, owner: asyncpg.Connection, anonymous: ClientSession
) -> None:
    await _has_guessed(owner, anonymous, carol, 9)
    assert await sign_in_by_link(service, carol.user_id)


async def test_an_attackers_attempts_do_not_keep_a_signed_in_user_from_confirming(
    service: Service, carol: Member, owner: asyncpg.Connection, anonymous: ClientSession
) -> None:
    cookie = await sign_in_by_link(service, carol.user_id)
    await _has_guessed(owner, anonymous, carol, 8)
    before = await _attempts(owner)
    body = {"current_password": carol.password, "new_password": "quite another password"}
    async with browser(service.url, cookie) as page, page.put("/api/me/password", json=body) as answer:
        assert answer.status == 204
    assert await _attempts(owner) == before


async def test_the_database_does_not_reveal_whose_password_is_guessed(
    carol: Member, owner: asyncpg.Connection, anonymous: ClientSession
) -> None:
    await sign_in_as(anonymous, carol, WRONG)
    key = (await _attempts(owner))["key"]
    assert carol.email.encode() not in key
    assert len(key) == 32


async def _part_of_the_table(owner: asyncpg.Connection) -> int:
    return await owner.fetchval("SELECT count(*) FROM corral.sign_in_attempts WHERE get_byte(key, 0) = 7")


async def _has_been_guessed(owner: asyncpg.Connection, rows: int, age: str) -> None:
    """As if so many addresses had been tried, all in the same part of the table."""
    await owner.execute(
        f"""
        INSERT INTO corral.sign_in_attempts
        SELECT '\\x07'::bytea || sha256(('{age}' || number)::bytea), 3, now(),
               now() - interval '{age}' - number * interval '1 s'
        FROM generate_series(1, {rows}) number
        """
    )


async def _admit(owner: asyncpg.Connection, name: str) -> float:
    return await owner.fetchval("SELECT corral.admit_sign_in('\\x07'::bytea || $1, 3)", name.encode())


async def test_stored_attempts_are_bounded_for_any_number_of_emails(owner: asyncpg.Connection) -> None:
    await _has_been_guessed(owner, 600, "1 min")
    for number in range(10):
        assert await _admit(owner, f"new {number}") == 0
    assert await _part_of_the_table(owner) == 512
    kept = "SELECT count(*) FROM corral.sign_in_attempts WHERE key = '\\x07'::bytea || sha256($1)"
    assert [await owner.fetchval(kept, number) for number in (b"1 min1", b"1 min600")] == [1, 0]  # the oldest go first


async def test_attempts_of_another_day_are_pruned_a_few_at_a_time(owner: asyncpg.Connection) -> None:
    await _has_been_guessed(owner, 50, "25 h")
    counts: list[int] = []
    for number in range(4):
        await _admit(owner, f"new {number}")
        counts.append(await _part_of_the_table(owner))
    assert counts == [31, 12, 3, 4]
    await _admit(owner, "new 3")  # an attempt of a known one prunes nothing, and is counted
    assert await _part_of_the_table(owner) == 4


async def test_an_attempt_costs_the_same_with_few_attempts_before_it_and_with_many(owner: asyncpg.Connection) -> None:
    """Counted in pages of the database: 20,000 attempts in one part stand for five million in all."""
    await _has_been_guessed(owner, 1_000, "1 min")
    await owner.execute("ANALYZE corral.sign_in_attempts")
    few = await _pages_read_by(owner, "after few")
    await _has_been_guessed(owner, 20_000, "1 h")
    await owner.execute("ANALYZE corral.sign_in_attempts")
    many = await _pages_read_by(owner, "after many")
    assert many < 3 * few


async def _pages_read_by(owner: asyncpg.Connection, name: str) -> int:
    await _admit(owner, f"warm {name}")
    attempt = f"SELECT corral.admit_sign_in('\\x07'::bytea || '{name}', 3)"
    (plan,) = json.loads(await owner.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {attempt}"))
    return plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("127.0.0.53", None),
        ("::1", None),
        ("::ffff:127.0.0.1", None),
    ],
)
async def test_a_network_is_throttled_as_one_and_a_local_proxy_never(host: str, network: str | None) -> None:
    assert network_of(host) == network
