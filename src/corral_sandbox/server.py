"""The HTTP server: `serve_sandbox` in the caller's event loop, `run_sandbox` in a thread."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex
from typing import Any

from aiohttp import web

from corral_sandbox.broker.initial_state import KEY_ID_PREFIXES
from corral_sandbox.control.faults import FaultsControl
from corral_sandbox.control.requests import RequestsControl
from corral_sandbox.control.routes import ControlApi
from corral_sandbox.errors import ApiError, EndpointNotFoundError
from corral_sandbox.faults.effects import apply_fault, replacement_response, send_response
from corral_sandbox.faults.plan import STREAM_PATH, FaultPlan, FaultRule
from corral_sandbox.http.access import RequestCounts, claimed_key_id
from corral_sandbox.http.requests import Response
from corral_sandbox.market.time import Clock, to_nanoseconds
from corral_sandbox.market_data_api import DATA_ROUTES, MarketDataApi, data_path, without_environment
from corral_sandbox.stream.data_feeds import DataFeed, feed_of
from corral_sandbox.stream.market_data import MarketDataStreams
from corral_sandbox.stream.trade_updates import TradeUpdatesServer
from corral_sandbox.trading_api import ROUTES, TradingApi

_REPEATED_SLASHES = re.compile("/{2,}")


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running sandbox; `url` is http://HOST:PORT with the port that was bound."""

    url: str

    @property
    def paper_url(self) -> str:
        return f"{self.url}/paper"

    @property
    def live_url(self) -> str:
        return f"{self.url}/live"


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
) -> AsyncGenerator[Sandbox]:
    """Serves an Alpaca-compatible broker while the block runs. Raises OSError if the port is taken.

    Every response of the Trading API is delayed by `latency_seconds`. `port` 0 takes a free one, and
    `rate_limit_per_minute` or `streams_per_account` 0 sets no limit. The sandbox's time starts at `start`, by
    default the real time, and runs `speed` times as fast; latency and rate limit use real time. `clock` replaces
    the real time and returns nanoseconds since 1970.
    """
    if start is not None and start.tzinfo is None:
        raise ValueError("start needs a time zone, as in 2026-11-27T12:00-05:00")
    sandbox_clock = Clock(start=None if start is None else to_nanoseconds(start), speed=speed, real=clock)
    api = TradingApi(seed=seed, rate_limit_per_minute=rate_limit_per_minute, clock=sandbox_clock)
    data_api = MarketDataApi(seed=seed, rate_limit_per_minute=rate_limit_per_minute, clock=sandbox_clock)
    sandbox_server = _SandboxServer(api, data_api, latency_seconds, streams_per_account, sandbox_clock)
    # Without cancellation a delayed request would keep waiting after its client has disconnected.
    server = web.Server(sandbox_server.handle, handler_cancellation=True, access_log=None)
    runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    scheduler_task = asyncio.create_task(api.scheduler.run())
    try:
        await web.TCPSite(runner, host, port).start()
        yield Sandbox(_url(host, runner.addresses[0][1]))
    finally:
        await runner.cleanup()
        scheduler_task.cancel()
        with suppress(asyncio.CancelledError):
            await scheduler_task


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _SandboxServer:
    """Receives every request: to the Trading API of both environments, the streams, and the control endpoints."""

    def __init__(
        self, api: TradingApi, data_api: MarketDataApi, latency_seconds: float, streams_per_account: int, clock: Clock
    ) -> None:
        self._api = api
        self._data_api = data_api
        self._data_streams = MarketDataStreams(data_api.seed, clock, max_connections=streams_per_account)
        self._latency_seconds = latency_seconds
        self._clock = clock
        self._faults = FaultPlan()
        self._counts = RequestCounts()
        self._control = ControlApi(
            {"_faults": FaultsControl(self._faults).handle, "_requests": RequestsControl(self._counts).handle}
        )
        self._streams = TradeUpdatesServer(
            api.accounts, self._faults, self._counts, max_connections=streams_per_account, delay=self._delay
        )

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = _normalized(request.rel_url.raw_path)
        if (feed := feed_of(without_environment(path))) is not None and "Upgrade" in request.headers:
            return await self._handle_data_stream(request, feed)
        if (asked := data_path(path)) is not None:
            return await self._handle_market_data(request, asked)
        environment, _, rest = path[1:].partition("/")
        if environment in KEY_ID_PREFIXES and rest == STREAM_PATH[1:]:
            return await self._handle_stream(request, environment)
        if environment in KEY_ID_PREFIXES:
            return await self._handle_trading(request, environment, f"/{rest}")
        if path.startswith("/_"):
            return await self._send(request, await self._control.handle(request, path), None)
        return await self._send(request, Response.of_error(EndpointNotFoundError()), None)

    async def _handle_trading(self, request: web.BaseRequest, environment: str, path: str) -> web.StreamResponse:
        route, key_id = ROUTES.find(path), claimed_key_id(request.headers)
        pattern = route.pattern if route else None
        with self._counts.counting(key_id, pattern):
            fault = self._faults.take(key_id, path, pattern)
            await self._delay(fault)
            response = replacement_response(fault, request.headers, self._clock.real()) if fault else None
            if response is None:
                body = await request.read() if request.can_read_body else b""
                query = request.rel_url.raw_query_string
                response = self._api.handle(
                    environment, request.method, route, request.headers, query_string=query, body=body
                )
            return await self._send(request, response, fault)

    async def _handle_market_data(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        route, key_id = DATA_ROUTES.find(path), claimed_key_id(request.headers)
        pattern = route.pattern if route else None
        with self._counts.counting(key_id, pattern):
            fault = self._faults.take(key_id, path, pattern)
            await self._delay(fault)
            response = replacement_response(fault, request.headers, self._clock.real()) if fault else None
            if response is None:
                query = request.rel_url.raw_query_string
                response = self._data_api.handle(request.method, route, request.headers, query)
            return await self._send(request, response, fault)

    async def _handle_stream(self, request: web.BaseRequest, environment: str) -> web.StreamResponse:
        """Serves a connection until it ends, or returns the response that refuses it."""
        key_id = claimed_key_id(request.headers)
        fault = self._faults.take(key_id, STREAM_PATH, STREAM_PATH)
        try:
            if fault is None or not fault.refuses_handshake:
                return await self._streams.serve(request, environment, fault)
            response = replacement_response(fault, request.headers, self._clock.real()) or Response(400, b"")
        except ApiError as error:
            response = Response.of_error(error)
        with self._counts.counting(key_id, STREAM_PATH):
            await self._delay(fault)
            return await self._send(request, response, fault)

    async def _delay(self, fault: FaultRule | None) -> None:
        seconds = self._latency_seconds + (fault.latency_ms / 1_000 if fault else 0)
        if seconds:
            await asyncio.sleep(seconds)

    async def _handle_data_stream(self, request: web.BaseRequest, feed: DataFeed) -> web.StreamResponse:
        """Serves a connection until it ends, or returns the response that refuses it."""
        key_id = claimed_key_id(request.headers)
        with self._counts.counting(key_id, feed.path):
            fault = self._faults.take(key_id, feed.path, feed.path)
            await self._delay(fault)
        try:
            if fault is None or not fault.refuses_handshake:
                return await self._data_streams.serve(request, feed)
            response = replacement_response(fault, request.headers, self._clock.real()) or Response(400, b"")
        except ApiError as error:
            response = Response.of_error(error)
        return await self._send(request, response, fault)

    async def _send(self, request: web.BaseRequest, response: Response, fault: FaultRule | None) -> web.StreamResponse:
        response.headers["X-Request-ID"] = token_hex(16)
        if fault is None:
            return response.to_web()
        apply_fault(response, fault)
        return await send_response(request, response, fault)


def _normalized(path: str) -> str:
    """Removes repeated and trailing slashes: clients add both, and Alpaca's SDK does not follow redirects."""
    return (_REPEATED_SLASHES.sub("/", path) if "//" in path else path).rstrip("/")


@contextmanager
def run_sandbox(
    *,
    seed: int = 0,
    start: datetime | None = None,
    speed: int = 1,
    latency_seconds: float = 0.0,
    rate_limit_per_minute: int = 200,
) -> Generator[Sandbox]:
    """Serves on a free port in a thread of its own while the block runs; otherwise like `serve_sandbox`."""
    started: Future[tuple[Sandbox, Callable[[], object]]] = Future()

    async def serve() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        async with serve_sandbox(
            port=0,
            seed=seed,
            start=start,
            speed=speed,
            latency_seconds=latency_seconds,
            rate_limit_per_minute=rate_limit_per_minute,
        ) as sandbox:
            started.set_result((sandbox, lambda: loop.call_soon_threadsafe(stop.set)))
            await stop.wait()

    with ThreadPoolExecutor(1, "sandbox") as thread:
        served = thread.submit(lambda: asyncio.run(serve()))
        either: list[Future[Any]] = [started, served]
        if served in wait(either, return_when=FIRST_COMPLETED).done:
            served.result()  # raises the error that kept it from starting
        sandbox, stop = started.result()
        try:
            yield sandbox
        finally:
            stop()
            served.result()
