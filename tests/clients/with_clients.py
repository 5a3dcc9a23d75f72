"""Runs each client's program against the sandbox, and judges what it got and what it sent. See `tests/clients`."""

import asyncio
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from corral_sandbox import Sandbox, secret_of, token_of
from tests.clients import recordings
from tests.clients.recorder import Recorder, recording

KEY_ID: Final = "PKCLIENT0001"
OWN_KEYS: Final = {"KEY_ID": KEY_ID, "SECRET": secret_of(KEY_ID), "TOKEN": token_of(KEY_ID)}
_DRIVERS: Final = Path(__file__).parent / "drivers"
_INSTALLED: Final = Path(__file__).parents[2] / ".tools" / "clients"
_PATIENCE: Final = 180

# What the programs print, unless it is said otherwise for one.
_EXPECTED: Final[dict[str, list[Any]]] = {
    "account": [100_000, "ACTIVE"],
    "by token": ["ACTIVE"],
    "configurations": [True],
    "clock": [True],
    "calendar": [["2026-11-25", "2026-11-27"]],  # Thanksgiving is between them
    "asset": ["AAPL", True],
    "assets": [True],
    "contracts": [["AAPL"] * 3],
    "market order": ["filled", 10, 270],
    "limit order": ["new", 250],
    "replaced": [True, 251, 9],
    "canceled": ["canceled"],
    "bracket": ["bracket", ["limit", "stop_limit"]],
    "open orders": [1],
    "all canceled": [0],
    "coins": ["filled"],
    "refused": [403, 40_310_000],
    "position": [10, 270],
    "close": ["sell", 4],
    "all closed": [0],
    "history": [True],
    "activities": [[["buy", 10], ["sell", 4], ["sell", 6]]],
    "watchlist": [["AAPL", "BTC/USD"]],
    "watchlists": [0],
    "bars": [5, True],
    "trades": [5],
    "quotes": [5, True],
    "latest trade": [270],
    "latest quote": [True],
    "latest bar": [True],
    "snapshot": [270],
    "coin bars": [5],
    "coin trades": [5],
    "latest coin trade": [60_000],
    "order book": [True],
    "coin snapshot": [60_000],
    "chain": [4],
    "news": [0],
}
_STREAMS: Final[dict[str, list[Any]]] = {
    "trade updates": ["fill", 270, 1],
    "stream": ["AAPL", 270, True, 270],
    "coin stream": [60_000],
}
_OPTION_STREAM: Final[dict[str, list[Any]]] = {"option stream": ["AAPL261218C00250000"]}
_LATEST_OF_SEVERAL: Final[dict[str, list[Any]]] = {
    "latest trades": [270],
    "latest quotes": [["AAPL", "KO"]],
    "latest bars": [["AAPL", "KO"]],
}
_COINS: Final[dict[str, list[Any]]] = {"coin quotes": [5], "latest coin quote": [True], "latest coin bar": [True]}
_OPTIONS: Final[dict[str, list[Any]]] = {"option quote": [True], "option trade": [True], "option snapshot": [True]}
_EMPTY: Final[dict[str, list[Any]]] = {"most actives": [[]]}
_NO_WALLETS: Final = "crypto transfers are not enabled for this account"
_BEHIND_OTHERS: Final = [  # calls that are used by those that are called
    "close",
    "delete",
    "get_bars_iter",
    "get_crypto_bars_iter",
    "get_crypto_quotes_iter",
    "get_crypto_trades_iter",
    "get_news_iter",
    "get_quotes_iter",
    "get_trades_iter",
    "patch",
    "post",
    "put",
    "response_wrapper",
]
_OF_DOCUMENTATION: Final = [
    "fetch_alpaca_doc",
    "get_alpaca_endpoint_docs",
    "list_alpaca_api_endpoints",
    "search_alpaca_api_specs",
    "search_alpaca_docs",
]


