"""Forms without JavaScript: access, parsing, and what a rejected form shows."""

import re

import pytest
from aiohttp import ClientSession

from corral.edge.field_types import Body, Name, SecretText
from corral.errors import InvalidRequest, MalformedRequest
from corral.web.forms import parse_form
from corral.web.page_user import local_path
from tests.people import Person, key_pair, paper_key
from tests.web.conftest import BROWSER
from tests.web.page_paths import ACTIONS, PAGES, PUBLIC_PAGES, filled_in
from tests.web.parsed_html import Parsed

_GUARDED = [filled_in(page) for page in PAGES if page not in {*PUBLIC_PAGES, "/docs", "/sign-out"}]


@pytest.mark.parametrize("action", [filled_in(action) for action in ACTIONS if action not in PUBLIC_PAGES])
async def test_a_form_without_a_session_redirects_to_sign_in_and_back(action: str, visitor: ClientSession) -> None:
    async with visitor.post(action, data={}, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["location"]) == (
            303,
            f"/sign-in?next={action}" if action != "/" else "/sign-in",
        )


@pytest.mark.parametrize("path", [*_GUARDED[1:], "/?wait"])
async def test_a_page_without_a_session_redirects_to_sign_in_and_back(path: str, visitor: ClientSession) -> None:
    async with visitor.get(path) as answer:
        assert answer.status == 200
        assert answer.url.path == "/sign-in"
        assert answer.url.query["next"] == path


@pytest.mark.parametrize("path", _GUARDED)
async def test_an_api_token_cannot_open_pages(path: str, alice: Person) -> None:
    async with alice.client.get(path, headers=BROWSER) as answer:
        assert answer.status == 403
        assert "Sign in with a browser" in await answer.text()


