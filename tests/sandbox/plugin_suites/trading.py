"""A test suite that uses every fixture of the plugin. `test_pytest_plugin.py` runs it in several ways.

Each test must find a sandbox that nobody has used, and leaves one behind that is closed, halted and broken.
"""

import asyncio
import json
import multiprocessing
import os
import sys
import unittest
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests
import time_machine
from aiohttp import ClientSession, ClientWebSocketResponse
from alpaca.trading.client import TradingClient

from corral_sandbox import AlpacaAccount, AlpacaFaults, AlpacaPrices, BlockingClock, BlockingSandbox
from corral_sandbox.pytest_plugin import AlpacaAccounts

START = datetime.fromisoformat("2026-10-06T10:00-04:00")
ORDER = {"symbol": "AAPL", "qty": "10", "side": "buy", "type": "market", "time_in_force": "day"}


@pytest.fixture(autouse=True)
def left_in_disorder(
    request: pytest.FixtureRequest,
    alpaca_account: AlpacaAccount,
    alpaca_clock: BlockingClock,
    alpaca_prices: AlpacaPrices,
    alpaca_faults: AlpacaFaults,
) -> Iterator[None]:
    """Keeps what the test sent and got for its caller."""
    assert alpaca_clock.get().at - START <= timedelta(microseconds=1)  # a marker may have set the account
    assert (alpaca_prices.get(), alpaca_faults.remaining()) == ({}, [])
    assert alpaca_account.requests() == []
    yield
    record = Path(os.environ["RECORDS"], f"{request.node.name}.json")
    record.write_text(json.dumps([alpaca_account.key_id, alpaca_account.requests()]), "utf-8")
    alpaca_faults.add(path="/v2/account", status=503)
    alpaca_prices.halt("AAPL", "BTC/USD")
    alpaca_clock.advance(to="close")


@pytest.fixture(scope="session", autouse=True)
def address(alpaca_sandbox: BlockingSandbox) -> None:
    host, port = alpaca_sandbox.url.removeprefix("http://").split(":")
    assert host == "127.0.0.1"  # not localhost, which may be ::1
    Path(os.environ["RECORDS"], f"port-{port}").touch()


def buy(account: AlpacaAccount, **order: Any) -> dict[str, str]:  # noqa: ANN401 - JSON
    answer = requests.post(f"{account.base_url}/v2/orders", json=ORDER | order, headers=account.headers, timeout=30)
    answer.raise_for_status()
    return answer.json()


@pytest.mark.xdist_group("bracket")
def test_a_bracket_is_walked_by_clock_and_price(
    alpaca_account: AlpacaAccount, alpaca_clock: BlockingClock, alpaca_prices: AlpacaPrices
) -> None:
    alpaca_prices.set(AAPL="270")
    legs = {"take_profit": {"limit_price": "280"}, "stop_loss": {"stop_price": "260"}}
    buy(alpaca_account, order_class="bracket", **legs)
    assert [position["qty"] for position in alpaca_account.state()["positions"]] == ["10"]
    alpaca_prices.set({"AAPL": [(datetime.fromisoformat("2026-10-06T11:00-04:00"), "259")]}, MSFT=400.5)
    alpaca_clock.advance(seconds=3_601)
    assert alpaca_account.state()["positions"] == []
    alpaca_prices.reset("AAPL")
    assert alpaca_prices.get() == {"MSFT": "400.5"}


class TestOrders:
    def test_alpacas_sdk_is_connected(self, trading_client: TradingClient, alpaca_account: AlpacaAccount) -> None:
        alpaca_account.set(cash="500.25")
        assert vars(trading_client.get_account())["cash"] == "500.25"
        alpaca_account.reset()
        assert vars(trading_client.get_account())["cash"] == "100000"


