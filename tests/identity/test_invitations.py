"""Invitations: valid once, for a time and one email, and no user exists before they are accepted."""

import asyncio
import hashlib
import secrets
from collections import Counter
from typing import Any

import asyncpg
import pytest
from aiohttp import ClientSession

from corral.identity.tokens import new_token
from corral.people import operators, queries
from tests.access import browser, fingerprints, sign_in_by_link
from tests.conftest import Service
from tests.identity.members import PASSWORD, Member, Reply, add_member, make_administrator, post, status_of
from tests.log_lines import LogSince
from tests.people import Person

Json = dict[str, Any]
HER_PASSWORD = "a donkey, two staples and a lamp"


@pytest.fixture
def dora() -> str:
    """The email of a person who is not a member yet."""
    return f"dora-{secrets.token_hex(6)}@corral.example"


async def _invite(office: ClientSession, email: str) -> Json:
    body = {"email": email, "current_password": PASSWORD}
    async with office.post("/api/people/invitations", json=body) as answer:
        return {"status": answer.status, **await answer.json()}


async def _code(office: ClientSession, email: str) -> str:
    return (await _invite(office, email))["link"].partition("#")[2]


async def _accept(client: ClientSession, code: str, password: str = HER_PASSWORD) -> Reply:
    return await post(client, "/api/invitation", token=code, password=password)


async def _refused(client: ClientSession, code: str) -> bool:
    reply = await _accept(client, code)
    return (reply.status, reply.reported["code"], reply.cookie) == (403, "link_refused", None)


async def _pending(office: ClientSession) -> list[str]:
    async with office.get("/api/people") as answer:
        return [invitation["email"] for invitation in (await answer.json())["invitations"]]


async def test_an_invited_person_joins_with_their_own_password(
    service: Service, office: ClientSession, dora: str, anonymous: ClientSession
) -> None:
    invitation = await _invite(office, dora.upper())
    assert invitation["status"] == 201
    page, _, code = invitation["link"].partition("#")
    assert page == f"{service.resources.public_url}/invitation"
    assert invitation["email"] == dora
    reply = await _accept(anonymous, code)
    assert reply.status == 201
    assert (reply.reported["email"], reply.reported["is_administrator"]) == (dora, False)
    assert await status_of(anonymous, reply.cookie or "") == 200
    async with anonymous.post("/api/session", json={"email": dora, "password": HER_PASSWORD}) as answer:
        assert answer.status == 200
    assert await _refused(anonymous, code)


async def test_of_fifty_concurrent_acceptances_one_succeeds(
    service: Service, office: ClientSession, dora: str, owner: asyncpg.Connection
) -> None:
    code = await _code(office, dora)
    async with browser(service.url) as page:
        replies = await asyncio.gather(*(_accept(page, code) for _ in range(50)))
    statuses = Counter(reply.status for reply in replies)
    assert statuses[201] == 1
    assert set(statuses) <= {201, 403, 503}  # 503: more passwords at once than may be hashed
    assert await owner.fetchval("SELECT count(*) FROM corral.users WHERE email = $1", dora) == 1


async def test_no_user_is_created_before_an_invitation_is_accepted(
    office: ClientSession, dora: str, owner: asyncpg.Connection
) -> None:
    await _code(office, dora)
    assert await owner.fetchval("SELECT count(*) FROM corral.users WHERE email = $1", dora) == 0
    assert dora in await _pending(office)


async def test_an_accepted_invitation_is_no_longer_pending(
    office: ClientSession, dora: str, anonymous: ClientSession
) -> None:
    await _accept(anonymous, await _code(office, dora))
    assert dora not in await _pending(office)


async def test_a_newer_invitation_replaces_the_previous_one(
    office: ClientSession, dora: str, anonymous: ClientSession
) -> None:
    older, newer = await _code(office, dora), await _code(office, dora)
    assert (await _pending(office)).count(dora) == 1
    assert await _refused(anonymous, older)
    assert (await _accept(anonymous, newer)).status == 201


