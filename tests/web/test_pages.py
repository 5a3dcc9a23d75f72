"""What is true of every page."""

import pytest
from aiohttp import ClientSession

from tests.conftest import Service
from tests.people import Person
from tests.web.conftest import BROWSER
from tests.web.html import Parsed, read_page

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
_BANNER = "SANDBOX: no real money, no real Alpaca account"
_DEEDS = ["", "/found", "/rename", "/replace", "/switch-off", "/switch-on", "/delete"]


@pytest.fixture(
    params=[
        "/",
        "/sign-in",
        "/setup",
        "/invitation",
        "/you",
        "/docs",
        "/keys/new",
        *[f"/keys/{{id}}{deed}" for deed in _DEEDS],
    ]
)
async def page(request: pytest.FixtureRequest, alice: Person) -> str:
    stored = await alice.store()
    return str(request.param).format_map(stored)


async def test_every_page_is_there_with_its_headers(alices: ClientSession, page: str) -> None:
    async with alices.get(page) as answer:
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers.getall("content-security-policy") == [_POLICY]
        assert answer.headers.getall("cache-control") == ["no-store"]
        # With `no-referrer` a browser would send its forms as from nowhere.
        assert answer.headers.getall("referrer-policy") == ["same-origin"]


async def test_no_page_has_a_script_a_style_or_a_handler_of_its_own(alices: ClientSession, page: str) -> None:
    parsed = await read_page(alices, page)
    scripts = parsed.attributes("script")
    assert all(script["type"] == "module" and script["src"] for script in scripts)
    assert not parsed.attributes("style")
    assert not [text for tag, text in parsed.texts if tag == "script" and "{" in text]
    names = {name for _, attributes in parsed.tags for name in attributes}
    assert not {name for name in names if name.startswith("on") or name == "style"}


async def test_whatever_a_page_is_made_of_is_there_and_may_be_kept_for_a_year(alices: ClientSession, page: str) -> None:
    parsed = await read_page(alices, page)
    addresses = [link["href"] for link in parsed.attributes("link")]
    addresses += [element["src"] for tag in ("script", "img") for element in parsed.attributes(tag)]
    assert len(addresses) >= 6
    for address in addresses:
        assert address is not None
        async with alices.get(address) as answer:
            assert answer.status == 200, address
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize("path", ["/sign-in", "/setup", "/docs", "/nowhere"])
async def test_the_sandbox_says_so_on_every_page_and_first_in_its_title(demo: Service, path: str) -> None:
    async with ClientSession(demo.url, headers=BROWSER) as session, session.get(path) as answer:
        parsed = Parsed(await answer.text())
    assert parsed.title().startswith("SANDBOX")
    assert _BANNER in {text for _, text in parsed.texts}


async def test_a_page_about_real_money_never_speaks_of_a_sandbox(alices: ClientSession, page: str) -> None:
    async with alices.get(page) as answer:
        assert "sandbox" not in (await answer.text()).lower()


async def test_a_form_never_puts_a_secret_into_an_address(alices: ClientSession, page: str) -> None:
    parsed = await read_page(alices, page)
    assert all(form["method"] == "post" for form in parsed.attributes("form"))


async def test_every_form_posts_to_a_page(alices: ClientSession, page: str) -> None:
    """So that somebody who has to sign in first is led back to the form."""
    for form in (await read_page(alices, page)).attributes("form"):
        assert form["action"] is not None
        async with alices.get(form["action"]) as answer:
            assert answer.status == 200, form["action"]


async def test_every_field_has_a_label_and_no_browser_is_asked_to_remember_an_alpaca_key(
    alices: ClientSession, page: str
) -> None:
    parsed = await read_page(alices, page)
    labelled = {label.get("for") for label in parsed.attributes("label")}
    fields = [field for field in parsed.attributes("input") if field.get("type") not in {"checkbox", "radio", "hidden"}]
    assert all(field["id"] in labelled for field in fields)
    keys = [field for field in fields if field["name"] in {"api_key", "secret_key"}]
    assert bool(keys) == (page in {"/", "/keys/new"} or page.endswith("/replace") or page.count("/") == 2)
    assert all(field["autocomplete"] == "off" for field in keys)


async def test_ids_are_unique_on_a_page(alices: ClientSession, page: str) -> None:
    ids = [attributes["id"] for _, attributes in (await read_page(alices, page)).tags if "id" in attributes]
    assert len(ids) == len(set(ids))


async def test_the_pages_are_no_part_of_the_described_api(anybody: ClientSession) -> None:
    async with anybody.get("/openapi.json") as answer:
        paths = (await answer.json())["paths"]
    assert all(path.startswith(("/api/", "/healthz", "/readyz")) for path in paths), list(paths)
