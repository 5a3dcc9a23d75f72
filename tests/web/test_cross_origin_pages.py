"""No page of another origin can do anything with a user's session, and merely opening a page changes nothing."""

import asyncpg
import pytest
from aiohttp import ClientSession, DummyCookieJar

from tests.access import fingerprints, sign_in_by_link
from tests.conftest import Service
from tests.identity.members import make_administrator
from tests.people import Person
from tests.web.conftest import BROWSER
from tests.web.page_ids import ids_of
from tests.web.page_paths import ACTIONS, METHODS, PAGES, filled_in

_ELSEWHERE = "https://elsewhere.example"
_HTML = {"Accept": BROWSER["Accept"]}


def test_pages_support_only_get_head_and_post() -> None:
    assert {"GET", "POST"} == METHODS
    assert {"/keys/new", "/keys/{credential_id}/delete", "/people/{person_id}/disable", "/sign-out"} <= set(ACTIONS)


@pytest.mark.parametrize(
    "said_by_the_browser",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Content-Type": "text/plain"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": _ELSEWHERE},
        {"Origin": "null"},
        {},
    ],
    ids=str,
)
async def test_forms_from_another_origin_are_rejected(
    said_by_the_browser: dict[str, str], service: Service, alice: Person, bob: Person, owner: asyncpg.Connection
) -> None:
    await make_administrator(service, alice.email)
    ids = await ids_of(service, alice, bob)
    cookie = {"Cookie": await sign_in_by_link(service, alice.user_id)}
    # Signing in is vulnerable without a cookie, too. Without origin and cookie it is no browser.
    visitors = [cookie, {}] if said_by_the_browser else [cookie]
    before = await fingerprints(owner)
    async with ClientSession(service.url, cookie_jar=DummyCookieJar(), headers=_HTML) as client:
        for action in ACTIONS:
            for visitor in visitors:
                headers = said_by_the_browser | visitor
                async with client.post(filled_in(action, ids), data=b"nickname=x", headers=headers) as answer:
                    assert answer.status == 403, (action, visitor)
                    assert answer.content_type == "text/html", action
                    assert "set-cookie" not in answer.headers, action
                    assert "another origin" in await answer.text(), action
    assert await fingerprints(owner) == before


@pytest.mark.parametrize("vouched", [{"Sec-Fetch-Site": "same-origin"}, {"Origin": ""}], ids=["site", "origin"])
async def test_forms_from_the_same_origin_are_accepted(
    vouched: dict[str, str], service: Service, alice: Person
) -> None:
    headers = {name: value or service.resources.public_url for name, value in vouched.items()} | _HTML
    headers["Cookie"] = await sign_in_by_link(service, alice.user_id)
    async with ClientSession(service.url, cookie_jar=DummyCookieJar(), headers=headers) as client:
        for action in sorted(ACTIONS, key="/sign-out".__eq__):
            async with client.post(filled_in(action), data={"a": "b"}, allow_redirects=False) as answer:
                assert "another origin" not in await answer.text(), action


async def test_opening_a_page_changes_nothing(
    service: Service, alice: Person, bob: Person, owner: asyncpg.Connection
) -> None:
    await make_administrator(service, alice.email)
    ids = await ids_of(service, alice, bob)
    cookie = await sign_in_by_link(service, alice.user_id)
    headers = {**BROWSER, "Sec-Fetch-Site": "cross-site", "Cookie": cookie}  # a link on a page of another site
    before = await fingerprints(owner)
    async with ClientSession(service.url, cookie_jar=DummyCookieJar(), headers=headers) as client:
        for page in PAGES:
            async with client.get(filled_in(page, ids), allow_redirects=False) as answer:
                assert answer.status in {200, 303}, page
                assert "set-cookie" not in answer.headers, page
                assert answer.headers["cache-control"] == "no-store", page
    assert await fingerprints(owner) == before
