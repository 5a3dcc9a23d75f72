"""Where the gateway is: under /alpaca, and at the root of an origin of its own."""

import asyncio
from collections.abc import AsyncGenerator
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession

from tests.conftest import Service, StartService
from tests.gateway.conftest import LIMIT_ORDER, Program, key_headers

OWN = "gateway.corral.example"


@pytest.fixture
async def apart(start_service: StartService, service: Service) -> AsyncGenerator[Service]:
    """A Corral on the same data with an origin for the gateway alone."""
    async with start_service(gateway_url=f"https://{OWN}") as other:
        yield other


async def test_at_its_own_origin_both_apis_are_at_the_root(bot: Program, apart: Service) -> None:
    headers = {**key_headers(bot.grant), "Host": OWN}
    async with ClientSession(apart.url, headers=headers) as client:
        for path in ("/v2/account", "/v2/positions", "/v2/stocks/AAPL/bars?timeframe=1Day&start=2026-11-02"):
            async with client.get(path) as answer:
                assert answer.status == 200, path
        async with client.post("/v2/orders", json=LIMIT_ORDER) as answer:
            assert answer.status == 200


async def test_at_its_own_origin_nothing_else_is(bot: Program, apart: Service) -> None:
    headers = {**key_headers(bot.grant), "Host": OWN, "Accept": "text/html"}
    async with ClientSession(apart.url, headers=headers) as client:
        for path in ("/", "/sign-in", "/api/me", "/healthz", "/openapi.json", "/static/x", "/alpaca/v2/account"):
            async with client.get(path, allow_redirects=False) as answer:
                assert (answer.status, (await answer.json())["code"]) == (404, 40410000), path
                assert "Set-Cookie" not in answer.headers


async def test_elsewhere_the_root_is_corrals(bot: Program, apart: Service) -> None:
    async with ClientSession(apart.url, headers=key_headers(bot.grant)) as client:
        async with client.get("/v2/account") as answer:
            assert answer.status == 404
            assert answer.content_type == "application/problem+json"
        async with client.get("/alpaca/v2/account") as answer:
            assert answer.status == 200


async def test_a_url_may_have_sixteen_kibibytes(bot: Program) -> None:
    symbols = ",".join(["AAPL"] * 3_250)
    answered = await bot.get(f"/alpaca/data/v2/stocks/bars?timeframe=1Day&start=2026-11-02&symbols={symbols}")
    assert answered.status == 200
    longer = await bot.get(f"/alpaca/data/v2/stocks/bars?timeframe=1Day&symbols={symbols}{',AAPL' * 100}")
    assert longer.refusal[0] in {414, 431}


# What a client sends as the request's first line, and whether anything may reach Alpaca.
HOSTILE_TARGETS = [
    b"/alpaca@evil.example/v2/account",
    b"/alpaca/@evil.example/v2/account",
    b"//evil.example/alpaca/v2/account",
    b"http://evil.example/alpaca/v2/orders/../account",
    b"/alpaca/..//v2/account",
    b"/alpaca/v2/../../v2/account",
    b"/alpaca/%2e%2e/v2/account",
    b"/alpaca/v2%2faccount",
    b"/alpaca/v2/positions/..%2faccount",
    b"/alpaca/v2/positions/%252e%252e%252faccount",
    b"/alpaca/v2/positions/AAPL%00",
    b"/alpaca/v2/positions/AAPL;x=1",
    b"/alpaca/v2/account;jsessionid=1",
    b"/alpaca/v2/account/",
    b"/alpaca/v2/account%20",
    b"/alpaca/v2/Account",
    b"/alpaca/v2/account?x=%zz",
    b"/alpaca/v2/orders?status=open&status=closed",
    b"/alpaca\\v2\\account",
    b"/alpaca/v2/account#fragment",
    b"*",
]


@pytest.mark.parametrize("target", HOSTILE_TARGETS)
async def test_a_target_that_can_be_read_in_two_ways_reaches_nobody(
    target: bytes, bot: Program, service: Service
) -> None:
    status = await _raw(service, b"GET " + target + b" HTTP/1.1\r\n" + _head(bot))
    assert 400 <= status < 500, target
    assert await bot.seen() == []


@pytest.mark.parametrize(
    "lines",
    [
        b"APCA-API-KEY-ID: CGAAAAAAAAAAAAAAAAAAAAAAAA\r\n",  # twice
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 2\r\nContent-Length: 3\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Host: evil.example\r\n",
    ],
)
async def test_headers_that_can_be_read_in_two_ways_are_refused(lines: bytes, bot: Program, service: Service) -> None:
    assert await _raw(service, b"GET /alpaca/v2/account HTTP/1.1\r\n" + lines + _head(bot)) == 400
    assert await bot.seen() == []


async def test_a_hop_by_hop_header_that_names_the_secret_takes_nothing_away(bot: Program, service: Service) -> None:
    lines = b"Connection: keep-alive, APCA-API-SECRET-KEY\r\n"
    assert await _raw(service, b"GET /alpaca/v2/account HTTP/1.1\r\n" + lines + _head(bot)) == 200


def _head(bot: Program) -> bytes:
    lines = [f"{name}: {value}" for name, value in key_headers(bot.grant).items()]
    return "\r\n".join(["Host: corral.example", *lines, "", ""]).encode()


async def _raw(service: Service, request: bytes) -> int:
    """Returns the status of the answer to these bytes."""
    address = urlsplit(service.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write(request)
        async with asyncio.timeout(20):
            return int((await reader.readline()).split()[1])
    finally:
        writer.close()
