"""One-time links: once, in time, for whom they were made."""

import asyncio
import hashlib
from collections import Counter

import asyncpg
import pytest
from aiohttp import ClientSession

from corral.identity.links import issue_link
from corral.identity.tokens import new_token
from tests.access import browser, link_code
from tests.conftest import Service
from tests.identity.members import PASSWORD, Reply, post, status_of
from tests.log_lines import LogSince
from tests.people import Person


async def _redeem(service: Service, code: str) -> Reply:
    async with browser(service.url) as page:
        return await post(page, "/api/session/link", token=code)


async def _refused(service: Service, code: str) -> bool:
    reply = await _redeem(service, code)
    return (reply.status, reply.reported["code"], reply.cookie) == (403, "link_refused", None)


async def _setup_code(service: Service) -> str:
    resources = service.resources
    link = await issue_link(resources.database, resources.vault, "setup", None, resources.public_url)
    return link.reveal().partition("#")[2]


async def _set_up(service: Service, code: str, email: str = "first@corral.example", password: str = PASSWORD) -> Reply:
    async with browser(service.url) as page:
        return await post(page, "/api/setup", token=code, email=email, password=password)


async def test_a_link_signs_in_once(service: Service, alice: Person, anonymous: ClientSession) -> None:
    code = await link_code(service, alice.user_id)
    reply = await _redeem(service, code)
    assert reply.status == 200
    assert reply.reported["id"] == str(alice.user_id)
    assert await status_of(anonymous, reply.cookie or "") == 200
    assert await _refused(service, code)


async def test_of_fifty_concurrent_uses_of_a_link_one_succeeds(service: Service, alice: Person) -> None:
    code = await link_code(service, alice.user_id)
    async with browser(service.url) as page:
        replies = await asyncio.gather(*(post(page, "/api/session/link", token=code) for _ in range(50)))
    assert Counter(reply.status for reply in replies) == {200: 1, 403: 49}


async def test_a_link_expires(service: Service, alice: Person, owner: asyncpg.Connection, log: LogSince) -> None:
    code = await link_code(service, alice.user_id)
    await owner.execute("UPDATE corral.one_time_links SET expires_at = now() WHERE user_id = $1", alice.user_id)
    assert await _refused(service, code)
    assert not log.alarms("link_seal_broken")  # its time was looked at, before its seal


@pytest.mark.parametrize(
    "change", ["expires_at = expires_at + interval '1 day'", "expires_at = 'infinity'", "user_id = $2"]
)
async def test_a_link_that_was_changed_by_hand_is_refused(
    service: Service, alice: Person, bob: Person, owner: asyncpg.Connection, log: LogSince, change: str
) -> None:
    code = await link_code(service, bob.user_id)
    await owner.execute(
        f"UPDATE corral.one_time_links SET {change} WHERE user_id = $1 AND $2::uuid IS NOT NULL",
        bob.user_id,
        alice.user_id,
    )
    assert await _refused(service, code)
    assert log.alarms("link_seal_broken")


async def test_a_link_that_was_written_by_hand_is_refused(
    service: Service, alice: Person, owner: asyncpg.Connection
) -> None:
    code = new_token()
    known = hashlib.sha256(code.encode()).digest()
    await owner.execute(
        "INSERT INTO corral.one_time_links VALUES ($1, $1, 'sign_in', $2, now() + interval '1 h')", known, alice.user_id
    )
    assert await _refused(service, code)


async def test_a_link_of_a_disabled_user_is_refused(service: Service, alice: Person, owner: asyncpg.Connection) -> None:
    code = await link_code(service, alice.user_id)
    await owner.execute("UPDATE corral.users SET disabled_at = now() WHERE id = $1", alice.user_id)
    assert await _refused(service, code)


async def test_a_malformed_code_is_refused(service: Service, alice: Person) -> None:
    code = await link_code(service, alice.user_id)
    for other in (code[:-1], code + "0", code.swapcase(), "x", "é" * 45, "corral_" + "\0" * 38, alice.token):
        assert await _refused(service, other)
    assert (await _redeem(service, code)).status == 200


async def test_a_code_is_not_accepted_as_a_token_or_session(
    service: Service, alice: Person, anonymous: ClientSession
) -> None:
    code = await link_code(service, alice.user_id)
    async with anonymous.get("/api/me", headers={"Authorization": f"Bearer {code}"}) as answer:
        assert answer.status == 401
    assert await status_of(anonymous, f"corral_session={code}") == 401


