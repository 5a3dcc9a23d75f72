"""The root without an environment, bearer tokens, and the operations that no account here may use."""

from base64 import b64encode
from typing import Any

import pytest
from aiohttp import ClientSession, WSServerHandshakeError

from corral_sandbox import Sandbox, secret_of, token_of
from tests.sandbox.judges import judge
from tests.sandbox.listeners import listen, next_message, place_order
from tests.sandbox.people import ALICE, ALICE_LIVE, BOB, keys_of

_LOCATE_ID = "550e8400-e29b-41d4-a716-446655440000"


async def _answer(
    http: ClientSession, url: str, headers: dict[str, str], method: str = "GET", body: object = None
) -> tuple[int, Any]:
    async with http.request(method, url, headers=headers, json=body) as response:
        return response.status, await response.json()


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("key_id", [ALICE, ALICE_LIVE])
async def test_at_the_root_the_key_says_the_environment(sandbox: Sandbox, http: ClientSession, key_id: str) -> None:
    prefixed = sandbox.live_url if key_id == ALICE_LIVE else sandbox.paper_url
    at_root = await _answer(http, f"{sandbox.url}/v2/account", keys_of(key_id))
    below = await _answer(http, f"{prefixed}/v2/account", keys_of(key_id))
    assert at_root[0] == 200
    assert at_root[1]["account_number"] == below[1]["account_number"]


async def test_an_order_at_the_root_is_the_order_below_the_prefix(sandbox: Sandbox, http: ClientSession) -> None:
    body = {"symbol": "BTC/USD", "qty": "0.01", "side": "buy", "type": "market", "time_in_force": "gtc"}
    status, order = await _answer(http, f"{sandbox.url}/v2/orders/", keys_of("PKTRADER0001"), "POST", body)
    assert status == 200
    found = await _answer(http, f"{sandbox.paper_url}/v2/orders/{order['id']}", keys_of("PKTRADER0001"))
    assert (found[0], found[1]["client_order_id"]) == (200, order["client_order_id"])


@pytest.mark.parametrize(
    ("headers", "refusal"),
    [
        ({}, (403, {"message": "forbidden."})),
        (keys_of("XKALICE00001"), (401, {"message": "unauthorized."})),
        (keys_of(ALICE) | {"APCA-API-SECRET-KEY": "wrong"}, (401, {"message": "unauthorized."})),
    ],
)
async def test_keys_are_refused_at_the_root_as_below_a_prefix(
    sandbox: Sandbox, http: ClientSession, headers: dict[str, str], refusal: tuple[int, object]
) -> None:
    assert await _answer(http, f"{sandbox.url}/v2/account", headers) == refusal


@pytest.mark.parametrize("path", ["/v2/account", "/paper/v2/account"])
async def test_a_bearer_token_opens_its_account(sandbox: Sandbox, http: ClientSession, path: str) -> None:
    by_token = await _answer(http, f"{sandbox.url}{path}", _bearer(token_of(ALICE)))
    by_keys = await _answer(http, f"{sandbox.url}{path}", keys_of(ALICE))
    assert by_token[1]["id"] == by_keys[1]["id"]


