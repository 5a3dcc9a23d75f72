"""Paths with parameters, queries and bodies; patterns in counts and faults."""

from decimal import Decimal

import pytest
from aiohttp import ClientSession

from corral_sandbox import Sandbox
from corral_sandbox.broker.accounts import TradingAccounts
from corral_sandbox.errors import ApiError
from corral_sandbox.http.requests import Request
from corral_sandbox.market.prices import Market
from corral_sandbox.market.time import Clock
from corral_sandbox.trading_api import ROUTES, TradingApi
from tests.sandbox.asking import Caller
from tests.sandbox.people import ALICE, keys_of


@pytest.mark.parametrize(
    ("path", "pattern", "parameters"),
    [
        ("/v2/account", "/v2/account", {}),
        ("/v2/assets/BTC%2FUSD", "/v2/assets/{symbol_or_asset_id}", {"symbol_or_asset_id": "BTC/USD"}),
        ("/v2/watchlists%3Aby_name", "/v2/watchlists:by_name", {}),
        ("/v2/watchlists/1/A%20B", "/v2/watchlists/{watchlist_id}/{symbol}", {"watchlist_id": "1", "symbol": "A B"}),
    ],
)
def test_a_path_finds_its_pattern(path: str, pattern: str, parameters: dict[str, str]) -> None:
    route = ROUTES.find(path)
    assert route
    assert (route.pattern, route.parameters) == (pattern, parameters)


@pytest.mark.parametrize("path", ["/v2/assets/BTC/USD", "/v2/watchlists/1/2/3", "/v2", "/v2/{symbol_or_asset_id}", ""])
def test_an_unknown_path_finds_no_route(path: str) -> None:
    assert ROUTES.find(path) is None


def test_the_numbers_of_a_body_keep_every_digit() -> None:
    document = _request(
        b'{"a": 0.10, "b": 100, "c": 12345678901234567890.123456789, "d": true, "e": "0.1"}'
    ).json_object()
    assert {name: str(value) for name, value in document.items()} == {
        "a": "0.10",
        "b": "100",
        "c": "12345678901234567890.123456789",
        "d": "True",
        "e": "0.1",
    }
    assert isinstance(document["b"], Decimal)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": "\\ud800"}',
        b'{"\\uDFFF": 1}',
        b'{"a": "\xed\xa0\x80"}',
        b"",
        b"[]",
        b'"text"',
        b"{",
        b'{"a": NaN}',
        b'{"a": 1e9999999999999999999}',
        b"\xff",
        b"[" * 100_000,
        b"null",
    ],
)
def test_a_body_that_is_not_an_object_is_refused(body: bytes) -> None:
    with pytest.raises(ApiError) as refused:
        _request(body).json_object()
    assert (refused.value.status, refused.value.body) == (
        400,
        {"code": 40010000, "message": "request body format is invalid"},
    )


def test_a_character_of_two_escapes_is_text() -> None:
    assert _request(b'{"name": "\\ud83d\\ude00"}').json_object() == {"name": "\U0001f600"}


@pytest.mark.parametrize(
    "path", ["/v1/locates/{locate_id}", "/v2/assets/{symbol_or_asset_id}", "/v2/stocks/{symbol}/bars"]
)
async def test_a_path_whose_parameter_was_not_filled_in_is_refused(caller: Caller, path: str) -> None:
    status, answer = await caller.ask(path)
    assert status in {400, 404}
    assert answer["message"]


async def test_a_body_that_is_not_compressed_as_its_headers_say_is_refused(
    sandbox: Sandbox, http: ClientSession
) -> None:
    headers = {**keys_of(ALICE), "Content-Encoding": "gzip", "Content-Type": "application/json"}
    for path in ("/v2/orders", "/_faults"):
        async with http.put(f"{sandbox.url}{path}", data=b'{"faults": []}', headers=headers) as response:
            assert response.status == 400
            assert (await response.json())["message"] == "request body format is invalid"


async def test_a_malformed_body_is_alpacas_400_over_http(caller: Caller) -> None:
    assert await caller.ask("/v2/watchlists", method="POST", body=b"{") == (
        400,
        {"code": 40010000, "message": "request body format is invalid"},
    )


def test_a_query_is_decoded_and_the_last_of_a_name_counts() -> None:
    assert _request(query="a=1%202&b=x+y&a=3&c=").query() == {"a": "3", "b": "x y", "c": ""}


async def test_requests_are_counted_under_the_pattern_of_their_path(
    caller: Caller, sandbox: Sandbox, http: ClientSession
) -> None:
    for symbol in ("AAPL", "BTC%2FUSD", "NOTHING"):
        await caller.ask(f"/v2/assets/{symbol}?x=1")
    async with http.get(f"{sandbox.url}/_requests") as response:
        counts = await response.json()
    assert counts["key_ids"][ALICE]["paths"] == {"/v2/assets/{symbol_or_asset_id}": 3}


@pytest.mark.parametrize("path", ["/v2/assets/AAPL", "/v2/assets/{symbol_or_asset_id}"])
async def test_a_fault_matches_a_path_or_its_pattern(
    caller: Caller, sandbox: Sandbox, http: ClientSession, path: str
) -> None:
    await http.put(f"{sandbox.url}/_faults", json={"faults": [{"path": path, "status": 503}]})
    assert (await caller.ask("/v2/assets/AAPL"))[0] == 503
    assert (await caller.ask("/v2/assets/MSFT"))[0] == (503 if "{" in path else 200)
    assert (await caller.ask("/v2/assets"))[0] == 200


async def test_an_unsupported_method_is_405_with_the_allowed_ones(sandbox: Sandbox, http: ClientSession) -> None:
    async with http.patch(f"{sandbox.paper_url}/v2/watchlists", headers=keys_of(ALICE)) as response:
        assert (response.status, response.headers["Allow"]) == (405, "GET, POST")


def test_a_changed_account_is_kept_however_many_others_are_read() -> None:
    api = TradingApi(market=Market(0), rate_limit_per_minute=0, clock=Clock())
    lists, clock = ROUTES.find("/v2/watchlists"), ROUTES.find("/v2/clock")
    created = api.handle("paper", "POST", lists, keys_of(ALICE), body=b'{"name": "mine"}')
    assert created.status == 200
    for number in range(10_050):
        key_id = f"PKCROWD{number:05}"
        assert api.handle("paper", "GET", clock, keys_of(key_id)).status == 200
    listed = api.handle("paper", "GET", lists, keys_of(ALICE)).body
    assert isinstance(listed, list)
    assert [watchlist["name"] for watchlist in listed] == ["mine"]


def _request(body: bytes = b"", query: str = "") -> Request:
    return Request(TradingAccounts(Market(0)).find(ALICE), 0, {}, query, body)
