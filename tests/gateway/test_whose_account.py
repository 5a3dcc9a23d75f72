"""A grant opens the one account that it is of, and nothing of Corral itself; tokens and sessions open no account."""

from base64 import b64encode
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Final

import pytest
from aiohttp import ClientSession, DummyCookieJar

from corral_sandbox import Sandbox, secret_of
from tests.access import sign_in_by_link
from tests.conftest import Service
from tests.gateway.conftest import LIMIT_ORDER, Json, key_headers
from tests.operations import GUARDED
from tests.people import Person, paper_key


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody with one account, a grant that may trade on it, and an order there."""

    person: Person
    key_id: str
    credential: Json
    grant: Json
    account: bytes
    order_id: str


async def _holder(person: Person, service: Service, sandbox: Sandbox) -> Holder:
    key_id = paper_key()
    async with ClientSession(sandbox.url) as control, control.put(f"/_accounts/{key_id}", json={}) as plain:
        assert plain.status == 200
    credential = await person.store(key_id)
    form = {"name": "bot", "access": "trade"}
    async with person.client.post(f"/api/credentials/{credential['id']}/grants", json=form) as answer:
        grant = await answer.json()
    async with ClientSession(service.url, headers=key_headers(grant)) as bot:
        async with bot.post("/alpaca/v2/orders", json=LIMIT_ORDER) as answer:
            order_id = (await answer.json())["id"]
        async with bot.get("/alpaca/v2/account") as answer:
            return Holder(person, key_id, credential, grant, await answer.read(), order_id)


@pytest.fixture
async def hers(alice: Person, service: Service, sandbox: Sandbox) -> Holder:
    return await _holder(alice, service, sandbox)


@pytest.fixture
async def his(bob: Person, service: Service, sandbox: Sandbox) -> Holder:
    return await _holder(bob, service, sandbox)


@pytest.fixture
async def anybody(service: Service) -> AsyncGenerator[ClientSession]:
    async with ClientSession(service.url, cookie_jar=DummyCookieJar()) as client:
        yield client


async def _journal(sandbox: Sandbox, key_id: str) -> list[Json]:
    async with ClientSession(sandbox.url) as client, client.get(f"/_requests/{key_id}") as answer:
        return (await answer.json())["items"]


def _basic(key_id: str, secret: str) -> str:
    return "Basic " + b64encode(f"{key_id}:{secret}".encode()).decode()


def _ways_in(key_id: str, secret: str) -> list[dict[str, str]]:
    return [
        {"APCA-API-KEY-ID": key_id, "APCA-API-SECRET-KEY": secret},
        {"Authorization": f"Bearer {secret}"},
        {"Authorization": _basic(key_id, secret)},
    ]


async def test_alices_grant_opens_alices_account_whatever_else_is_named(
    hers: Holder, his: Holder, anybody: ClientSession, sandbox: Sandbox, service: Service
) -> None:
    before = await _journal(sandbox, his.key_id)
    ids = [his.credential["id"], his.grant["id"], str(his.person.user_id), his.credential["account_number"], his.key_id]
    more_headers: list[dict[str, str]] = [
        {"Cookie": await sign_in_by_link(service, his.person.user_id), "Sec-Fetch-Site": "same-origin"},
        {"X-Forwarded-User": his.person.email, "X-Remote-User": his.person.email},
        *({name: id_} for id_ in ids for name in ("X-Account-Id", "X-Corral-Account", "X-Credential-Id", "X-User-Id")),
    ]
    own_ways = _ways_in(hers.grant["key_id"], hers.grant["secret_key"])
    for headers in (
        *(own_ways[0] | more for more in more_headers),
        own_ways[0] | {"Authorization": f"Bearer {his.person.token}"},
    ):
        async with anybody.get("/alpaca/v2/account", headers=headers) as answer:
            assert (answer.status, await answer.read()) == (200, hers.account), headers
    for headers in own_ways:
        for id_ in ids:
            for query in (f"account_id={id_}", f"credential_id={id_}", f"user_id={id_}", f"key_id={id_}"):
                async with anybody.get(f"/alpaca/v2/account?{query}", headers=headers) as answer:
                    assert (answer.status, await answer.read()) == (200, hers.account), query
    assert await _journal(sandbox, his.key_id) == before


async def test_alices_grant_reaches_nothing_of_bobs(
    hers: Holder, his: Holder, anybody: ClientSession, sandbox: Sandbox
) -> None:
    before = await _journal(sandbox, his.key_id)
    mine = key_headers(hers.grant)
    order = f"/alpaca/v2/orders/{his.order_id}"
    refused: list[tuple[str, str, dict[str, str], Any, int]] = [
        ("GET", order, mine, None, 404),
        ("DELETE", order, mine, None, 404),
        ("PATCH", order, mine, {"qty": "2"}, 404),
        *(
            ("GET", path.format(id=id_), mine, None, 404)
            for path in ("/alpaca/{id}/v2/account", "/alpaca/v2/account/{id}", "/alpaca/v1/accounts/{id}", "/alpaca/v2/accounts/{id}/positions")
            for id_ in (his.credential["id"], his.grant["id"], his.credential["account_number"])
        ),
        *(
            ("POST", "/alpaca/v2/orders", mine, LIMIT_ORDER | {name: value}, 422)
            for name, value in (
                ("account_id", his.credential["id"]),
                ("account", his.credential["account_number"]),
                ("credential_id", his.credential["id"]),
                ("user_id", str(his.person.user_id)),
                ("key_id", his.key_id),
                ("secret_key", secret_of(his.key_id)),
            )
        ),
        *(
            ("GET", "/alpaca/v2/account", headers, None, 401)
            for key_id, secret in (
                (hers.grant["key_id"], his.grant["secret_key"]),
                (his.grant["key_id"], hers.grant["secret_key"]),
                (his.key_id, hers.grant["secret_key"]),
                (hers.grant["key_id"], secret_of(hers.key_id)),
            )
            for headers in (_ways_in(key_id, secret)[0], {"Authorization": _basic(key_id, secret)})
        ),
    ]  # fmt: skip
    for method, path, headers, body, status in refused:
        async with anybody.request(method, path, headers=headers, json=body) as answer:
            assert answer.status == status, (method, path, body, await answer.text())
    assert await _journal(sandbox, his.key_id) == before
    async with anybody.get(order, headers=key_headers(his.grant)) as answer:
        assert (await answer.json())["status"] in {"new", "accepted"}, "it is as it was"


async def test_no_operation_of_corrals_own_api_accepts_a_grant(hers: Holder, anybody: ClientSession) -> None:
    key_id, secret = hers.grant["key_id"], hers.grant["secret_key"]
    ways = [
        *_ways_in(key_id, secret),
        {"Cookie": f"{_COOKIE}={secret}", "Sec-Fetch-Site": "same-origin"},
        {"Authorization": f"Bearer {key_id}"},
    ]
    for operation in GUARDED:
        path = operation.path.format_map(dict.fromkeys(operation.ids, hers.credential["id"]))
        for headers in ways:
            async with anybody.request(
                operation.method, path, headers=headers, json={} if operation.has_body else None
            ) as answer:
                assert answer.status == 401, (operation, headers)
                assert (await answer.json())["code"] == "unauthenticated"


_COOKIE: Final = "corral_session"


async def test_the_gateway_accepts_no_token_and_no_session(
    hers: Holder, anybody: ClientSession, service: Service, sandbox: Sandbox
) -> None:
    before = await _journal(sandbox, hers.key_id)
    cookie = await sign_in_by_link(service, hers.person.user_id)
    assert cookie.startswith(f"{_COOKIE}="), "the cookie of the test above is Corral's"
    session = cookie.partition("=")[2]
    unknown = [
        way
        for secret in (hers.person.token, session, secret_of(hers.key_id))
        for key_id in (hers.grant["key_id"], hers.key_id, str(hers.person.user_id))
        for way in _ways_in(key_id, secret)
    ]
    for path in ("/alpaca/v2/account", "/alpaca/data/v2/stocks/AAPL/bars"):
        for headers in unknown:
            async with anybody.get(path, headers=headers) as answer:
                assert answer.status == 401, headers
        for headers in ({"Cookie": cookie, "Sec-Fetch-Site": "same-origin"}, {"Cookie": cookie}):
            async with anybody.get(path, headers=headers) as answer:
                assert answer.status == 403, "no key pair was sent"
    async with anybody.post("/alpaca/v2/orders", headers=_ways_in("x", session)[1], json=LIMIT_ORDER) as answer:
        assert answer.status == 401
    assert await _journal(sandbox, hers.key_id) == before