async def test_a_script_without_a_session_gets_a_problem_and_no_redirect(visitor: ClientSession) -> None:
    async with visitor.post("/keys/new", data={}, headers={"Accept": "application/problem+json"}) as answer:
        assert (answer.status, (await answer.json())["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize(
    ("wanted", "led_to"),
    [
        ("/keys/new?a=b", "/keys/new?a=b"),
        (None, "/"),
        ("", "/"),
        ("//elsewhere.example", "/"),
        ("/\\elsewhere.example", "/"),
        ("/keys\\new", "/"),
        ("https://elsewhere.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("/\t/elsewhere.example", "/"),
        ("/\n/elsewhere.example", "/"),
        ("/keys/new\r\nSet-Cookie: a=b", "/"),
        ("/é", "/"),
        ("/" + "a" * 1024, "/"),
    ],
)
def test_redirects_stay_on_this_server(wanted: str | None, led_to: str) -> None:
    assert local_path(wanted) == led_to


async def test_an_unknown_form_field_is_rejected(alices: ClientSession) -> None:
    async with alices.post("/keys/new", data={"nickname": "n", **key_pair(paper_key()), "user_id": "1"}) as answer:
        assert answer.status == 422


async def test_a_body_that_is_not_a_form_is_rejected(alices: ClientSession) -> None:
    for body, media_type, status in [
        ("{}", "application/json", 415),
        ("a=b", "text/plain", 415),
        ("a", "application/x-www-form-urlencoded", 400),
        ("a=%ff", "application/x-www-form-urlencoded", 400),
        ("&".join(f"a{number}=b" for number in range(65)), "application/x-www-form-urlencoded", 400),
        ("a=" + "b" * 70_000, "application/x-www-form-urlencoded", 413),
    ]:
        async with alices.post("/keys/new", data=body, headers={"Content-Type": media_type}) as answer:
            assert answer.status == status, body[:20]
            assert answer.headers["content-type"] == "text/html; charset=utf-8"


async def test_a_rejected_form_keeps_all_values_except_secrets(alices: ClientSession) -> None:
    sent = {"nickname": '"><b>Long & term', "api_key": "PKNOTAKEYATALL4711XY", "secret_key": "not-a-secret-4711-either"}
    async with alices.post("/keys/new", data={**sent, "credential_type": "paper"}) as answer:
        html = await answer.text()
        parsed = Parsed(html)
    assert answer.status == 422
    values = {field["name"]: field.get("value") for field in parsed.attributes("input") if "checked" not in field}
    assert values["nickname"] == sent["nickname"]
    assert [box["value"] for box in parsed.attributes("input") if "checked" in box] == ["paper"]
    assert sent["api_key"] not in html
    assert sent["secret_key"] not in html
    assert "neither for paper nor for live" in parsed.text()


async def test_validation_errors_are_shown_at_their_field(alices: ClientSession) -> None:
    async with alices.post("/keys/new", data={"nickname": "x" * 101, **key_pair(paper_key())}) as answer:
        parsed = Parsed(await answer.text())
    assert answer.status == 422
    (nickname,) = [field for field in parsed.attributes("input") if field["name"] == "nickname"]
    assert nickname["aria-invalid"] == "true"
    assert "nickname-error" in {attributes.get("id") for _, attributes in parsed.tags}


@pytest.mark.parametrize(
    ("path", "sent", "field", "message"),
    [
        ("/keys/new", {}, "nickname", "Enter a name."),
        ("/keys/new", {"nickname": " "}, "nickname", "Enter a name."),
        ("/keys/new", {"nickname": "x" * 101}, "nickname", "Enter at most 100 characters."),
        ("/keys/new", {}, "api_key", "Enter the key ID."),
        ("/keys/new", {}, "secret_key", "Enter the secret."),
        ("/sign-in", {"password": "x"}, "email", "Enter an email address."),
        ("/sign-in", {"email": "no", "password": "x"}, "email", "Enter a valid email address."),
        ("/sign-in", {"email": "email", "password": "x"}, "email", "Enter a valid email address."),
        ("/sign-in", {"email": f"{'x' * 300}@y.example", "password": "x"}, "email", "Enter a valid email address."),
        ("/sign-in", {"email": "x@y.example"}, "password", "Enter a password."),
        ("/recover", {}, "token", "Enter the link or code."),
        ("/you/tokens", {"days": "8"}, "days", "Select one of the options."),
    ],
)
async def test_validation_errors_are_in_the_words_of_the_form(
    path: str, sent: dict[str, str], field: str, message: str, alices: ClientSession, bob: Person
) -> None:
    async with alices.post(path, data=sent, headers={"Accept": "application/problem+json"}) as answer:
        assert answer.status == 422
        errors = {error["loc"][0]: error["msg"] for error in (await answer.json())["errors"]}
    assert errors[field] == message
    async with alices.post(path, data=sent) as answer:
        page = Parsed(await answer.text())
    assert field == "days" or message in {text for tag, text in page.texts if tag == "p"}


async def test_a_form_submitted_by_a_script_gets_problem_json(alices: ClientSession) -> None:
    headers = {"Accept": "application/problem+json"}
    async with alices.post("/keys/new", data={"nickname": "n"}, headers=headers) as answer:
        assert answer.headers["content-type"] == "application/problem+json"
        reported = await answer.json()
    assert {error["loc"][-1] for error in reported["errors"]} == {"api_key", "secret_key"}


class _Ticks(Body):
    name: Name
    boxes: list[str] | None = None
    word: SecretText | None = None


def test_checkboxes_are_a_list_and_other_fields_appear_once() -> None:
    assert parse_form(_Ticks, {"name": ["n"], "boxes": ["a", "b"]}).boxes == ["a", "b"]
    with pytest.raises(MalformedRequest):
        parse_form(_Ticks, {"name": ["n", "m"]})
    with pytest.raises(InvalidRequest):
        parse_form(_Ticks, {"name": ["n"], "other": ["x"]})


async def test_a_problem_is_a_page_for_browsers_and_json_for_programs(visitor: ClientSession) -> None:
    async with visitor.get("/nowhere/<script>alert(1)</script>") as answer:
        page = await answer.text()
        request_id = answer.headers["x-request-id"]
    assert answer.status == 404
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    assert request_id in page
    assert "alert(1)" not in page
    for path, accept in [("/nowhere", "*/*"), ("/api/nowhere", "text/html")]:
        async with visitor.get(path, headers={"Accept": accept}) as answer:
            assert answer.headers["content-type"] == "application/problem+json"


async def test_posting_to_a_page_without_a_form_is_not_allowed(visitor: ClientSession) -> None:
    async with visitor.post("/docs", data={"a": "b"}) as answer:
        assert (answer.status, answer.headers["allow"]) == (405, "GET")
        assert re.search("<h1>.*ethod", await answer.text())
