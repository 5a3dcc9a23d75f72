"""One's own page: sessions, tokens and the password, without a script."""

import asyncio
import re
import secrets
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest
from aiohttp import ClientSession

from corral.identity import sign_in
from corral.identity.models import Scope
from corral.secret import Secret
from corral.web.you_pages import LIFETIMES, SCOPES_IN_WORDS
from tests.conftest import Service
from tests.doors import sign_in_by_link
from tests.identity.members import status_of
from tests.people import Person
from tests.web.conftest import BROWSER, Browsing
from tests.web.html import Parsed, read_page

_PASSWORD, _NEW = "quiet meadow at dusk", "louder meadow at dawn"
_TOKEN = re.compile(r"corral_[0-9A-Za-z]{38}")


@pytest.fixture
async def carol(service: Service) -> str:
    """Somebody with a password."""
    email = f"carol-{secrets.token_hex(6)}@corral.example"
    house = service.resources
    await sign_in.add_user(house.database, house.vault, email=email, password=Secret(_PASSWORD))
    return email


@pytest.fixture
async def carols(visitor: ClientSession, carol: str) -> ClientSession:
    async with visitor.post("/sign-in", data={"email": carol, "password": _PASSWORD}) as answer:
        assert answer.status == 200
    return visitor


async def _post(session: ClientSession, path: str, data: dict[str, str] | list[tuple[str, str]]) -> tuple[int, str]:
    async with session.post(path, data=data) as answer:
        return answer.status, await answer.text()


async def test_the_page_shows_ones_own_sessions_and_nothing_of_bobs(
    service: Service, alices: ClientSession, bob: Person
) -> None:
    await sign_in_by_link(service, bob.user_id)
    page = await read_page(alices, "/you")
    assert page.text().count("Python") == 1
    assert "this one" in page.text()
    assert bob.email not in page.text()


async def test_another_session_is_ended_by_its_button(
    service: Service, alice: Person, bobs: ClientSession, alices: ClientSession, anybody: ClientSession
) -> None:
    other = await sign_in_by_link(service, alice.user_id)
    page = await read_page(alices, "/you")
    (action,) = [
        form["action"]
        for form in page.attributes("form")
        if re.search(r"sessions/[-0-9a-f]+/end", form["action"] or "")
    ]
    assert action is not None
    status, html = await _post(bobs, action, {})
    assert (status, "no such session of yours" in html) == (404, True)
    assert await status_of(anybody, other) == 200
    assert (await _post(alices, action, {}))[0] == 200
    assert await status_of(anybody, other) == 401
    assert (await _post(alices, action, {}))[0] == 404


async def test_all_others_end_by_one_button(
    service: Service, alice: Person, bob: Person, alices: ClientSession, anybody: ClientSession
) -> None:
    others = [await sign_in_by_link(service, person.user_id) for person in (alice, alice, bob)]
    async with alices.post("/you/sessions/others/end", data={}) as answer:
        assert (answer.status, answer.url.path) == (200, "/you")  # still signed in
    assert [await status_of(anybody, cookie) for cookie in others] == [401, 401, 200]


@pytest.mark.parametrize("path", ["/you/sessions/others/end"])
async def test_a_button_takes_no_fields(alices: ClientSession, path: str) -> None:
    assert (await _post(alices, path, {"more": "1"}))[0] == 422


async def test_a_device_that_looks_like_html_is_text(service: Service, alice: Person) -> None:
    cookie = await sign_in_by_link(service, alice.user_id)
    async with ClientSession(service.url, headers={**BROWSER, "Cookie": cookie, "User-Agent": "x"}) as session:
        sent = {"once": str(uuid4()), "name": "<b onclick=x>&", "scopes": "*", "days": "7"}
        async with session.post("/you/tokens", data=sent) as answer:
            page = Parsed(await answer.text())
        assert not page.attributes("b")
        assert "<b onclick=x>&" in page.text()


