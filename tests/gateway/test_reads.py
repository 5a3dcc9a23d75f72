"""Reads through a grant: what Alpaca answers, byte for byte, to those who may ask."""

import asyncio
from base64 import b64encode

import pytest
from aiohttp import ClientPayloadError, ClientSession

from corral_sandbox import secret_of
from tests.conftest import Service
from tests.gateway.conftest import Answered, Program, key_headers
from tests.grants.conftest import GrantOwner
from tests.log_lines import LogSince
from tests.people import paper_key

UNAUTHORIZED = b'{"code":40110000,"message":"request is not authorized"}'


@pytest.mark.parametrize(
    "path",
    [
        "/v2/account",
        "/v2/positions",
        "/v2/orders?status=all&limit=5&nested=true",
        "/v2/assets/BTC%2FUSD",
        "/v2/account/activities/FILL?page_size=3",
        "/v2/calendar?start=2026-11-02&end=2026-11-06",
    ],
)
async def test_an_answer_is_alpacas_byte_for_byte(bot: Program, path: str) -> None:
    answered = await bot.get(f"/alpaca{path}")
    assert answered.status == 200
    assert answered.body == await bot.directly(f"/paper{path}")
    assert answered.headers["Content-Type"] == "application/json"


async def test_market_data_are_at_the_data_url(bot: Program) -> None:
    path = "/v2/stocks/AAPL/bars?timeframe=1Day&start=2026-11-02&limit=3"
    answered = await bot.get(f"/alpaca/data{path}")
    assert answered.status == 200
    assert answered.body == await bot.directly(path)
    elsewhere = await bot.get(f"/alpaca{path}")
    assert elsewhere.refusal == (403, 40310000)
    assert "data_url" in elsewhere.json["message"]


async def test_a_base_url_with_a_final_slash_works(bot: Program) -> None:
    assert (await bot.get("/alpaca//v2/account")).status == 200


async def test_each_way_to_present_a_key_pair_works(bot: Program, service: Service) -> None:
    key_id, secret_key = bot.grant["key_id"], bot.grant["secret_key"]
    ways = [
        key_headers(bot.grant),
        {"Authorization": f"Bearer {secret_key}"},
        {"Authorization": f"Basic {b64encode(f'{key_id}:{secret_key}'.encode()).decode()}"},
        {**key_headers(bot.grant), "Authorization": "Basic bmV0cmM6bmV0cmM="},  # as requests adds from .netrc
    ]
    for headers in ways:
        async with ClientSession(service.url, headers=headers) as client, client.get("/alpaca/v2/account") as answer:
            assert answer.status == 200, headers.keys()


async def test_nothing_presented_is_alpacas_forbidden(service: Service) -> None:
    for headers in ({}, {"APCA-API-KEY-ID": "CG"}, {"APCA_API_KEY_ID": "CG", "APCA_API_SECRET_KEY": "x"}):
        async with ClientSession(service.url, headers=headers) as client, client.get("/alpaca/v2/account") as answer:
            assert (answer.status, await answer.read()) == (403, b'{"code":40310000,"message":"forbidden."}')


async def test_whatever_is_no_grant_gets_one_and_the_same_answer(
    bot: Program, carol: GrantOwner, service: Service
) -> None:
    key_id, secret_key = bot.grant["key_id"], bot.grant["secret_key"]
    other = await carol.grant()
    pairs = [
        (key_id, secret_key[:-1]),
        (key_id, secret_key[:-1] + ("0" if secret_key[-1] != "0" else "1")),
        (key_id, secret_key.upper()),
        (key_id.lower(), secret_key),
        (other["key_id"], secret_key),
        (bot.key_id, secret_of(bot.key_id)),
        ("CG" + "A" * 24, other["secret_key"]),
        ("x" * 300, "y" * 300),
    ]
    ways = [{"APCA-API-KEY-ID": one, "APCA-API-SECRET-KEY": two} for one, two in pairs]
    ways += [
        {"Authorization": f"Bearer {secret_key}x"},
        {"Authorization": "Basic !!"},
        {"Authorization": f"Digest {secret_key}"},
        {"Authorization": f"Basic {b64encode(secret_key.encode()).decode()}"},
    ]
    for headers in ways:
        async with ClientSession(service.url, headers=headers) as client, client.get("/alpaca/v2/account") as answer:
            assert (answer.status, await answer.read()) == (401, UNAUTHORIZED), headers
            assert "X-Corral-Overhead-Ms" not in answer.headers
    assert await bot.seen() == []