async def test_a_code_is_in_the_fragment_of_its_link(service: Service, alice: Person) -> None:
    resources = service.resources
    link = await issue_link(resources.database, resources.vault, "sign_in", alice.user_id, "https://corral.example")
    page, _, code = link.reveal().partition("#")
    assert page == "https://corral.example/sign-in"
    assert (await _redeem(service, code)).status == 200


async def test_the_first_user_is_set_up_once(service_without_users: Service) -> None:
    code = await _setup_code(service_without_users)
    weak = await _set_up(service_without_users, code, password="short")
    assert (weak.status, weak.reported["code"]) == (422, "password_too_weak")  # and the link is not used up by it
    reply = await _set_up(service_without_users, code)
    assert reply.status == 201
    assert reply.reported["email"] == "first@corral.example"
    async with browser(service_without_users.url) as page:
        assert await status_of(page, reply.cookie or "") == 200
    for again in (code, await _setup_code(service_without_users)):
        reply = await _set_up(service_without_users, again, "second@corral.example")
        assert (reply.status, reply.reported["code"], reply.cookie) == (409, "already_set_up", None)


async def test_of_fifty_concurrent_set_ups_one_creates_the_first_user(
    service_without_users: Service, empty_owner: asyncpg.Connection
) -> None:
    code = await _setup_code(service_without_users)
    emails = [f"racer-{number}@corral.example" for number in range(50)]
    async with browser(service_without_users.url) as page:
        replies = await asyncio.gather(
            *(post(page, "/api/setup", token=code, email=email, password=PASSWORD) for email in emails)
        )
    statuses = Counter(reply.status for reply in replies)
    assert statuses[201] == 1
    assert set(statuses) <= {201, 403, 409, 503}  # 503: more passwords at once than may be hashed
    winner = next(email for email, reply in zip(emails, replies, strict=True) if reply.status == 201)
    assert [row["email"] for row in await empty_owner.fetch("SELECT email FROM corral.users")] == [winner]
    assert [reply.cookie is not None for reply in replies].count(True) == 1
    assert all("Retry-After" in reply.headers for reply in replies if reply.status == 503)


async def test_set_up_needs_the_code(service_without_users: Service, empty_owner: asyncpg.Connection) -> None:
    await _setup_code(service_without_users)
    for code in (new_token(), "guess"):
        reply = await _set_up(service_without_users, code)
        assert (reply.status, reply.reported["code"]) == (403, "link_refused")
    assert await empty_owner.fetchval("SELECT count(*) FROM corral.users") == 0


async def test_a_newer_set_up_link_replaces_the_previous_one(service_without_users: Service) -> None:
    older, newer = await _setup_code(service_without_users), await _setup_code(service_without_users)
    assert (await _set_up(service_without_users, older)).status == 403
    assert (await _set_up(service_without_users, newer)).status == 201


async def test_a_weak_password_does_not_use_up_the_set_up_link(service_without_users: Service) -> None:
    code = await _setup_code(service_without_users)
    assert (await _set_up(service_without_users, code, password="short")).status == 422
    assert (await _set_up(service_without_users, code)).status == 201


@pytest.mark.parametrize(
    ("change", "is_forged"), [("expires_at = now()", False), ("expires_at = expires_at + interval '1 day'", True)]
)
async def test_a_set_up_link_expires(
    service_without_users: Service,
    empty_owner: asyncpg.Connection,
    log: LogSince,
    change: str,
    is_forged: bool,  # noqa: FBT001
) -> None:
    code = await _setup_code(service_without_users)
    await empty_owner.execute(f"UPDATE corral.one_time_links SET {change}")
    assert (await _set_up(service_without_users, code)).status == 403
    assert bool(log.alarms("link_seal_broken")) is is_forged
    assert await empty_owner.fetchval("SELECT count(*) FROM corral.users") == 0


async def test_a_relabelled_sign_in_link_is_no_set_up_link(
    service: Service, alice: Person, service_without_users: Service, empty_owner: asyncpg.Connection
) -> None:
    code = await _setup_code(service_without_users)
    await empty_owner.execute("UPDATE corral.one_time_links SET kind = 'sign_in'")
    assert await _refused(service_without_users, code)
    assert (await _set_up(service_without_users, code)).status == 403


async def test_a_code_of_another_installation_is_refused(
    service: Service, alice: Person, service_without_users: Service
) -> None:
    assert await _refused(service_without_users, await link_code(service, alice.user_id))