async def test_a_token_is_shown_once_and_does_what_its_words_say(
    alices: ClientSession, alice: Person, bob: Person, anybody: ClientSession
) -> None:
    sent = [("name", "spreadsheet"), ("scopes", "accounts:read"), ("scopes", "tokens:read"), ("days", "30")]
    sent.append(("once", str(uuid4())))
    status, html = await _post(alices, "/you/tokens", sent)
    assert status == 200
    (token,) = set(_TOKEN.findall(html))
    async with anybody.get("/api/me", headers={"Authorization": f"Bearer {token}"}) as answer:
        me = await answer.json()
    assert (me["id"], me["scopes"]) == (str(alice.user_id), ["accounts:read", "tokens:read"])
    assert me["expires_at"] is not None
    again = (await read_page(alices, "/you")).text()
    assert not _TOKEN.search(again)
    assert "spreadsheet" in again
    assert SCOPES_IN_WORDS["accounts:read"] in again


async def test_a_token_whose_expiry_was_set_to_infinity_by_hand_is_shown(
    alices: ClientSession, alice: Person, bob: Person, owner: asyncpg.Connection
) -> None:
    sent = [("name", "endless"), ("scopes", "accounts:read"), ("days", "30"), ("once", str(uuid4()))]
    assert (await _post(alices, "/you/tokens", sent))[0] == 200
    await owner.execute("UPDATE corral.api_tokens SET expires_at = 'infinity' WHERE user_id = $1", alice.user_id)
    page = (await read_page(alices, "/you")).text()
    assert "endless" in page
    assert "9999-12-31" in page


async def test_everything_and_for_ever_have_to_be_wished_for(
    alices: ClientSession, bob: Person, anybody: ClientSession
) -> None:
    form = {"once": str(uuid4()), "name": "mine"}
    status, html = await _post(alices, "/you/tokens", {**form, "days": "never"})
    assert (status, "Choose at least one" in html, _TOKEN.search(html)) == (422, True, None)
    assert 'value="mine"' in html
    status, html = await _post(alices, "/you/tokens", {**form, "scopes": "*", "days": "never"})
    async with anybody.get("/api/me", headers={"Authorization": f"Bearer {_TOKEN.findall(html)[0]}"}) as answer:
        me = await answer.json()
    assert (me["scopes"], me["expires_at"]) == (sorted(Scope), None)
    for wrong in ({"scopes": "accounts:write"}, {"days": "36500"}, {"user_id": "1"}):
        form = {"once": str(uuid4()), "name": "x", "scopes": "*", "days": "7"}
        assert (await _post(alices, "/you/tokens", form | wrong))[0] == 422


