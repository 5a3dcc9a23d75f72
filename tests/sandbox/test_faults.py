"""Each fault, as a client sees it."""

import asyncio
import json
import time
from typing import Any

import pytest
from aiohttp import ClientError, ClientPayloadError, ClientResponse, ClientSession

from corral_sandbox import Sandbox, secret_of
from tests.sandbox.people import ALICE, BOB, keys_of


async def _set(http: ClientSession, sandbox: Sandbox, *faults: dict[str, Any]) -> None:
    async with http.put(f"{sandbox.url}/_faults", json={"faults": faults}) as response:
        assert response.status == 200, await response.text()


async def _get(http: ClientSession, sandbox: Sandbox, key_id: str = ALICE, path: str = "/v2/account") -> ClientResponse:
    async with http.get(f"{sandbox.paper_url}{path}", headers=keys_of(key_id), allow_redirects=False) as response:
        await response.read()
        return response


@pytest.mark.parametrize(("status", "phrase"), [(503, "service unavailable"), (520, "made up for a test")])
async def test_a_status_alone_sends_its_phrase(sandbox: Sandbox, http: ClientSession, status: int, phrase: str) -> None:
    await _set(http, sandbox, {"status": status})
    answer = await _get(http, sandbox)
    assert (answer.status, await answer.json()) == (status, {"message": phrase})
    assert len(answer.headers["X-Request-ID"]) == 32


async def test_a_fault_with_times_1_applies_once_and_then_the_next_one(sandbox: Sandbox, http: ClientSession) -> None:
    await _set(http, sandbox, {"status": 500, "times": 1}, {"status": 502, "times": 2})
    assert [(await _get(http, sandbox)).status for _ in range(4)] == [500, 502, 502, 200]


async def test_a_fault_without_times_stays_until_cleared(sandbox: Sandbox, http: ClientSession) -> None:
    await _set(http, sandbox, {"status": 500})
    assert [(await _get(http, sandbox)).status for _ in range(3)] == [500, 500, 500]
    async with http.delete(f"{sandbox.url}/_faults") as response:
        assert await response.json() == {"faults": []}
    assert (await _get(http, sandbox)).status == 200


async def test_a_fault_for_alice_does_not_apply_to_bob(sandbox: Sandbox, http: ClientSession) -> None:
    await _set(http, sandbox, {"key_id": ALICE, "status": 500})
    assert [(await _get(http, sandbox, key_id)).status for key_id in (ALICE, BOB)] == [500, 200]


async def test_a_fault_of_one_path_does_not_apply_to_another(sandbox: Sandbox, http: ClientSession) -> None:
    await _set(http, sandbox, {"path": "/v2/clock", "status": 500})
    assert [(await _get(http, sandbox, path=path)).status for path in ("/v2/account", "/v2/clock")] == [200, 500]


@pytest.mark.parametrize("body", [None, False, 0, [], {"code": 40310000, "message": "no"}])
async def test_a_body_is_any_json(sandbox: Sandbox, http: ClientSession, body: object) -> None:
    await _set(http, sandbox, {"status": 403, "body": body})
    answer = await _get(http, sandbox)
    assert (answer.status, await answer.json(), answer.content_type) == (403, body, "application/json")


async def test_a_body_text_is_sent_as_it_is_with_any_content_type_and_headers(
    sandbox: Sandbox, http: ClientSession
) -> None:
    fault = {
        "body_text": "<h1>é</h1>",
        "content_type": "text/html; charset=utf-8",
        "headers": {"X-Request-ID": "mine", "Via": "edge"},
    }
    await _set(http, sandbox, fault)
    answer = await _get(http, sandbox)
    assert (await answer.text(), answer.content_type) == ("<h1>é</h1>", "text/html")
    assert (answer.headers["X-Request-ID"], answer.headers["Via"]) == ("mine", "edge")


async def test_a_body_of_many_bytes_comes_without_a_declared_length(sandbox: Sandbox, http: ClientSession) -> None:
    await _set(http, sandbox, {"body_bytes": 300_001})
    answer = await _get(http, sandbox)
    assert "Content-Length" not in answer.headers
    assert len(await answer.text()) == 300_001


@pytest.mark.parametrize(("extra", "status"), [({}, 302), ({"status": 307}, 307)])
async def test_a_redirect_names_its_address(
    sandbox: Sandbox, http: ClientSession, extra: dict[str, int], status: int
) -> None:
    await _set(http, sandbox, {"redirect_to": "http://127.0.0.1:9/elsewhere", **extra})
    answer = await _get(http, sandbox)
    assert (answer.status, answer.headers["Location"]) == (status, "http://127.0.0.1:9/elsewhere")