@pytest.mark.parametrize("scheme", ["bearer", "BEARER"])
async def test_the_scheme_may_be_written_in_any_case(sandbox: Sandbox, http: ClientSession, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {token_of(ALICE)}"}
    assert (await _answer(http, f"{sandbox.url}/v2/account", headers))[0] == 200


@pytest.mark.parametrize("token", [secret_of(ALICE), token_of("XKALICE00001"), ALICE, "", token_of("")])
async def test_another_token_is_unauthorized(sandbox: Sandbox, http: ClientSession, token: str) -> None:
    refused = await _answer(http, f"{sandbox.url}/v2/account", _bearer(token))
    assert refused == (401, {"message": "unauthorized."})


async def test_a_token_of_the_other_environment_is_refused(sandbox: Sandbox, http: ClientSession) -> None:
    refused = await _answer(http, f"{sandbox.live_url}/v2/account", _bearer(token_of(ALICE)))
    assert refused == (401, {"code": 40110000, "message": "request is not authorized"})


async def test_key_headers_count_before_a_token(sandbox: Sandbox, http: ClientSession) -> None:
    status, answer = await _answer(http, f"{sandbox.url}/v2/account", keys_of(BOB) | _bearer(token_of(ALICE)))
    assert (status, answer["id"]) == (200, (await _answer(http, f"{sandbox.url}/v2/account", keys_of(BOB)))[1]["id"])


async def test_basic_authentication_belongs_to_the_broker_api(sandbox: Sandbox, http: ClientSession) -> None:
    pair = b64encode(f"{ALICE}:{secret_of(ALICE)}".encode()).decode()
    headers = {"Authorization": f"Basic {pair}"}
    assert await _answer(http, f"{sandbox.url}/v2/account", headers) == (403, {"message": "forbidden."})


async def test_requests_with_a_token_are_counted_and_limited_as_those_of_its_key(
    sandbox: Sandbox, http: ClientSession
) -> None:
    await http.put(f"{sandbox.url}/_faults", json={"faults": [{"key_id": ALICE, "status": 503, "times": 1}]})
    assert (await _answer(http, f"{sandbox.url}/v2/clock", _bearer(token_of(ALICE))))[0] == 503
    async with http.get(f"{sandbox.url}/_requests") as response:
        assert (await response.json())["key_ids"][ALICE]["paths"] == {"/v2/clock": 1}


@pytest.mark.parametrize("path", ["/stream", "/stream/", "/paper/stream"])
@pytest.mark.parametrize("by_token", [True, False])
async def test_the_socket_takes_keys_and_oauth_tokens_at_the_root_too(
    sandbox: Sandbox, http: ClientSession, path: str, *, by_token: bool
) -> None:
    key_id = "PKTRADER0001"
    data = {"oauth_token": token_of(key_id)} if by_token else {"key_id": key_id, "secret_key": secret_of(key_id)}
    async with http.ws_connect(f"{sandbox.url}{path}") as socket:
        await socket.send_json({"action": "authenticate", "data": data})
        assert (await next_message(socket))["data"]["status"] == "authorized"
        await listen(socket)
        await place_order(http, sandbox)
        assert (await next_message(socket))["data"]["event"] == "pending_new"


async def test_the_socket_takes_the_shorter_message_of_alpacas_documentation(
    sandbox: Sandbox, http: ClientSession
) -> None:
    async with http.ws_connect(f"{sandbox.url}/stream") as socket:
        for secret, status in (("wrong", "unauthorized"), (secret_of(ALICE), "authorized")):
            await socket.send_json({"action": "auth", "key": ALICE, "secret": secret})
            assert (await next_message(socket))["data"] == {"status": status, "action": "authenticate"}


async def test_the_socket_refuses_another_oauth_token(sandbox: Sandbox, http: ClientSession) -> None:
    async with http.ws_connect(f"{sandbox.url}/stream") as socket:
        for token in ("", "é", secret_of(ALICE), 3):
            await socket.send_json({"action": "authenticate", "data": {"oauth_token": token}})
            assert (await next_message(socket))["data"]["status"] == "unauthorized"


async def test_a_second_handshake_with_the_token_is_429(sandbox: Sandbox, http: ClientSession) -> None:
    async with http.ws_connect(f"{sandbox.url}/stream") as socket:
        await socket.send_json({"action": "authenticate", "data": {"oauth_token": token_of(ALICE)}})
        assert (await next_message(socket))["data"]["status"] == "authorized"
        with pytest.raises(WSServerHandshakeError) as refusal:
            await http.ws_connect(f"{sandbox.url}/stream", headers=_bearer(token_of(ALICE)))
    assert refusal.value.status == 429


async def test_every_operation_of_the_official_document_is_served(
    sandbox: Sandbox, http: ClientSession, official: dict[str, Any]
) -> None:
    """None is answered with Alpaca's 404 for an unknown endpoint, 405 or 5xx."""
    unknown: list[str] = []
    for path, operations in official["paths"].items():
        if path.startswith("/v2beta1/events"):
            continue  # goes on: see test_server_sent_events
        for method in operations.keys() & {"get", "post", "put", "patch", "delete"}:
            url = f"{sandbox.url}{path.replace('{', '').replace('}', '')}"
            async with http.request(method, url, headers=keys_of(ALICE)) as response:
                text = await response.text()
                if response.status in {405, *range(500, 600)} or "endpoint not found" in text:
                    unknown.append(f"{method} {path}")
    assert not unknown


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/v2/wallets", 403, "crypto transfers are not enabled for this account"),
        ("GET", "/v2/wallets/transfers", 403, "crypto transfers are not enabled for this account"),
        ("POST", "/v2/wallets/transfers", 403, "crypto transfers are not enabled for this account"),
        ("POST", "/v2/wallets/whitelists", 403, "crypto transfers are not enabled for this account"),
        ("DELETE", f"/v2/wallets/whitelists/{_LOCATE_ID}", 403, "crypto transfers are not enabled for this account"),
        ("POST", "/v2/tokenization/mint", 403, "account is not authorized to mint"),
        ("GET", f"/v2/tokenization/requests/{_LOCATE_ID}", 404, "tokenization request not found"),
        ("GET", "/v2/tokenization/requests/1", 422, "tokenization_request_id is not a valid UUID"),
        ("GET", "/v2/tokenization/requests:by_client_request_id?client_request_id=1", 404, "request not found"),
        ("GET", "/v2/tokenization/requests:by_client_request_id", 422, "client_request_id query parameter is required"),
        ("GET", f"/v1/locates/{_LOCATE_ID}", 404, "locate not found"),
        ("GET", "/v1/locates/1", 400, "locate_id is not a UUID"),
        ("GET", "/v1/locates/quotes", 400, "symbols must contain 1 to 100 unique symbols"),
        ("POST", "/v1/locates", 422, "symbol not found"),
    ],
)
async def test_what_no_account_here_may_is_refused_with_a_reason(
    sandbox: Sandbox, http: ClientSession, method: str, path: str, status: int, message: str
) -> None:
    got, answer = await _answer(http, f"{sandbox.url}{path}", keys_of(ALICE), method, {} if method == "POST" else None)
    assert (got, message in answer["message"]) == (status, True), answer


