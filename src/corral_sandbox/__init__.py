"""An Alpaca-compatible broker for tests and for trying Corral without an account.

Every key id that looks like Alpaca's (PK… for paper, AK… for live) is an account. It opens with 100,000 dollars and
nothing else; a test may set what it holds. Its values follow prices that move. Imports nothing of Corral.

Imports point down:

    pytest_plugin  fixtures for tests
    control_client  the control API as plain calls, for the fixtures
    server        HTTP: `serve_sandbox` inside an event loop, `run_sandbox` beside it
    control       what tests set and read beside Alpaca's API: accounts, faults, the journal of requests, health
    page          the page at `/`, for people
    trading_api   authenticates a request and calls the handler of its path
    market_data_api  the same for market data
    stream        the socket and the server-sent events that publish trade updates and activities
    api           the handlers, by resource: account, orders, positions, assets, calendar ...
    faults        what goes wrong on demand: the fault plan and its effects
    http          requests and responses, API keys, rate limit, request counts, journal
    broker        accounts, orders and how they are executed, ledger, buying power
    market        time and the trading calendar, prices, assets, option contracts, amounts
    errors        how Alpaca refuses a request
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from corral_sandbox.control.clock import BlockingClock, ClockMovedError, ClockState, SandboxClock
    from corral_sandbox.control_client import AlpacaAccount, AlpacaFaults, AlpacaPrices
    from corral_sandbox.http.access import secret_of, token_of
    from corral_sandbox.market.trading_hours import start_in_trading_hours
    from corral_sandbox.server import BlockingSandbox, Sandbox, run_sandbox, serve_sandbox
else:
    # Imported when they are asked for: pytest loads the plugin in this package with every run.
    _PLACES = {
        "control.clock": ("BlockingClock", "ClockMovedError", "ClockState", "SandboxClock"),
        "control_client": ("AlpacaAccount", "AlpacaFaults", "AlpacaPrices"),
        "http.access": ("secret_of", "token_of"),
        "market.trading_hours": ("start_in_trading_hours",),
        "server": ("BlockingSandbox", "Sandbox", "run_sandbox", "serve_sandbox"),
    }

    def __getattr__(name: str) -> object:
        for place, names in _PLACES.items():
            if name in names:
                return getattr(import_module(f"{__name__}.{place}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "AlpacaAccount",
    "AlpacaFaults",
    "AlpacaPrices",
    "BlockingClock",
    "BlockingSandbox",
    "ClockMovedError",
    "ClockState",
    "Sandbox",
    "SandboxClock",
    "run_sandbox",
    "secret_of",
    "serve_sandbox",
    "start_in_trading_hours",
    "token_of",
]
