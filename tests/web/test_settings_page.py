"""The settings page without JavaScript: sessions, API tokens and the password."""

import asyncio
import re
import secrets
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest
from aiohttp import ClientSession

from corral.identity import sign_in
from corral.identity.models import TO_BE_NAMED, Scope
from corral.secret import Secret
from corral.web.pages.settings import LIFETIMES, SCOPE_DESCRIPTIONS
from tests.access import sign_in_by_link
from tests.conftest import Service
from tests.identity.members import status_of
from tests.people import Person
from tests.web.conftest import BROWSER, Browsing
from tests.web.parsed_html import Parsed, read_page

_PASSWORD, _NEW = "quiet meadow at dusk", "louder meadow at dawn"
_TOKEN = re.compile(r"corral_[0-9A-Za-z]{38}")


@pytest.fixture
async def carol(service: Service) -> str:
    """The email of a user with a password."""
    email = f"carol-{secrets.token_hex(6)}@corral.example"
    resources = service.resources
    await sign_in.add_user(resources.database, resources.vault, email=email, password=Secret(_PASSWORD))
    return email


@pytest.fixture
async def carols(visitor: ClientSession, carol: str) -> ClientSession:
    async with visitor.post("/sign-in", data={"email": carol, "password": _PASSWORD}) as answer:
        assert answer.status == 200
    return visitor


async def _post(session: ClientSession, path: str, data: dict[str, str] | list[tuple[str, str]]) -> tuple[int, str]:
    async with session.post(path, data=data) as answer:
        return answer.status, await answer.text()


async def test_settings_show_only_the_users_own_sessions(service: Service, alices: ClientSession, bob: Person) -> None:
    await sign_in_by_link(service, bob.user_id)
    page = await read_page(alices, "/you")
    assert page.text().count("Python") == 1
    assert "this device" in page.text()
    assert bob.email not in page.text()


