"""What is true of every page."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientResponse, ClientSession

from benchmarks.scripts import script_bytes
from corral.credentials.problems import CredentialNotFound
from corral.errors import DatabaseUnavailable, Problem
from corral.people.problems import PersonNotFound
from corral.web.rendering import render_problem_page
from tests.access import sign_in_by_link
from tests.conftest import Service
from tests.identity.members import make_administrator
from tests.people import make_person
from tests.web.conftest import BROWSER
from tests.web.page_ids import ids_of
from tests.web.page_paths import PAGES, UNKNOWN_ID, filled_in
from tests.web.parsed_html import Parsed, read_page

if TYPE_CHECKING:
    from corral.edge.middleware import Scope

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)
_BANNER = "SANDBOX: no real money, no real Alpaca account"
_FOR_SCRIPTS = {"/closes", "/curves", "/lines", "/market", "/accounts/{credential_id}/details"}


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads pages, and changes nothing: all tests of this file share one of each kind."""

    session: ClientSession
    ids: dict[str, str]


@asynccontextmanager
async def _reader(service: Service, key_id: str, *, is_administrator: bool) -> AsyncGenerator[Reader]:
    async with make_person(service, "alice") as alice, make_person(service, "bob") as bob:
        if is_administrator:
            await make_administrator(service, alice.email)
        ids = await ids_of(service, alice, bob, key_id=key_id)
        cookie = await sign_in_by_link(service, alice.user_id)
        async with ClientSession(service.url, headers={**BROWSER, "Cookie": cookie}) as session:
            yield Reader(session, ids)


@pytest.fixture(scope="module")
async def member(service: Service) -> AsyncGenerator[Reader]:
    async with _reader(service, "PKEVERYPAGE01", is_administrator=False) as reader:
        yield reader


@pytest.fixture(scope="module")
async def administrator(service: Service) -> AsyncGenerator[Reader]:
    async with _reader(service, "PKEVERYPAGE02", is_administrator=True) as reader:
        yield reader


@pytest.fixture(params=[page for page in PAGES if page not in {*_FOR_SCRIPTS, "/sign-out"}])
def template(request: pytest.FixtureRequest) -> str:
    """Of every page of the application."""
    return request.param


@pytest.fixture
def reader(template: str, member: Reader, administrator: Reader) -> Reader:
    """Who may see it."""
    return administrator if "/people" in template else member


@pytest.fixture
def alices(reader: Reader) -> ClientSession:
    return reader.session


@pytest.fixture
def page(template: str, reader: Reader) -> str:
    return filled_in(template, reader.ids)


async def test_every_page_has_security_headers(alices: ClientSession, page: str) -> None:
    async with alices.get(page) as answer:
        assert answer.status == 200
        _check_headers(answer)


@pytest.mark.parametrize("path", sorted(_FOR_SCRIPTS))
async def test_data_for_scripts_is_json_without_caching(path: str, member: Reader) -> None:
    async with member.session.get(filled_in(path, member.ids)) as answer:
        assert (answer.status, answer.content_type) == (200, "application/json")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/nowhere", "/people", f"/keys/{UNKNOWN_ID}", f"/accounts/{UNKNOWN_ID}"])
async def test_problem_pages_have_security_headers(bobs: ClientSession, path: str) -> None:
    async with bobs.get(path) as answer:
        assert answer.status in {403, 404}
        _check_headers(answer)


@pytest.mark.parametrize("path", ["/nowhere", "/people", f"/keys/{UNKNOWN_ID}", f"/accounts/{UNKNOWN_ID}"])
async def test_problem_pages_keep_the_navigation_of_who_is_signed_in(
    path: str, bobs: ClientSession, visitor: ClientSession
) -> None:
    async with bobs.get(path) as answer:
        parsed = Parsed(await answer.text())
    assert answer.status in {403, 404}
    assert {"/", "/you"} <= {link["href"] for link in parsed.attributes("a")}
    assert "/sign-out" in {form["action"] for form in parsed.attributes("form")}
    async with visitor.get("/nowhere", headers={"Cookie": "corral_session=of-nobody"}) as answer:
        parsed = Parsed(await answer.text())
    assert (answer.status, parsed.attributes("form")) == (404, [])


@pytest.mark.parametrize(
    ("problem", "lead", "retry"),
    [
        (CredentialNotFound(), "It may have been removed.", []),
        (PersonNotFound(), "", []),
        (DatabaseUnavailable(), DatabaseUnavailable().detail, ["/orders?money=paper"]),
    ],
)
def test_a_problem_page_does_not_repeat_its_title_and_offers_to_try_again_what_may_pass(
    problem: Problem, lead: str, retry: list[str]
) -> None:
    parsed = _problem_page(problem)
    main = parsed.text().partition(f" {problem.status} ")[2]
    assert main.startswith(" ".join(f"{problem.title} {lead} {'Try again ' if retry else ''}Go to Home".split()))
    links = [link["href"] for link in parsed.attributes("a") if "button" in (link.get("class") or "")]
    assert links == [*retry, "/"]


