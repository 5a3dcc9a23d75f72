"""One's own sessions: where, since when, and ended from afar."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from aiohttp import ClientSession

from tests.access import browser, cookie_of, link_code, sign_in_by_link
from tests.conftest import Service
from tests.identity.members import Member, sign_in_as, status_of
from tests.people import Person

Json = dict[str, Any]
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"


async def _sessions(service: Service, cookie: str) -> list[Json]:
    async with browser(service.url, cookie) as page, page.get("/api/sessions") as answer:
        assert answer.status == 200, await answer.text()
        return (await answer.json())["items"]


async def _delete(service: Service, cookie: str, path: str) -> tuple[int, str]:
    async with browser(service.url, cookie) as page, page.delete(path) as answer:
        return answer.status, "" if answer.status == 204 else (await answer.json())["code"]


async def _current(service: Service, cookie: str) -> str:
    return next(session["id"] for session in await _sessions(service, cookie) if session["is_current"])


async def test_sessions_are_listed_with_device_and_times_and_nothing_of_bobs(
    service: Service, alice: Person, bob: Person
) -> None:
    await sign_in_by_link(service, bob.user_id)
    older = await sign_in_by_link(service, alice.user_id)
    code = await link_code(service, alice.user_id)
    async with (
        browser(service.url) as page,
        page.post("/api/session/link", json={"token": code}, headers={"User-Agent": FIREFOX}) as answer,
    ):
        newer = cookie_of(answer)
    listed = await _sessions(service, newer)
    assert [(one["device"], one["is_current"], one["is_idle"]) for one in listed] == [
        ("Firefox on Linux", True, False),
        ("Python", False, False),
    ]
    assert set(listed[0]) == {
        "id", "device", "is_current", "is_idle", "created_at", "last_seen_at", "expires_at",
    }  # fmt: skip
    assert [one["is_current"] for one in await _sessions(service, older)] == [False, True]


async def test_a_session_is_ended_from_another_one(
    service: Service, alice: Person, bob: Person, anonymous: ClientSession
) -> None:
    lost, kept = [await sign_in_by_link(service, alice.user_id) for _ in range(2)]
    bobs = await sign_in_by_link(service, bob.user_id)
    lost_id = await _current(service, lost)
    assert await _delete(service, bobs, f"/api/sessions/{lost_id}") == (404, "session_not_found")
    assert await status_of(anonymous, lost) == 200
    assert await _delete(service, kept, f"/api/sessions/{lost_id}") == (204, "")
    assert await status_of(anonymous, lost) == 401
    assert await status_of(anonymous, kept) == 200
    assert await _delete(service, kept, f"/api/sessions/{lost_id}") == (404, "session_not_found")
    assert await _delete(service, kept, f"/api/sessions/{uuid4()}") == (404, "session_not_found")


async def test_ending_the_current_session_clears_its_cookie(
    service: Service, alice: Person, bob: Person, anonymous: ClientSession
) -> None:
    other, own = [await sign_in_by_link(service, alice.user_id) for _ in range(2)]
    async with browser(service.url, own) as page:
        async with page.delete(f"/api/sessions/{await _current(service, other)}") as answer:
            assert "Set-Cookie" not in answer.headers
        async with page.delete(f"/api/sessions/{await _current(service, own)}") as answer:
            assert answer.status == 204
            assert cookie_of(answer) == 'corral_session=""'
    assert await status_of(anonymous, own) == 401


async def test_ending_all_others_keeps_bobs_sessions_and_tokens(
    service: Service, alice: Person, bob: Person, anonymous: ClientSession
) -> None:
    first, second, own = [await sign_in_by_link(service, alice.user_id) for _ in range(3)]
    bobs = await sign_in_by_link(service, bob.user_id)
    assert await _delete(service, own, "/api/sessions") == (204, "")
    assert [await status_of(anonymous, cookie) for cookie in (first, second, own, bobs)] == [401, 401, 200, 200]
    async with alice.client.get("/api/me") as answer:
        assert answer.status == 200


async def test_an_idle_session_is_listed_and_an_expired_one_is_not(
    service: Service, alice: Person, owner: asyncpg.Connection
) -> None:
    cookies = [await sign_in_by_link(service, alice.user_id) for _ in range(3)]
    resting, expired, own = [await _current(service, cookie) for cookie in cookies]
    await owner.execute(
        "UPDATE corral.sessions SET last_seen_at = now() - $2::interval WHERE id::text = $1",
        resting,
        timedelta(minutes=31),
    )
    await owner.execute("UPDATE corral.sessions SET expires_at = now() WHERE id::text = $1", expired)
    listed = {one["id"]: one["is_idle"] for one in await _sessions(service, cookies[2])}
    assert listed == {resting: True, own: False}
    assert await _delete(service, cookies[2], f"/api/sessions/{resting}") == (204, "")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_no_token_sees_or_ends_a_session(
    service: Service, alice: Person, anonymous: ClientSession, method: str
) -> None:
    cookie = await sign_in_by_link(service, alice.user_id)
    for path in ("/api/sessions", f"/api/sessions/{await _current(service, cookie)}"):
        if (method, path) == ("GET", "/api/sessions") or method == "DELETE":
            async with alice.client.request(method, path) as answer:
                assert (await answer.json())["code"] == "session_required"
    assert await status_of(anonymous, cookie) == 200


async def test_a_new_password_leaves_no_session_in_the_list(
    service: Service, carol: Member, anonymous: ClientSession
) -> None:
    cookie = (await sign_in_as(anonymous, carol)).cookie or ""
    await sign_in_as(anonymous, carol)
    body = {"current_password": carol.password, "new_password": "another horse with another staple"}
    async with browser(service.url, cookie) as page, page.put("/api/me/password", json=body) as answer:
        assert answer.status == 204
    assert len(await _sessions(service, await sign_in_by_link(service, carol.user_id))) == 1
