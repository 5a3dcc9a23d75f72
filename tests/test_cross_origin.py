"""No page of another origin can change anything with a user's session: every unsafe operation."""

from uuid import uuid4

import pytest
from aiohttp import ClientSession, DummyCookieJar

from tests.access import sign_in_by_link
from tests.conftest import Service
from tests.operations import OPERATIONS, Operation
from tests.people import Person

_UNSAFE = [operation for operation in OPERATIONS if not operation.is_safe]
_ELSEWHERE = "https://elsewhere.example"


async def _code(client: ClientSession, operation: Operation, headers: dict[str, str]) -> str | None:
    path = operation.path.format_map({name: str(uuid4()) for name in operation.ids})
    body: dict[str, str] | None = {} if operation.has_body else None
    async with client.request(operation.method, path, headers=headers, json=body) as answer:
        return (await answer.json())["code"] if answer.status >= 400 else None


@pytest.mark.parametrize("operation", _UNSAFE, ids=str)
@pytest.mark.parametrize(
    "said_by_the_browser",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": _ELSEWHERE},
        {"Origin": "null"},
    ],
    ids=str,
)
async def test_a_page_of_another_origin_is_refused(
    operation: Operation, said_by_the_browser: dict[str, str], service: Service, alice: Person
) -> None:
    cookie = await sign_in_by_link(service, alice.user_id)
    async with ClientSession(service.url, cookie_jar=DummyCookieJar()) as client:
        for sent in ({"Cookie": cookie}, {}):  # signing in is vulnerable without a cookie, too
            assert await _code(client, operation, said_by_the_browser | sent) == "cross_origin_refused"


@pytest.mark.parametrize("operation", _UNSAFE, ids=str)
async def test_a_cookie_without_an_origin_is_refused(
    operation: Operation, service: Service, alice: Person, anonymous: ClientSession
) -> None:
    cookie = await sign_in_by_link(service, alice.user_id)
    assert await _code(anonymous, operation, {"Cookie": cookie}) == "cross_origin_refused"


@pytest.mark.parametrize("operation", _UNSAFE, ids=str)
async def test_corrals_own_pages_and_programs_with_a_token_are_accepted(
    operation: Operation, service: Service, alice: Person, anonymous: ClientSession
) -> None:
    for headers in (
        {"Sec-Fetch-Site": "same-origin", "Cookie": await sign_in_by_link(service, alice.user_id)},
        {"Origin": service.resources.public_url, "Cookie": await sign_in_by_link(service, alice.user_id)},
        {"Sec-Fetch-Site": "cross-site", "Origin": _ELSEWHERE, "Authorization": f"Bearer {alice.token}"},
    ):
        assert await _code(anonymous, operation, headers) != "cross_origin_refused"


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.is_safe], ids=str)
async def test_scripts_of_other_origins_cannot_read_responses(operation: Operation, anonymous: ClientSession) -> None:
    path = operation.path.format_map({name: str(uuid4()) for name in operation.ids})
    async with anonymous.get(path, headers={"Origin": _ELSEWHERE, "Sec-Fetch-Site": "cross-site"}) as answer:
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
