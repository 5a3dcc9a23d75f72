"""Security activity: which changes to a user's access, when and from where."""

from typing import Any

import asyncpg
from aiohttp import ClientSession

from corral.database.connection import get_connection_with_rls
from corral.identity.queries import MOST_EVENTS_OF_A_KIND
from corral.identity.security_events import OPERATOR, note_event
from tests.access import browser, sign_in_by_link
from tests.conftest import Service
from tests.identity.members import Member, sign_in_as
from tests.identity.test_recovery import NEW_PASSWORD, recovery_code
from tests.people import Person

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


async def _events(service: Service, cookie: str) -> list[dict[str, Any]]:
    async with browser(service.url, cookie) as page, page.get("/api/me/events") as answer:
        assert answer.status == 200
        return (await answer.json())["items"]


def _reported(events: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [(event["kind"], event["made_by"], event["device"], event["subject"]) for event in events]


async def test_every_change_is_listed_with_its_source_newest_first(
    service: Service, carol: Member, bob: Person, anonymous: ClientSession
) -> None:
    headers = {"User-Agent": FIREFOX}
    async with browser(service.url, await sign_in_by_link(service, carol.user_id)) as page:
        made: list[dict[str, Any]] = []
        for name in ("first", "second"):
            async with page.post("/api/tokens", json={"name": name}, headers=headers) as answer:
                made.append(await answer.json())
        by_token = {"Authorization": f"Bearer {made[1]['token']}", "User-Agent": "my-script/1.0"}
        async with anonymous.delete(f"/api/tokens/{made[0]['id']}", headers=by_token) as answer:
            assert answer.status == 204
        async with anonymous.delete("/api/tokens", headers=by_token) as answer:
            assert answer.status == 204
        body = {"current_password": carol.password, "new_password": NEW_PASSWORD}
        async with page.put("/api/me/password", json=body, headers=headers) as answer:
            assert answer.status == 204
    recovery = {"token": await recovery_code(service, carol), "new_password": NEW_PASSWORD}
    async with anonymous.post("/api/recovery", json=recovery, headers=headers) as answer:
        assert answer.status == 204
    events = await _events(service, await sign_in_by_link(service, carol.user_id))
    assert _reported(events) == [
        ("password_recovered", "link", "Firefox on Linux", None),
        ("recovery_link_made", "operator", None, None),
        ("password_changed", "session", "Firefox on Linux", None),
        ("tokens_revoked", "token", "my-script", None),
        ("token_revoked", "token", "my-script", "first"),
        ("token_made", "session", "Firefox on Linux", "second"),
        ("token_made", "session", "Firefox on Linux", "first"),
    ]
    assert {event["address"] for event in events} == {None}  # a loopback address is a proxy's
    times = [event["happened_at"] for event in events]
    assert times == sorted(times, reverse=True)
    assert _reported(await _events(service, await sign_in_by_link(service, bob.user_id))) == [
        ("token_made", "operator", None, "test")
    ]


async def test_refused_requests_are_no_events(service: Service, carol: Member) -> None:
    cookie = await sign_in_by_link(service, carol.user_id)
    async with browser(service.url, cookie) as page:
        body = {"current_password": "not the one that it is", "new_password": NEW_PASSWORD}
        async with page.put("/api/me/password", json=body) as answer:
            assert answer.status == 401
        async with page.delete("/api/tokens/4b0b5a2e-9a3c-4c1e-8a57-0d9c6f2f6d31") as answer:
            assert answer.status == 404
    assert await _events(service, cookie) == []


async def test_events_are_bounded_and_many_of_one_kind_do_not_push_out_another(
    service: Service, carol: Member, bob: Person, owner: asyncpg.Connection
) -> None:
    vault = service.resources.vault
    async with get_connection_with_rls(carol.user_id, service.resources.database) as connection:
        await note_event(connection, vault, carol.user_id, "password_changed", OPERATOR)
        for number in range(MOST_EVENTS_OF_A_KIND + 5):
            await note_event(connection, vault, carol.user_id, "token_made", OPERATOR, subject=f"number {number}")
    events = await _events(service, await sign_in_by_link(service, carol.user_id))
    made = [event["subject"] for event in events if event["kind"] == "token_made"]
    assert (len(made), made[0], made[-1]) == (50, "number 54", "number 5")
    assert events[-1]["kind"] == "password_changed"
    assert await owner.fetchval("SELECT count(*) FROM corral.account_events WHERE user_id = $1", bob.user_id) == 1


async def test_a_token_reads_no_events(alice: Person, bob: Person) -> None:
    async with alice.client.get("/api/me/events") as answer:
        assert (answer.status, (await answer.json())["code"]) == (403, "session_required")


async def test_no_token_is_younger_than_the_change_that_ended_its_makers_session(
    service: Service, carol: Member, owner: asyncpg.Connection, anonymous: ClientSession
) -> None:
    """What an ended session was making is not there; the event has the moment of the change."""
    assert (await sign_in_as(anonymous, carol)).status == 200
    cookie = await sign_in_by_link(service, carol.user_id)
    async with browser(service.url, cookie) as page:
        body = {"current_password": carol.password, "new_password": NEW_PASSWORD}
        async with page.put("/api/me/password", json=body) as answer:
            assert answer.status == 204
        async with page.post("/api/tokens", json={"name": "late"}) as answer:
            assert answer.status == 401
    assert not await owner.fetchval("SELECT count(*) FROM corral.api_tokens WHERE user_id = $1", carol.user_id)