async def test_an_existing_member_cannot_be_invited(office: ClientSession, alice: Person, bob: Person) -> None:
    """Or an administrator could make a link that signs in as alice."""
    for person in (alice, bob):
        refusal = await _invite(office, person.email)
        assert (refusal["status"], refusal["code"]) == (409, "email_taken")


async def test_an_email_taken_meanwhile_is_not_taken_over(
    service: Service, office: ClientSession, dora: str, anonymous: ClientSession, owner: asyncpg.Connection
) -> None:
    code = await _code(office, dora)
    await owner.execute("INSERT INTO corral.users (id, email) VALUES (gen_random_uuid(), $1)", dora)
    before = await fingerprints(owner)
    reply = await _accept(anonymous, code)
    assert (reply.status, reply.reported["code"], reply.cookie) == (409, "email_taken", None)
    assert await fingerprints(owner) == before


async def test_an_invitation_expires(
    office: ClientSession, dora: str, anonymous: ClientSession, owner: asyncpg.Connection, log: LogSince
) -> None:
    code = await _code(office, dora)
    await owner.execute("UPDATE corral.invitations SET expires_at = now() WHERE email = $1", dora)
    assert await _refused(anonymous, code)
    assert not log.alarms("invitation_seal_broken")  # its time was looked at, before its seal
    assert dora not in await _pending(office)
    await _code(office, f"x{dora}")
    assert await owner.fetchval("SELECT count(*) FROM corral.invitations WHERE email = $1", dora) == 0


@pytest.mark.parametrize(
    "change",
    [
        "expires_at = expires_at + interval '1 day'",
        "expires_at = 'infinity'",
        "email = 'x' || email",
        "invited_by = $2",
        "seal = sha256(seal)",
    ],
)
async def test_an_invitation_that_was_changed_by_hand_is_refused(
    service: Service,
    office: ClientSession,
    dora: str,
    anonymous: ClientSession,
    owner: asyncpg.Connection,
    log: LogSince,
    change: str,
) -> None:
    other = await add_member(service)
    await make_administrator(service, other.email)
    code = await _code(office, dora)
    await owner.execute(
        f"UPDATE corral.invitations SET {change} WHERE email = $1 AND $2::uuid IS NOT NULL", dora, other.user_id
    )
    assert await _refused(anonymous, code)
    assert log.alarms("invitation_seal_broken")


async def test_an_invitation_that_was_written_by_hand_is_refused(
    ada: Member, dora: str, anonymous: ClientSession, owner: asyncpg.Connection
) -> None:
    code = new_token()
    known = hashlib.sha256(code.encode()).digest()
    await owner.execute(
        "INSERT INTO corral.invitations VALUES ($1, $1, $2, $3, now() + interval '1 h')", known, dora, ada.user_id
    )
    assert await _refused(anonymous, code)


@pytest.mark.parametrize("how", ["disabled", "demoted"])
async def test_invitations_of_a_former_administrator_are_refused(
    service: Service,
    office: ClientSession,
    ada: Member,
    dora: str,
    anonymous: ClientSession,
    owner: asyncpg.Connection,
    how: str,
) -> None:
    code = await _code(office, dora)
    if how == "disabled":
        await operators.disable_person(owner, service.resources.vault, ada.email)
    else:
        await operators.demote_person(owner, service.resources.vault, ada.email)
    assert await owner.fetchval("SELECT count(*) FROM corral.invitations WHERE invited_by = $1", ada.user_id) == 0
    assert await _refused(anonymous, code)


@pytest.mark.parametrize("change", ["disabled_at = now()", "admin_seal = NULL"])
async def test_an_invitation_is_valid_only_while_its_creator_is_an_administrator(
    service: Service, office: ClientSession, ada: Member, dora: str, anonymous: ClientSession,
    owner: asyncpg.Connection, change: str,
) -> None:  # fmt: skip
    other = await add_member(service)
    await make_administrator(service, other.email)
    code = await _code(office, dora)
    await owner.execute(f"UPDATE corral.users SET {change} WHERE id = $1", ada.user_id)
    assert await _refused(anonymous, code)
    # Nor in the moment between being looked at and being used up.
    async with service.resources.database.connection() as connection:
        lookups = service.resources.vault.access.verifiers("invitation", code)
        assert await queries.redeem_invitation(connection, lookups) is None
    async with browser(service.url, await sign_in_by_link(service, other.user_id)) as page:
        assert dora not in await _pending(page)