async def test_a_rate_limit_fault_has_a_retry_after_if_given(sandbox: Sandbox, http: ClientSession) -> None:
    await _set(http, sandbox, {"rate_limited": {"retry_after": 7}, "times": 1}, {"rate_limited": {}})
    before = int(time.time())
    told, untold = await _get(http, sandbox), await _get(http, sandbox)
    assert (told.status, untold.status) == (429, 429)
    assert told.headers["Retry-After"] == "7"
    assert before + 7 <= int(told.headers["X-RateLimit-Reset"]) <= int(time.time()) + 7
    assert "Retry-After" not in untold.headers
    assert await untold.json() == {"message": "rate limit exceeded"}


async def test_an_echo_repeats_the_keys_in_body_and_header(sandbox: Sandbox, http: ClientSession) -> None:
    await _set(http, sandbox, {"echo": True, "status": 500})
    answer = await _get(http, sandbox)
    assert answer.status == 500
    assert secret_of(ALICE) in await answer.text()
    assert secret_of(ALICE) in answer.headers["X-Echo"]


async def test_an_echo_of_headers_that_are_not_text_works(sandbox: Sandbox, http: ClientSession) -> None:
    await _set(http, sandbox, {"echo": True})
    answer = await _exchange(
        sandbox, b"GET /paper/v2/account HTTP/1.1\r\nHost: x\r\nX-Odd: \xff\xfe\r\nConnection: close\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("raw", ["null", "1e5", "122011.09751111286868", '"1e5"', "[]", '"-0"', "1" + "0" * 5_000])
async def test_a_field_of_the_account_is_replaced_digit_for_digit(
    sandbox: Sandbox, http: ClientSession, raw: str
) -> None:
    await _set(http, sandbox, {"account_raw": {"cash": raw}})
    answer = await _get(http, sandbox)
    assert f'"cash":{raw},' in await answer.text()
    assert json.loads(await answer.text(), parse_int=str)["equity"]


async def test_fields_of_the_account_are_left_out(sandbox: Sandbox, http: ClientSession) -> None:
    await _set(http, sandbox, {"account_without": ["cash", "equity"], "account_raw": {"pattern_day_trader": "true"}})
    account = await (await _get(http, sandbox)).json()
    assert account.keys().isdisjoint({"cash", "equity"})
    assert account["pattern_day_trader"] is True
    assert "buying_power" in account


async def test_changed_account_fields_do_not_change_other_responses(sandbox: Sandbox, http: ClientSession) -> None:
    await _set(http, sandbox, {"account_raw": {"is_open": "null", "message": "null"}, "times": 2})
    assert (await (await _get(http, sandbox, path="/v2/clock")).json())["is_open"] is not None
    async with http.get(f"{sandbox.live_url}/v2/account", headers=keys_of(ALICE)) as refused:
        assert (await refused.json())["message"] == "request is not authorized"


async def test_latency_delays_one_response(sandbox: Sandbox, http: ClientSession) -> None:
    await _set(http, sandbox, {"latency_ms": 300, "times": 1})
    clock = asyncio.get_running_loop().time
    started = clock()
    assert (await _get(http, sandbox)).status == 200
    assert clock() - started >= 0.3
    started = clock()
    await _get(http, sandbox)
    assert clock() - started < 0.3


async def test_a_cut_before_the_headers_resets_the_connection(sandbox: Sandbox, http: ClientSession) -> None:
    await _set(http, sandbox, {"cut": "before_headers"})
    with pytest.raises(ClientError):
        await _get(http, sandbox)
    with pytest.raises(ConnectionResetError):
        await _exchange(sandbox, b"GET /paper/v2/account HTTP/1.1\r\nHost: x\r\n\r\n")


@pytest.mark.parametrize("fault", [{"body_text": "0123456789"}, {"body_bytes": 200_000}, {"status": 500}, {}])
async def test_a_cut_in_mid_body_closes_the_connection_after_half_of_it(
    sandbox: Sandbox, http: ClientSession, fault: dict[str, Any]
) -> None:
    await _set(http, sandbox, {"cut": "mid_body", **fault})
    async with http.get(f"{sandbox.paper_url}/v2/account", headers=keys_of(ALICE)) as response:
        with pytest.raises(ClientPayloadError):
            await response.read()


async def test_half_of_the_body_arrives_before_the_cut(sandbox: Sandbox, http: ClientSession) -> None:
    await _set(http, sandbox, {"cut": "mid_body", "body_text": "0123456789"})
    answer = await _exchange(sandbox, b"GET /paper/v2/account HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"Content-Length: 10\r\n" in answer
    assert answer.endswith(b"\r\n\r\n01234")


async def test_a_drip_sends_the_body_in_pieces(sandbox: Sandbox, http: ClientSession) -> None:
    await _set(http, sandbox, {"body_text": "abcdef", "drip": {"bytes": 2, "every_ms": 100}})
    clock = asyncio.get_running_loop().time
    async with http.get(f"{sandbox.paper_url}/v2/account", headers=keys_of(ALICE)) as response:
        first = await response.content.readexactly(2)
        began = clock()
        assert first + await response.read() == b"abcdef"
    assert clock() - began >= 0.15


async def test_a_drip_works_on_a_successful_response_too(sandbox: Sandbox, http: ClientSession) -> None:
    await _set(http, sandbox, {"drip": {"bytes": 400, "every_ms": 1}})
    assert "equity" in await (await _get(http, sandbox)).json()


async def test_the_remaining_faults_are_shown_and_can_be_put_again(sandbox: Sandbox, http: ClientSession) -> None:
    await _set(http, sandbox, {"status": 500, "times": 1}, {"key_id": ALICE, "status": 502, "times": 3}, {"body": None})
    await _get(http, sandbox)
    await _get(http, sandbox)
    async with http.get(f"{sandbox.url}/_faults") as response:
        left = await response.json()
    assert left == {"faults": [{"key_id": ALICE, "status": 502, "times": 2}, {"body": None}]}
    await _set(http, sandbox, *left["faults"])


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("", "document: invalid JSON"),
        ("[]", "document: "),
        ("{}", "faults: is required"),
        ('{"faults": [{}]}', "faults.0: a fault must do something"),
        ('{"faults": [{"times": 1}]}', "faults.0: a fault must do something"),
        ('{"faults": [{"status": 500, "times": 0}]}', "faults.0.times: "),
        ('{"faults": [{"status": 500}, {"status": 199}]}', "faults.1.status: "),
        ('{"faults": [{"status": "500"}]}', "faults.0.status: "),
        ('{"faults": [{"satus": 500}]}', "faults.0.satus: unknown field; did you mean status?"),
        ('{"faults": [{"key_id": "alice", "status": 500}]}', "faults.0.key_id: "),
        ('{"faults": [{"path": "v2/account", "status": 500}]}', "faults.0.path: "),
        ('{"faults": [{"body": 1, "body_text": "1"}]}', "body and body_text are two answers"),
        ('{"faults": [{"echo": true, "body_bytes": 1}]}', "body_bytes and echo are two answers"),
        ('{"faults": [{"rate_limited": {}, "status": 500}]}', "rate_limited has a status of its own"),
        ('{"faults": [{"account_raw": {"cash": "1e"}}]}', "faults.0.account_raw.cash: "),
        ('{"faults": [{"account_raw": {"cash": "NaN"}}]}', "NaN is not JSON"),
        (f'{{"faults": [{{"account_raw": {{"cash": "{"[" * 100_000}"}}}}]}}', "nested too deeply"),
        ('{"faults": [{"body": [NaN]}]}', "document: invalid JSON"),
        ('{"faults": [{"body": 1000000000000000000000000000000}]}', "write it as body_text"),
        ('{"faults": [{"account_raw": {"cash": "1"}, "status": 500}]}', "status leaves no account to change"),
        ('{"faults": [{"account_without": ["cash"], "path": "/v2/clock"}]}', "not /v2/clock"),
        ('{"faults": [{"headers": {"X-A": "1\\r\\nX-B: 2"}}]}', "faults.0.headers.X-A: "),
        ('{"faults": [{"headers": {"X A": "1"}}]}', "faults.0.headers.X A"),
        ('{"faults": [{"headers": {"Content-Length": "1"}}]}', "content-length is for the server to write"),
        ('{"faults": [{"redirect_to": "/a\\nb"}]}', "faults.0.redirect_to: "),
        ('{"faults": [{"drip": {"bytes": 0, "every_ms": 1}}]}', "faults.0.drip.bytes: "),
        ('{"faults": [{"cut": "sometimes"}]}', "faults.0.cut: "),
    ],
)
async def test_an_invalid_document_is_refused_with_the_reason_and_changes_nothing(
    sandbox: Sandbox, http: ClientSession, document: str, reason: str
) -> None:
    await _set(http, sandbox, {"status": 418})
    async with http.put(f"{sandbox.url}/_faults", data=document) as response:
        assert response.status == 400
        assert reason in (await response.json())["message"]
    assert (await _get(http, sandbox)).status == 418


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/_faults", "/_requests"])
async def test_a_web_page_cannot_use_the_control_endpoints(
    sandbox: Sandbox, http: ClientSession, method: str, path: str
) -> None:
    await _set(http, sandbox, {"status": 418})
    headers = {"Origin": "http://localhost:3000"}
    async with http.request(method, f"{sandbox.url}{path}", headers=headers, data=b'{"faults": []}') as response:
        assert response.status == 403
    assert (await _get(http, sandbox)).status == 418


