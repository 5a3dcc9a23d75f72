"""Keys, paths and the rate limit, over HTTP."""

import asyncio

import pytest
from aiohttp import ClientSession, ClientTimeout

from corral_sandbox import Sandbox, secret_of, serve_sandbox
from tests.sandbox.people import ALICE, ALICE_LIVE, BOB, keys_of, nanoseconds

_FORBIDDEN = (403, {"message": "forbidden."})
_UNAUTHORIZED = (401, {"message": "unauthorized."})
_OTHER_ENVIRONMENT = (401, {"code": 40110000, "message": "request is not authorized"})


async def _answer(http: ClientSession, url: str, headers: dict[str, str]) -> tuple[int, object]:
    async with http.get(url, headers=headers, allow_redirects=False) as response:
        return response.status, await response.json()


@pytest.mark.parametrize("headers", [{}, {"APCA-API-KEY-ID": ALICE}, {"APCA-API-SECRET-KEY": secret_of(ALICE)}])
async def test_a_request_without_both_key_headers_is_forbidden(
    sandbox: Sandbox, http: ClientSession, headers: dict[str, str]
) -> None:
    assert await _answer(http, f"{sandbox.paper_url}/v2/account", headers) == _FORBIDDEN


@pytest.mark.parametrize("key_id", ["PK123", "XKALICE00001", "pkalice00001", f"PK{'A' * 39}", f"{ALICE}é"])
async def test_an_unknown_key_id_is_unauthorized(sandbox: Sandbox, http: ClientSession, key_id: str) -> None:
    assert await _answer(http, f"{sandbox.paper_url}/v2/account", keys_of(key_id)) == _UNAUTHORIZED


@pytest.mark.parametrize("secret", [secret_of(BOB), secret_of(ALICE)[:-1], "é"])
async def test_a_wrong_secret_is_unauthorized(sandbox: Sandbox, http: ClientSession, secret: str) -> None:
    headers = keys_of(ALICE) | {"APCA-API-SECRET-KEY": secret}
    assert await _answer(http, f"{sandbox.paper_url}/v2/account", headers) == _UNAUTHORIZED


async def test_valid_keys_are_refused_in_the_other_environment(sandbox: Sandbox, http: ClientSession) -> None:
    assert await _answer(http, f"{sandbox.live_url}/v2/account", keys_of(ALICE)) == _OTHER_ENVIRONMENT
    assert await _answer(http, f"{sandbox.paper_url}/v2/account", keys_of(ALICE_LIVE)) == _OTHER_ENVIRONMENT


async def test_paper_and_live_keys_each_open_their_own_account(sandbox: Sandbox, http: ClientSession) -> None:
    paper = await _account(http, sandbox.paper_url, ALICE)
    live = await _account(http, sandbox.live_url, ALICE_LIVE)
    assert paper["account_number"].startswith("PA3")
    assert live["account_number"].isdigit()
    assert paper["id"] != live["id"]


async def test_alice_and_bob_have_different_accounts(sandbox: Sandbox, http: ClientSession) -> None:
    alice, bob = await _account(http, sandbox.paper_url, ALICE), await _account(http, sandbox.paper_url, BOB)
    assert {alice["id"], alice["cash"]}.isdisjoint({bob["id"], bob["cash"]})


async def test_an_account_sends_the_same_bytes_at_the_same_time_after_a_restart(http: ClientSession) -> None:
    bodies = [await _body_at("2026-11-24T14:30:05Z", seed, http) for seed in (7, 7, 8)]
    assert bodies[0] == bodies[1] != bodies[2]


async def _body_at(moment: str, seed: int, http: ClientSession) -> bytes:
    async with (
        serve_sandbox(port=0, seed=seed, clock=lambda: nanoseconds(moment)) as sandbox,
        http.get(f"{sandbox.paper_url}/v2/account", headers=keys_of(ALICE)) as response,
    ):
        return await response.read()


@pytest.mark.parametrize(
    "path", ["/paper//v2/account", "//paper/v2//account/", "/paper/v2/account/", "/paper/v2/account?x=1"]
)
async def test_repeated_and_trailing_slashes_are_served_without_a_redirect(
    sandbox: Sandbox, http: ClientSession, path: str
) -> None:
    status, body = await _answer(http, f"{sandbox.url}{path}", keys_of(ALICE))
    assert status == 200
    assert isinstance(body, dict)
    assert "equity" in body


@pytest.mark.parametrize(
    "path", ["/", "/paper", "/paper/v2", "/paper/v2/accounts", "/v2/accounts", "/_nothing", "/other/v2/account"]
)
async def test_an_unknown_path_is_alpacas_404(sandbox: Sandbox, http: ClientSession, path: str) -> None:
    assert await _answer(http, f"{sandbox.url}{path}", keys_of(ALICE)) == (404, {"message": "endpoint not found."})


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_another_method_is_405_and_says_which_is_allowed(
    sandbox: Sandbox, http: ClientSession, method: str
) -> None:
    async with http.request(method, f"{sandbox.paper_url}/v2/account", headers=keys_of(ALICE)) as response:
        assert (response.status, response.headers["Allow"]) == (405, "GET")
        assert await response.json() == {"message": "method not allowed."}


