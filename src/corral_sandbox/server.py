"""The HTTP server: `serve_sandbox` in the caller's event loop, `run_sandbox` in a thread."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from threading import Thread
from typing import Any

from aiohttp import web

from corral_sandbox.control.access import ControlAccess
from corral_sandbox.control.clock import BlockingClock, SandboxClock
from corral_sandbox.http.request_log import logged
from corral_sandbox.market.prices import Market
from corral_sandbox.market.time import Clock, to_nanoseconds
from corral_sandbox.market_data_api import MarketDataApi
from corral_sandbox.request_handler import RequestHandler
from corral_sandbox.trading_api import TradingApi

_LONGEST_LINE_BYTES = 32 * 1024  # a request for the bars of thousands of symbols


@dataclass(frozen=True, slots=True)
class _Addresses:
    """`url` is http://HOST:PORT with the port that was bound."""

    url: str

    @property
    def paper_url(self) -> str:
        return f"{self.url}/paper"

    @property
    def live_url(self) -> str:
        return f"{self.url}/live"


@dataclass(frozen=True, slots=True)
class Sandbox(_Addresses):
    """A running sandbox: `await sandbox.clock.advance(seconds=60)`.

    `takes_control_calls` is false on an address that other machines can reach, if there is no control token.
    """

    clock: SandboxClock
    takes_control_calls: bool


@dataclass(frozen=True, slots=True)
class BlockingSandbox(_Addresses):
    """A sandbox that runs in a thread: `sandbox.clock.advance(seconds=60)`."""

    clock: BlockingClock


@asynccontextmanager
async def serve_sandbox(
    *,
    host: str = "127.0.0.1",
    port: int = 8003,
    seed: int = 0,
    latency_seconds: float = 0.0,
    rate_limit_per_minute: int = 200,
    streams_per_account: int = 1,
    start: datetime | None = None,
    speed: int = 1,
    clock: Callable[[], int] | None = None,
    characters: bool = False,
    depth: Decimal | None = None,
    control_token: str | None = None,
    log: Callable[[str], object] | None = None,
) -> AsyncGenerator[Sandbox]:
    """Serves an Alpaca-compatible broker while the block runs. Raises OSError if the port is taken.

    Every response of the Trading API is delayed by `latency_seconds`. `port` 0 takes a free one, and
    `rate_limit_per_minute` or `streams_per_account` 0 sets no limit. The sandbox's time starts at `start`, by
    default the real time, and runs `speed` times as fast; at 0 it stands still until it is moved. Latency and rate
    limit use real time. `clock` replaces the real time and returns nanoseconds since 1970. `depth` is how many dollars
    of an order are filled at one instant: by default 20,000, and at speed 0 all of it. Accounts open plain, or with
    `characters` each with cash, holdings and restrictions of its own. With a `control_token`, every control call
    needs it; without one, they are refused on an address that other machines can reach. `log` is called with a line
    for each request.
    """
    access = ControlAccess(control_token)
    if start is not None and start.tzinfo is None:
        raise ValueError("start needs a time zone, as in 2026-11-27T12:00-05:00")
    sandbox_clock = Clock(start=None if start is None else to_nanoseconds(start), speed=speed, real=clock)
    market = Market(seed)
    api = TradingApi(
        market=market,
        rate_limit_per_minute=rate_limit_per_minute,
        clock=sandbox_clock,
        characters=characters,
        depth=depth,
    )
    data_api = MarketDataApi(market=market, rate_limit_per_minute=rate_limit_per_minute, clock=sandbox_clock)
    handler = RequestHandler(
        api,
        data_api,
        sandbox_clock,
        access,
        latency_seconds=latency_seconds,
        streams_per_account=streams_per_account,
    )
    handle = handler.handle if log is None else logged(handler.handle, log)
    # Without cancellation a delayed request would keep waiting after its client has disconnected.
    server = web.Server(handle, handler_cancellation=True, access_log=None, max_line_size=_LONGEST_LINE_BYTES)
    runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    scheduler_task = asyncio.create_task(api.scheduler.run())
    try:
        await web.TCPSite(runner, host, port).start()
        access.listen_on(address[0] for address in runner.addresses)
        yield Sandbox(_url(host, runner.addresses[0][1]), handler.clock, not access.is_refused_without_token)
    finally:
        await runner.cleanup()
        scheduler_task.cancel()
        with suppress(asyncio.CancelledError):
            await scheduler_task


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def run_sandbox(
    *,
    seed: int = 0,
    start: datetime | None = None,
    speed: int = 1,
    latency_seconds: float = 0.0,
    rate_limit_per_minute: int = 200,
    characters: bool = False,
    depth: Decimal | None = None,
    control_token: str | None = None,
) -> Generator[BlockingSandbox]:
    """Serves on a free port in a thread of its own while the block runs; otherwise like `serve_sandbox`."""
    started: Future[tuple[BlockingSandbox, Callable[[], object]]] = Future()

    async def serve() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        async with serve_sandbox(
            port=0,
            seed=seed,
            start=start,
            speed=speed,
            latency_seconds=latency_seconds,
            rate_limit_per_minute=rate_limit_per_minute,
            characters=characters,
            depth=depth,
            control_token=control_token,
        ) as sandbox:
            blocking = BlockingSandbox(sandbox.url, BlockingClock(sandbox.clock, loop))
            started.set_result((blocking, lambda: loop.call_soon_threadsafe(stop.set)))
            await stop.wait()

    served: Future[None] = Future()

    def run() -> None:
        try:
            # Not `asyncio.run`: packages such as nest_asyncio replace it by one that needs a loop in this thread.
            with asyncio.Runner() as runner:
                runner.run(serve())
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            served.set_exception(error)
        else:
            served.set_result(None)

    # A daemon: a program that ends without leaving the block is not kept from it.
    thread = Thread(target=run, name="sandbox", daemon=True)
    thread.start()
    either: list[Future[Any]] = [started, served]
    if served in wait(either, return_when=FIRST_COMPLETED).done:
        served.result()  # raises the error that kept it from starting
    sandbox, stop = started.result()
    try:
        yield sandbox
    finally:
        stop()
        thread.join()
        served.result()
