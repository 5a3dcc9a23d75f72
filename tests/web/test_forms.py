"""Forms without JavaScript: who may send them, what they may say, and what comes back."""

import re

import pytest
from aiohttp import ClientSession

from corral.edge.field_types import Body, Name, SecretText
from corral.errors import InvalidRequest, MalformedRequest
from corral.web.forms import as_body
from corral.web.visitors import local_path
from tests.people import Person, key_pair, paper_key
from tests.web.addresses import ACTIONS, OF_STRANGERS, PAGES, filled_in
from tests.web.conftest import BROWSER
from tests.web.html import Parsed

_GUARDED = [filled_in(page) for page in PAGES if page not in {*OF_STRANGERS, "/docs", "/sign-out"}]


@pytest.mark.parametrize("action", [filled_in(action) for action in ACTIONS if action not in OF_STRANGERS])
async def test_a_form_sent_too_late_leads_to_the_sign_in_and_back_to_the_form(
    action: str, visitor: ClientSession
) -> None:
    async with visitor.post(action, data={}, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["location"]) == (303, f"/sign-in?next={action}")


@pytest.mark.parametrize("path", [*_GUARDED[1:], "/?wait"])
async def test_a_signed_out_visitor_is_led_to_the_sign_in_and_comes_back(path: str, visitor: ClientSession) -> None:
    async with visitor.get(path) as answer:
        assert answer.status == 200
        assert answer.url.path == "/sign-in"
        assert answer.url.query["next"] == path


@pytest.mark.parametrize("path", _GUARDED)
async def test_a_token_opens_no_page(path: str, alice: Person) -> None:
    async with alice.client.get(path, headers=BROWSER) as answer:
        assert answer.status == 403
        assert "sign in as a person" in await answer.text()


async def test_a_script_whose_session_has_ended_is_told_so_and_not_led_away(visitor: ClientSession) -> None:
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
def test_only_a_page_of_ours_is_led_to(wanted: str | None, led_to: str) -> None:
    assert local_path(wanted) == led_to


async def test_a_field_that_the_form_does_not_have_is_refused(alices: ClientSession) -> None:
    async with alices.post("/keys/new", data={"nickname": "n", **key_pair(paper_key()), "user_id": "1"}) as answer:
        assert answer.status == 422


async def test_a_body_that_is_no_form_is_refused(alices: ClientSession) -> None:
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


async def test_a_refused_form_comes_back_with_everything_but_secrets(alices: ClientSession) -> None:
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


async def test_what_is_wrong_with_a_field_stands_at_the_field(alices: ClientSession) -> None:
    async with alices.post("/keys/new", data={"nickname": "x" * 101, **key_pair(paper_key())}) as answer:
        parsed = Parsed(await answer.text())
    assert answer.status == 422
    (nickname,) = [field for field in parsed.attributes("input") if field["name"] == "nickname"]
    assert nickname["aria-invalid"] == "true"
    assert "nickname-error" in {attributes.get("id") for _, attributes in parsed.tags}


async def test_a_script_is_answered_as_a_program_is(alices: ClientSession) -> None:
    headers = {"Accept": "application/problem+json"}
    async with alices.post("/keys/new", data={"nickname": "n"}, headers=headers) as answer:
        assert answer.headers["content-type"] == "application/problem+json"
        told = await answer.json()
    assert {error["loc"][-1] for error in told["errors"]} == {"api_key", "secret_key"}


class _Ticks(Body):
    name: Name
    boxes: list[str] | None = None
    word: SecretText | None = None


def test_boxes_are_a_list_and_anything_else_comes_once() -> None:
    assert as_body(_Ticks, {"name": ["n"], "boxes": ["a", "b"]}).boxes == ["a", "b"]
    with pytest.raises(MalformedRequest):
        as_body(_Ticks, {"name": ["n", "m"]})
    with pytest.raises(InvalidRequest):
        as_body(_Ticks, {"name": ["n"], "other": ["x"]})


async def test_a_problem_is_a_page_for_people_and_json_for_programs(visitor: ClientSession) -> None:
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


async def test_a_page_that_does_not_take_a_form_says_so(visitor: ClientSession) -> None:
    async with visitor.post("/docs", data={"a": "b"}) as answer:
        assert (answer.status, answer.headers["allow"]) == (405, "GET")
        assert re.search("<h1>.*ethod", await answer.text())
