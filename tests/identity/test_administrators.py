"""Administrators: what they may do with people, and that it is nothing else."""

import asyncio
import secrets
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from aiohttp import ClientSession

from corral.database.connection import get_connection_with_rls
from corral.database.embedded.instance import EmbeddedDatabase
from corral.identity.links import issue_link
from corral.identity.models import Scope
from corral.identity.problems import AlreadySetUp, NotAnAdministrator
from corral.identity.queries import insert_first_user
from corral.identity.tokens import admin_seal
from corral.people import queries
from tests.access import browser, fingerprints, link_code, sign_in_by_link
from tests.conftest import Service
from tests.identity.members import (
    PASSWORD,
    Member,
    add_member,
    make_administrator,
    post,
    sign_in_as,
    status_of,
)
from tests.log_lines import LogSince
from tests.operations import ADMINISTRATORS, OPERATIONS, Key, Operation
from tests.people import Person
from tests.stream.sse_client import SOON, listening_to

Json = dict[str, Any]
_CONFIRMED = {"current_password": PASSWORD}


async def _call(client: ClientSession, method: str, path: str, body: Json | None = None) -> tuple[int, str]:
    async with client.request(method, path, json=body) as answer:
        return answer.status, (await answer.json())["code"] if answer.status >= 400 else ""


async def _disable(client: ClientSession, person_id: UUID, **body: str) -> tuple[int, str]:
    return await _call(client, "POST", f"/api/people/{person_id}/disable", body or _CONFIRMED)


async def _enable(client: ClientSession, person_id: UUID) -> tuple[int, str]:
    return await _call(client, "POST", f"/api/people/{person_id}/enable", _CONFIRMED)


async def _listed(office: ClientSession) -> dict[str, Json]:
    async with office.get("/api/people") as answer:
        assert answer.status == 200, await answer.text()
        return {person["email"]: person for person in (await answer.json())["items"]}


async def test_members_are_listed_with_email_and_status_only(
    office: ClientSession, ada: Member, alice: Person, bob: Person
) -> None:
    await alice.store()
    await _disable(office, bob.user_id)
    people = await _listed(office)
    assert {tuple(person) for person in people.values()} == {
        ("id", "email", "is_administrator", "created_at", "disabled_at")
    }
    states = {email: (people[email]["is_administrator"], people[email]["disabled_at"] is not None) for email in people}
    assert states[ada.email] == (True, False)
    assert states[alice.email] == (False, False)
    assert states[bob.email] == (False, True)
    assert people[alice.email]["id"] == str(alice.user_id)


async def test_a_disabled_member_loses_all_access_at_once(
    service: Service, office: ClientSession, alice: Person, bob: Person, carol: Member, anonymous: ClientSession
) -> None:
    cookie = await sign_in_by_link(service, carol.user_id)
    code = await link_code(service, carol.user_id)
    alices = await sign_in_by_link(service, alice.user_id)
    assert await _disable(office, carol.user_id) == (204, "")
    assert await _disable(office, bob.user_id) == (204, "")
    assert await status_of(anonymous, cookie) == 401
    assert (await sign_in_as(anonymous, carol)).reported["code"] == "sign_in_refused"
    assert (await post(anonymous, "/api/session/link", token=code)).reported["code"] == "link_refused"
    assert await _call(bob.client, "GET", "/api/me") == (401, "unauthenticated")
    assert await status_of(anonymous, alices) == 200
    assert await _call(alice.client, "GET", "/api/me") == (200, "")


async def test_only_the_streams_of_a_disabled_member_end(
    service: Service, office: ClientSession, alice: Person, bob: Person
) -> None:
    cookie = await sign_in_by_link(service, alice.user_id)
    async with (
        browser(service.url, cookie) as page,
        listening_to(page) as by_session,
        listening_to(alice.client) as by_token,
        listening_to(bob.client) as bobs,
    ):
        for sse in (by_session, by_token, bobs):
            await sse.until("heartbeat")
        began = asyncio.get_running_loop().time()
        assert await _disable(office, alice.user_id) == (204, "")
        for sse in (by_session, by_token):
            assert await sse.until_end() - began < SOON
            (reported,) = sse.of("problem")
            assert reported.data["code"] == "unauthenticated"
        assert bobs.ended_at is None


async def test_a_stream_ends_with_its_session_wherever_that_is_ended(
    service: Service, alice: Person, bob: Person
) -> None:
    lost, kept = [await sign_in_by_link(service, alice.user_id) for _ in range(2)]
    async with (
        browser(service.url, lost) as lost_page,
        browser(service.url, kept) as page,
        listening_to(lost_page) as sse,
        listening_to(page) as others,
    ):
        await sse.until("heartbeat")
        await others.until("heartbeat")
        assert await _call(page, "DELETE", "/api/sessions") == (204, "")
        await sse.until_end()
        assert others.ended_at is None