async def test_locates_match_the_official_document(
    sandbox: Sandbox, http: ClientSession, official: dict[str, Any]
) -> None:
    _, listed = await _answer(http, f"{sandbox.url}/v1/locates", keys_of(ALICE))
    judge(official, "/v1/locates").validate(listed)
    _, quotes = await _answer(http, f"{sandbox.url}/v1/locates/quotes?symbols=GME,NOTHING,BTC/USD", keys_of(ALICE))
    judge(official, "/v1/locates/quotes").validate(quotes)
    assert [quote["symbol"] for quote in quotes["quotes"]] == ["GME"]
    assert [error["symbol"] for error in quotes["errors"]] == ["NOTHING", "BTC/USD"]
    for symbol, code in (("AAPL", "easy_to_borrow"), ("GME", "quote_unavailable"), ("NOTHING", "symbol_not_found")):
        body = {"symbol": symbol, "qty": 100}
        status, refused = await _answer(http, f"{sandbox.url}/v1/locates", keys_of(ALICE), "POST", body)
        judge(official, "/v1/locates", "post", "422").validate(refused)
        assert (status, refused["code"]) == (422, code)
    _, tokenized = await _answer(http, f"{sandbox.url}/v2/tokenization/requests", keys_of(ALICE))
    judge(official, "/v2/tokenization/requests").validate(tokenized)