async def test_every_response_has_a_request_id_of_its_own(sandbox: Sandbox, http: ClientSession) -> None:
    request_ids: set[str] = set()
    for path in ("/paper/v2/account", "/paper/v2/account", "/paper/v2/clock", "/live/v2/clock", "/nowhere"):
        async with http.get(f"{sandbox.url}{path}", headers=keys_of(ALICE)) as response:
            request_ids.add(response.headers["X-Request-ID"])
    assert len(request_ids) == 5
    assert all(len(request_id) == 32 and int(request_id, 16) >= 0 for request_id in request_ids)


async def test_the_rate_limit_is_each_accounts_own_and_returns_with_the_next_minute(http: ClientSession) -> None:
    now = nanoseconds("2026-11-24T14:30:05Z")
    async with serve_sandbox(port=0, rate_limit_per_minute=3, clock=lambda: now) as sandbox:
        remaining = [await _budget(http, sandbox, ALICE) for _ in range(4)]
        assert remaining == [(200, "3", "2"), (200, "3", "1"), (200, "3", "0"), (429, "3", "0")]
        assert await _budget(http, sandbox, BOB) == (200, "3", "2")
        now = nanoseconds("2026-11-24T14:31:00Z")
        assert await _budget(http, sandbox, ALICE) == (200, "3", "2")


async def test_a_spent_rate_limit_is_refused_in_alpacas_words(http: ClientSession) -> None:
    now = nanoseconds("2026-11-24T14:30:05Z")
    async with serve_sandbox(port=0, rate_limit_per_minute=1, clock=lambda: now) as sandbox:
        await _budget(http, sandbox, ALICE)
        async with http.get(f"{sandbox.paper_url}/v2/account", headers=keys_of(ALICE)) as response:
            assert await response.json() == {"message": "rate limit exceeded"}
            assert int(response.headers["X-RateLimit-Reset"]) == nanoseconds("2026-11-24T14:31:00Z") // 10**9


async def test_two_hundred_requests_a_minute_are_the_default(http: ClientSession) -> None:
    async with serve_sandbox(port=0) as sandbox:
        assert await _budget(http, sandbox, ALICE) == (200, "200", "199")


async def test_without_a_rate_limit_no_response_has_its_headers(sandbox: Sandbox, http: ClientSession) -> None:
    async with http.get(f"{sandbox.paper_url}/v2/account", headers=keys_of(ALICE)) as response:
        assert not [name for name in response.headers if name.lower().startswith("x-ratelimit")]


async def test_latency_delays_the_trading_api_but_not_the_control_endpoints(http: ClientSession) -> None:
    async with serve_sandbox(port=0, latency_seconds=0.3) as sandbox:
        assert await _seconds_for(http, f"{sandbox.url}/_faults") < 0.3
        assert await _seconds_for(http, f"{sandbox.paper_url}/v2/clock") >= 0.3


async def test_equity_moves_while_cash_stays(http: ClientSession) -> None:
    now = nanoseconds("2026-11-24T14:30:05Z")
    async with serve_sandbox(port=0, clock=lambda: now, characters=True) as sandbox:
        before = await _account(http, sandbox.paper_url, ALICE)
        now += 3_000_000_000
        after = await _account(http, sandbox.paper_url, ALICE)
    assert before["equity"] != after["equity"]
    assert before["cash"] == after["cash"]


async def test_the_port_is_free_again_after_the_block(http: ClientSession) -> None:
    async with serve_sandbox(port=0) as first:
        port = int(first.url.rpartition(":")[2])
    async with serve_sandbox(port=port) as second:
        assert second.url == first.url
        with pytest.raises(OSError, match="address already in use"):
            async with serve_sandbox(port=port):
                pass


async def test_a_waiting_client_does_not_delay_the_shutdown() -> None:
    async with ClientSession() as http, serve_sandbox(port=0, latency_seconds=30) as sandbox:
        with pytest.raises(TimeoutError):
            await http.get(f"{sandbox.paper_url}/v2/clock", headers=keys_of(ALICE), timeout=ClientTimeout(total=0.05))
        clock = asyncio.get_running_loop().time
        started = clock()
    assert clock() - started < 2


async def _account(http: ClientSession, url: str, key_id: str) -> dict[str, str]:
    async with http.get(f"{url}/v2/account", headers=keys_of(key_id)) as response:
        assert response.status == 200
        return await response.json()


async def _budget(http: ClientSession, sandbox: Sandbox, key_id: str) -> tuple[int, str, str]:
    async with http.get(f"{sandbox.paper_url}/v2/account", headers=keys_of(key_id)) as response:
        return response.status, response.headers["X-RateLimit-Limit"], response.headers["X-RateLimit-Remaining"]


async def _seconds_for(http: ClientSession, url: str) -> float:
    clock = asyncio.get_running_loop().time
    started = clock()
    async with http.get(url, headers=keys_of(ALICE)) as response:
        await response.read()
    return clock() - started