class UnittestOrders(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _take(self, alpaca_account: AlpacaAccount) -> None:
        self.account = alpaca_account

    def test_in_a_class_of_unittest(self) -> None:
        buy(self.account)
        assert self.account.state()["positions"][0]["qty"] == "10"


async def test_in_an_event_loop(alpaca_account: AlpacaAccount, alpaca_clock: BlockingClock) -> None:
    async with ClientSession(headers=alpaca_account.headers) as session, session.ws_connect(
        alpaca_account.stream_url
    ) as stream:  # fmt: skip
        keys = {"key_id": alpaca_account.key_id, "secret_key": alpaca_account.secret_key}
        await stream.send_json({"action": "authenticate", "data": keys})
        await stream.send_json({"action": "listen", "data": {"streams": ["trade_updates"]}})
        assert await until(stream, "listening") == {"streams": ["trade_updates"]}
        async with session.post(f"{alpaca_account.base_url}/v2/orders", json=ORDER | {"time_in_force": "cls"}) as sent:
            assert sent.status == 200
        moved = await asyncio.to_thread(alpaca_clock.advance, to="close")
        update = await until(stream, "trade_updates")
        while update["event"] != "fill":
            update = await until(stream, "trade_updates")
    assert not moved.is_open
    assert update["position_qty"] == "10"


async def until(stream: ClientWebSocketResponse, name: str) -> dict[str, Any]:
    """Returns the data of the next message of a stream."""
    message: dict[str, Any] = {}
    while message.get("stream") != name:
        message = json.loads((await stream.receive(timeout=30)).data)
    return message["data"]


@pytest.mark.alpaca_account("live", cash="10", restrictions=["trading_blocked"])
def test_a_live_account_and_two_more(alpaca_account: AlpacaAccount, alpaca_accounts: AlpacaAccounts) -> None:
    accounts = [alpaca_account, alpaca_accounts("live"), alpaca_accounts("paper", cash=7)]
    assert [account.state()["cash"] for account in accounts] == ["10", "100000", "7"]
    assert [account.key_id[:2] for account in accounts] == ["AK", "AK", "PK"]
    assert len({account.key_id for account in accounts}) == 3
    with pytest.raises(ValueError, match="paper or live"):
        alpaca_accounts("margin")  # pyright: ignore[reportArgumentType]


def test_what_cannot_be_set_is_refused_with_the_reason(
    alpaca_account: AlpacaAccount, alpaca_prices: AlpacaPrices, alpaca_faults: AlpacaFaults
) -> None:
    with pytest.raises(ValueError, match="equity follows from cash and positions"):
        alpaca_account.set(equity="5000")  # pyright: ignore[reportCallIssue]
    with pytest.raises(ValueError, match="is not listed, and cannot be"):
        alpaca_prices.set(nope="1")
    with pytest.raises(ValueError, match="serves no /v3"):
        alpaca_faults.add(path="/v3", status=503)
    with pytest.raises(TypeError, match="cannot be sent"):
        alpaca_account.set(positions=[{"symbol": object()}])


def test_faults_are_added_and_used_up(alpaca_account: AlpacaAccount, alpaca_faults: AlpacaFaults) -> None:
    alpaca_faults.add(path="/v2/orders", method="POST", times=1, status=503)
    alpaca_faults.add(path="/v2/orders", method="POST", times=2, after=True, status=504)
    for status in ("503", "504"):
        with pytest.raises(requests.HTTPError, match=status):
            buy(alpaca_account)
    assert [fault["times"] for fault in alpaca_faults.remaining()] == [1]
    assert [request["status"] for request in alpaca_account.requests(after=1)] == [504]


def test_another_thread_uses_the_clock(alpaca_clock: BlockingClock) -> None:
    thread = Thread(target=alpaca_clock.advance, kwargs={"seconds": 60})
    thread.start()
    thread.join()
    assert (alpaca_clock.get().at - START).total_seconds() == 60


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_trades_and_cannot_wait_for_the_clock(
    alpaca_account: AlpacaAccount, alpaca_clock: BlockingClock
) -> None:
    def trade() -> None:
        buy(alpaca_account)
        with pytest.raises(RuntimeError, match="ask the sandbox over HTTP"):
            alpaca_clock.advance(seconds=1)

    child = multiprocessing.get_context("fork").Process(target=trade)
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert alpaca_account.state()["positions"] != []


def test_the_programs_own_time_may_stand_still(alpaca_account: AlpacaAccount, alpaca_clock: BlockingClock) -> None:
    with time_machine.travel(datetime.fromisoformat("1999-12-31T23:59+00:00"), tick=False):
        buy(alpaca_account)
        assert alpaca_clock.advance(to="close").moved_by == pytest.approx(6 * 3_600)


def test_the_sdk_is_named_where_it_is_missing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "alpaca.trading.client", None)
    with pytest.raises(pytest.fail.Exception, match="pip install alpaca-py"):
        request.getfixturevalue("trading_client")
