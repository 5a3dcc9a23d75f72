"""Assets, checked with the SDK and the OpenAPI document."""

import asyncio
from typing import Any

import pytest

from corral_sandbox import Sandbox
from corral_sandbox.market.assets import ListedAssets
from tests.sandbox.asking import Caller
from tests.sandbox.judges import judge, of_the_sdk, sdk
from tests.sandbox.people import ALICE, BOB

_LISTED = ListedAssets().all()
_ONE = "/v2/assets/{symbol_or_asset_id}"


@of_the_sdk
async def test_the_sdk_reads_every_asset_of_every_class(sandbox: Sandbox) -> None:
    from alpaca.trading.enums import AssetClass, AssetExchange, AssetStatus
    from alpaca.trading.requests import GetAssetsRequest

    with sdk(sandbox.paper_url, ALICE) as client:
        shares: Any = await asyncio.to_thread(client.get_all_assets)
        coins: Any = await asyncio.to_thread(client.get_all_assets, GetAssetsRequest(asset_class=AssetClass.CRYPTO))
        gone: Any = await asyncio.to_thread(client.get_all_assets, GetAssetsRequest(status=AssetStatus.INACTIVE))
        funds: Any = await asyncio.to_thread(client.get_all_assets, GetAssetsRequest(exchange=AssetExchange.ARCA))
    assert {asset.symbol for asset in (*shares, *coins)} == {asset.symbol for asset in _LISTED}
    assert [asset.symbol for asset in gone] == ["TWTR"]
    assert [asset.symbol for asset in funds] == ["DIA", "GLD", "IWM", "SPY", "VOO", "VTI"]
    assert {asset.asset_class.value for asset in coins} == {"crypto"}


@of_the_sdk
@pytest.mark.parametrize("name", ["AAPL", "BRK.B", "BTCUSD", "BTC%2FUSD"])
async def test_the_sdk_reads_an_asset_by_symbol_and_by_id(sandbox: Sandbox, name: str) -> None:
    with sdk(sandbox.paper_url, ALICE) as client:
        asset: Any = await asyncio.to_thread(client.get_asset, name)
        again: Any = await asyncio.to_thread(client.get_asset, asset.id)
    assert asset == again
    assert asset.symbol == {"BTCUSD": "BTC/USD", "BTC%2FUSD": "BTC/USD"}.get(name, name)


@of_the_sdk
async def test_the_sdk_raises_its_own_error_for_an_unlisted_asset(sandbox: Sandbox) -> None:
    from alpaca.common.exceptions import APIError

    with sdk(sandbox.paper_url, ALICE) as client, pytest.raises(APIError) as refused:
        await asyncio.to_thread(client.get_asset, "NOTHING")
    error: Any = refused.value
    assert (error.status_code, error.code) == (404, 40410000)


async def test_assets_match_the_openapi_document(caller: Caller, official: dict[str, Any]) -> None:
    for path in ("/v2/assets", "/v2/assets?asset_class=crypto"):
        judge(official, "/v2/assets").validate(await caller.get(path))
    for asset in _LISTED:
        judge(official, _ONE).validate(await caller.get(f"/v2/assets/{asset.id}"))


async def test_an_asset_has_both_the_old_and_the_new_field_for_borrowing(caller: Caller) -> None:
    easy, hard = await caller.get("/v2/assets/AAPL"), await caller.get("/v2/assets/GME")
    assert (easy["borrow_status"], easy["easy_to_borrow"], easy["shortable"]) == ("easy_to_borrow", True, True)
    assert (hard["borrow_status"], hard["easy_to_borrow"], hard["shortable"]) == ("hard_to_borrow", False, False)


async def test_only_coins_have_increments_and_only_shares_a_borrow_status(caller: Caller) -> None:
    coin, share = await caller.get("/v2/assets/DOGEUSD"), await caller.get("/v2/assets/F")
    assert (coin["min_order_size"], coin["min_trade_increment"]) == ("10", "0.000000001")
    assert coin["price_increment"] == "0.00001"
    assert "borrow_status" not in coin
    assert "price_increment" not in share


async def test_assets_are_sorted_by_class_exchange_and_symbol(caller: Caller) -> None:
    shares = await caller.get("/v2/assets")
    order = [(asset["exchange"], asset["symbol"]) for asset in shares]
    assert order == sorted(order)


@pytest.mark.parametrize(
    ("query", "symbols"),
    [
        ("attributes=has_options&exchange=ARCA", ["DIA", "GLD", "IWM", "SPY", "VOO", "VTI"]),
        ("attributes=has_options&exchange=AMEX", []),
        ("attributes=ipo", []),
        ("attributes=ipo,overnight_tradable&exchange=ARCA", ["DIA", "GLD", "IWM", "SPY", "VOO", "VTI"]),
        ("status=active&exchange=AMEX", ["NAK"]),
        ("asset_class=treasury", []),
        ("exchange=BATS", []),
        ("unknown=parameter&exchange=AMEX", ["NAK"]),
    ],
)
async def test_assets_are_filtered_by_their_fields(caller: Caller, query: str, symbols: list[str]) -> None:
    assert [asset["symbol"] for asset in await caller.get(f"/v2/assets?{query}")] == symbols


async def test_an_unknown_status_is_refused(caller: Caller) -> None:
    assert await caller.ask("/v2/assets?status=sleeping") == (
        422,
        {"code": 40010001, "message": "invalid status: must be one of active, inactive"},
    )


async def test_an_option_is_found_among_contracts_not_assets(caller: Caller) -> None:
    assert (await caller.ask("/v2/assets/AAPL261218C00250000"))[0] == 404


async def test_alice_and_bob_see_the_same_assets(caller: Caller) -> None:
    assert await caller.get("/v2/assets", ALICE) == await caller.get("/v2/assets", BOB)
