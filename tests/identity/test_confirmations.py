"""Wrong confirmations of a password by signed-in users: counted separately, over all sessions of a user."""

import asyncio
from collections import Counter

import asyncpg
import pytest
from aiohttp import ClientSession

from corral.identity.problems import Unauthenticated
from corral.identity.reauthentication import confirm_password
from corral.secret import Secret
from tests.access import browser, sign_in_by_link
from tests.audit.trails import entries_of
from tests.conftest import Service
from tests.identity.members import Member, Reply, add_member, make_administrator, post, sign_in_as, status_of

WRONG = "not the password that it is"


@pytest.fixture
async def cookies(service: Service, carol: Member) -> list[str]:
    """Two sessions of hers; she is an administrator, so that there is something to confirm without changing it."""
    await make_administrator(service, carol.email)
    return [await sign_in_by_link(service, carol.user_id) for _ in range(2)]


async def _confirm(service: Service, cookie: str, password: str = WRONG) -> Reply:
    """Requests something that needs the password and has no effect, because no user has this id."""
    nobody = "4b0b5a2e-9a3c-4c1e-8a57-0d9c6f2f6d31"
    async with browser(service.url, cookie) as page:
        return await post(page, f"/api/people/{nobody}/enable", current_password=password)


def _reported(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.reported["code"]


REFUSED, ENDED, THROTTLED = (401, "sign_in_refused"), (401, "session_ended"), (429, "sign_in_throttled")
RIGHT = (404, "person_not_found")


async def _count(owner: asyncpg.Connection, member: Member) -> asyncpg.Record:
    (row,) = await owner.fetch("SELECT * FROM corral.password_confirmations WHERE user_id = $1", member.user_id)
    return row


async def test_the_fifth_wrong_confirmation_in_a_row_ends_that_session_and_no_other(
    service: Service, cookies: list[str], anonymous: ClientSession
) -> None:
    reported = [_reported(await _confirm(service, cookies[0])) for _ in range(5)]
    assert reported == [REFUSED] * 4 + [ENDED]
    assert [await status_of(anonymous, cookie) for cookie in cookies] == [401, 200]
    assert _reported(await _confirm(service, cookies[1])) == REFUSED  # a new row begins


async def test_a_wrong_confirmation_is_in_the_audit_trail(
    service: Service, cookies: list[str], owner: asyncpg.Connection, carol: Member
) -> None:
    await _confirm(service, cookies[0])
    (entry,) = [one for one in await entries_of(owner, carol.user_id) if one.action == "confirmation.refused"]
    assert (entry.result, entry.actor.startswith("session:")) == ("refused", True)


async def test_wrong_confirmations_are_counted_over_all_sessions_of_a_user(
    service: Service, cookies: list[str], anonymous: ClientSession
) -> None:
    turns = [cookies[number % 2] for number in range(5)]
    assert [_reported(await _confirm(service, cookie)) for cookie in turns] == [REFUSED] * 4 + [ENDED]
    assert [await status_of(anonymous, cookie) for cookie in cookies] == [401, 200]


async def test_a_correct_confirmation_resets_the_count(
    service: Service, cookies: list[str], owner: asyncpg.Connection, carol: Member
) -> None:
    for _ in range(2):
        for _ in range(4):
            assert _reported(await _confirm(service, cookies[0])) == REFUSED
        assert _reported(await _confirm(service, cookies[0], carol.password)) == RIGHT
    assert (await _count(owner, carol))["in_hour"] == 8


async def test_the_count_is_reset_after_an_hour_without_attempts(
    service: Service, cookies: list[str], owner: asyncpg.Connection, carol: Member
) -> None:
    for _ in range(4):
        await _confirm(service, cookies[0])
    await owner.execute(
        "UPDATE corral.password_confirmations SET last_at = now() - interval '61 min' WHERE user_id = $1", carol.user_id
    )
    assert _reported(await _confirm(service, cookies[0])) == REFUSED
    assert (await _count(owner, carol))["in_row"] == 1


async def test_twenty_wrong_confirmations_in_an_hour_pause_confirming_for_a_minute(
    service: Service, cookies: list[str], owner: asyncpg.Connection, carol: Member
) -> None:
    await _confirm(service, cookies[0])
    await owner.execute("UPDATE corral.password_confirmations SET in_hour = 18 WHERE user_id = $1", carol.user_id)
    assert _reported(await _confirm(service, cookies[0], carol.password)) == RIGHT  # right ones do not count
    assert _reported(await _confirm(service, cookies[0])) == REFUSED
    assert _reported(await _confirm(service, cookies[0])) == REFUSED
    row = await _count(owner, carol)
    assert (row["in_hour"], (row["paused_until"] - row["last_at"]).total_seconds()) == (20, 60)
    for cookie in cookies:
        reply = await _confirm(service, cookie, carol.password)
        assert _reported(reply) == THROTTLED
        assert 1 <= int(reply.headers["Retry-After"]) <= 60
    assert await _count(owner, carol) == row  # asking meanwhile makes it no longer
    await owner.execute(
        "UPDATE corral.password_confirmations SET paused_until = now() WHERE user_id = $1", carol.user_id
    )
    assert _reported(await _confirm(service, cookies[0], carol.password)) == RIGHT


async def test_the_hour_ends(service: Service, cookies: list[str], owner: asyncpg.Connection, carol: Member) -> None:
    await _confirm(service, cookies[0])
    await owner.execute(
        """
        UPDATE corral.password_confirmations SET in_hour = 19, hour_began_at = now() - interval '61 min'
        WHERE user_id = $1
        """,
        carol.user_id,
    )
    assert _reported(await _confirm(service, cookies[0])) == REFUSED
    assert (await _count(owner, carol))["in_hour"] == 1


async def test_guessing_in_parallel_gains_nothing(
    service: Service, cookies: list[str], anonymous: ClientSession
) -> None:
    replies = await asyncio.gather(*(_confirm(service, cookies[0]) for _ in range(30)))
    reported = Counter(map(_reported, replies))
    assert (reported[REFUSED], reported[ENDED]) == (4, 1)
    assert set(reported) <= {REFUSED, ENDED, THROTTLED, (401, "unauthenticated")}
    assert await status_of(anonymous, cookies[0]) == 401


async def test_a_session_that_has_ended_confirms_nothing(service: Service, cookies: list[str], carol: Member) -> None:
    """Its request was let in a moment before."""
    resources = service.resources
    person = await service.services.state["authenticator"].authenticate_session(cookies[0].partition("=")[2])
    async with browser(service.url, cookies[0]) as page, page.delete("/api/session") as answer:
        assert answer.status == 204
    with pytest.raises(Unauthenticated):
        await confirm_password(resources.database, resources.vault, person, Secret(carol.password))


async def test_confirming_and_signing_in_do_not_count_for_each_other(
    service: Service, cookies: list[str], carol: Member, owner: asyncpg.Connection, anonymous: ClientSession
) -> None:
    await owner.execute("DELETE FROM corral.sign_in_attempts")
    for _ in range(4):
        await _confirm(service, cookies[0])
    assert not await owner.fetchval("SELECT count(*) FROM corral.sign_in_attempts")
    for _ in range(2):
        assert (await sign_in_as(anonymous, carol, WRONG)).status == 401
    assert (await _count(owner, carol))["in_row"] == 4
    assert _reported(await _confirm(service, cookies[0], carol.password)) == RIGHT
    assert await owner.fetchval("SELECT failures FROM corral.sign_in_attempts") == 2  # not forgotten by confirming
    assert (await sign_in_as(anonymous, carol)).status == 200


async def test_another_users_wrong_confirmations_change_nothing(
    service: Service, cookies: list[str], carol: Member
) -> None:
    dora = await add_member(service)
    await make_administrator(service, dora.email)
    hers = await sign_in_by_link(service, dora.user_id)
    for _ in range(4):
        await _confirm(service, hers)
    assert _reported(await _confirm(service, cookies[0])) == REFUSED
    assert _reported(await _confirm(service, hers, dora.password)) == RIGHT


async def test_a_page_redirects_to_sign_in_when_the_session_ends(service: Service, cookies: list[str]) -> None:
    for _ in range(4):
        await _confirm(service, cookies[0])
    headers = {"Accept": "text/html", "Cookie": cookies[0]}
    sent = {"current_password": WRONG, "new_password": "quite another password"}
    async with (
        browser(service.url) as page,
        page.post("/you/password", data=sent, headers=headers, allow_redirects=False) as answer,
    ):
        assert (answer.status, answer.headers["location"]) == (303, "/sign-in?next=/you/password&reason=session_ended")