@pytest.mark.parametrize(("path", "allowed"), [("/_faults", "GET, PUT, DELETE"), ("/_requests", "GET, PUT, DELETE")])
async def test_controls_take_no_other_method(sandbox: Sandbox, http: ClientSession, path: str, allowed: str) -> None:
    async with http.post(f"{sandbox.url}{path}") as response:
        assert (response.status, response.headers["Allow"]) == (405, allowed)


_ORDER = {"symbol": "KO", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}


async def _orders(http: ClientSession, sandbox: Sandbox) -> list[Any]:
    url = f"{sandbox.paper_url}/v2/orders?status=all&symbols=KO"
    async with http.get(url, headers=keys_of("PKTRADER0001")) as response:
        return await response.json()


async def _post_order(http: ClientSession, sandbox: Sandbox) -> int:
    url = f"{sandbox.paper_url}/v2/orders"
    async with http.post(url, headers=keys_of("PKTRADER0001"), json=_ORDER) as response:
        await response.read()
        return response.status


async def test_a_fault_of_one_method_does_not_apply_to_another(sandbox: Sandbox, http: ClientSession) -> None:
    await _set(http, sandbox, {"path": "/v2/orders", "method": "POST", "status": 503})
    assert await _post_order(http, sandbox) == 503
    assert await _orders(http, sandbox) == []
    await _set(http, sandbox, {"method": "GET", "status": 503})
    assert await _post_order(http, sandbox) == 200


