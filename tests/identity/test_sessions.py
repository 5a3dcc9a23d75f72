"""Cookie sessions: new at each sign-in, ended for good, and never accepted beyond what was sealed."""

import asyncio
import re
from collections.abc import AsyncGenerator
from datetime import timedelta

import asyncpg
import pytest
from aiohttp import ClientSession

from corral.identity.tokens import new_token
from tests.access import browser, cookie_of, link_code, sign_in_by_link
from tests.conftest import Service, StartService
from tests.identity.members import PASSWORD, Member, post, sign_in_as, status_of
from tests.log_lines import LogSince
from tests.people import Person

NEW_PASSWORD = "another horse with another staple"
PLANTED = new_token()  # well-formed, but of no session


async def _session_row(owner: asyncpg.Connection, member: Member | Person) -> asyncpg.Record:
    (row,) = await owner.fetch("SELECT * FROM corral.sessions WHERE user_id = $1", member.user_id)
    return row


@pytest.fixture
async def https_service(start_service: StartService) -> AsyncGenerator[Service]:
    """What stands behind a TLS proxy, reached past it."""
    async with start_service(public_url="https://corral.example.test") as service:
        yield service


async def test_the_cookie_over_plain_http_on_this_machine(service: Service, alice: Person) -> None:
    body = {"token": await link_code(service, alice.user_id)}
    async with browser(service.url) as page, page.post("/api/session/link", json=body) as answer:
        assert re.fullmatch(
            r"corral_session=corral_[0-9A-Za-z]{38}; HttpOnly; Max-Age=43200; Path=/; SameSite=lax",
            answer.headers["Set-Cookie"],
        )


async def test_the_cookie_over_https_has_the_host_prefix(https_service: Service, carol: Member) -> None:
    async with browser(https_service.url) as page:
        reply = await sign_in_as(page, carol)
        assert re.fullmatch(
            r"__Host-corral_session=corral_[0-9A-Za-z]{38}; HttpOnly; Max-Age=43200; Path=/; SameSite=lax; Secure",
            reply.headers["Set-Cookie"],
        )
        assert reply.cookie
        assert await status_of(page, reply.cookie) == 200
        assert await status_of(page, reply.cookie.removeprefix("__Host-")) == 401
        async with page.delete("/api/session", headers={"Cookie": reply.cookie}) as answer:
            assert (
                answer.headers["Set-Cookie"]
                == '__Host-corral_session=""; HttpOnly; Max-Age=0; Path=/; SameSite=lax; Secure'
            )


async def test_every_sign_in_makes_a_new_session(service: Service, carol: Member) -> None:
    async with browser(service.url) as page:
        replies = [await sign_in_as(page, carol) for _ in range(2)]
        cookies = {reply.cookie for reply in replies}
        assert len(cookies) == 2
        assert [await status_of(page, cookie or "") for cookie in cookies] == [200, 200]


@pytest.mark.parametrize("value", [PLANTED, "planted"], ids=["well formed", "malformed"])
async def test_a_planted_cookie_is_useless_after_sign_in(service: Service, carol: Member, value: str) -> None:
    planted = f"corral_session={value}"
    async with browser(service.url) as page:
        reply = await post(page, "/api/session", planted, email=carol.email, password=carol.password)
        assert reply.status == 200
        assert reply.cookie not in {None, planted}
        assert await status_of(page, planted) == 401


async def test_signing_out_ends_this_session_on_the_server_and_no_other(service: Service, alice: Person) -> None:
    first, second = [await sign_in_by_link(service, alice.user_id) for _ in range(2)]
    async with browser(service.url) as page:
        async with page.delete("/api/session", headers={"Cookie": first}) as answer:
            assert answer.status == 204
            assert answer.headers["Set-Cookie"] == 'corral_session=""; HttpOnly; Max-Age=0; Path=/; SameSite=lax'
            assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'
        assert await status_of(page, first) == 401
        assert await status_of(page, second) == 200


async def test_a_new_password_ends_every_session(service: Service, carol: Member) -> None:
    cookies = [await sign_in_by_link(service, carol.user_id) for _ in range(2)]
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    async with browser(service.url) as page:
        async with page.put("/api/me/password", json=body, headers={"Cookie": cookies[0]}) as answer:
            assert answer.status == 204
            assert cookie_of(answer) == 'corral_session=""'
        assert [await status_of(page, cookie) for cookie in cookies] == [401, 401]
        assert (await sign_in_as(page, carol)).status == 401
        assert (await sign_in_as(page, carol, NEW_PASSWORD)).status == 200


@pytest.mark.parametrize("current", [{}, {"current_password": "not the one that it is"}])
async def test_a_new_password_needs_the_current_one(
    service: Service, carol: Member, current: dict[str, str], anonymous: ClientSession
) -> None:
    cookie = await sign_in_by_link(service, carol.user_id)
    async with browser(service.url, cookie) as page:
        async with page.put("/api/me/password", json={"new_password": NEW_PASSWORD, **current}) as answer:
            assert answer.status == 401
            assert (await answer.json())["code"] == "sign_in_refused"
        assert await status_of(page, cookie) == 200
    assert (await sign_in_as(anonymous, carol)).status == 200


@pytest.mark.parametrize(("minutes", "status"), [(29, 200), (31, 401)])
async def test_a_session_ends_after_half_an_hour_without_use(
    service: Service, alice: Person, owner: asyncpg.Connection, anonymous: ClientSession, minutes: int, status: int
) -> None:
    cookie = await sign_in_by_link(service, alice.user_id)
    await owner.execute(
        "UPDATE corral.sessions SET last_seen_at = now() - $2::interval WHERE user_id = $1",
        alice.user_id,
        timedelta(minutes=minutes),
    )
    assert await status_of(anonymous, cookie) == status


