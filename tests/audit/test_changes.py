"""Changes of access are in the trail of the person whom they concern, with who made them and from where."""

from typing import Any

import asyncpg
import pytest
from aiohttp import ClientSession

from corral.audit.models import AuditEntry
from corral.audit.trail import AuditTrail
from corral.identity.problems import SignInRefused
from corral.identity.sign_in import check_password
from corral.people import operators
from corral.secret import Secret
from tests.access import browser, sign_in_by_link
from tests.audit.trails import entries_of
from tests.conftest import Service
from tests.people import Person

PASSWORD = "a horse with a staple of its own"


async def put(
    client: ClientSession, method: str, path: str, body: dict[str, Any] | None, status: int
) -> dict[str, Any]:
    async with client.request(method, path, json=body) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json() if status in {200, 201} else {}


def told(entries: list[AuditEntry]) -> list[tuple[str, str]]:
    return [(entry.action, entry.actor.partition(":")[0]) for entry in entries]


async def test_tokens_and_passwords(service: Service, alice: Person, owner: asyncpg.Connection) -> None:
    before = len(await entries_of(owner, alice.user_id))
    cookie = await sign_in_by_link(service, alice.user_id)
    async with browser(service.url, cookie) as page:
        token = await put(page, "POST", "/api/tokens", {"name": "script"}, 201)
        await put(page, "DELETE", f"/api/tokens/{token['id']}", None, 204)
        await put(page, "DELETE", "/api/tokens/4b0b5a2e-9a3c-4c1e-8a57-0d9c6f2f6d31", None, 404)
        await put(page, "DELETE", "/api/tokens", None, 204)
        await put(page, "PUT", "/api/me/password", {"new_password": PASSWORD}, 204)
    entries = (await entries_of(owner, alice.user_id))[before:]
    assert told(entries) == [
        ("token.made", "session"), ("token.revoked", "session"), ("tokens.revoked", "session"),
        ("password.changed", "session"),
    ]  # fmt: skip
    assert {entry.object_id for entry in entries[:2]} == {token["id"]}
    assert entries[0].details["name"] == "script"
    assert len({entry.actor for entry in entries}) == 1


async def test_refused_sign_ins_are_summed(
    service: Service, alice: Person, trail: AuditTrail, owner: asyncpg.Connection
) -> None:
    resources = service.resources
    for email in (alice.email, alice.email, "nobody@corral.example"):
        with pytest.raises(SignInRefused):
            await check_password(
                resources.database, resources.vault, trail, email=email, password=Secret("wrong"), peer="192.0.2.1"
            )
    await trail.close()
    entry = (await entries_of(owner, alice.user_id))[-1]
    assert (entry.action, entry.actor, entry.result, entry.details["count"], entry.address) == (
        "sign_in.refused", "anyone", "refused", "2", "192.0.2.1",
    )  # fmt: skip


async def test_disabling_and_enabling_by_the_operator_and_by_an_administrator(
    service: Service, alice: Person, bob: Person, owner: asyncpg.Connection
) -> None:
    vault = service.resources.vault
    await operators.promote_person(owner, vault, alice.email)
    before = len(await entries_of(owner, bob.user_id))
    async with browser(service.url, await sign_in_by_link(service, alice.user_id)) as page:
        await put(page, "POST", f"/api/people/{bob.user_id}/disable", {}, 204)
        await put(page, "POST", f"/api/people/{bob.user_id}/enable", {}, 204)
    await operators.disable_person(owner, vault, bob.email)
    await operators.enable_person(owner, vault, bob.email)
    await operators.demote_person(owner, vault, alice.email)
    entries = (await entries_of(owner, bob.user_id))[before:]
    assert [(entry.action, entry.actor) for entry in entries] == [
        ("person.disabled", f"person:{alice.user_id}"), ("person.enabled", f"person:{alice.user_id}"),
        ("person.disabled", "operator"), ("person.enabled", "operator"),
    ]  # fmt: skip
    assert {entry.object_id for entry in entries} == {str(bob.user_id)}
    of_alice = await entries_of(owner, alice.user_id)
    assert [(entry.action, entry.actor) for entry in of_alice if entry.action.startswith("person.")] == [
        ("person.promoted", "operator"), ("person.demoted", "operator"),
    ]  # fmt: skip


async def test_a_request_that_changes_nothing_leaves_no_entry(alice: Person, owner: asyncpg.Connection) -> None:
    credential = await alice.store(nickname="Growth")
    before = await entries_of(owner, alice.user_id)
    await put(alice.client, "PATCH", f"/api/credentials/{credential['id']}", {"nickname": "Growth"}, 200)
    assert await entries_of(owner, alice.user_id) == before