async def test_an_enabled_member_can_sign_in_and_ended_access_stays_ended(
    service: Service, office: ClientSession, carol: Member, bob: Person, anonymous: ClientSession
) -> None:
    cookie = await sign_in_by_link(service, carol.user_id)
    code = await link_code(service, carol.user_id)
    for person in (carol, bob):
        await _disable(office, person.user_id)
        assert await _enable(office, person.user_id) == (204, "")
    assert (await sign_in_as(anonymous, carol)).status == 200
    assert await status_of(anonymous, cookie) == 401
    assert (await post(anonymous, "/api/session/link", token=code)).status == 403
    assert await _call(bob.client, "GET", "/api/me") == (401, "unauthenticated")


async def test_disabling_and_enabling_are_idempotent(office: ClientSession, bob: Person, alice: Person) -> None:
    await _disable(office, bob.user_id)
    since = (await _listed(office))[bob.email]["disabled_at"]
    assert await _disable(office, bob.user_id) == (204, "")
    assert (await _listed(office))[bob.email]["disabled_at"] == since
    assert [await _enable(office, bob.user_id) for _ in range(2)] == [(204, "")] * 2
    assert (await _listed(office))[bob.email]["disabled_at"] is None


async def test_administrators_cannot_disable_or_enable_each_other_or_themselves(
    service: Service, office: ClientSession, ada: Member, owner: asyncpg.Connection
) -> None:
    other, ended = await add_member(service), await add_member(service)
    await make_administrator(service, other.email)
    await make_administrator(service, ended.email)
    await owner.execute("SELECT corral.disable_user($1)", ended.user_id)
    before = await fingerprints(owner)
    for member in (other, ada, ended):
        assert await _disable(office, member.user_id) == (409, "administrator_protected")
        assert await _enable(office, member.user_id) == (409, "administrator_protected")
    after = await fingerprints(owner)
    # The administrator's own password was right each time, and its attempts are forgotten.
    assert {name: after[name] for name in ("users", "sessions", "api_tokens")} == {
        name: before[name] for name in ("users", "sessions", "api_tokens")
    }
    assert (await _listed(office))[ended.email]["disabled_at"] is not None


async def test_an_unknown_member_is_not_found(office: ClientSession, alice: Person) -> None:
    assert await _disable(office, uuid4()) == (404, "person_not_found")
    assert await _enable(office, uuid4()) == (404, "person_not_found")
    assert await _call(office, "POST", "/api/people/not-a-uuid/disable", _CONFIRMED) == (422, "invalid_request")


def test_administrators_have_exactly_these_operations() -> None:
    assert {operation.key for operation in OPERATIONS if operation.path.startswith("/api/people")} == ADMINISTRATORS


@pytest.mark.parametrize("key", sorted(ADMINISTRATORS), ids=" ".join)
async def test_other_users_see_and_change_nothing(
    key: Key, service: Service, alice: Person, bob: Person, owner: asyncpg.Connection
) -> None:
    """By session or token; for existing and unknown members, the response is the same."""
    method, path = key
    body = {"email": f"dora-{secrets.token_hex(6)}@corral.example"} if path.endswith("invitations") else {}
    cookie = await sign_in_by_link(service, bob.user_id)
    before = await fingerprints(owner)
    async with browser(service.url, cookie) as page:
        for person_id in (alice.user_id, uuid4()):
            address = path.format_map({"person_id": person_id, "invitation_id": uuid4()})
            sent = None if method == "GET" else body
            assert await _call(page, method, address, sent) == (403, "not_an_administrator")
            assert await _call(bob.client, method, address, sent) == (403, "session_required")
    assert await fingerprints(owner) == before


@pytest.mark.parametrize("key", sorted(ADMINISTRATORS), ids=" ".join)
async def test_an_administrators_token_has_no_administrator_rights(
    key: Key, service: Service, ada: Member, alice: Person, owner: asyncpg.Connection
) -> None:
    async with browser(service.url, await sign_in_by_link(service, ada.user_id)) as page:
        body = {"name": "wide", "scopes": [scope.value for scope in Scope]}
        async with page.post("/api/tokens", json=body) as answer:
            token = (await answer.json())["token"]
    before = await fingerprints(owner)
    async with ClientSession(service.url, headers={"Authorization": f"Bearer {token}"}) as program:
        method, path = key
        address = path.format_map({"person_id": alice.user_id, "invitation_id": uuid4()})
        sent = None if method == "GET" else {"email": f"dora-{secrets.token_hex(6)}@corral.example", **_CONFIRMED}
        assert await _call(program, method, address, sent) == (403, "session_required")
        async with program.get("/api/me") as answer:
            assert (await answer.json())["is_administrator"] is False
    assert await fingerprints(owner) == before


