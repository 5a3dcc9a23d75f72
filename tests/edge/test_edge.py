"""What every request and response goes through, over real HTTP."""

import io
from typing import Any

import pytest

from corral.edge.middleware import Edge, Message, Receive, Scope, Send, security_headers
from tests.edge.sample_app import sample_app
from tests.edge.wire import CANARY, Served, request, served

HORSE_ID = "0190f0a0-1111-7222-8333-abcdefabcdef"
JSON = "Content-Type: application/json"
PROBLEM_KEYS = {"type", "title", "status", "detail", "code", "request_id"}


def post(body: bytes, *headers: str, target: str = "/api/horses") -> bytes:
    return request("POST", target, f"Content-Length: {len(body)}", *(headers or (JSON,)), body=body)


async def test_every_response_carries_the_security_headers(server: Served) -> None:
    for target in (f"/api/horses/{HORSE_ID}", "/nowhere", "/api/horses/broken/bug"):
        headers = (await server.ask(request("GET", target))).headers
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert "server" not in headers
        assert "date" in headers


async def test_a_page_keeps_its_own_policies(server: Served) -> None:
    headers = (await server.ask(request("GET", "/page"))).headers
    assert headers["content-security-policy"] == "default-src 'self'"
    assert headers["cache-control"] == "max-age=60"
    assert "server" not in headers


def test_hsts_is_sent_only_with_https() -> None:
    assert b"strict-transport-security" in dict(security_headers("https://corral.example.com"))
    assert b"strict-transport-security" not in dict(security_headers("http://127.0.0.1:8002"))


async def test_a_request_id_is_generated_and_in_the_response_and_the_log(server: Served) -> None:
    theirs = "f" * 32
    answer = await server.ask(request("GET", f"/api/horses/{HORSE_ID}", f"X-Request-ID: {theirs}"))
    (line,) = server.lines()
    assert line["request_id"] == answer.headers["x-request-id"] != theirs
    assert len(line["request_id"]) == 32


async def test_a_request_is_one_line_with_template_status_duration_and_user(server: Served) -> None:
    await server.ask(request("GET", f"/api/horses/{HORSE_ID}?key={CANARY}"))
    (line,) = server.lines()
    assert line.pop("duration_ms") > 0
    assert line.keys() == {"at", "level", "event", "request_id", "method", "path", "status", "user_id"}
    assert line["path"] == "/api/horses/{horse_id}"
    assert (line["event"], line["method"], line["status"], line["user_id"]) == ("request", "GET", 200, "alice")


async def test_the_log_contains_nothing_of_a_request_but_its_path(server: Served) -> None:
    sent = [
        post(b'{"name": "%s"}' % CANARY.encode()),
        post(b'{"name": 1, "%s": 2}' % CANARY.encode()),
        post(b"not json " + CANARY.encode()),
        post(CANARY.encode(), "Content-Type: text/plain"),
        request("GET", f"/nowhere?key={CANARY}", f"X-Key: {CANARY}", f"Cookie: a={CANARY}"),
        request("GET", f"/healthz?{CANARY}", f"Authorization: Bearer {CANARY}", f"User-Agent: {CANARY}"),
        request("GET", "/healthz", f"{CANARY}", f"X-Request-ID: {CANARY}"),
        request("GET", "/api/horses/broken/teapot"),
    ]
    for raw in sent:
        await server.ask(raw)
    traced = [line for line in server.lines() if "exception" in line]
    assert len(server.lines()) == len(sent) + 1
    assert [line["event"] for line in traced] == ["unexpected_exception"]
    assert CANARY not in "".join(str(line) for line in server.lines() if line not in traced)


async def test_a_path_cannot_forge_a_log_line(server: Served) -> None:
    await server.ask(request("GET", "/a%0d%0a%7b%22event%22:%22request%22%7d%1b[31m%e2%80%a8" + "b" * 999))
    (line,) = server.lines()
    assert line["path"].startswith('/a\\r\\n{"event":"request"}\\x1b[31m\\u2028b')
    assert len(line["path"]) < 300


