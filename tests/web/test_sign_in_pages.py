"""Signing in and out without JavaScript."""

import secrets
from itertools import count

import pytest
from aiohttp import ClientSession

from corral.identity import sign_in
from corral.identity.links import issue_link
from corral.secret import Secret
from tests.conftest import Service
from tests.identity.members import add_member
from tests.people import Person
from tests.web.conftest import Browsing
from tests.web.parsed_html import Parsed

_PASSWORD = "quiet meadow at dusk"


@pytest.fixture
async def carol(service: Service) -> str:
    """The email of a user with a password."""
    email = f"carol-{secrets.token_hex(6)}@corral.example"
    resources = service.resources
    await sign_in.add_user(resources.database, resources.vault, email=email, password=Secret(_PASSWORD))
    return email


async def test_password_sign_in_redirects_to_the_requested_page(visitor: ClientSession, carol: str) -> None:
    sent = {"email": carol, "password": _PASSWORD}
    async with visitor.post("/sign-in?next=/keys/new", data=sent, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["location"]) == (303, "/keys/new")
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
    async with visitor.get("/keys/new") as answer:
        assert (answer.status, answer.url.path) == (200, "/keys/new")


async def test_sign_in_redirect_keeps_the_query_of_pages_but_not_of_forms(visitor: ClientSession) -> None:
    wanted = "/accounts/4b0b5a2e-9a3c-4c1e-8a57-0d9c6f2f6d31/orders?status=open&direction=asc"
    async with visitor.get(wanted) as answer:
        assert (answer.url.path, answer.url.query["next"]) == ("/sign-in", wanted)
    async with visitor.post("/keys/new?nickname=x", data={}, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["location"]) == (303, "/sign-in?next=/keys/new")


@pytest.mark.parametrize("next_page", ["https://elsewhere.example", "//elsewhere.example/", "/%5Celsewhere.example"])
async def test_sign_in_never_redirects_to_another_site(visitor: ClientSession, carol: str, next_page: str) -> None:
    sent = {"email": carol, "password": _PASSWORD}
    async with visitor.post(f"/sign-in?next={next_page}", data=sent, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["location"]) == (303, "/")


async def test_a_wrong_password_keeps_the_email_but_not_the_password(visitor: ClientSession, carol: str) -> None:
    wrong = "a wrong password 4711"
    async with visitor.post("/sign-in", data={"email": carol, "password": wrong}) as answer:
        html = await answer.text()
    assert answer.status == 401
    assert "set-cookie" not in answer.headers
    assert "Wrong email or password." in html
    assert f'value="{carol}"' in html
    assert wrong not in html


async def test_after_five_wrong_passwords_the_sign_in_page_explains_and_leads_back(
    visitor: ClientSession, carol: str
) -> None:
    async with visitor.post("/sign-in", data={"email": carol, "password": _PASSWORD}) as answer:
        assert answer.status == 200
    reported: list[tuple[int, str, bool]] = []
    for _ in range(5):
        form = {"current_password": "wrong password", "new_password": "louder meadow at dawn"}
        async with visitor.post("/you/password", data=form) as answer:
            reported.append((answer.status, answer.url.path, "five wrong passwords in a row" in await answer.text()))
    assert reported == [(401, "/you/password", False)] * 4 + [(200, "/sign-in", True)]
    async with visitor.post(
        f"/sign-in?{answer.url.query_string}", data={"email": carol, "password": _PASSWORD}
    ) as back:
        assert (back.status, back.url.path) == (200, "/you/password")
    async with visitor.get("/sign-in?reason=session_ended") as answer:  # signed in: nothing has ended
        assert "five wrong passwords in a row" not in await answer.text()


async def test_too_many_sign_in_attempts_show_how_long_to_wait(visitor: ClientSession, carol: str) -> None:
    for attempt in count(1):  # the first wait is a second, which a busy machine needs for a try; the next one is two
        async with visitor.post("/sign-in", data={"email": carol, "password": "wrong password"}) as answer:
            if answer.status == 401:
                continue
            assert answer.status == 429
            assert 3 < attempt < 10
            assert int(answer.headers["retry-after"]) > 0
            assert "Try again in" in Parsed(await answer.text()).text()
            return