@pytest.mark.parametrize("status", [504, 502])
async def test_an_order_stands_although_its_answer_is_an_error(
    sandbox: Sandbox, http: ClientSession, status: int
) -> None:
    await _set(http, sandbox, {"path": "/v2/orders", "method": "POST", "after": True, "status": status, "times": 1})
    assert await _post_order(http, sandbox) == status
    assert len(await _orders(http, sandbox)) == 1
    assert await _post_order(http, sandbox) == 200


async def test_an_order_stands_although_its_answer_is_cut(sandbox: Sandbox, http: ClientSession) -> None:
    await _set(http, sandbox, {"path": "/v2/orders", "method": "POST", "after": True, "cut": "before_headers"})
    with pytest.raises(ClientError):
        await _post_order(http, sandbox)
    assert len(await _orders(http, sandbox)) == 1


async def test_latency_after_a_request_leaves_its_effect_to_be_seen_before(
    sandbox: Sandbox, http: ClientSession
) -> None:
    fault = {"path": "/v2/orders", "method": "POST", "after": True, "status": 504, "latency_ms": 600_000}
    await _set(http, sandbox, fault)
    waiting = asyncio.create_task(_post_order(http, sandbox))
    async with asyncio.timeout(20):
        while not await _orders(http, sandbox):  # noqa: ASYNC110 - known only by asking
            await asyncio.sleep(0.01)
    assert not waiting.done()
    waiting.cancel()