@pytest.mark.parametrize("days", [days for days in LIFETIMES if days != "never"])
async def test_a_token_lives_as_long_as_was_chosen(
    days: str, alices: ClientSession, alice: Person, bob: Person
) -> None:
    sent = {"once": str(uuid4()), "name": "spreadsheet", "scopes": "tokens:read", "days": days}
    assert (await _post(alices, "/you/tokens", sent))[0] == 200
    async with alice.client.get("/api/tokens") as answer:
        (token,) = [one for one in (await answer.json())["items"] if one["name"] == "spreadsheet"]
    lives = datetime.fromisoformat(token["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=int(days)) - lives < timedelta(hours=1)
    assert lives <= timedelta(days=int(days))


async def test_a_form_that_is_sent_twice_makes_one_token_and_shows_it_once(
    alices: ClientSession, bobs: ClientSession, alice: Person
) -> None:
    shown = await read_page(alices, "/you")
    (once,) = [field["value"] for field in shown.attributes("input") if field.get("name") == "once"]
    form = {"once": once or "", "name": "spreadsheet", "scopes": "tokens:read", "days": "7"}
    status, html = await _post(alices, "/you/tokens", form)
    assert (status, len(set(_TOKEN.findall(html)))) == (200, 1)
    status, html = await _post(alices, "/you/tokens", form)
    assert (status, "made already" in html, _TOKEN.findall(html)) == (409, True, [])
    async with alice.client.get("/api/tokens") as answer:
        made = [token for token in (await answer.json())["items"] if token["name"] == "spreadsheet"]
    assert len(made) == 1
    assert made[0]["id"] != once
    # Shown again, the form is another one; and what bob sends is none of alice's.
    again = [field["value"] for field in Parsed(html).attributes("input") if field.get("name") == "once"]
    assert again != [once]
    status, html = await _post(bobs, "/you/tokens", form)
    assert (status, len(set(_TOKEN.findall(html)))) == (200, 1)


async def test_two_forms_at_the_same_moment_make_one_token(alices: ClientSession, alice: Person, bob: Person) -> None:
    form = {"once": str(uuid4()), "name": "spreadsheet", "scopes": "tokens:read", "days": "7"}
    told = await asyncio.gather(*(_post(alices, "/you/tokens", form) for _ in range(4)))
    assert sorted(status for status, _ in told) == [200, 409, 409, 409]
    assert sum(len(set(_TOKEN.findall(html))) for _, html in told) == 1


async def test_a_token_is_revoked_on_a_page_of_its_own_and_only_by_its_owner(
    alices: ClientSession, bobs: ClientSession, alice: Person
) -> None:
    async with alice.client.get("/api/tokens") as answer:
        (token,) = (await answer.json())["items"]
    path = f"/you/tokens/{token['id']}/revoke"
    assert "Revoke “test”?" in (await read_page(alices, path)).text()
    for session, address in ((bobs, path), (alices, f"/you/tokens/{uuid4()}/revoke")):
        async with session.get(address) as answer:
            assert answer.status == 404
        assert (await _post(session, address, {}))[0] == 404
    assert (await _post(alices, path, {"more": "1"}))[0] == 422
    assert (await _post(alices, path, {}))[0] == 200
    async with alice.client.get("/api/me") as answer:
        assert answer.status == 401


async def test_a_new_password_signs_out_everywhere(carols: ClientSession, bob: Person, carol: str) -> None:
    sent = {"current_password": _PASSWORD, "new_password": _NEW}
    async with carols.post("/you/password", data=sent, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["location"]) == (303, "/sign-in?next=/you")
        assert "Max-Age=0" in answer.headers["set-cookie"]
    async with carols.get("/you") as answer:
        assert answer.url.path == "/sign-in"
    assert (await _post(carols, "/sign-in", {"email": carol, "password": _PASSWORD}))[0] == 401
    assert (await _post(carols, "/sign-in", {"email": carol, "password": _NEW}))[0] == 200


async def test_a_wrong_password_is_told_and_no_password_is_repeated(carols: ClientSession, bob: Person) -> None:
    wrong = "not the one that it is 4711"
    status, html = await _post(carols, "/you/password", {"current_password": wrong, "new_password": _NEW})
    assert (status, "The current password is not right" in html) == (401, True)
    assert wrong not in html
    assert _NEW not in html


async def test_who_has_no_password_is_asked_for_a_new_one_only(browsing: Browsing, alice: Person, bob: Person) -> None:
    async with browsing(alice) as alices:
        page = await read_page(alices, "/you")
        assert "Choose a password" in page.text()
        assert "current_password" not in {field.get("name") for field in page.attributes("input")}
        assert (await _post(alices, "/you/password", {"new_password": _NEW}))[0] == 200


def test_every_scope_has_its_words() -> None:
    assert set(SCOPES_IN_WORDS) == {*Scope, "*"}


async def test_all_tokens_are_revoked_by_one_button_and_nobody_elses(
    alices: ClientSession, alice: Person, bob: Person
) -> None:
    path = "/you/tokens/all/revoke"
    assert path in {link.get("href") for link in (await read_page(alices, "/you")).attributes("a")}
    assert "Revoke all API tokens?" in (await read_page(alices, path)).text()
    assert (await _post(alices, path, {"more": "1"}))[0] == 422
    assert (await _post(alices, path, {}))[0] == 200
    for person, status in ((alice, 401), (bob, 200)):
        async with person.client.get("/api/me") as answer:
            assert answer.status == status


async def test_ones_page_tells_what_changed_when_and_from_where(
    alices: ClientSession, bobs: ClientSession, alice: Person
) -> None:
    assert "Security activity" in (await read_page(bobs, "/you")).text()
    form = {"once": str(uuid4()), "name": "spreadsheet", "scopes": "tokens:read", "days": "7"}
    await _post(alices, "/you/tokens", form)
    await _post(alices, "/you/tokens/all/revoke", {})
    text = (await read_page(alices, "/you")).text()
    told = [
        text.index(words) for words in ("All API tokens revoked", "API token created : spreadsheet", "created : test")
    ]
    assert told == sorted(told)
    assert "from Python" in text
    assert "by the server’s operator" in text  # noqa: RUF001 - as the page writes it
    assert "spreadsheet" not in (await read_page(bobs, "/you")).text()
