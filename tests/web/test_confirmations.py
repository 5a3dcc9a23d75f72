"""What a form has done is confirmed on the next page, once and without scripts."""

from collections.abc import AsyncGenerator
from uuid import uuid4

import pytest
from aiohttp import ClientSession, CookieJar

from corral.web.confirmations import Done
from tests.access import sign_in_by_link
from tests.conftest import Service
from tests.identity.members import PASSWORD, add_member, make_administrator
from tests.people import Person, key_pair, paper_key
from tests.web.conftest import BROWSER
from tests.web.parsed_html import Parsed

_COOKIE = "corral_done"


@pytest.fixture
async def browser(service: Service, alice: Person) -> AsyncGenerator[ClientSession]:
    """Alice's browser, which keeps the cookies that it gets."""
    cookie = await sign_in_by_link(service, alice.user_id)
    headers = {**BROWSER, "Cookie": cookie}
    async with ClientSession(service.url, headers=headers, cookie_jar=CookieJar(unsafe=True)) as session:
        yield session


async def _confirmation(session: ClientSession, path: str, **headers: str) -> list[str]:
    async with session.get(path, headers=headers) as answer:
        return _said(await answer.text())


def _said(html: str) -> list[str]:
    (_, *parts) = html.split('<p class="notice done" role="status">')
    return [part.partition("</p>")[0] for part in parts]


async def _submit(session: ClientSession, path: str, **sent: str) -> tuple[str, list[str]]:
    async with session.post(path, data=sent) as answer:
        assert answer.status == 200, await answer.text()
        return answer.url.path, _said(await answer.text())


async def test_every_change_of_an_account_is_confirmed_once(browser: ClientSession, alice: Person) -> None:
    key = paper_key()
    keys = f"/keys/{(await alice.store(key, nickname='before'))['id']}"
    for action, sent, page, said in [
        ("rename", {"nickname": "after"}, keys, "Renamed."),
        ("switch-off", {}, keys, "Account paused."),
        ("switch-on", {}, keys, "Account resumed."),
        ("replace", key_pair(key), keys, "API key replaced."),
        ("delete", {"nickname": "after"}, "/", "Account removed."),
    ]:
        assert await _submit(browser, f"{keys}/{action}", **sent) == (page, [said])
        assert await _confirmation(browser, page) == []  # a reload, or the next page


async def test_ended_sessions_and_revoked_tokens_are_confirmed(
    browser: ClientSession, service: Service, alice: Person
) -> None:
    await sign_in_by_link(service, alice.user_id)
    async with browser.get("/api/sessions") as answer:
        others = [one["id"] for one in (await answer.json())["items"] if not one["is_current"]]
    assert await _submit(browser, f"/you/sessions/{others[0]}/end") == ("/you", ["Signed out on that device."])
    assert await _submit(browser, "/you/sessions/others/end") == ("/you", ["Signed out on all other devices."])
    async with browser.get("/api/tokens") as answer:
        token = (await answer.json())["items"][0]["id"]
    assert await _submit(browser, f"/you/tokens/{token}/revoke") == ("/you", ["Token revoked."])
    assert await _submit(browser, "/you/tokens/all/revoke") == ("/you", ["All tokens revoked."])


async def test_a_changed_password_and_a_sign_out_are_confirmed_on_the_sign_in_page(browser: ClientSession) -> None:
    changed = await _submit(browser, "/you/password", new_password=PASSWORD)
    assert changed == ("/sign-in", ["Password changed. Sign in with the new one."])


async def test_signing_out_is_confirmed(browser: ClientSession) -> None:
    assert await _submit(browser, "/sign-out") == ("/sign-in", ["You are signed out."])


async def test_changes_of_members_are_confirmed(browser: ClientSession, service: Service, alice: Person) -> None:
    await make_administrator(service, alice.email)
    member = f"/people/{(await add_member(service)).user_id}"
    assert await _submit(browser, f"{member}/disable") == ("/people", ["Member disabled."])
    assert await _submit(browser, f"{member}/enable") == ("/people", ["Member enabled."])
    dora = f"dora-{uuid4()}@corral.example"
    async with browser.post("/people/invitations", data={"email": dora}) as answer:
        assert answer.status == 200
    async with browser.get("/api/people") as answer:
        (invitation,) = (one["id"] for one in (await answer.json())["invitations"] if one["email"] == dora)
    revoked = await _submit(browser, f"/people/invitations/{invitation}/revoke")
    assert revoked == ("/people", ["Invitation revoked."])


async def test_a_script_or_a_prefetch_does_not_use_it_up(browser: ClientSession, alice: Person) -> None:
    """A scripted form follows the redirect before the browser opens the page; other sites' packages lost it there."""
    keys = f"/keys/{(await alice.store())['id']}"
    async with browser.post(
        f"{keys}/rename", data={"nickname": "x"}, headers={"Accept": "application/problem+json"}
    ) as answer:
        assert answer.status == 200
    assert await _confirmation(browser, keys, **{"Sec-Purpose": "prefetch"}) == []
    assert await _confirmation(browser, f"/keys/{alice.user_id}") == []  # not found
    assert await _confirmation(browser, keys) == ["Renamed."]
    assert await _confirmation(browser, keys) == []


@pytest.mark.parametrize("code", ["", "nonsense", "RENAMED", "<b>Renamed</b>", "Your account is locked. Call us."])
async def test_only_codes_of_the_list_have_a_text(service: Service, visitor: ClientSession, code: str) -> None:
    async with visitor.get("/sign-in", headers={"Cookie": f'{_COOKIE}="{code}"'}) as answer:
        html = await answer.text()
    assert _said(html) == []
    assert not code or code not in Parsed(html).text()


@pytest.mark.parametrize("done", Done)
async def test_each_code_has_a_sentence(visitor: ClientSession, done: Done) -> None:
    async with visitor.get("/sign-in", headers={"Cookie": f"{_COOKIE}={done.value}"}) as answer:
        (said,) = _said(await answer.text())
        cookie = answer.cookies[_COOKIE]
    assert said.endswith(".")
    assert (cookie["max-age"], cookie["httponly"], cookie["samesite"]) == ("0", True, "lax")