async def test_signing_out_another_device(
    service: Service, alice: Person, bobs: ClientSession, alices: ClientSession, anonymous: ClientSession
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
    assert (status, "Session not found." in html) == (404, True)
    assert await status_of(anonymous, other) == 200
    assert (await _post(alices, action, {}))[0] == 200
    assert await status_of(anonymous, other) == 401
    assert (await _post(alices, action, {}))[0] == 404


async def test_signing_out_all_other_devices(
    service: Service, alice: Person, bob: Person, alices: ClientSession, anonymous: ClientSession
) -> None:
    others = [await sign_in_by_link(service, person.user_id) for person in (alice, alice, bob)]
    async with alices.post("/you/sessions/others/end", data={}) as answer:
        assert (answer.status, answer.url.path) == (200, "/you")  # still signed in
    assert [await status_of(anonymous, cookie) for cookie in others] == [401, 401, 200]


@pytest.mark.parametrize("path", ["/you/sessions/others/end"])
async def test_a_form_without_fields_rejects_fields(alices: ClientSession, path: str) -> None:
    assert (await _post(alices, path, {"more": "1"}))[0] == 422


async def test_html_in_a_token_name_is_shown_as_text(service: Service, alice: Person) -> None:
    cookie = await sign_in_by_link(service, alice.user_id)
    async with ClientSession(service.url, headers={**BROWSER, "Cookie": cookie, "User-Agent": "x"}) as session:
        sent = {"once": str(uuid4()), "name": "<b onclick=x>&", "scopes": "*", "days": "7"}
        async with session.post("/you/tokens", data=sent) as answer:
            page = Parsed(await answer.text())
        assert not page.attributes("b")
        assert "<b onclick=x>&" in page.text()


async def test_a_new_token_is_shown_once_and_has_the_selected_scopes(
    alices: ClientSession, alice: Person, bob: Person, anonymous: ClientSession
) -> None:
    sent = [("name", "spreadsheet"), ("scopes", "accounts:read"), ("scopes", "tokens:read"), ("days", "30")]
    sent.append(("once", str(uuid4())))
    status, html = await _post(alices, "/you/tokens", sent)
    assert status == 200
    (token,) = set(_TOKEN.findall(html))
    async with anonymous.get("/api/me", headers={"Authorization": f"Bearer {token}"}) as answer:
        me = await answer.json()
    assert (me["id"], me["scopes"]) == (str(alice.user_id), ["accounts:read", "tokens:read"])
    assert me["expires_at"] is not None
    again = (await read_page(alices, "/you")).text()
    assert not _TOKEN.search(again)
    assert "spreadsheet" in again
    assert SCOPE_DESCRIPTIONS["accounts:read"] in again


async def test_a_token_that_expires_at_infinity_is_shown(
    alices: ClientSession, alice: Person, bob: Person, owner: asyncpg.Connection
) -> None:
    sent = [("name", "endless"), ("scopes", "accounts:read"), ("days", "30"), ("once", str(uuid4()))]
    assert (await _post(alices, "/you/tokens", sent))[0] == 200
    await owner.execute("UPDATE corral.api_tokens SET expires_at = 'infinity' WHERE user_id = $1", alice.user_id)
    page = (await read_page(alices, "/you")).text()
    assert "endless" in page
    assert "Dec 31, 9999" in page


async def test_full_access_and_no_expiration_have_to_be_selected(
    alices: ClientSession, bob: Person, anonymous: ClientSession
) -> None:
    form = {"once": str(uuid4()), "name": "mine"}
    status, html = await _post(alices, "/you/tokens", {**form, "days": "never"})
    assert (status, "Select at least one permission." in html, _TOKEN.search(html)) == (422, True, None)
    assert 'value="mine"' in html
    status, html = await _post(alices, "/you/tokens", {**form, "scopes": "*", "days": "never"})
    async with anonymous.get("/api/me", headers={"Authorization": f"Bearer {_TOKEN.findall(html)[0]}"}) as answer:
        me = await answer.json()
    assert (me["scopes"], me["expires_at"]) == (sorted(set(Scope) - TO_BE_NAMED), None)
    both = [("once", str(uuid4())), ("name", "mine"), ("scopes", "*"), ("scopes", "grants:write"), ("days", "7")]
    _, html = await _post(alices, "/you/tokens", both)
    async with anonymous.get("/api/me", headers={"Authorization": f"Bearer {_TOKEN.findall(html)[0]}"}) as answer:
        assert (await answer.json())["scopes"] == sorted(set(Scope) - {Scope.GRANTS_READ, Scope.AUDIT_READ})
    for wrong in ({"scopes": "accounts:write"}, {"days": "36500"}, {"user_id": "1"}):
        form = {"once": str(uuid4()), "name": "x", "scopes": "*", "days": "7"}
        assert (await _post(alices, "/you/tokens", form | wrong))[0] == 422


@pytest.mark.parametrize("days", [days for days in LIFETIMES if days != "never"])
async def test_a_token_expires_when_selected(days: str, alices: ClientSession, alice: Person, bob: Person) -> None:
    sent = {"once": str(uuid4()), "name": "spreadsheet", "scopes": "tokens:read", "days": days}
    assert (await _post(alices, "/you/tokens", sent))[0] == 200
    async with alice.client.get("/api/tokens") as answer:
        (token,) = [one for one in (await answer.json())["items"] if one["name"] == "spreadsheet"]
    lives = datetime.fromisoformat(token["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=int(days)) - lives < timedelta(hours=1)
    assert lives <= timedelta(days=int(days))


async def test_submitting_the_token_form_twice_creates_one_token(
    alices: ClientSession, bobs: ClientSession, alice: Person
) -> None:
    shown = await read_page(alices, "/you")
    (once,) = [field["value"] for field in shown.attributes("input") if field.get("name") == "once"]
    form = {"once": once or "", "name": "spreadsheet", "scopes": "tokens:read", "days": "7"}
    status, html = await _post(alices, "/you/tokens", form)
    assert (status, len(set(_TOKEN.findall(html)))) == (200, 1)
    status, html = await _post(alices, "/you/tokens", form)
    assert (status, "already created and shown" in html, _TOKEN.findall(html)) == (409, True, [])
    async with alice.client.get("/api/tokens") as answer:
        made = [token for token in (await answer.json())["items"] if token["name"] == "spreadsheet"]
    assert len(made) == 1
    assert made[0]["id"] != once
    # Shown again, the form is another one; and what bob sends is none of alice's.
    again = [field["value"] for field in Parsed(html).attributes("input") if field.get("name") == "once"]
    assert again != [once]
    status, html = await _post(bobs, "/you/tokens", form)
    assert (status, len(set(_TOKEN.findall(html)))) == (200, 1)


async def test_concurrent_submits_create_one_token(alices: ClientSession, alice: Person, bob: Person) -> None:
    form = {"once": str(uuid4()), "name": "spreadsheet", "scopes": "tokens:read", "days": "7"}
    reported = await asyncio.gather(*(_post(alices, "/you/tokens", form) for _ in range(4)))
    assert sorted(status for status, _ in reported) == [200, 409, 409, 409]
    assert sum(len(set(_TOKEN.findall(html))) for _, html in reported) == 1


async def test_only_its_owner_can_revoke_a_token(alices: ClientSession, bobs: ClientSession, alice: Person) -> None:
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


async def test_a_new_password_signs_out_all_devices(carols: ClientSession, bob: Person, carol: str) -> None:
    sent = {"current_password": _PASSWORD, "new_password": _NEW}
    async with carols.post("/you/password", data=sent, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["location"]) == (303, "/sign-in?next=/you")
        assert "Max-Age=0" in answer.headers["set-cookie"]
    async with carols.get("/you") as answer:
        assert answer.url.path == "/sign-in"
    assert (await _post(carols, "/sign-in", {"email": carol, "password": _PASSWORD}))[0] == 401
    assert (await _post(carols, "/sign-in", {"email": carol, "password": _NEW}))[0] == 200


async def test_a_wrong_current_password_is_reported_without_repeating_passwords(
    carols: ClientSession, bob: Person
) -> None:
    wrong = "not the one that it is 4711"
    status, html = await _post(carols, "/you/password", {"current_password": wrong, "new_password": _NEW})
    assert (status, 'id="current_password-error">Wrong password.' in html) == (401, True)
    assert wrong not in html
    assert _NEW not in html


async def test_a_user_without_a_password_is_not_asked_for_the_current_one(
    browsing: Browsing, alice: Person, bob: Person
) -> None:
    async with browsing(alice) as alices:
        page = await read_page(alices, "/you")
        assert "Set a password" in page.text()
        assert "current_password" not in {field.get("name") for field in page.attributes("input")}
        assert (await _post(alices, "/you/password", {"new_password": _NEW}))[0] == 200


def test_every_scope_has_a_description() -> None:
    assert set(SCOPE_DESCRIPTIONS) == {*Scope, "*"}


async def test_revoking_all_tokens_keeps_those_of_others(alices: ClientSession, alice: Person, bob: Person) -> None:
    path = "/you/tokens/all/revoke"
    assert path in {link.get("href") for link in (await read_page(alices, "/you")).attributes("a")}
    assert "Revoke all API tokens?" in (await read_page(alices, path)).text()
    assert (await _post(alices, path, {"more": "1"}))[0] == 422
    assert (await _post(alices, path, {}))[0] == 200
    for person, status in ((alice, 401), (bob, 200)):
        async with person.client.get("/api/me") as answer:
            assert answer.status == status


async def test_security_activity_shows_what_changed_and_from_where(
    alices: ClientSession, bobs: ClientSession, alice: Person
) -> None:
    assert "Security activity" in (await read_page(bobs, "/you")).text()
    form = {"once": str(uuid4()), "name": "spreadsheet", "scopes": "tokens:read", "days": "7"}
    await _post(alices, "/you/tokens", form)
    await _post(alices, "/you/tokens/all/revoke", {})
    text = (await read_page(alices, "/you")).text()
    reported = [
        text.index(words) for words in ("All API tokens revoked", "API token created : spreadsheet", "created : test")
    ]
    assert reported == sorted(reported)
    assert "from Python" in text
    assert "by the server's operator" in text
    assert "spreadsheet" not in (await read_page(bobs, "/you")).text()
