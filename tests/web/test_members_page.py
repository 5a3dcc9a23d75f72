"""The members pages for administrators, and the invitation page."""

import re
import secrets
from uuid import uuid4

import asyncpg
import pytest
from aiohttp import ClientSession, CookieJar

from corral.identity.tokens import new_token
from tests.conftest import Service
from tests.identity.members import PASSWORD, Member, add_member, make_administrator
from tests.people import Person
from tests.web.conftest import BROWSER, Browsing
from tests.web.parsed_html import read_page

_HERS = "a donkey, two staples and a lamp"
_PAGES = ["/people", "/people/invitations", "/people/{id}/disable", "/people/{id}/enable"]


@pytest.fixture
async def ada(service: Service) -> Member:
    """An administrator, with a password."""
    member = await add_member(service)
    await make_administrator(service, member.email)
    return member


@pytest.fixture
async def office(visitor: ClientSession, ada: Member) -> ClientSession:
    async with visitor.post("/sign-in", data={"email": ada.email, "password": ada.password}) as answer:
        assert answer.status == 200
    return visitor


@pytest.fixture
def dora() -> str:
    """The email of someone who is not a member yet."""
    return f"dora-{secrets.token_hex(6)}@corral.example"


async def _post(session: ClientSession, path: str, **data: str) -> tuple[int, str]:
    async with session.post(path, data=data) as answer:
        return answer.status, await answer.text()


async def _state(office: ClientSession, person: Person) -> str:
    async with office.get("/people") as answer:
        html = await answer.text()
    (row,) = [row for row in html.split("<li>") if person.email in row]
    return "disabled" if ">disabled<" in row else "here"


async def test_an_invitation_that_expires_at_infinity_is_shown(
    office: ClientSession, dora: str, bob: Person, owner: asyncpg.Connection
) -> None:
    assert (await _post(office, "/people/invitations", email=dora, current_password=PASSWORD))[0] == 200
    await owner.execute("UPDATE corral.invitations SET expires_at = 'infinity' WHERE email = $1", dora)
    page = (await read_page(office, "/people")).text()
    assert dora in page
    assert "Dec 31, 9999" in page


async def test_only_administrators_have_members_in_their_navigation(
    office: ClientSession, alices: ClientSession, bob: Person
) -> None:
    assert "/people" in {link.get("href") for link in (await read_page(office, "/")).attributes("a")}
    assert "/people" not in {link.get("href") for link in (await read_page(alices, "/")).attributes("a")}


async def test_the_members_page_shows_no_accounts(
    office: ClientSession, ada: Member, alice: Person, bob: Person
) -> None:
    credential = await alice.store(nickname=f"secret-{secrets.token_hex(4)}")
    text = (await read_page(office, "/people")).text()
    for email in (ada.email, alice.email, bob.email):
        assert email in text
    assert credential["nickname"] not in text
    assert credential["account_number"] not in text


@pytest.mark.parametrize("path", _PAGES)
async def test_other_users_cannot_open_the_members_pages(
    alices: ClientSession, alice: Person, bob: Person, path: str
) -> None:
    for person_id in (bob.user_id, uuid4()):
        address = path.format(id=person_id)
        async with alices.get(address) as answer:
            html = await answer.text()
            assert (answer.status, "Only administrators can manage members" in html) == (403, True)
        assert bob.email not in html
        if path != "/people":
            assert (await _post(alices, address))[0] == 403
    async with bob.client.get("/api/me") as answer:
        assert answer.status == 200


@pytest.mark.parametrize("path", _PAGES)
async def test_every_members_page_has_unique_ids_and_working_links(
    office: ClientSession, alice: Person, path: str
) -> None:
    address = path.format(id=alice.user_id)
    page = await read_page(office, address)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all(form["method"] == "post" for form in page.attributes("form"))
    for form in page.attributes("form"):
        async with office.get(form["action"] or "") as answer:
            assert answer.status == 200, form["action"]
    for link in [*page.attributes("link"), *page.attributes("script")]:
        async with office.get(link.get("href") or link.get("src") or "") as answer:
            assert answer.status == 200


async def test_inviting_and_joining_work_without_javascript(service: Service, office: ClientSession, dora: str) -> None:
    status, html = await _post(office, "/people/invitations", email=dora, current_password=PASSWORD)
    assert status == 200
    (link,) = set(re.findall(r"http[^<\"]+/invitation#corral_[0-9A-Za-z]{38}", html))
    assert PASSWORD not in html
    again = (await read_page(office, "/people")).text()
    assert dora in again
    assert "corral_" not in again
    async with ClientSession(service.url, headers=BROWSER, cookie_jar=CookieJar(unsafe=True)) as doras:
        assert "You're invited" in (await read_page(doras, "/invitation")).text()
        status, html = await _post(doras, "/invitation", token=link, password="short")
        assert (status, "12 to 1,024 characters" in html, link in html) == (422, True, False)
        async with doras.post("/invitation", data={"token": link, "password": _HERS}) as answer:
            assert (answer.status, answer.url.path) == (200, "/")
        assert dora in (await read_page(doras, "/you")).text()
    assert (await _post(office, "/people/invitations", email=dora, current_password=PASSWORD))[0] == 409