@dataclass(frozen=True)
class Client:
    """A driver, and what it prints beside `_EXPECTED` or in its place. `without` has no call in this client.

    The drivers print which calls of their client they have left out.
    """

    driver: str
    environment: str
    expected: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    without: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return Path(self.driver).stem

    def command(self) -> list[Path | str]:
        """Node finds packages only beside the program, so it is copied there."""
        if self.environment == "node":
            return ["node", shutil.copy(_DRIVERS / self.driver, _INSTALLED / "node")]
        return [_INSTALLED / self.environment / "bin" / "python", _DRIVERS / self.driver]

    def expectation(self) -> dict[str, list[Any]]:
        return {name: got for name, got in _EXPECTED.items() if name not in self.without} | self.expected


CLIENTS: Final = (
    Client(
        "alpaca_trade_api_python.py",
        "alpaca-trade-api",
        {
            **_STREAMS,
            "notional order": [0.5],
            "trailing stop": [270],
            "stop limit": [200],
            "open orders": [2],
            "closed orders": [8],
            "position": [10.5, 270],
            "activities": [[["buy", 10], ["buy", 0.5], ["sell", 4], ["sell", 6.5]]],
            "activities by type": [True],
            "watchlist by name": [["BTC/USD"]],
            "watchlist updated": [["KO"]],
            "bars of several": [["AAPL", "KO"], 100],
            **_LATEST_OF_SEVERAL,
            "snapshots": [["AAPL", "KO"], True],
            "coin bars": [5, "BTC/USD"],
            **_COINS,
            "one order book": [True],
            "one coin snapshot": [60_000],
            "bars, asynchronously": [5],
            "left out": [_BEHIND_OTHERS],
        },
    ),
    Client(
        "alpaca_trade_api_3.mjs",
        "node",
        {
            **_STREAMS,
            **_OPTION_STREAM,
            "close": ["sell", 10],  # it cannot close a part
            "activities": [[["buy", 10], ["sell", 10]]],
            "watchlist updated": ["ours", ["KO"]],
            "bars of several": [["AAPL", "KO"], 5],
            "trades of several": [5, 5],
            "quotes of several": [5, 5],
            "bars one by one": [10],
            **_LATEST_OF_SEVERAL,
            "snapshots": [["AAPL", "KO"]],
            **_COINS,
            **_OPTIONS,
            "option bars": [True],
            "option trades": [5],
            "corporate actions": ["object"],
            "left out": [["dataHttpRequest"]],  # of a market data API that is gone
        },
    ),
    Client(
        "alpaca_trade_api_4.mjs",
        "node",
        {
            **_STREAMS,
            **_OPTION_STREAM,
            "trailing stop": [270],
            "contract": [True, "AAPL"],
            "market clock": [1],
            "market calendar": [True],
            "announcement": [True],
            "activities by type": [2],
            "activity events": [True],
            "watchlist by name": [["BTC/USD"]],
            "watchlist updated": [["KO", "AAPL"]],
            "bars of several": [["AAPL", "KO"], 5],
            "latest of several": [["AAPL", "KO"], ["AAPL", "KO"]],
            "latest trades": [270],
            "snapshots": [["AAPL", "KO"]],
            "auctions": [True],
            "codes": [True],
            "coin trades": [5, True],
            **_COINS,
            **_OPTIONS,
            "option bars": [6],
            "option trades": [11],
            "option codes": [True],
            "corporate actions": ["object"],
            **_EMPTY,
            "movers": [[]],
            "currencies": [{}, {}],
            "bonds": [{}, {}],
            "submitted and waited": ["filled", 270],
            "wallets": [403] * 8,
            "locates": [200, 200, 404, 422],
            "tokens": [200, 404, 404, 403],
            "not held": [404, 404],
            "not there": [404, 404, 401, 401, 401, 401, 401, 404],
            "left out": [[]],
        },
    ),
    Client(
        "typescript_sdk.mjs",
        "node",
        {
            "limit order": ["limit", 250],
            "refused": [40_310_000],
            "close": ["sell", 10],
            "all closed": [0, 0],
            "activities": [[["buy", 10], ["sell", 10]]],
            "watchlist": [["AAPL"]],
            "no PATCH": ['{"message":"method not allowed."}'],
            **{name: got for name, got in (_COINS | _OPTIONS).items() if name not in {"coin quotes", "option quote"}},
            "option bars": [True],
            "option trades": [5],
            "option exchanges": [True],
            "auctions": [1],
            "codes": [True, True],
            "announcement": [True],
            "corporate actions": ["object"],
            **_EMPTY,
            "currencies": [{}, {}],
            "activities of all types": [3],
            "no such path": [
                *["endpoint not found."] * 4,
                "invalid loc: :loc (must be one of us, us-1, us-2, eu-1, bs-1, global)",
                *["endpoint not found."] * 2,
            ],
            "not held": ["position does not exist"],
            "wallets": [_NO_WALLETS, "endpoint not found.", *[_NO_WALLETS] * 8],
            "left out": [[]],
        },
        frozenset(("coins", "snapshot", "coin bars", "coin trades", "coin snapshot", "chain")),
    ),
    Client(
        "ccxt_python.py",
        "ccxt",
        {
            "time": [1_795_532_400_000],
            "market": [True, 1e-9, True],
            "balance": [100_000],
            "ticker": [60_000, True, "2026-11-24T15:00:00Z"],
            "tickers": [["BTC/USD", "ETH/USD"]],
            "candles": [5, True],
            "candles of all pages": [208, True],
            "order book": [True, True],
            "trades": [5, True],
            "market order": ["closed", 0.1, 60_000, "ours"],
            "order by cost": ["market"],
            "limit order": ["open", 50_000],
            "edited": [True, 51_000, 0.02],
            "stop limit": [41_000],
            "open orders": [1],
            "canceled": ["canceled"],
            "all canceled": [0],
            "closed orders": [["sell", "buy", "buy", "buy", "buy"]],
            "orders": [5],
            "own trades": [[["buy", 0.01, 60_000], ["buy", 0.1, 60_000]]],
            "refused": ["InsufficientFunds"],
            "wallets": ["ExchangeNotAvailable"],
        },
        frozenset(_EXPECTED),
    ),
    Client(
        "mcp_server.py",
        "alpaca-mcp-server",
        {
            "contract": [True],
            "announcement": [True],
            "refused": [403, 40_310_000],
            "option": ["filled"],
            "exercised": [100],
            "activities by type": [["CFEE", "FILL"]],
            "watchlist updated": ["ours", ["KO"]],
            **_COINS,
            **_OPTIONS,
            "option bars": [True, True],
            "option trades": [5],
            "option exchanges": [True],
            **_EMPTY,
            "movers": [[]],
            "bonds": [{}],
            "corporate actions": [True],
            "locates": [[]],
            "locate quotes": [True],
            "create_locate": ["security is easy-to-borrow and does not require a locate"],
            "get_locate": ["locate not found"],
            "left out": [_OF_DOCUMENTATION],
        },
        frozenset(("by token",)),
    ),
)


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
async def test_a_client_works_unmodified(client: Client, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    async with recordings.still_sandbox() as sandbox, recording(sandbox.url, KEY_ID, tmp_path) as recorder:
        got = await run(client, sandbox, recorder, OWN_KEYS)
        sent = recordings.lines_of(recorder.recorded)
    assert got == client.expectation()
    if request.config.getoption("--record"):
        recordings.write(client.name, sent)
    assert sent == recordings.read(client.name)


async def run(client: Client, sandbox: Sandbox, recorder: Recorder, keys: dict[str, str]) -> dict[str, list[Any]]:
    """Returns what the client's program has printed. `keys` are what it calls `KEY_ID`, `SECRET` and `TOKEN`."""
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        **keys,
        "SANDBOX_URL": recorder.url,
        "SANDBOX_TLS_URL": recorder.tls_url,
        "PROXY_URL": recorder.proxy_url,
        "CONTROL_URL": sandbox.url,
        "CERTIFICATE": str(recorder.certificate),
        "NODE_EXTRA_CA_CERTS": str(recorder.certificate),
        "NO_PROXY": "127.0.0.1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    program = await asyncio.create_subprocess_exec(
        *client.command(), env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        output, errors = await asyncio.wait_for(program.communicate(), _PATIENCE)
    except TimeoutError:
        program.kill()
        raise
    assert program.returncode == 0, (output + errors).decode()
    lines = [json.loads(line) for line in output.decode().splitlines()]
    return {line["name"]: line["got"] for line in lines}
