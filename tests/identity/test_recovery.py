"""A lost password: the operator's link sets a new one, once, within an hour, and ends all that was there."""

import asyncio
from collections import Counter
from typing import Any

import asyncpg
import pytest
from aiohttp import ClientSession

from corral.identity import sign_in
from corral.identity.links import issue_link
from corral.secret import Secret
from tests.access import browser, link_code, sign_in_by_link
from tests.conftest import Service
from tests.identity.members import Member, make_administrator, post, sign_in_as, status_of
from tests.log_lines import LogSince
from tests.people import Person

NEW_PASSWORD = "another horse with another staple"


async def recovery_code(service: Service, member: Member) -> str:
    """As `corral users link` makes it."""
    resources = service.resources
    link = await issue_link(resources.database, resources.vault, "recovery", member.user_id, resources.public_url)
    assert link.reveal().startswith(f"{resources.public_url}/recover#")
    return link.reveal().partition("#")[2]


async def _recover(client: ClientSession, code: str, new: str = NEW_PASSWORD) -> tuple[int, str]:
    async with client.post("/api/recovery", json={"token": code, "new_password": new}) as answer:
        problem: dict[str, Any] = {} if answer.status == 204 else await answer.json()
        return answer.status, problem.get("code", "")


async def test_a_recovery_link_sets_a_password_without_the_old_one_and_once(
    service: Service, carol: Member, anonymous: ClientSession
) -> None:
    code = await recovery_code(service, carol)
    assert await _recover(anonymous, code) == (204, "")
    assert (await sign_in_as(anonymous, carol)).status == 401
    assert (await sign_in_as(anonymous, carol, NEW_PASSWORD)).status == 200
    assert await _recover(anonymous, code) == (403, "link_refused")


async def test_a_recovery_ends_all_access_of_the_user_and_of_no_other(
    service: Service, carol: Member, alice: Person, bob: Person, owner: asyncpg.Connection, anonymous: ClientSession
) -> None:
    await make_administrator(service, carol.email)
    cookie, unused = await sign_in_by_link(service, carol.user_id), await link_code(service, carol.user_id)
    async with browser(service.url, cookie) as page:
        async with page.post("/api/tokens", json={"name": "script"}) as answer:
            token = (await answer.json())["token"]
        invited = {"email": f"dora-{carol.user_id}@corral.example", "current_password": carol.password}
        async with page.post("/api/people/invitations", json=invited) as answer:
            assert answer.status == 201
    hers = await sign_in_by_link(service, alice.user_id)
    assert await _recover(anonymous, await recovery_code(service, carol)) == (204, "")
    assert await status_of(anonymous, cookie) == 401
    async with anonymous.get("/api/me", headers={"Authorization": f"Bearer {token}"}) as answer:
        assert answer.status == 401
    assert (await post(anonymous, "/api/session/link", token=unused)).reported["code"] == "link_refused"
    assert not await owner.fetchval("SELECT count(*) FROM corral.invitations WHERE invited_by = $1", carol.user_id)
    assert await status_of(anonymous, hers) == 200
    async with bob.client.get("/api/me") as answer:
        assert answer.status == 200


async def test_a_recovery_link_expires_after_an_hour(
    service: Service, carol: Member, owner: asyncpg.Connection, anonymous: ClientSession, log: LogSince
) -> None:
    code = await recovery_code(service, carol)
    seconds = await owner.fetchval(
        "SELECT extract(epoch FROM expires_at - now())::int FROM corral.one_time_links WHERE user_id = $1",
        carol.user_id,
    )
    assert 0 < seconds <= 3600
    await owner.execute("UPDATE corral.one_time_links SET expires_at = now() WHERE user_id = $1", carol.user_id)
    assert await _recover(anonymous, code) == (403, "link_refused")
    assert not log.alarms("link_seal_broken")  # its time was looked at, before its seal