async def test_a_revoked_grant_ends_with_the_next_request(bot: Program, carol: GrantOwner) -> None:
    assert (await bot.get("/alpaca/v2/account")).status == 200
    assert (await carol.ask("DELETE", f"/api/grants/{bot.grant['id']}")).status == 204
    assert (await bot.get("/alpaca/v2/account")).body == UNAUTHORIZED


async def test_a_grant_of_an_account_that_is_switched_off_waits(bot: Program, carol: GrantOwner) -> None:
    path = f"/api/credentials/{bot.grant['credential_id']}"
    await carol.ask("PATCH", path, {"is_active": False})
    paused = await bot.get("/alpaca/v2/account")
    assert paused.refusal == (403, 40310000)
    assert "switched this account off" in paused.json["message"]
    await carol.ask("PATCH", path, {"is_active": True})
    assert (await bot.get("/alpaca/v2/account")).status == 200


async def test_keys_that_alpaca_refuses_are_said_in_words(bot: Program) -> None:
    await bot.faults.set(bot.key_id, path="/v2/positions", status=401, body={"code": 40110000, "message": "no"})
    refused = await bot.get("/alpaca/v2/positions")
    assert refused.refusal == (403, 40310000)
    assert "Alpaca refuses the keys" in refused.json["message"]


async def test_a_refusal_of_alpacas_is_passed_on(bot: Program) -> None:
    answered = await bot.get("/alpaca/v2/orders/00000000-0000-0000-0000-000000000000")
    assert answered.status == 404
    assert answered.body == await bot.directly("/paper/v2/orders/00000000-0000-0000-0000-000000000000")


async def test_methods_without_an_answer_are_not_served(bot: Program) -> None:
    for method in ("HEAD", "OPTIONS"):
        answered = await bot.call(method, "/alpaca/v2/account", headers={"Origin": "https://example.com"})
        assert answered.status == 405
        assert not any(name.startswith("Access-Control") for name in answered.headers)


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"redirect_to": "https://example.com/"}, 502),
        ({"body_text": "<h1>Bad gateway</h1>", "status": 502, "content_type": "text/html"}, 502),
        ({"body": {"message": "internal"}, "status": 500}, 500),
        ({"cut": "before_headers"}, 502),
        ({"cut": "mid_body"}, 502),
        ({"body_text": "x", "headers": {"Content-Encoding": "gzip"}}, 502),
    ],
)
async def test_what_cannot_be_passed_on_is_an_error_in_alpacas_form(
    bot: Program, fault: dict[str, object], status: int
) -> None:
    await bot.faults.set(bot.key_id, path="/v2/positions", **fault)
    answered = await bot.get("/alpaca/v2/positions")
    assert answered.status == status
    assert "message" in answered.json
    assert "Location" not in answered.headers


async def test_headers_of_alpacas_answer_are_not_passed_on(bot: Program) -> None:
    headers = {"Set-Cookie": "a=b", "Clear-Site-Data": '"*"', "X-Anything": "1", "Access-Control-Allow-Origin": "*"}
    await bot.faults.set(bot.key_id, path="/v2/positions", body=[], headers=headers)
    answered = await bot.get("/alpaca/v2/positions")
    assert answered.body == b"[]"
    assert not answered.headers.keys() & headers.keys()


