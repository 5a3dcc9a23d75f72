"""The sandbox, beside a server of the same kind that does nothing: how fast it answers, advances, and makes bars."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import orjson
from aiohttp import ClientSession

from benchmarks.load import Job, Question, Report, Window
from benchmarks.servers import CONSTANT, SANDBOX_START, Kind
from corral_sandbox import secret_of

_CLIENTS = 32
_WINDOW: Final = Window(warm_up=1, measured=4)
_KEY_IDS = [f"PKBENCH{number:04}" for number in range(64)]
_SYMBOLS = ("AAPL", "AMZN", "F", "JPM", "KO", "MSFT", "NVDA", "PLTR", "SPY", "XOM")
_ACCOUNTS, _HOURS = 5, 5  # the market is open in each of the hours


def _keys_of(key_id: str) -> dict[str, str]:
    return {"APCA-API-KEY-ID": key_id, "APCA-API-SECRET-KEY": secret_of(key_id)}


@dataclass(frozen=True, slots=True)
class SandboxLoad:
    """Requests of 64 accounts, each client sending its next one after the answer to the last."""

    title: str
    kind: Kind
    path: str
    expected: str
    body: Mapping[str, str] | None = None

    def job(self, *, url: str, server_pid: int) -> Job:
        body = orjson.dumps(self.body).decode() if self.body else ""
        questions = [
            Question(path=self.path, headers=_keys_of(key_id), body=body, expected=self.expected) for key_id in _KEY_IDS
        ]
        return Job(url=url, server_pid=server_pid, clients=_CLIENTS, questions=questions, window=_WINDOW)


_ORDER = {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}
SANDBOX_LOADS: Final[Mapping[str, SandboxLoad]] = {
    "nothing": SandboxLoad("the same HTTP server, returning a constant", "aiohttp", "/v2/account", CONSTANT.decode()),
    "account": SandboxLoad("GET /v2/account", "plain_sandbox", "/v2/account", '"portfolio_value"'),
    "order": SandboxLoad("POST /v2/orders, at the market", "plain_sandbox", "/v2/orders", '"pending_new"', _ORDER),
}


@dataclass(frozen=True, slots=True)
class SandboxWork:
    """Milliseconds, the median of each: `years` of daily bars and 10,000 `minutes` are of symbols that nobody asked for
    before. `wait_p99` is the 99th percentile of answers to another client while the minutes are made.
    """

    hour: float
    year: float
    minutes: float
    wait_p99: float


@dataclass(frozen=True, slots=True)
class SandboxFigures:
    loads: Mapping[str, Report]
    work: SandboxWork


async def measure_work(url: str) -> SandboxWork:
    """Of a sandbox whose time stands still."""
    async with ClientSession(url, headers=_keys_of(_KEY_IDS[0])) as http:
        hours = [await _advance_an_hour(http) for _ in range(_HOURS)]
        years = [await _ask(http, _bars(symbol, "1Day", days=365)) for symbol in _SYMBOLS]
        waits: list[float] = []
        asking = asyncio.create_task(_ask_again_and_again(http, waits))
        minutes = [await _ask(http, _bars(symbol, "1Min", days=30)) for symbol in _SYMBOLS]
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
    return SandboxWork(_median(hours), _median(years), _median(minutes), sorted(waits)[len(waits) * 99 // 100])


def _median(of: list[float]) -> float:
    return sorted(of)[len(of) // 2]


def _bars(symbol: str, timeframe: str, *, days: int) -> str:
    start = (SANDBOX_START - timedelta(days=days)).date()
    return f"/v2/stocks/bars?symbols={symbol}&timeframe={timeframe}&start={start}&limit=10000"


async def _ask(http: ClientSession, path: str) -> float:
    """Returns how long the whole answer took, in milliseconds."""
    started = time.perf_counter()
    async with http.get(path) as answer:
        await answer.read()
    assert answer.status == 200, path
    return (time.perf_counter() - started) * 1000


async def _ask_again_and_again(http: ClientSession, waits: list[float]) -> None:
    while True:
        waits.append(await _ask(http, "/v2/account"))


async def _advance_an_hour(http: ClientSession) -> float:
    """Returns the milliseconds that it took with 50 open orders: limits, stops and trailing stops of five accounts."""
    async with http.get(f"/v2/stocks/trades/latest?symbols={','.join(_SYMBOLS)}") as answer:
        prices = {symbol: trade["p"] for symbol, trade in (await answer.json())["trades"].items()}
    for number in range(_ACCOUNTS):
        orders = [_resting_order(symbol, prices[symbol], number) for symbol in _SYMBOLS]
        async with http.put(f"/_accounts/{_KEY_IDS[number]}", json={"orders": orders}) as answer:
            assert answer.status == 200, await answer.text()
    started = time.perf_counter()
    async with http.post("/_clock/advance", json={"seconds": 3600}) as answer:
        assert answer.status == 200, await answer.text()
    return (time.perf_counter() - started) * 1000


def _resting_order(symbol: str, price: float, number: int) -> dict[str, str]:
    order = {"symbol": symbol, "qty": "1", "side": "buy", "time_in_force": "gtc"}
    kinds: tuple[dict[str, str], ...] = (
        {"type": "limit", "limit_price": f"{price * 0.99:.2f}"},
        {"type": "limit", "limit_price": f"{price * 0.97:.2f}"},
        {"type": "stop", "stop_price": f"{price * 1.01:.2f}"},
        {"type": "stop", "stop_price": f"{price * 1.03:.2f}"},
        {"type": "trailing_stop", "trail_percent": "2"},
    )
    return order | kinds[number]