async def test_an_invalid_invitation_is_rejected(visitor: ClientSession, alice: Person, bob: Person) -> None:
    for token in (new_token(), alice.token, "x"):
        status, html = await _post(visitor, "/invitation", token=token, password=_HERS)
        assert (status, "has expired or was already used" in html) == (403, True)
        assert _HERS not in html


async def test_inviting_and_disabling_need_the_password(
    office: ClientSession, alice: Person, bob: Person, dora: str
) -> None:
    status, html = await _post(office, "/people/invitations", email=dora, current_password="wrong horse 4711")
    assert (status, f'value="{dora}"' in html, "wrong horse" in html) == (401, True, False)
    status, html = await _post(office, f"/people/{bob.user_id}/disable")
    assert (status, "Wrong password." in html) == (401, True)
    assert await _state(office, bob) == "here"
    assert dora not in (await read_page(office, "/people")).text()


async def test_members_can_be_disabled_and_enabled(office: ClientSession, alice: Person, bob: Person) -> None:
    assert f"Disable {bob.email}?" in (await read_page(office, f"/people/{bob.user_id}/disable")).text()
    async with office.post(f"/people/{bob.user_id}/disable", data={"current_password": PASSWORD}) as answer:
        assert (answer.status, answer.url.path) == (200, "/people")
    assert [await _state(office, person) for person in (alice, bob)] == ["here", "disabled"]
    async with bob.client.get("/api/me") as answer:
        assert answer.status == 401
    assert (await _post(office, f"/people/{bob.user_id}/enable", current_password=PASSWORD))[0] == 200
    assert await _state(office, bob) == "here"


async def test_administrators_have_no_disable_button(
    office: ClientSession, ada: Member, alice: Person, bob: Person
) -> None:
    page = await read_page(office, "/people")
    links = {link["href"] for link in page.attributes("a") if "button" in (link.get("class") or "")}
    assert {f"/people/{person.user_id}/disable" for person in (alice, bob)} <= links
    assert f"/people/{ada.user_id}/disable" not in links


async def test_every_form_that_needs_the_password_asks_for_it(
    office: ClientSession, alice: Person, bob: Person
) -> None:
    for path in ("/people", f"/people/{alice.user_id}/disable", f"/people/{bob.user_id}/enable"):
        fields = (await read_page(office, path)).attributes("input")
        assert "current_password" in {field["name"] for field in fields}, path


async def test_unknown_members_and_administrators_cannot_be_disabled(
    office: ClientSession, ada: Member, alice: Person, bob: Person
) -> None:
    path = f"/people/{uuid4()}/disable"
    async with office.get(path) as answer:
        assert answer.status == 404
    assert (await _post(office, path, current_password=PASSWORD))[0] == 404
    status, html = await _post(office, f"/people/{ada.user_id}/disable", current_password=PASSWORD)
    assert (status, "Only the server&#39;s operator" in html) == (409, True)


async def test_an_administrator_without_a_password_is_not_asked_for_it(
    service: Service, browsing: Browsing, alice: Person, bob: Person
) -> None:
    await make_administrator(service, alice.email)
    async with browsing(alice) as alices:
        page = await read_page(alices, f"/people/{bob.user_id}/disable")
        assert not page.attributes("input")
        assert (await _post(alices, f"/people/{bob.user_id}/disable"))[0] == 200
        assert await _state(alices, bob) == "disabled"


async def test_an_unknown_action_has_no_page(office: ClientSession, alice: Person) -> None:
    async with office.get(f"/people/{alice.user_id}/promote") as answer:
        assert answer.status in {404, 422}


async def test_revoking_an_invitation(office: ClientSession, alices: ClientSession, dora: str, bob: Person) -> None:
    await _post(office, "/people/invitations", email=dora, current_password=PASSWORD)
    page = await read_page(office, "/people")
    label = f"Revoke the invitation of {dora}"
    (path,) = [link["href"] or "" for link in page.attributes("a") if link.get("aria-label") == label]
    assert dora in (await read_page(office, path)).text()
    assert (await _post(alices, path))[0] == 403
    assert (await _post(office, path, more="1"))[0] == 422
    status, html = await _post(office, path)
    assert (status, dora in html) == (200, False)
    async with office.get(path) as answer:
        assert answer.status == 404
    assert (await _post(office, path))[0] == 404