async def test_a_weak_password_does_not_use_up_an_invitation(
    office: ClientSession, dora: str, anonymous: ClientSession
) -> None:
    code = await _code(office, dora)
    for weak in ("short", dora):
        assert (await _accept(anonymous, code, weak)).reported["code"] == "password_too_weak"
    assert (await _accept(anonymous, code)).status == 201


async def test_invitation_codes_and_other_codes_are_not_interchangeable(
    service: Service, office: ClientSession, alice: Person, dora: str, anonymous: ClientSession
) -> None:
    code = await _code(office, dora)
    assert (await post(anonymous, "/api/session/link", token=code)).status == 403
    assert await status_of(anonymous, f"corral_session={code}") == 401
    for other in (alice.token, new_token(), code[:-1], "x", ""):
        reply = await _accept(anonymous, other)
        assert reply.status == (403 if other else 422)
    assert (await _accept(anonymous, code)).status == 201


async def test_an_accepted_invitations_link_gives_an_administrator_no_access(
    office: ClientSession, dora: str, anonymous: ClientSession
) -> None:
    code = await _code(office, dora)
    await _accept(anonymous, code)
    assert await _refused(anonymous, code)
    assert (await _invite(office, dora))["code"] == "email_taken"
    assert (await post(anonymous, "/api/session", email=dora, password=PASSWORD)).status == 401


async def test_no_log_line_contains_the_code_or_the_email(
    office: ClientSession, ada: Member, dora: str, anonymous: ClientSession, log: LogSince
) -> None:
    code = await _code(office, dora)
    reply = await _accept(anonymous, code)
    assert (await log.awaited("user_invited"))["user_id"] == str(ada.user_id)
    added = await log.awaited("user_added", user_id=reply.reported["id"])
    assert added["by"] == str(ada.user_id)
    for secret in (code, dora, HER_PASSWORD, PASSWORD):
        assert secret not in log.text()


async def test_an_invitation_is_listed_and_revoked_by_any_administrator(
    service: Service, office: ClientSession, dora: str, anonymous: ClientSession, bob: Person
) -> None:
    made = await _invite(office, dora)
    async with office.get("/api/people") as answer:
        listed = [one for one in (await answer.json())["invitations"] if one["email"] == dora]
    assert listed == [{"id": made["id"], "email": dora, "expires_at": made["expires_at"]}]
    another = await add_member(service)
    await make_administrator(service, another.email)
    path = f"/api/people/invitations/{made['id']}"
    async with browser(service.url, await sign_in_by_link(service, bob.user_id)) as page, page.delete(path) as answer:
        assert (answer.status, (await answer.json())["code"]) == (403, "not_an_administrator")
    async with browser(service.url, await sign_in_by_link(service, another.user_id)) as page:
        async with page.delete(path) as answer:
            assert answer.status == 204
        async with page.delete(path) as answer:
            assert (answer.status, (await answer.json())["code"]) == (404, "invitation_not_found")
    code = made["link"].partition("#")[2]
    reply = await post(anonymous, "/api/invitation", token=code, password=HER_PASSWORD)
    assert (reply.status, reply.reported["code"]) == (403, "link_refused")


async def test_the_id_of_an_invitation_that_was_replaced_revokes_nothing(
    office: ClientSession, dora: str, anonymous: ClientSession
) -> None:
    first, second = await _invite(office, dora), await _invite(office, dora)
    async with office.delete(f"/api/people/invitations/{first['id']}") as answer:
        assert answer.status == 404
    code = second["link"].partition("#")[2]
    assert (await post(anonymous, "/api/invitation", token=code, password=HER_PASSWORD)).status == 201