async def test_use_extends_the_idle_timeout(
    service: Service, alice: Person, owner: asyncpg.Connection, anonymous: ClientSession
) -> None:
    cookie = await sign_in_by_link(service, alice.user_id)
    await owner.execute(
        "UPDATE corral.sessions SET last_seen_at = now() - interval '20 min' WHERE user_id = $1", alice.user_id
    )
    long_ago = (await _session_row(owner, alice))["last_seen_at"]
    assert await status_of(anonymous, cookie) == 200
    async with asyncio.timeout(30):
        while (await _session_row(owner, alice))["last_seen_at"] == long_ago:  # noqa: ASYNC110 - PostgreSQL tells nobody
            await asyncio.sleep(0.02)


async def test_a_session_ends_after_twelve_hours_even_in_use(
    service: Service, alice: Person, owner: asyncpg.Connection, anonymous: ClientSession
) -> None:
    cookie = await sign_in_by_link(service, alice.user_id)
    row = await _session_row(owner, alice)
    assert row["expires_at"] - row["created_at"] == pytest.approx(timedelta(hours=12), abs=timedelta(seconds=5))
    await owner.execute("UPDATE corral.sessions SET expires_at = now() WHERE user_id = $1", alice.user_id)
    assert await status_of(anonymous, cookie) == 401


@pytest.mark.parametrize("longer", ["expires_at + interval '1 s'", "'infinity'"])
async def test_a_session_extended_by_hand_is_not_accepted(
    service: Service, alice: Person, owner: asyncpg.Connection, log: LogSince, anonymous: ClientSession, longer: str
) -> None:
    cookie = await sign_in_by_link(service, alice.user_id)
    await owner.execute(f"UPDATE corral.sessions SET expires_at = {longer} WHERE user_id = $1", alice.user_id)
    assert await status_of(anonymous, cookie) == 401
    assert [alarm["user_id"] for alarm in log.alarms("session_seal_broken")] == [str(alice.user_id)]


async def test_a_session_moved_to_another_user_is_not_accepted(
    service: Service, alice: Person, bob: Person, owner: asyncpg.Connection, log: LogSince, anonymous: ClientSession
) -> None:
    cookie = await sign_in_by_link(service, bob.user_id)
    await owner.execute("UPDATE corral.sessions SET user_id = $2 WHERE user_id = $1", bob.user_id, alice.user_id)
    assert await status_of(anonymous, cookie) == 401
    assert log.alarms("session_seal_broken")


async def test_a_disabled_users_session_is_refused(
    service: Service, alice: Person, owner: asyncpg.Connection, anonymous: ClientSession
) -> None:
    cookie = await sign_in_by_link(service, alice.user_id)
    await owner.execute("UPDATE corral.users SET disabled_at = now() WHERE id = $1", alice.user_id)
    assert await status_of(anonymous, cookie) == 401


async def test_stored_values_are_not_accepted_as_cookies(
    service: Service, alice: Person, owner: asyncpg.Connection, anonymous: ClientSession
) -> None:
    cookie = await sign_in_by_link(service, alice.user_id)
    row = await _session_row(owner, alice)
    value = cookie.partition("=")[2]
    assert value.encode() not in row["lookup"] + row["seal"]
    for stored in (row["lookup"].hex(), row["seal"].hex(), str(row["id"])):
        assert await status_of(anonymous, f"corral_session={stored}") == 401


async def test_with_an_authorization_header_the_cookie_is_ignored(
    service: Service, alice: Person, anonymous: ClientSession
) -> None:
    cookie = await sign_in_by_link(service, alice.user_id)
    headers = {"Cookie": cookie, "Authorization": f"Bearer {PLANTED}"}
    async with anonymous.get("/api/me", headers=headers) as answer:
        assert answer.status == 401


async def test_cookies_and_tokens_are_not_interchangeable(
    service: Service, alice: Person, anonymous: ClientSession
) -> None:
    cookie = await sign_in_by_link(service, alice.user_id)
    async with anonymous.get("/api/me", headers={"Authorization": f"Bearer {cookie.partition('=')[2]}"}) as answer:
        assert answer.status == 401
    assert await status_of(anonymous, f"corral_session={alice.token}") == 401


async def test_sessions_survive_a_restart(service: Service, start_service: StartService, alice: Person) -> None:
    cookie = await sign_in_by_link(service, alice.user_id)
    async with start_service() as restarted, browser(restarted.url) as page:
        assert await status_of(page, cookie) == 200


async def test_a_signed_in_user_can_read_their_own_data(
    service: Service, carol: Member, anonymous: ClientSession
) -> None:
    reply = await sign_in_as(anonymous, carol)
    assert reply.reported["email"] == carol.email
    assert reply.reported["id"] == str(carol.user_id)
    assert reply.reported["authenticated_by"] == "session"


async def test_signing_in_ends_only_the_browsers_previous_session(
    service: Service, carol: Member, alice: Person, anonymous: ClientSession
) -> None:
    hers, elsewhere = [await sign_in_by_link(service, alice.user_id) for _ in range(2)]
    reply = await post(anonymous, "/api/session", cookie=hers, email=carol.email, password=carol.password)
    assert (reply.status, reply.reported["email"]) == (200, carol.email)
    assert [await status_of(anonymous, cookie) for cookie in (hers, elsewhere, str(reply.cookie))] == [401, 200, 200]


async def test_a_refused_sign_in_ends_no_session(
    service: Service, carol: Member, alice: Person, anonymous: ClientSession
) -> None:
    hers = await sign_in_by_link(service, alice.user_id)
    reply = await post(anonymous, "/api/session", cookie=hers, email=carol.email, password="not the password")
    assert reply.status == 401
    assert await status_of(anonymous, hers) == 200
