"""An Alpaca-compatible broker for tests and for trying Corral without an account.

Every key id that looks like Alpaca's (PK… for paper, AK… for live) is an account. It opens with 100,000 dollars and
nothing else; a test may set what it holds. Its values follow prices that move. Imports nothing of Corral.

Imports point down:

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

from corral_sandbox.control.clock import BlockingClock, ClockMovedError, ClockState, SandboxClock
from corral_sandbox.http.access import secret_of, token_of
from corral_sandbox.market.trading_hours import start_in_trading_hours
from corral_sandbox.server import BlockingSandbox, Sandbox, run_sandbox, serve_sandbox

__all__ = [
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