_BODIES: dict[Key, dict[str, str]] = {
    ("PATCH", "/api/credentials/{credential_id}"): {"nickname": "theirs"},
    ("POST", "/api/credentials/{credential_id}/grants"): {"name": "theirs", "access": "read"},
    ("PATCH", "/api/grants/{grant_id}"): {"name": "theirs"},
    ("POST", "/api/grants/{grant_id}/renew"): {},
}
_OF_ONES_OWN = [operation for operation in OPERATIONS if operation.ids and operation.key not in ADMINISTRATORS]


@pytest.mark.parametrize("operation", _OF_ONES_OWN, ids=str)
async def test_an_administrator_cannot_access_alices_resources(
    operation: Operation, service: Service, office: ClientSession, alice: Person, owner: asyncpg.Connection
) -> None:
    credential = await alice.store()
    new_grant = {"name": "bot", "access": "read"}
    async with alice.client.post(f"/api/credentials/{credential['id']}/grants", json=new_grant) as answer:
        grant = await answer.json()
    await sign_in_by_link(service, alice.user_id)
    ids = {
        "credential_id": credential["id"],
        "token_id": await owner.fetchval("SELECT id FROM corral.api_tokens WHERE user_id = $1", alice.user_id),
        "session_id": await owner.fetchval("SELECT id FROM corral.sessions WHERE user_id = $1", alice.user_id),
        "grant_id": grant["id"],
        "order_id": uuid4(),
    }
    before = await fingerprints(owner)
    body = _BODIES[operation.key] if operation.has_body else None
    status, code = await _call(office, operation.method, operation.path.format_map(ids), body)
    assert status == 404
    assert code.endswith("_not_found")
    assert await fingerprints(owner) == before


async def test_an_administrators_lists_and_overview_contain_nothing_of_others(
    office: ClientSession, alice: Person, bob: Person
) -> None:
    for person in (alice, bob):
        await person.store()
    for path in ("/api/credentials", "/api/overview", "/api/tokens", "/api/grants"):
        async with office.get(path) as answer:
            assert (await answer.json())["items"] == []


@pytest.mark.parametrize("body", [{}, {"current_password": "not the one that it is"}])
@pytest.mark.parametrize("action", ["disable", "enable", "invitations"])
async def test_without_the_confirmed_password_nothing_is_changed(
    office: ClientSession, alice: Person, owner: asyncpg.Connection, action: str, body: dict[str, str]
) -> None:
    before = await fingerprints(owner)
    path = "/api/people/invitations" if action == "invitations" else f"/api/people/{alice.user_id}/{action}"
    address = {"email": f"dora-{secrets.token_hex(6)}@corral.example"} if action == "invitations" else {}
    assert await _call(office, "POST", path, body | address) == (401, "sign_in_refused")
    after = await fingerprints(owner)
    del before["password_confirmations"], after["password_confirmations"]
    assert after == before


async def test_guessing_the_administrators_password_in_a_stolen_session_ends_the_session(
    office: ClientSession, alice: Person, bob: Person
) -> None:
    for code in ["sign_in_refused"] * 4 + ["session_ended"]:
        guessed = await _disable(office, alice.user_id, current_password="not the one that it is")
        assert guessed == (401, code)
    assert await _disable(office, alice.user_id) == (401, "unauthenticated")
    assert await _call(alice.client, "GET", "/api/me") == (200, "")


async def test_an_administrator_without_a_password_is_not_asked_for_one(
    service: Service, alice: Person, bob: Person
) -> None:
    await make_administrator(service, alice.email)
    async with browser(service.url, await sign_in_by_link(service, alice.user_id)) as page:
        assert await _call(page, "POST", f"/api/people/{bob.user_id}/disable", {}) == (204, "")


async def test_users_see_whether_they_are_administrators(
    service: Service, office: ClientSession, ada: Member, bob: Person, anonymous: ClientSession
) -> None:
    async with office.get("/api/me") as answer:
        assert (await answer.json())["is_administrator"] is True
    assert (await sign_in_as(anonymous, ada)).reported["is_administrator"] is True
    async with browser(service.url, await sign_in_by_link(service, bob.user_id)) as page, page.get("/api/me") as answer:
        assert (await answer.json())["is_administrator"] is False


