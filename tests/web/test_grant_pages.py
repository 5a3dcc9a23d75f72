"""The pages of grants without JavaScript: create, narrow, renew and revoke them."""

import re
from uuid import uuid4

import pytest
from aiohttp import ClientSession

from tests.conftest import Service
from tests.gateway.conftest import key_headers
from tests.identity.members import PASSWORD, add_member
from tests.people import Person, key_pair, live_key, paper_key
from tests.web.conftest import Browsing
from tests.web.parsed_html import Parsed, read_page

_SECRET = re.compile(r"corral_grant_[0-9A-Za-z]{43}")
_KEY_ID = re.compile(r"CG[A-Z2-7]{24}")


def _form(**fields: str) -> dict[str, str]:
    return {"once": str(uuid4()), "name": "My bot", "access": "trade", "expires_in": "30d", **fields}


async def _post(session: ClientSession, path: str, data: dict[str, str]) -> tuple[int, str]:
    async with session.post(path, data=data) as answer:
        return answer.status, await answer.text()


async def _create(session: ClientSession, path: str, **fields: str) -> dict[str, str]:
    """Returns the key pair that the page shows."""
    status, html = await _post(session, path, _form(**fields))
    assert status == 200, html
    (secret,) = set(_SECRET.findall(html))
    return {"key_id": _KEY_ID.findall(html)[0], "secret_key": secret}


async def _works(service: Service, pair: dict[str, str]) -> int:
    async with (
        ClientSession(service.url, headers=key_headers(pair)) as program,
        program.get("/alpaca/v2/account") as answer,
    ):
        return answer.status


async def _links(session: ClientSession, path: str, ending: str) -> list[str]:
    page = await read_page(session, path)
    return [href for link in page.attributes("a") if (href := link.get("href") or "").endswith(ending)]


async def _grants(session: ClientSession, path: str) -> list[str]:
    """The paths of the grants that the page lists."""
    links = await _links(session, path, "/revoke")
    return [link.removesuffix("/revoke") for link in links if "/all/" not in link]


@pytest.fixture
async def path(alice: Person) -> str:
    """Of the grants of alice's account."""
    return f"/accounts/{(await alice.store(nickname='Growth'))['id']}/grants"


async def _live_account(service: Service, browser: ClientSession) -> str:
    """Signs a new member in, with a live account. Returns the path of its grants."""
    member = await add_member(service)
    assert (await _post(browser, "/sign-in", {"email": member.email, "password": PASSWORD}))[0] == 200
    added = {"nickname": "Savings", **key_pair(live_key())}
    async with browser.post("/keys/new", data=added) as answer:
        assert answer.status == 200
        return f"/accounts/{answer.url.path.split('/')[2]}/grants"


async def test_a_new_key_pair_is_shown_once_and_works(service: Service, alices: ClientSession, path: str) -> None:
    form = _form(name="<b>bot</b> & co")
    status, html = await _post(alices, path, form)
    assert (status, "<b>bot" in html) == (200, False)
    assert "Copy the key pair of “<b>bot</b> & co”" in Parsed(html).text()
    (secret,), key_id = set(_SECRET.findall(html)), _KEY_ID.findall(html)[0]
    assert await _works(service, {"key_id": key_id, "secret_key": secret}) == 200
    status, again = await _post(alices, path, form)
    assert (status, _SECRET.findall(again)) == (409, [])
    page = await read_page(alices, path)
    assert page.text().count("<b>bot</b> & co") == 1
    assert not _SECRET.findall(page.text())
    assert "Trade · " in page.text()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"name": ""}, "Enter a name."),
        ({"access": ""}, "Select what it may do."),
        ({"access": "all"}, "Select one of the options."),
        ({"expires_in": ""}, "Select an expiration."),
        ({"expires_in": "9999d"}, "Select one of the options."),
        ({"networks": "192.0.2.7/24"}, "Enter networks such as 192.0.2.0/24 or 2001:db8::/32, or single addresses."),
        ({"networks": " ".join(f"192.0.2.{n}" for n in range(17))}, "Enter at most 16 networks."),
    ],
)
async def test_what_is_wrong_is_said_at_the_field(
    fields: dict[str, str], sentence: str, alices: ClientSession, path: str
) -> None:
    status, html = await _post(alices, path, _form(**fields))
    page = Parsed(html)
    assert (status, _SECRET.findall(html)) == (422, [])
    assert sentence in page.text()
    assert [kind for kind in page.attributes("p") if kind.get("class") == "field-error"]
    if typed := fields.get("networks"):
        assert typed in {field.get("value") for field in page.attributes("input")}


async def test_a_grant_is_narrowed_and_never_widened(alices: ClientSession, path: str) -> None:
    await _create(alices, path, networks="192.0.2.0/24, 2001:db8::/32", access="close_only")
    assert "Only from 192.0.2.0/24, 2001:db8::/32" in (await read_page(alices, path)).text()
    (grant,) = await _grants(alices, path)
    same = {"name": "My bot", "networks": "192.0.2.0/24"}
    for fields, sentence in [
        ({"access": "trade"}, "A grant can only be narrowed. Create a new one for more access."),
        ({"networks": "198.51.100.0/24"}, "A grant can only be narrowed. Create a new one for other networks."),
        ({"networks": ""}, "A grant can only be narrowed. Create a new one for use from everywhere."),
        ({"expires_in": "90d"}, "A grant can't be extended here. Renew it instead."),
    ]:
        status, html = await _post(alices, f"{grant}/narrow", {**same, **fields})
        page = Parsed(html)
        assert status == 422
        assert sentence in page.text()
        assert [kind for kind in page.attributes("p") if kind.get("class") == "field-error"], sentence
    status, html = await _post(
        alices, f"{grant}/narrow", {**same, "name": "Closer", "access": "read", "expires_in": "7d"}
    )
    text = Parsed(html).text()
    assert (status, "Closer" in text, "Read only" in text) == (200, True, True)
    assert "expires in 6 days" in text


