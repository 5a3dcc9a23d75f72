"""Bob can neither use nor see alice's resources: every operation of the OpenAPI document."""

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from aiohttp import ClientSession
from fastapi.routing import iter_route_contexts

from corral.app import create_api
from corral.database.embedded.instance import EmbeddedDatabase
from corral.identity import api_tokens
from corral.identity.models import Scope
from tests.access import browser, fingerprints, owner_of, sign_in_by_link
from tests.conftest import Service
from tests.operations import (
    ADMINISTRATORS,
    ANY_TOKEN,
    DOCUMENT,
    GUARDED,
    NO_TOKEN,
    OPERATIONS,
    PUBLIC,
    SCOPE_OF,
    Key,
    Operation,
)
from tests.people import Person, key_pair, paper_key

Json = dict[str, Any]

_WITH_IDS = [operation for operation in OPERATIONS if operation.ids and operation.key not in ADMINISTRATORS]
_MALFORMED_IDS = ["1", "not-a-uuid", "%00", "0" * 31, "0" * 33, "..%2F..%2Fme", "' OR 1=1", "é"]


@pytest.fixture
async def owner(postgres: EmbeddedDatabase) -> AsyncGenerator[asyncpg.Connection]:
    async with owner_of(postgres) as connection:
        yield connection


async def _ids_of(service: Service, person: Person, key_id: str) -> dict[str, str]:
    """One thing of each kind that is the person's. A kind that is not here fails the test of whatever takes it."""
    credential = await person.store(key_id)
    async with person.client.get(f"/api/credentials/{credential['id']}/orders") as answer:
        order_id = (await answer.json())["items"][0]["id"]
    async with person.client.post("/api/tokens", json={"name": "another"}) as answer:
        token = await answer.json()
    new_grant = {"name": "bot", "access": "trade"}
    async with person.client.post(f"/api/credentials/{credential['id']}/grants", json=new_grant) as answer:
        grant = await answer.json()
    cookie = await sign_in_by_link(service, person.user_id)
    async with browser(service.url, cookie) as page, page.get("/api/sessions") as answer:
        session = next(session for session in (await answer.json())["items"] if session["is_current"])
    return {
        "credential_id": credential["id"],
        "order_id": order_id,
        "token_id": token["id"],
        "grant_id": grant["id"],
        "session_id": session["id"],
        "person_id": str(person.user_id),
        "invitation_id": str(uuid4()),  # none exists here; other tests cover administrators
    }


@asynccontextmanager
async def _client_for(service: Service, operation: Operation, person: Person) -> AsyncGenerator[ClientSession]:
    """The person's token, or a session where no token may."""
    if operation.key not in NO_TOKEN:
        yield person.client
        return
    async with browser(service.url, await sign_in_by_link(service, person.user_id)) as page:
        yield page


def _bodies(operation: Operation, key_id: str) -> list[Json | None]:
    """Every kind of body that the owner of `key_id` could send. An operation with ids and a body has to be here."""
    bodies: dict[Key, list[Json]] = {
        ("PATCH", "/api/credentials/{credential_id}"): [
            {"nickname": "renamed"},
            {"is_active": False},
            {"is_active": True, **key_pair(key_id)},
        ],
        ("POST", "/api/credentials/{credential_id}/grants"): [
            {"name": "another", "access": "read"},
            {"name": "another", "access": "trade", "networks": ["192.0.2.0/24"], "current_password": "a guess"},
        ],
        ("PATCH", "/api/grants/{grant_id}"): [{"name": "renamed"}, {"access": "read"}, {"expires_in": "1h"}, {}],
        ("POST", "/api/grants/{grant_id}/renew"): [{"expires_in": "60d"}, {"new_secret": True, "overlap": "0m"}, {}],
    }
    return [*bodies[operation.key]] if operation.has_body else [None]