async def test_a_pasted_link_signs_in_once(service: Service, visitor: ClientSession, alice: Person) -> None:
    resources = service.resources
    link = await issue_link(resources.database, resources.vault, "sign_in", alice.user_id, resources.public_url)
    async with visitor.post("/sign-in/code", data={"token": f" {link.reveal()} "}, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["location"]) == (303, "/")
    async with visitor.post("/sign-in/code", data={"token": link.reveal()}) as answer:
        html = await answer.text()
    assert answer.status == 403
    assert "has expired or was already used" in html
    assert link.reveal().partition("#")[2] not in html


async def test_alices_link_in_bobs_browser_signs_in_only_when_it_is_submitted(
    service: Service, bobs: ClientSession, alice: Person, bob: Person
) -> None:
    resources = service.resources
    link = await issue_link(resources.database, resources.vault, "sign_in", alice.user_id, resources.public_url)
    async with bobs.get("/sign-in") as answer:
        assert bob.email in await answer.text()  # opened: nothing has happened, and bob sees who he is
    async with bobs.post("/sign-in/code", data={"token": link.reveal()}, allow_redirects=False) as answer:
        cookie = answer.headers["set-cookie"].partition(";")[0]
    async with bobs.get("/", headers={"Cookie": cookie}) as answer:
        page = await answer.text()
    assert alice.email in page
    assert bob.email not in page


async def test_an_invalid_set_up_code_is_shown_on_the_page(visitor: ClientSession) -> None:
    sent = {"token": "corral_nothing", "email": "first@corral.example", "password": _PASSWORD}
    async with visitor.post("/setup", data=sent) as answer:
        html = await answer.text()
    assert answer.status == 403
    assert "has expired or was already used" in html
    assert 'value="first@corral.example"' in html
    assert "corral_nothing" not in html


async def test_signing_out_ends_the_session_on_the_server(
    service: Service, browsing: Browsing, alice: Person, bobs: ClientSession
) -> None:
    async with browsing(alice) as alices:
        async with alices.post("/sign-out", data={}, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["location"]) == (303, "/sign-in")
            assert "clear-site-data" in answer.headers
        async with alices.get("/", allow_redirects=False) as answer:
            assert answer.status == 303
    async with bobs.get("/", allow_redirects=False) as answer:
        assert answer.status == 200


async def test_password_recovery_without_javascript_is_reported_at_the_next_sign_in(
    service: Service, visitor: ClientSession, bob: Person
) -> None:
    carol, new = await add_member(service), "louder meadow at dawn"
    resources = service.resources
    link = await issue_link(resources.database, resources.vault, "recovery", carol.user_id, resources.public_url)
    async with visitor.get("/recover") as answer:
        assert (answer.status, "Reset password" in await answer.text()) == (200, True)
    async with visitor.post("/recover", data={"token": link.reveal(), "new_password": "password1234"}) as answer:
        assert (answer.status, "easy to guess" in await answer.text()) == (422, True)
    async with visitor.post("/recover", data={"token": link.reveal(), "new_password": new}) as answer:
        assert (answer.status, answer.url.path) == (200, "/sign-in")
    sent = {"email": carol.email, "password": new}
    async with visitor.post("/sign-in?next=/docs", data=sent) as answer:
        html = await answer.text()
        assert (answer.url.path, answer.url.query["next"]) == ("/you/recovered", "/docs")
    assert "Your password was reset" in html
    assert 'href="/docs"' in html
    async with visitor.post("/sign-in?next=/docs", data=sent) as answer:
        assert answer.url.path == "/docs"  # shown once, and on the user's own page from then on
    async with visitor.get("/you") as answer:
        assert "Password reset with a recovery link" in await answer.text()


async def test_the_reset_page_says_when_there_was_no_reset(browsing: Browsing, alice: Person, bob: Person) -> None:
    async with browsing(alice) as alices, alices.get("/you/recovered?next=//elsewhere") as answer:
        html = await answer.text()
    assert "has not been reset" in html
    assert not [link for link in Parsed(html).attributes("a") if "elsewhere" in (link["href"] or "")]