async def test_a_renewal_with_a_new_secret_shows_it_once_and_is_done_once(
    service: Service, alices: ClientSession, path: str
) -> None:
    pair = await _create(alices, path, expires_in="1d")
    (grant,) = await _grants(alices, path)
    page = await read_page(alices, f"{grant}/renew")
    (ended_at,) = [field["value"] or "" for field in page.attributes("input") if field.get("name") == "ended_at"]
    form = {"expires_in": "90d", "new_secret": "yes", "overlap": "1h", "ended_at": ended_at}
    status, html = await _post(alices, f"{grant}/renew", form)
    (secret,) = set(_SECRET.findall(html))
    assert (status, secret != pair["secret_key"]) == (200, True)
    assert "Previous secret works until" in Parsed(html).text()
    status, again = await _post(alices, f"{grant}/renew", form)
    assert (status, "renewed or changed meanwhile" in again, _SECRET.findall(again)) == (409, True, [])
    renewed = {**pair, "secret_key": secret}
    assert [await _works(service, one) for one in (pair, renewed)] == [200, 200]
    status, html = await _post(alices, f"{grant}/renew", {"expires_in": "7d"})
    assert (status, _SECRET.findall(html)) == (200, [])


async def test_revoking_one_all_of_an_account_and_all(
    service: Service, alice: Person, alices: ClientSession, path: str
) -> None:
    other = f"/accounts/{(await alice.store(nickname='Income'))['id']}/grants"
    pairs = [await _create(alices, where) for where in (path, path, other, other)]
    one = f"{(await _grants(alices, path))[0]}/revoke"
    assert "Revoke “My bot”?" in (await read_page(alices, one)).text()
    assert (await _post(alices, one, {}))[0] == 200
    assert [await _works(service, pair) for pair in pairs] == [401, 200, 200, 200]
    assert "One grant stops working" in (await read_page(alices, f"{path}/all/revoke")).text()
    assert (await _post(alices, f"{path}/all/revoke", {}))[0] == 200
    text = (await read_page(alices, "/you/grants")).text()
    assert (text.count("My bot"), "Income" in text) == (2, True)
    assert "2 grants stop working" in (await read_page(alices, "/you/grants/all/revoke")).text()
    status, html = await _post(alices, "/you/grants/all/revoke", {})
    assert (status, "No grants yet." in html) == (200, True)
    assert [await _works(service, pair) for pair in pairs] == [401] * 4


async def test_those_that_end_within_a_week_come_first(alices: ClientSession, alice: Person, path: str) -> None:
    other = f"/accounts/{(await alice.store(nickname='Income'))['id']}/grants"
    await _create(alices, path, name="Long one")
    await _create(alices, other, name="Short one", expires_in="7d")
    text = (await read_page(alices, "/you/grants")).text()
    parts = ["Expiring within a week", "Short one", "expires in 6 days", "Other grants", "Long one"]
    assert [text.index(part) for part in parts] == sorted(text.index(part) for part in parts)


async def test_an_account_that_does_not_work_is_named_as_the_reason(
    alices: ClientSession, alice: Person, path: str
) -> None:
    await _create(alices, path)
    credential_id = path.split("/")[2]
    async with alice.client.patch(f"/api/credentials/{credential_id}", json={"is_active": False}) as answer:
        assert answer.status == 200
    assert "My bot account paused" in (await read_page(alices, path)).text()


async def test_what_moves_real_money_is_confirmed_with_the_password(service: Service, visitor: ClientSession) -> None:
    path = await _live_account(service, visitor)
    for password, status, sentence in [
        ("", 422, "Enter your password. This grant can trade with real money."),
        ("not the right one", 401, "Wrong password."),
    ]:
        got, html = await _post(visitor, path, _form(current_password=password))
        assert (got, sentence in html, "not the right one" in html) == (status, True, False)
    await _create(visitor, path, current_password=PASSWORD)
    await _create(visitor, path, access="read")


async def test_whoever_has_no_password_learns_where_to_set_one(
    service: Service, alice: Person, browsing: Browsing
) -> None:
    path = f"/accounts/{(await alice.store(live_key()))['id']}/grants"
    async with browsing(alice) as alices:
        page = await read_page(alices, path)
        assert "/you/password" in {link.get("href") for link in page.attributes("a")}
        access = [field for field in page.attributes("input") if field.get("name") == "access"]
        assert [field["value"] for field in access if "disabled" not in field] == ["read"]
        status, html = await _post(alices, path, _form())
        assert (status, "have a password yet" in html) == (409, True)
        await _create(alices, path, access="read")


async def test_a_grant_is_only_found_under_its_own_account(alices: ClientSession, alice: Person, path: str) -> None:
    await _create(alices, path)
    other = (await alice.store(paper_key()))["id"]
    (grant,) = await _grants(alices, path)
    elsewhere = f"/accounts/{other}/grants/{grant.rpartition('/')[2]}/revoke"
    async with alices.get(elsewhere) as answer:
        assert answer.status == 404
    assert (await _post(alices, elsewhere, {}))[0] == 404
    assert (await _post(alices, f"{grant}/revoke", {}))[0] == 200