async def test_a_dropped_connection_of_a_read_is_asked_once_more(bot: Program) -> None:
    await bot.faults.set(bot.key_id, path="/v2/positions", cut="before_headers", times=1)
    assert (await bot.get("/alpaca/v2/positions")).status == 200


async def test_alpacas_limit_is_passed_on_with_its_wait(bot: Program) -> None:
    await bot.faults.set(bot.key_id, path="/v2/positions", rate_limited={"retry_after": 7})
    limited = await bot.get("/alpaca/v2/positions")
    assert (limited.status, limited.headers["Retry-After"]) == (429, "7")
    held = await bot.get("/alpaca/v2/positions")
    assert held.status == 429
    assert 1 <= int(held.headers["Retry-After"]) <= 7


async def test_a_long_answer_arrives_whole(bot: Program) -> None:
    body = "[" + ",".join(["12345678"] * 100_000) + "]"
    await bot.faults.set(bot.key_id, path="/v2/positions", body_text=body)
    assert (await bot.get("/alpaca/v2/positions")).body == body.encode()


async def test_an_answer_that_echoes_the_keys_is_not_passed_on(bot: Program) -> None:
    await bot.faults.set(bot.key_id, path="/v2/positions", echo=True)
    answered = await bot.get("/alpaca/v2/positions")
    assert answered.refusal == (502, 50210000)
    assert secret_of(bot.key_id) not in str(answered)
    assert bot.key_id not in str(answered)


async def test_a_long_answer_is_cut_off_where_a_key_begins(bot: Program, log: LogSince) -> None:
    secret = secret_of(bot.key_id)
    body = "[" + "1," * 400_000 + f'"{secret}"' + ",2" * 10 + "]"
    await bot.faults.set(bot.key_id, path="/v2/positions", body_text=body)
    received = bytearray()

    async def receive() -> None:
        async with bot.ask("GET", "/alpaca/v2/positions") as answer:
            async for part in answer.content.iter_any():
                received.extend(part)

    with pytest.raises(ClientPayloadError):
        await receive()
    assert len(received) > 100_000
    assert secret[:8].encode() not in received
    await log.awaited("alpaca_key_in_answer", level="error")
    await log.awaited("request")
    assert log.alarms("unexpected_exception") == [], "it is no bug of Corral's"


async def test_nothing_of_the_programs_headers_reaches_alpaca(bot: Program) -> None:
    secret = secret_of(bot.key_id)
    await bot.faults.set(bot.key_id, path="/v2/account", echo=True)
    sent = {"Cookie": "corral=1", "X-Forwarded-For": "192.0.2.1", "User-Agent": "APCA-PY/0.44.0", "X-Own": "1"}
    answered = await bot.call("GET", "/alpaca/v2/account", headers=sent)
    assert answered.status == 502, "the sandbox was asked with the account's keys"
    assert secret not in str(answered)


async def test_corrals_own_api_and_pages_do_not_know_a_grant(bot: Program, service: Service) -> None:
    for path in ("/api/credentials", "/api/grants", "/"):
        async with ClientSession(service.url) as client:
            bearer = {"Authorization": f"Bearer {bot.grant['secret_key']}", "Accept": "application/json"}
            async with client.get(path, headers=bearer, allow_redirects=False) as answer:
                assert answer.status in {303, 401}, path


async def test_many_programs_read_at_the_same_time(bot: Program) -> None:
    answered: list[Answered] = await asyncio.gather(*(bot.get("/alpaca/v2/account") for _ in range(40)))
    assert {each.status for each in answered} == {200}
    assert len(await bot.seen("GET")) == 40, "none is served from a kept answer"


async def test_a_grant_opens_no_account_but_its_own(bot: Program, carol: GrantOwner) -> None:
    other = paper_key()
    await carol.account(other, nickname="other")
    mine = (await bot.get("/alpaca/v2/account")).json["id"]
    assert mine in (await bot.directly("/paper/v2/account")).decode()