async def test_a_bug_is_logged_once_with_its_traceback_and_not_sent_to_the_client(server: Served) -> None:
    answer = await server.ask(request("GET", "/api/horses/broken/bug"))
    assert answer.status == 500
    assert answer.json() == {
        "type": "urn:corral:problem:internal",
        "title": "Internal error",
        "status": 500,
        "detail": "Something went wrong in Corral. Its log has the details under this request ID.",
        "code": "internal",
        "request_id": answer.headers["x-request-id"],
    }
    bug, line = server.lines()
    assert (bug["event"], bug["level"], line["event"], line["status"]) == (
        "unexpected_exception",
        "error",
        "request",
        500,
    )
    assert "ZeroDivisionError: bug with" in bug["exception"]
    assert "in broken" in bug["exception"]
    assert bug["request_id"] == line["request_id"] == answer.headers["x-request-id"]


async def test_a_bug_during_a_response_closes_the_connection(server: Served) -> None:
    client = await server.connect()
    await client.send(request("GET", "/api/horses/broken/stream"))
    raw = await client.rest()
    assert b"half" in raw
    assert not raw.endswith(b"0\r\n\r\n"), "looks like a whole answer"
    assert [line["event"] for line in server.lines() if "exception" in line] == ["unexpected_exception"]


async def test_a_header_that_would_split_the_response_is_not_sent(server: Served) -> None:
    client = await server.connect()
    await client.send(request("GET", "/api/horses/broken/header"))
    assert b"Set-Cookie" not in await client.rest()


async def test_a_problem_is_answered_with_its_status_members_and_headers(server: Served) -> None:
    answer = await server.ask(request("GET", "/api/horses/broken/problem"))
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json().keys() == PROBLEM_KEYS | {"region"}
    assert not [line for line in server.lines() if "exception" in line]


async def test_an_unauthenticated_response_says_how_to_authenticate(server: Served) -> None:
    answer = await server.ask(request("GET", "/api/horses/broken/unauthenticated"))
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")


async def test_starlettes_own_errors_are_problems(server: Served) -> None:
    missing = await server.ask(request("GET", "/nowhere"))
    assert (missing.status, missing.json()["code"], missing.json().keys()) == (404, "not_found", PROBLEM_KEYS)
    other_method = await server.ask(request("PUT", "/page"))
    assert (other_method.status, other_method.json()["code"]) == (405, "method_not_allowed")
    assert (other_method.headers["allow"], other_method.json()["allow"]) == ("GET", ["GET"])


async def test_an_unknown_http_error_is_a_bug(server: Served) -> None:
    answer = await server.ask(request("GET", "/api/horses/broken/teapot"))
    assert (answer.status, answer.json()["code"]) == (500, "internal")
    assert CANARY not in answer.body.decode()


async def test_an_invalid_request_has_locations_and_messages(server: Served) -> None:
    answer = await server.ask(request("GET", "/api/horses/zzz-not-a-uuid"))
    assert (answer.status, answer.json()["code"]) == (422, "invalid_request")
    assert answer.json()["errors"] == [{"loc": ["path", "horse_id"], "msg": "Input should be a valid UUID"}]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{}", "Field required"),
        (b'{"name": "boxer"}', "a horse has a capital letter"),
        (b'{"name": "quote PKCANARY"}', "Invalid value"),
        (b'{"name": "A", "age": "PKCANARY"}', "Input should be a valid integer, unable to parse string as an integer"),
        (b'{"name": "A", "age": 41}', "Input should be less than or equal to 40"),
        (b'{"name": "PKCANARYPKCANARYPKCANARY"}', "String should have at most 20 characters"),
        (b'"PKCANARY"', "Input should be a valid dictionary or object to extract fields from"),
        (b'{"name": "A", "PKCANARYCANARYCANARY": 1}', "Extra inputs are not permitted"),
    ],
)
async def test_the_error_for_an_invalid_body_does_not_repeat_it(server: Served, body: bytes, message: str) -> None:
    answer = await server.ask(post(body))
    assert answer.status == 422
    (error,) = answer.json()["errors"]
    assert error.keys() == {"loc", "msg"}
    assert error["msg"] == message
    assert b"PKCANARY" not in answer.body


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b'{"name": "\xff"}', b"[" * 60_000])
async def test_a_body_that_is_not_json_is_malformed(server: Served, body: bytes) -> None:
    answer = await server.ask(post(body))
    assert (answer.status, answer.json()["code"]) == (400, "malformed_request")


