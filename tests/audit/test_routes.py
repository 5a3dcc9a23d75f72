"""The trail over HTTP: newest first, filtered, only one's own, and whole as a file."""

import asyncio
from typing import Any
from uuid import uuid4

import orjson
import pytest
from aiohttp import ClientSession

from corral.audit.models import Action, Actor, ActorKind, NewEntry, Result
from corral.audit.trail import AuditTrail
from tests.access import browser, sign_in_by_link
from tests.conftest import Service
from tests.people import Person


async def items_of(client: ClientSession, **params: str) -> list[dict[str, Any]]:
    async with client.get("/api/audit", params=params) as answer:
        assert answer.status == 200, await answer.text()
        return (await answer.json())["items"]


async def test_changes_of_an_account_are_in_the_trail(alice: Person) -> None:
    credential = await alice.store(nickname="Growth")
    path = f"/api/credentials/{credential['id']}"
    for body in ({"nickname": "Value"}, {"is_active": False}, {"is_active": True}, {"nickname": "Value"}):
        async with alice.client.patch(path, json=body) as answer:
            assert answer.status == 200
    async with alice.client.delete(path) as answer:
        assert answer.status == 204
    found = await items_of(alice.client, credential_id=credential["id"])
    assert [(item["action"], item["details"]) for item in reversed(found)] == [
        ("credential.added", {"name": "Growth", "environment": "paper", "key": credential["key_hint"]}),
        ("credential.renamed", {"name": "Value", "before": "Growth"}),
        ("credential.paused", {"name": "Value"}),
        ("credential.resumed", {"name": "Value"}),
        ("credential.deleted", {"name": "Value"}),
    ]
    assert all(item["actor"].startswith("token:") and item["result"] == "done" for item in found)


async def test_a_page_says_where_the_next_one_begins(alice: Person, trail: AuditTrail) -> None:
    for _ in range(5):
        await trail.record(alice.user_id, NewEntry(Actor(ActorKind.OPERATOR), Action.PERSON_ENABLED))
    seqs: list[int] = []
    after: dict[str, str] = {}
    while True:
        async with alice.client.get("/api/audit", params={"limit": "2", **after}) as answer:
            page = await answer.json()
        seqs += [item["seq"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        after = {"after": page["next_cursor"]}
    assert seqs == list(range(seqs[0], 0, -1))


async def test_filters_find_a_kind_of_actor_one_actor_and_an_action(alice: Person, trail: AuditTrail) -> None:
    grant, other = Actor(ActorKind.GRANT, uuid4()), Actor(ActorKind.GRANT, uuid4())
    for actor in (grant, other):
        pending = await trail.begin(alice.user_id, NewEntry(actor, Action.ORDER_SUBMIT)).written()
        pending.conclude(Result.DONE)
        await asyncio.sleep(0.05)
    await trail.close()
    assert len(await items_of(alice.client, actor="grant")) == 4
    assert {item["actor"] for item in await items_of(alice.client, actor=str(grant))} == {str(grant)}
    assert len(await items_of(alice.client, action="order.submit")) == 4
    assert await items_of(alice.client, action="order.submi") == []
    assert await items_of(alice.client, actor=f"token:{grant.id}") == []


@pytest.mark.parametrize("query", ["after=0", "after=x", "actor=Grant", "credential_id=1", "limit=501", "since=1"])
async def test_a_filter_that_cannot_be_is_refused(alice: Person, query: str) -> None:
    async with alice.client.get(f"/api/audit?{query}") as answer:
        assert (answer.status, (await answer.json())["code"]) == (422, "invalid_request")


async def test_nobody_sees_another_persons_trail(alice: Person, bob: Person) -> None:
    credential = await bob.store()
    assert await items_of(alice.client, credential_id=credential["id"]) == []
    async with alice.client.get("/api/audit.jsonl") as answer:
        lines = [orjson.loads(line) for line in (await answer.read()).splitlines()]
    assert lines[0]["user_id"] == str(alice.user_id)
    assert {line["entry"]["user_id"] for line in lines[1:]} == {str(alice.user_id)}


async def test_a_token_reads_the_trail_only_if_its_scopes_name_it(service: Service, alice: Person) -> None:
    cookie = await sign_in_by_link(service, alice.user_id)
    async with browser(service.url, cookie) as page, page.post("/api/tokens", json={"name": "full"}) as answer:
        made = await answer.json()
    assert made["scopes"] == ["*"]  # full access, but for what has to be named
    async with ClientSession(service.url, headers={"Authorization": f"Bearer {made['token']}"}) as client:
        for path in ("/api/audit", "/api/audit.jsonl"):
            async with client.get(path) as answer:
                assert (answer.status, (await answer.json())["code"]) == (403, "insufficient_scope")
    async with browser(service.url, await sign_in_by_link(service, alice.user_id)) as page:
        assert (await items_of(page))[0]["action"] == "token.made"
