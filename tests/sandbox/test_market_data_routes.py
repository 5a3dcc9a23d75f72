"""Where market data is served, who may read it, and how it is limited, counted and made to fail."""

from base64 import b64encode

import pytest
from aiohttp import ClientSession, encode_basic_auth
from yarl import URL

from corral_sandbox import Sandbox, secret_of, serve_sandbox
from corral_sandbox.market_data_api import DATA_PREFIXES, DATA_ROUTES
from corral_sandbox.request_handler import split_environment
from corral_sandbox.stream.data_feeds import feed_of
from corral_sandbox.trading_api import ROUTES
from tests.sandbox.people import ALICE, ALICE_LIVE, keys_of

_TRADE, _COIN = "/v2/stocks/AAPL/trades/latest", "/v1beta3/crypto/us/latest/trades?symbols=BTC%2FUSD"


@pytest.mark.parametrize("prefix", ["", "/paper", "/live", "//paper/"])
@pytest.mark.parametrize("key_id", [ALICE, ALICE_LIVE])
async def test_market_data_is_at_the_root_and_beside_the_trading_api(
    sandbox: Sandbox, http: ClientSession, prefix: str, key_id: str
) -> None:
    """The keys of paper and live accounts get the same data."""
    for path in (_TRADE, "/v1beta1/options/meta/exchanges", "/v1/corporate-actions", _COIN):
        async with http.get(URL(f"{sandbox.url}{prefix}{path}", encoded=True), headers=keys_of(key_id)) as response:
            assert response.status == 200
            assert response.content_type == "application/json"
            assert len(response.headers["X-Request-ID"]) == 32


def test_no_path_is_both_trading_and_market_data() -> None:
    assert not [pattern for pattern in ROUTES.patterns() if is_data_path(pattern) or feed_of(pattern)]
    assert all(is_data_path(pattern) and is_data_path(f"/live{pattern}") for pattern in DATA_ROUTES.patterns())
    assert [pattern for pattern in DATA_ROUTES.patterns() if feed_of(pattern)] == ["/v1beta1/news"]
    assert not any(map(is_data_path, ("/paper/live/v2/stocks/bars", "/v2/account", "/v1beta1")))


def is_data_path(path: str) -> bool:
    _, rest = split_environment(path)
    return rest.startswith(DATA_PREFIXES)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"APCA-API-KEY-ID": ALICE},
        {"APCA-API-KEY-ID": ALICE, "APCA-API-SECRET-KEY": "wrong"},
        {"APCA-API-KEY-ID": "nobody", "APCA-API-SECRET-KEY": secret_of("nobody")},
        {"Authorization": "Basic !"},
        {"Authorization": "Basic " + b64encode(f"{ALICE}:wrong".encode()).decode()},
    ],
    ids=str,
)
async def test_missing_and_wrong_keys_are_a_401_in_json(
    sandbox: Sandbox, http: ClientSession, headers: dict[str, str]
) -> None:
    async with http.get(f"{sandbox.url}{_TRADE}", headers=headers) as response:
        assert (response.status, await response.json()) == (401, {"message": "unauthorized."})
    async with http.get(URL(f"{sandbox.url}{_COIN}", encoded=True), headers=headers) as response:
        assert response.status == (401 if headers else 200)  # coins need no keys, but wrong ones are refused


async def test_keys_may_come_as_basic_authentication(sandbox: Sandbox, http: ClientSession) -> None:
    headers = {"Authorization": encode_basic_auth(ALICE, secret_of(ALICE))}
    async with http.get(f"{sandbox.url}{_TRADE}", headers=headers) as response:
        assert response.status == 200


async def test_an_unknown_path_is_404_and_another_method_405(sandbox: Sandbox, http: ClientSession) -> None:
    async with http.get(f"{sandbox.url}/v1beta1/logos/AAPL", headers=keys_of(ALICE)) as response:
        assert (response.status, await response.json()) == (404, {"message": "endpoint not found."})
    async with http.post(f"{sandbox.url}{_TRADE}", headers=keys_of(ALICE)) as response:
        assert (response.status, response.headers["Allow"]) == (405, "GET")


async def test_market_data_has_a_rate_limit_of_its_own(http: ClientSession) -> None:
    async with serve_sandbox(port=0, rate_limit_per_minute=2, clock=lambda: 0) as running:
        for left in ("1", "0"):
            async with http.get(f"{running.url}{_TRADE}", headers=keys_of(ALICE)) as response:
                assert (response.status, response.headers["X-RateLimit-Remaining"]) == (200, left)
        async with http.get(f"{running.url}{_TRADE}", headers=keys_of(ALICE)) as response:
            assert (response.status, await response.json()) == (429, {"message": "too many requests."})
            assert "X-RateLimit-Remaining" not in response.headers
        async with http.get(f"{running.paper_url}/v2/clock", headers=keys_of(ALICE)) as response:
            assert response.status == 200
        for _ in range(3):
            async with http.get(URL(f"{running.url}{_COIN}", encoded=True)) as response:
                assert response.status == 200


@pytest.mark.parametrize("path", [_TRADE, "/v2/stocks/{symbol}/trades/latest"])
async def test_a_fault_matches_a_path_or_its_pattern(sandbox: Sandbox, http: ClientSession, path: str) -> None:
    await http.put(f"{sandbox.url}/_faults", json={"faults": [{"path": path, "times": 1, "status": 503}]})
    for status in (503, 200):
        async with http.get(f"{sandbox.url}{_TRADE}", headers=keys_of(ALICE)) as response:
            assert response.status == status


async def test_requests_are_counted_under_the_pattern_of_their_path(sandbox: Sandbox, http: ClientSession) -> None:
    async with http.get(f"{sandbox.url}{_TRADE}", headers=keys_of(ALICE)):
        pass
    async with http.get(f"{sandbox.url}/_requests") as response:
        counts = await response.json()
    assert counts["key_ids"][ALICE]["paths"] == {"/v2/stocks/{symbol}/trades/latest": 1}


async def test_the_path_of_news_is_also_that_of_their_stream(sandbox: Sandbox, http: ClientSession) -> None:
    async with http.get(f"{sandbox.url}/v1beta1/news", headers=keys_of(ALICE)) as response:
        assert await response.json() == {"news": [], "next_page_token": None}
    async with http.ws_connect(f"{sandbox.url}/v1beta1/news") as socket:
        assert await socket.receive_json(timeout=5) == [{"T": "success", "msg": "connected"}]
