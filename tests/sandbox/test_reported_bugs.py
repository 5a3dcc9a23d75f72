"""What broke clients of Alpaca, by the public reports of their users: the sandbox answers as Alpaca did."""

import asyncio
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.sandbox.account_control import account_control
from tests.sandbox.broker import OPTIONS_TRADER, TUESDAY_TEN, Broker
from tests.sandbox.data_asking import DataCaller
from tests.sandbox.judges import of_the_sdk, sdk
from tests.sandbox.people import ALICE


@of_the_sdk
async def test_a_position_that_cannot_be_closed_has_only_code_and_message(http: ClientSession) -> None:
    """alpaca-py#335 and #360: the fields beside them were required, and `close_all_positions` failed."""
    async with account_control(http) as control:
        order = {"symbol": "AAPL", "qty": "5", "side": "sell", "type": "limit", "limit_price": "900"}
        await control.put(
            {"positions": [{"symbol": "AAPL", "qty": "5"}], "orders": [{**order, "time_in_force": "gtc"}]}
        )
        with sdk(control.sandbox.paper_url, ALICE) as client:
            answers: Any = await asyncio.to_thread(client.close_all_positions)
    (closed,) = answers
    assert closed.status == 403
    assert closed.body.code == 40310000
    assert closed.body.message


@of_the_sdk
@pytest.mark.parametrize("status", ["ONBOARDING", "ACCOUNT_CLOSED", "AML_REVIEW", "INACTIVE"])
async def test_an_account_that_is_not_active_is_read(http: ClientSession, status: str) -> None:
    """alpaca-py#216: an account in one of these states could not be read."""
    async with account_control(http) as control:
        await control.put({"status": status})
        with sdk(control.sandbox.paper_url, ALICE) as client:
            account: Any = await asyncio.to_thread(client.get_account)
    assert account.status.value == status


@pytest.mark.parametrize(("path", "status"), [("BTCUSD", 200), ("BTC/USD", 404)])
def test_a_position_in_coins_is_found_without_the_slash(path: str, status: int) -> None:
    """alpaca-py#537 and #179, apca#96: a slash in a path is one part more."""
    broker = Broker()
    broker.place(symbol="BTC/USD", qty="0.01", time_in_force="gtc")
    broker.pass_time(seconds=2)
    assert broker.ask("GET", f"/v2/positions/{path}")[0] == status
    assert "BTCUSD" in {position["symbol"] for position in broker.get("/v2/positions")}


def test_coins_without_the_slash_have_no_market_data() -> None:
    """alpaca-py#537."""
    refusal = DataCaller().refusal("/v1beta3/crypto/us/bars", symbols="BTCUSD", timeframe="1Hour")
    assert refusal == "invalid symbol: BTCUSD does not match ^[A-Z]+/[A-Z]+$"


@of_the_sdk
async def test_a_position_in_coins_has_an_exchange_that_the_sdk_knows(http: ClientSession) -> None:
    """alpaca-trade-api-python#704: the exchange was not one of the enumeration."""
    async with account_control(http) as control:
        await control.put({"positions": [{"symbol": "BTC/USD", "qty": "0.1"}]})
        with sdk(control.sandbox.paper_url, ALICE) as client:
            position: Any = await asyncio.to_thread(client.get_open_position, "BTCUSD")
            asset: Any = await asyncio.to_thread(client.get_asset, "BTCUSD")
    assert position.exchange.value == "CRYPTO"
    assert position.asset_id == asset.id  # alpaca-py#490: the two differed


def test_an_order_of_several_options_has_no_asset_class() -> None:
    """alpaca-trade-api-csharp#804: "" is none of the enumeration. Alpaca still sends it."""
    legs = [
        {"symbol": f"NVDA261218C00{strike}000", "ratio_qty": "1", "side": side}
        for strike, side in ((180, "buy"), (190, "sell"))
    ]
    order = Broker(OPTIONS_TRADER).place(symbol=None, side=None, qty="1", order_class="mleg", legs=legs)
    assert (order["asset_class"], order["asset_id"], order["side"]) == ("", "", "")
    assert {leg["asset_class"] for leg in order["legs"]} == {"us_option"}


def test_a_simple_order_has_an_empty_class() -> None:
    """Alpaca-API#232: the document did not name "" at first."""
    assert Broker().place(qty="1")["order_class"] == ""
    assert Broker().place(qty="1", order_class="simple")["order_class"] == ""


def test_a_short_sale_is_an_activity_of_a_known_side() -> None:
    """alpaca-trade-api-csharp#161: `sell_short` was none of the sides that clients know."""
    broker = Broker(OPTIONS_TRADER)
    broker.place(symbol="MSFT", qty="1", side="sell")
    broker.pass_time(seconds=2)
    sides = {activity["side"] for activity in broker.get("/v2/account/activities/FILL")}
    assert sides <= {"buy", "sell"}


@of_the_sdk
async def test_a_new_account_has_a_history_that_the_sdk_reads(http: ClientSession) -> None:
    """alpaca-py#596: `base_value` was null."""
    async with account_control(http) as control:
        with sdk(control.sandbox.paper_url, ALICE) as client:
            history: Any = await asyncio.to_thread(client.get_portfolio_history)
    assert history.base_value == 100_000


@pytest.mark.parametrize("token", ["", "nothing", "e30=", "%00", "QUFQTHxNfA=="])
def test_a_page_token_that_is_none_is_ignored_or_refused(token: str) -> None:
    """ga4gh-server#982, gax-nodejs#1043: a bad token was a 500, and an empty one began anew for ever."""
    status, answer = Broker(at=TUESDAY_TEN).ask("GET", f"/v2/account/activities?page_token={token}")
    assert (status, bool(answer)) == (200, True) if not token else status == 422
    status, answer = DataCaller().ask("/v2/stocks/bars", symbols="AAPL", timeframe="1Day", page_token=token)
    assert status == (400 if token else 200), answer