@pytest.mark.parametrize("change", ["expires_at = expires_at + interval '1 hour'", "user_id = $2"])
async def test_a_recovery_link_that_was_changed_by_hand_sets_nothing(
    service: Service, carol: Member, bob: Person, owner: asyncpg.Connection, log: LogSince, change: str
) -> None:
    code = await recovery_code(service, carol)
    await owner.execute(
        f"UPDATE corral.one_time_links SET {change} WHERE user_id = $1 AND $2::uuid IS NOT NULL",
        carol.user_id,
        bob.user_id,
    )
    async with browser(service.url) as page:
        assert await _recover(page, code) == (403, "link_refused")
    assert log.alarms("link_seal_broken")


async def test_sign_in_links_and_recovery_links_are_not_interchangeable(
    service: Service, carol: Member, anonymous: ClientSession
) -> None:
    sign_in_code, code = await link_code(service, carol.user_id), await recovery_code(service, carol)
    assert await _recover(anonymous, sign_in_code) == (403, "link_refused")
    assert (await post(anonymous, "/api/session/link", token=code)).reported["code"] == "link_refused"
    assert (await sign_in_as(anonymous, carol)).status == 200


async def test_a_weak_password_does_not_use_up_the_recovery_link(
    service: Service, carol: Member, anonymous: ClientSession
) -> None:
    code = await recovery_code(service, carol)
    assert await _recover(anonymous, code, "password1234") == (422, "password_too_weak")
    assert await _recover(anonymous, "corral_no") == (403, "link_refused")
    assert await _recover(anonymous, code) == (204, "")


async def test_a_recovery_link_of_a_disabled_user_or_a_former_password_is_refused(
    service: Service, carol: Member, owner: asyncpg.Connection, anonymous: ClientSession
) -> None:
    code = await recovery_code(service, carol)
    await owner.execute("UPDATE corral.users SET disabled_at = now() WHERE id = $1", carol.user_id)
    assert await _recover(anonymous, code) == (403, "link_refused")
    await owner.execute("UPDATE corral.users SET disabled_at = NULL WHERE id = $1", carol.user_id)
    async with browser(service.url, await sign_in_by_link(service, carol.user_id)) as page:
        body = {"current_password": carol.password, "new_password": NEW_PASSWORD}
        async with page.put("/api/me/password", json=body) as answer:
            assert answer.status == 204
    assert await _recover(anonymous, code, "yet another horse, unstapled") == (403, "link_refused")


async def test_of_many_concurrent_uses_of_a_recovery_link_one_succeeds(
    service: Service, carol: Member, anonymous: ClientSession
) -> None:
    code = await recovery_code(service, carol)
    passwords = [f"{NEW_PASSWORD} {number}" for number in range(6)]
    reported = await asyncio.gather(*(_recover(anonymous, code, new) for new in passwords))
    assert Counter(reported) == {(204, ""): 1, (403, "link_refused"): 5}
    (winner,) = [new for new, (status, _) in zip(passwords, reported, strict=True) if status == 204]
    assert (await sign_in_as(anonymous, carol, winner)).status == 200


async def test_a_sign_in_in_progress_does_not_survive_a_recovery(
    service: Service, carol: Member, anonymous: ClientSession
) -> None:
    resources = service.resources
    verified = await sign_in.check_password(
        resources.database,
        resources.vault,
        service.services.state["audit"],
        email=carol.email,
        password=Secret(carol.password),
        peer=None,
    )
    assert await _recover(anonymous, await recovery_code(service, carol)) == (204, "")
    assert not await _is_current(service, verified.access_epoch, carol)


async def _is_current(service: Service, epoch: int, member: Member) -> bool:
    user = await sign_in.queries.find_user_by_email(service.resources.database, member.email)
    return user is not None and user.access_epoch == epoch


async def test_a_recovery_is_in_the_log_without_a_secret(
    service: Service, carol: Member, anonymous: ClientSession, log: LogSince
) -> None:
    code = await recovery_code(service, carol)
    assert await _recover(anonymous, code) == (204, "")
    assert await log.awaited("password_recovered", user_id=str(carol.user_id))
    assert code not in log.text()
    assert NEW_PASSWORD not in log.text()