def test_an_outage_keeps_the_links_of_who_sent_a_session() -> None:
    """It may be the database that could say whose the session is."""
    session = {"headers": [(b"cookie", b"corral_display=theme:dark; corral_session=of-somebody")]}
    places = {"/holdings", "/orders", "/activity"}
    for problem, scope, expected in [
        (DatabaseUnavailable(), session, places),
        (DatabaseUnavailable(), {}, set[str]()),
        (CredentialNotFound(), session, set[str]()),
    ]:
        parsed = _problem_page(problem, **scope)
        assert places & {str(link["href"]) for link in parsed.attributes("a")} == expected
        assert parsed.attributes("form") == []


def _problem_page(problem: Problem, **request: object) -> Parsed:
    scope: Scope = {"type": "http", "method": "GET", "path": "/orders", "query_string": b"money=paper", "headers": []}
    page = render_problem_page(scope | request, problem, "4711", sandbox=False, session_cookie="corral_session")
    return Parsed(page[2].decode())


@pytest.mark.parametrize("path", ["/sign-in", "/setup", "/invitation", "/keys/new", "/you/password", "/you/tokens"])
async def test_pages_with_a_rejected_form_have_security_headers(bobs: ClientSession, path: str) -> None:
    async with bobs.post(path, data={"password": "x"}) as answer:
        assert answer.status in {401, 403, 422}
        _check_headers(answer)


async def test_pages_have_few_scripts_and_none_inline(alices: ClientSession, page: str) -> None:
    async with alices.get(page) as answer:
        html = await answer.text()
    assert script_bytes(html) <= 60_000
    parsed = Parsed(html)
    scripts = parsed.attributes("script")
    assert all(script["type"] == "module" and script["src"] for script in scripts)
    assert not parsed.attributes("style")
    assert not [text for tag, text in parsed.texts if tag == "script" and "{" in text]
    names = {name for _, attributes in parsed.tags for name in attributes}
    assert not {name for name in names if name.startswith("on") or name == "style"}


async def test_static_files_of_pages_exist_and_are_cached_for_a_year(alices: ClientSession, page: str) -> None:
    parsed = await read_page(alices, page)
    addresses = [link["href"] for link in parsed.attributes("link") if link["rel"] != "manifest"]
    addresses += [element["src"] for tag in ("script", "img") for element in parsed.attributes(tag)]
    assert len(addresses) >= 6
    for address in addresses:
        assert address is not None
        async with alices.get(address) as answer:
            assert answer.status == 200, address
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize("path", ["/sign-in", "/setup", "/docs", "/nowhere"])
async def test_every_sandbox_page_says_so_in_banner_and_title(demo: Service, path: str) -> None:
    async with ClientSession(demo.url, headers=BROWSER) as session, session.get(path) as answer:
        parsed = Parsed(await answer.text())
    assert parsed.title().startswith("SANDBOX")
    assert _BANNER in {text for _, text in parsed.texts}


async def test_pages_of_a_real_server_never_mention_a_sandbox(alices: ClientSession, page: str) -> None:
    async with alices.get(page) as answer:
        assert "sandbox" not in (await answer.text()).lower()


async def test_forms_never_put_secrets_into_urls(alices: ClientSession, page: str) -> None:
    """What is not posted is a filter: two days, a symbol, and choices."""
    parsed = await read_page(alices, page)
    typed = {field.get("name") for field in parsed.attributes("input") if field.get("type") != "hidden"}
    assert typed <= {"since", "to", "symbol", "q"} or all(
        form["method"] == "post" for form in parsed.attributes("form")
    )


async def test_every_form_posts_to_a_url_with_a_page(alices: ClientSession, page: str) -> None:
    """So that a user who has to sign in first returns to the form."""
    for form in (await read_page(alices, page)).attributes("form"):
        if form["method"] == "get":
            continue
        assert form["action"] is not None
        async with alices.get(form["action"]) as answer:
            assert answer.status == 200, form["action"]


async def test_every_field_has_a_label_and_alpaca_keys_are_not_autofilled(alices: ClientSession, page: str) -> None:
    parsed = await read_page(alices, page)
    labelled = {label.get("for") for label in parsed.attributes("label")}
    in_their_labels = {"checkbox", "radio", "date", "hidden"}
    fields = [field for field in parsed.attributes("input") if field.get("type") not in in_their_labels]
    assert all(field["id"] in labelled for field in fields)
    keys = [field for field in fields if field["name"] in {"api_key", "secret_key"}]
    assert bool(keys) == (page == "/" or bool(re.fullmatch(r"/keys/[^/]+(/check|/replace)?", page)))
    assert all(field["autocomplete"] == "off" for field in keys)


async def test_ids_are_unique(alices: ClientSession, page: str) -> None:
    ids = [attributes["id"] for _, attributes in (await read_page(alices, page)).tags if "id" in attributes]
    assert len(ids) == len(set(ids))


async def test_pages_are_not_in_the_openapi_document(anonymous: ClientSession) -> None:
    async with anonymous.get("/openapi.json") as answer:
        paths = (await answer.json())["paths"]
    assert all(path.startswith(("/api/", "/healthz", "/readyz")) for path in paths), list(paths)


def _check_headers(answer: ClientResponse) -> None:
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers.getall("content-security-policy") == [_POLICY]
    assert answer.headers.getall("cache-control") == ["no-store"]
    # With `no-referrer` a browser would send its forms as from nowhere.
    assert answer.headers.getall("referrer-policy") == ["same-origin"]