async def test_a_request_that_was_done_is_authenticated(sandbox: Sandbox, http: ClientSession) -> None:
    await _set(http, sandbox, {"path": "/v2/orders", "method": "POST", "after": True, "status": 504})
    url, headers = f"{sandbox.paper_url}/v2/orders", keys_of("PKTRADER0001") | {"APCA-API-SECRET-KEY": "wrong"}
    async with http.post(url, headers=headers, json=_ORDER) as response:
        assert response.status == 504
    assert await _orders(http, sandbox) == []


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"path": "/v2/acount", "status": 503}, "faults.0.path: the sandbox serves no /v2/acount. Write the path"),
        ({"path": "/paper/v2/account", "status": 503}, "without /paper or /live"),
        ({"path": "/v2/account/", "status": 503}, "faults.0.path: the sandbox serves no /v2/account/"),
        ({"path": "/v2/orders/", "status": 503}, "faults.0.path: "),
        ({"path": "/v2/assets/{symbol}", "status": 503}, "faults.0.path: "),
        ({"path": "/", "status": 503}, "faults.0.path: "),
        (
            {"path": "/v2/account", "method": "POST", "status": 503},
            "faults.0.method: /v2/account has no POST",
        ),
        ({"path": "/stream", "method": "POST", "status": 503}, "faults.0.method: /stream has no POST, only GET"),
        ({"method": "post", "status": 503}, "faults.0.method: "),
        ({"method": "POST"}, "a fault must do something"),
        ({"after": True}, "a fault must do something"),
        ({"after": True, "latency_ms": 5}, "after needs the answer that follows"),
        ({"after": True, "path": "/stream", "status": 504}, "after is for requests, not for /stream"),
        ({"after": False, "status": 504}, "faults.0.after: "),
        ({"order": {"outcome": "lost"}}, "faults.0.order.outcome: "),
        ({"order": {"outcome": "partially_filled"}}, 'filled_qty belongs to the outcome "partially_filled"'),
        ({"order": {"outcome": "rejected", "filled_qty": "3"}}, 'filled_qty belongs to the outcome "partially_filled"'),
        ({"order": {"outcome": "partially_filled", "filled_qty": "0"}}, "must be above 0"),
        ({"order": {"outcome": "partially_filled", "filled_qty": 3}}, "faults.0.order.filled_qty: "),
        ({"order": {"outcome": "partially_filled", "filled_qty": "-3"}}, "faults.0.order.filled_qty: "),
        ({"order": {"outcome": "trade_correct"}}, 'price belongs to the outcome "trade_correct"'),
        ({"order": {"outcome": "pending_new", "after_seconds": 5}}, "leave out after_seconds"),
        ({"order": {"outcome": "rejected"}, "path": "/v2/account"}, "order is for POST /v2/orders only"),
        ({"order": {"outcome": "rejected"}, "method": "GET"}, "order is for POST /v2/orders only"),
        ({"order": {"outcome": "rejected"}, "status": 504}, "status leaves no order: say after as well"),
    ],
)
async def test_a_fault_that_would_never_apply_is_refused_with_a_sentence(
    sandbox: Sandbox, http: ClientSession, fault: dict[str, Any], reason: str
) -> None:
    async with http.put(f"{sandbox.url}/_faults", json={"faults": [fault]}) as response:
        assert response.status == 400
        assert reason in (await response.json())["message"]


@pytest.mark.parametrize(
    "path",
    [
        *("/stream", "/v2/orders/{order_id}", "/v2/assets/BTC%2FUSD", "/v2/events/trades", "/v1/locates"),
        *("/v2/stocks/AAPL/bars", "/v2/iex", "/v1beta3/crypto/us/bars", "/v1beta1/news"),
    ],
)
async def test_a_fault_may_name_a_path_a_pattern_and_a_stream(sandbox: Sandbox, http: ClientSession, path: str) -> None:
    await _set(http, sandbox, {"path": path, "status": 503})


async def test_new_members_are_shown_as_they_were_put(sandbox: Sandbox, http: ClientSession) -> None:
    faults = [
        {"path": "/v2/orders", "method": "POST", "after": True, "status": 504},
        {"order": {"outcome": "partially_filled", "filled_qty": "3"}},
    ]
    await _set(http, sandbox, *faults)
    async with http.get(f"{sandbox.url}/_faults") as response:
        assert await response.json() == {"faults": faults}


async def _exchange(sandbox: Sandbox, request: bytes) -> bytes:
    host, _, port = sandbox.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request)
        return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize(
    "fault",
    [
        {"times": 10**20, "status": 503},
        {"rate_limited": {"retry_after": 10**20}},
        {"path": "/stream", "stream": {"loses_every": 10**20}},
    ],
)
async def test_a_number_that_cannot_be_sent_back_is_refused(
    sandbox: Sandbox, http: ClientSession, fault: dict[str, Any]
) -> None:
    async with http.put(f"{sandbox.url}/_faults", json={"faults": [fault]}) as response:
        assert response.status == 400
        assert "1000000000" in (await response.json())["message"]
    async with http.get(f"{sandbox.url}/_faults") as response:
        assert await response.json() == {"faults": []}