async def _answer(
    client: ClientSession, operation: Operation, ids: Mapping[str, str], body: Json | None
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body, byte for byte but for the request's own id and time."""
    async with client.request(operation.method, operation.path.format_map(ids), json=body) as answer:
        own = answer.headers["X-Request-ID"].encode()
        headers = {name: value for name, value in answer.headers.items() if name not in {"X-Request-ID", "Date"}}
        return answer.status, headers, (await answer.read()).replace(own, b"")


@pytest.mark.parametrize("operation", _WITH_IDS, ids=str)
@pytest.mark.parametrize("way_in", ["token", "session"])
async def test_alices_resources_are_not_found_for_bob(
    operation: Operation, way_in: str, service: Service, alice: Person, bob: Person, owner: asyncpg.Connection
) -> None:
    key_id = paper_key()
    refused = 403 if way_in == "token" and operation.key in NO_TOKEN else 404
    hers = await _ids_of(service, alice, key_id)
    nobodys = {name: str(uuid4()) for name in hers}
    cookie = await sign_in_by_link(service, bob.user_id)
    before = await fingerprints(owner)
    async with browser(service.url, cookie) as page:
        client = bob.client if way_in == "token" else page
        for body in _bodies(operation, key_id):
            told_of_hers = await _answer(client, operation, hers, body)
            told_of_nothing = await _answer(client, operation, nobodys, body)
            assert told_of_hers[0] == refused
            assert told_of_hers == told_of_nothing
    assert await fingerprints(owner) == before
    async with _client_for(service, operation, alice) as client:
        for body in _bodies(operation, key_id):
            status, _, reported = await _answer(client, operation, hers, body)
            assert status < 300, reported  # it was there all the time


@pytest.mark.parametrize("operation", _WITH_IDS, ids=str)
async def test_an_id_in_another_spelling_gives_no_access(
    operation: Operation, service: Service, alice: Person, bob: Person
) -> None:
    key_id = paper_key()
    hers = await _ids_of(service, alice, key_id)
    async with _client_for(service, operation, bob) as client:
        for spelled in zip(*map(_spellings, hers.values()), strict=True):
            ids = dict(zip(hers, spelled, strict=True))
            for body in _bodies(operation, key_id):
                status, _, _ = await _answer(client, operation, ids, body)
                assert status == 404


def _spellings(id_: str) -> list[str]:
    return [id_.upper(), id_.replace("-", ""), f"{{{id_}}}", f"urn:uuid:{id_}"]


async def test_lists_contain_only_the_users_own_items(service: Service, alice: Person, bob: Person) -> None:
    hers, his = await _ids_of(service, alice, paper_key()), await _ids_of(service, bob, paper_key())
    lists = [("/api/credentials", "credential_id"), ("/api/tokens", "token_id"), ("/api/grants", "grant_id")]
    for path, name in lists:
        for person, own, other in ((alice, hers, his), (bob, his, hers)):
            async with person.client.get(path) as answer:
                listed = {item["id"] for item in (await answer.json())["items"]}
            assert own[name] in listed
            assert other[name] not in listed


async def test_two_users_may_store_the_same_account_without_noticing(alice: Person, bob: Person) -> None:
    key_id = paper_key()
    hers, his = await alice.store(key_id), await bob.store(key_id)
    assert hers["id"] != his["id"]
    assert hers["account_number"] == his["account_number"]


@pytest.mark.parametrize("operation", GUARDED, ids=str)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer corral_" + "0" * 38},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic YWxpY2U6cGFzc3dvcmQ="},
        {"Cookie": "corral_session=corral_" + "0" * 38, "Sec-Fetch-Site": "same-origin"},
    ],
    ids=["nothing", "an unknown token", "an empty token", "a password", "an unknown session"],
)
async def test_guarded_operations_need_authentication(
    operation: Operation, headers: dict[str, str], anonymous: ClientSession
) -> None:
    path = operation.path.format_map({name: str(uuid4()) for name in operation.ids})
    async with anonymous.request(
        operation.method, path, headers=headers, json={} if operation.has_body else None
    ) as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert (await answer.json())["code"] == "unauthenticated"


async def test_public_operations_are_documented_and_need_no_authentication(anonymous: ClientSession) -> None:
    assert {operation.key for operation in OPERATIONS} >= PUBLIC
    for method, path in PUBLIC:
        async with anonymous.request(method, path, json={} if method == "POST" else None) as answer:
            assert answer.status in {200, 422}


def test_every_route_of_the_api_is_in_the_document() -> None:
    routes = {
        (method, route.path)
        for route in iter_route_contexts(create_api().routes)
        for method in route.methods or ()
        if route.path and route.path.startswith("/api/")
    }
    assert routes == {operation.key for operation in OPERATIONS if operation.path.startswith("/api/")}


@pytest.mark.parametrize("operation", _WITH_IDS, ids=str)
async def test_an_invalid_id_is_refused(operation: Operation, service: Service, alice: Person) -> None:
    async with _client_for(service, operation, alice) as client:
        for malformed in _MALFORMED_IDS:
            ids = dict.fromkeys(operation.ids, malformed)
            status, _, reported = await _answer(client, operation, ids, _bodies(operation, paper_key())[0])
            code = b"not_found" if "%2F" in malformed else b"invalid_request"  # a slash leads to another address
            assert status == (404 if "%2F" in malformed else 422), malformed
            assert b'"code":"%b"' % code in reported


def test_every_guarded_operation_has_its_rule() -> None:
    ruled = [*SCOPE_OF, *ANY_TOKEN, *NO_TOKEN]
    assert sorted(ruled) == sorted(operation.key for operation in GUARDED)


async def _client_with(service: Service, person: Person, scopes: Iterable[str]) -> ClientSession:
    _, token = await api_tokens.create_api_token(
        person.user_id,
        service.resources.database,
        service.resources.vault,
        name="narrow",
        scopes=sorted(scopes),
        expires_at=None,
    )
    return ClientSession(service.url, headers={"Authorization": f"Bearer {token.reveal()}"})


@pytest.mark.parametrize("operation", GUARDED, ids=str)
async def test_a_token_with_all_but_the_needed_scope_is_refused(
    operation: Operation, service: Service, alice: Person
) -> None:
    needed = SCOPE_OF.get(operation.key)
    path = operation.path.format_map(await _ids_of(service, alice, paper_key()))
    others = [scope for scope in Scope if scope.value != needed]
    async with (
        await _client_with(service, alice, others) as client,
        client.request(operation.method, path, json={} if operation.has_body else None) as answer,
    ):
        reported: Json = await answer.json()
    if needed:
        assert (answer.status, reported["code"], reported["scope"]) == (403, "insufficient_scope", needed)
    elif operation.key in NO_TOKEN:
        assert (answer.status, reported["code"]) == (403, "session_required")
    else:
        assert answer.status == 200


@pytest.mark.parametrize("key", SCOPE_OF, ids=" ".join)
async def test_a_token_with_only_the_needed_scope_is_accepted(key: Key, service: Service, alice: Person) -> None:
    method, path = key
    ids = await _ids_of(service, alice, paper_key())
    async with await _client_with(service, alice, {SCOPE_OF[key]}) as client:
        body: Json | None = {} if method in {"POST", "PATCH"} else None
        async with client.request(method, path.format_map(ids), json=body) as answer:
            assert answer.status in {200, 204, 422}, await answer.text()


def test_the_document_describes_what_is_tested() -> None:
    assert len(OPERATIONS) == sum(len(methods) for methods in DOCUMENT["paths"].values())
    assert len(_WITH_IDS) >= 6