@pytest.mark.parametrize(
    ("media_type", "status"),
    [
        (JSON, 200),
        ("content-type: Application/JSON; charset=utf-8", 200),
        ("Content-Type: text/plain", 415),
        ("Content-Type: application/x-www-form-urlencoded", 415),
        ("Content-Type: application/jsonp", 415),
        ("X-Other: a", 415),
    ],
)
async def test_the_api_takes_json_and_nothing_else(server: Served, media_type: str, status: int) -> None:
    assert (await server.ask(post(b'{"name": "Boxer"}', media_type))).status == status


async def test_a_request_without_a_body_needs_no_media_type(server: Served) -> None:
    assert (await server.ask(request("DELETE", "/api/horses"))).status == 200
    assert (await server.ask(request("DELETE", "/api/horses", "Content-Length: 0"))).status == 200


async def test_other_media_types_are_for_paths_outside_the_api(server: Served) -> None:
    assert (await server.ask(post(b"a=b", "Content-Type: text/plain", target="/form"))).body == b"3"


@pytest.mark.parametrize("length", [65_537, 2**63])
async def test_a_body_declared_too_large_is_refused_at_once(server: Served, length: int) -> None:
    answer = await server.ask(request("POST", "/form", f"Content-Length: {length}", "Expect: 100-continue"))
    assert (answer.status, answer.headers["connection"]) == (413, "close")


@pytest.mark.parametrize("target", ["/form", "/api/horses"])
async def test_a_chunked_body_is_refused_as_soon_as_it_is_too_large(server: Served, target: str) -> None:
    client = await server.connect()
    await client.send(request("POST", target, JSON, "Transfer-Encoding: chunked"))
    for _ in range(65):
        await client.send(b"400\r\n" + b" " * 1024 + b"\r\n")
    answer = await client.response()
    assert (answer.status, answer.json()["code"]) == (413, "body_too_large")
    assert answer.headers["connection"] == "close"
    assert await client.rest() == b""


async def test_only_a_refusal_before_the_end_of_a_body_ends_the_connection(server: Served) -> None:
    read = await server.ask(post(b"{}"))
    unread = await server.ask(post(b"{}", target="/nowhere"))
    none = await server.ask(request("GET", "/nowhere"))
    assert [answer.headers.get("connection") for answer in (read, unread, none)] == [None, "close", None]


async def test_a_body_of_just_the_limit_is_read(server: Served) -> None:
    assert (await server.ask(post(b"a" * 65_536, JSON, target="/form"))).body == b"65536"


async def test_the_openapi_document_has_every_problem_with_its_code(server: Served) -> None:
    document: dict[str, Any] = (await server.ask(request("GET", "/openapi.json"))).json()
    schema = document["components"]["schemas"]["ProblemBody"]
    responses = document["paths"]["/api/horses/{horse_id}"]["get"]["responses"]
    assert responses["404"]["description"] == (
        "`horse_not_found`: There is no such horse.\n\n`not_found`: This page or resource does not exist."
    )
    assert responses["401"]["content"].keys() == {"application/problem+json"}
    assert {"400", "422", "500", "503"} < responses.keys()
    assert "HTTPValidationError" not in document["components"]["schemas"]
    answer = await server.ask(request("GET", "/api/horses/zzz"))
    assert set(schema["required"]) == PROBLEM_KEYS == answer.json().keys() - {"errors"}


async def test_no_scope_but_of_http_is_served() -> None:
    async def receive() -> dict[str, Any]:
        raise AssertionError

    async def send(_message: Message) -> None:
        raise AssertionError

    with pytest.raises(NotImplementedError):
        await Edge(sample_app(), public_url="http://127.0.0.1:8002")({"type": "websocket"}, receive, send)


async def test_an_application_without_starlette_has_the_same_edge(log: io.BytesIO) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if scope["type"] == "lifespan":
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        else:
            raise ZeroDivisionError

    async with served(app, log) as server:
        answer = await server.ask(request("GET", f"/plain/{HORSE_ID}"))
        assert answer.json()["code"] == "internal"
        assert server.lines()[-1]["path"] == f"/plain/{HORSE_ID}"