async def test_a_right_written_by_hand_is_not_accepted(
    service: Service, office: ClientSession, ada: Member, bob: Person, owner: asyncpg.Connection, log: LogSince
) -> None:
    async with browser(service.url, await sign_in_by_link(service, bob.user_id)) as page:
        for attempt, seal in enumerate((b"", b"x" * 32, admin_seal(service.resources.vault, ada.user_id)), start=1):
            await owner.execute("UPDATE corral.users SET admin_seal = $2 WHERE id = $1", bob.user_id, seal)
            assert await _call(page, "GET", "/api/people") == (403, "not_an_administrator")
            alarms = log.alarms("admin_seal_broken")
            assert [alarm["user_id"] for alarm in alarms] == [str(bob.user_id)] * attempt
        assert (await _listed(office))[bob.email]["is_administrator"] is False
        await owner.execute(
            "UPDATE corral.users SET admin_seal = $2 WHERE id = $1",
            bob.user_id,
            admin_seal(service.resources.vault, bob.user_id),
        )
        assert await _call(page, "GET", "/api/people") == (200, "")


async def test_the_database_itself_refuses_other_users(service: Service, alice: Person, bob: Person) -> None:
    async def attempt(action: str) -> None:
        async with get_connection_with_rls(bob.user_id, service.resources.database) as connection:
            match action:
                case "list":
                    await queries.list_people(connection)
                case "invitations":
                    await queries.list_invitations(connection)
                case "invite":
                    await queries.issue_invitation(connection, b"", b"", email="x@y", expires_at=alice_since)
                case "disable":
                    await queries.disable_person(connection, alice.user_id)
                case _:
                    await queries.enable_person(connection, alice.user_id)

    alice_since = await service.resources.database.fetchval("SELECT now()")
    for action in ("list", "invitations", "invite", "disable", "enable"):
        with pytest.raises(NotAnAdministrator):
            await attempt(action)
    assert await _call(alice.client, "GET", "/api/me") == (200, "")


async def test_the_database_itself_does_not_change_other_administrators(
    service: Service, ada: Member, alice: Person, bob: Person, owner: asyncpg.Connection
) -> None:
    for person in (alice, bob):
        await make_administrator(service, person.email)
    await owner.execute("SELECT corral.disable_user($1)", alice.user_id)
    async with get_connection_with_rls(ada.user_id, service.resources.database) as connection:
        assert await queries.enable_person(connection, alice.user_id) is False
        assert await queries.disable_person(connection, bob.user_id) is False
    disabled = "SELECT disabled_at IS NOT NULL FROM corral.users WHERE id = $1"
    assert [await owner.fetchval(disabled, person.user_id) for person in (alice, bob)] == [True, False]


async def test_the_serving_role_cannot_make_an_administrator_or_disable_by_itself(
    service: Service, alice: Person, bob: Person
) -> None:
    database = service.resources.database
    for statement in (
        "UPDATE corral.users SET admin_seal = 'x' WHERE id = $1",
        "UPDATE corral.users SET disabled_at = now() WHERE id = $1",
        "INSERT INTO corral.users (id, email, admin_seal) VALUES ($1, 'x@y', 'x')",
        "SELECT corral.disable_user($1)",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with get_connection_with_rls(alice.user_id, database) as connection:
                await connection.execute(statement, alice.user_id)
    with pytest.raises(AlreadySetUp):
        async with get_connection_with_rls(alice.user_id, database) as connection:
            await insert_first_user(connection, uuid4(), "second@corral.example", b"", b"")


async def test_a_disabled_administrator_has_no_right_in_the_database_either(
    service: Service, ada: Member, bob: Person, owner: asyncpg.Connection
) -> None:
    await owner.execute("SELECT corral.disable_user($1)", ada.user_id)
    with pytest.raises(NotAnAdministrator):
        async with get_connection_with_rls(ada.user_id, service.resources.database) as connection:
            await queries.disable_person(connection, bob.user_id)
    assert await _call(bob.client, "GET", "/api/me") == (200, "")


async def test_the_first_person_is_an_administrator_and_those_who_are_added_are_not(
    service_without_users: Service, empty_postgres: EmbeddedDatabase
) -> None:
    resources = service_without_users.resources
    link = await issue_link(resources.database, resources.vault, "setup", None, resources.public_url)
    first = {"token": link.reveal().partition("#")[2], "email": "first@corral.example", "password": PASSWORD}
    async with browser(service_without_users.url) as page:
        reply = await post(page, "/api/setup", **first)
        assert reply.reported["is_administrator"] is True
        second = await add_member(service_without_users)
        assert (await sign_in_as(page, second)).reported["is_administrator"] is False


async def test_administrators_actions_are_logged(
    office: ClientSession, ada: Member, bob: Person, alice: Person, log: LogSince
) -> None:
    await _disable(office, bob.user_id)
    await _enable(office, bob.user_id)
    for event in ("user_disabled", "user_enabled"):
        line = await log.awaited(event, user_id=str(bob.user_id))
        assert line["by"] == str(ada.user_id)
    assert PASSWORD not in log.text()
    assert bob.email not in log.text()
