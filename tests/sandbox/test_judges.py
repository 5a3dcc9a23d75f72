"""The account and the clock, checked with the SDK and the OpenAPI document."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import ClientSession

from corral_sandbox import Sandbox
from tests.sandbox.judges import judge, of_the_sdk, sdk
from tests.sandbox.people import ALICE, ALICE_LIVE, keys_of


@of_the_sdk
@pytest.mark.parametrize("key_id", [ALICE, ALICE_LIVE, *(f"PKCROWD{number:05}" for number in range(20))])
async def test_the_sdk_reads_every_account(sandbox: Sandbox, key_id: str) -> None:
    with sdk(sandbox.live_url if key_id == ALICE_LIVE else sandbox.paper_url, key_id) as client:
        account: Any = await asyncio.to_thread(client.get_account)
    assert account.status.value == "ACTIVE"
    assert Decimal(account.equity) == sum(
        map(Decimal, (account.cash, account.long_market_value, account.short_market_value))
    )
    assert account.pattern_day_trader is None


@of_the_sdk
@pytest.mark.parametrize("raw_data", [False, True])
async def test_the_sdk_reads_the_clock_parsed_and_raw(sandbox: Sandbox, *, raw_data: bool) -> None:
    with sdk(f"{sandbox.paper_url}/", ALICE, raw_data=raw_data) as client:
        clock: Any = await asyncio.to_thread(client.get_clock)
    is_open, next_open, next_close = (
        (clock["is_open"], clock["next_open"], clock["next_close"])
        if raw_data
        else (clock.is_open, clock.next_open, clock.next_close)
    )
    assert is_open == (next_close < next_open)


@of_the_sdk
async def test_the_sdk_returns_the_raw_account(sandbox: Sandbox) -> None:
    with sdk(sandbox.paper_url, ALICE, raw_data=True) as client:
        account: Any = await asyncio.to_thread(client.get_account)
    assert account["portfolio_value"] == account["equity"]


@of_the_sdk
@pytest.mark.parametrize(
    ("prefix", "secret", "code"),
    [("paper", "wrong", None), ("live", None, 40110000)],
)
async def test_the_sdk_raises_its_own_error_for_refused_keys(
    sandbox: Sandbox, prefix: str, secret: str | None, code: int | None
) -> None:
    from alpaca.common.exceptions import APIError

    with sdk(f"{sandbox.url}/{prefix}", ALICE, secret) as client, pytest.raises(APIError) as refused:
        await asyncio.to_thread(client.get_account)
    error: Any = refused.value
    assert error.status_code == 401
    assert json.loads(str(error)).get("code") == code


@pytest.mark.parametrize("path", ["/v2/account", "/v2/clock"])
async def test_account_and_clock_match_the_openapi_document(
    sandbox: Sandbox, http: ClientSession, official: dict[str, Any], path: str
) -> None:
    schema = judge(official, path)
    for number in range(40):
        async with http.get(f"{sandbox.paper_url}{path}", headers=keys_of(f"PKCROWD{number:05}")) as response:
            schema.validate(await response.json())


async def test_an_account_has_the_fields_of_the_official_example(
    sandbox: Sandbox, http: ClientSession, official: dict[str, Any]
) -> None:
    example = official["paths"]["/v2/account"]["get"]["responses"]["200"]["content"]["application/json"]["example"]
    async with http.get(f"{sandbox.paper_url}/v2/account", headers=keys_of(ALICE)) as response:
        account = await response.json()
    assert account.keys() == (example.keys() | {"options_approved_level"}) - {"pending_transfer_in"}


def test_the_openapi_document_rejects_an_invalid_account(official: dict[str, Any]) -> None:
    assert not judge(official, "/v2/account").is_valid({"id": "not a uuid", "status": "ACTIVE"})
    assert not judge(official, "/v2/account").is_valid({"cash": 1})
