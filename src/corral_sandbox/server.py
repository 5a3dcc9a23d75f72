"""The sandbox's HTTP server, inside an event loop of the caller's."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex

from aiohttp import web

from corral_sandbox.answers import Answer, EndpointNotFound, Refused
from corral_sandbox.clock import Clock
from corral_sandbox.control import Control
from corral_sandbox.delivery import deliver
from corral_sandbox.fault_answers import amend, answer_in_place
from corral_sandbox.faults import STREAM_PATH, Fault, Faults
from corral_sandbox.keys import PREFIXES, presented_key_id
from corral_sandbox.moments import nanoseconds
from corral_sandbox.request_counts import RequestCounts
from corral_sandbox.stream import Streams
from corral_sandbox.trading_api import ROUTES, TradingApi

_REPEATED_SLASHES = re.compile("/{2,}")


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running sandbox; `url` is http://HOST:PORT with the port that was really bound."""

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

    Every answer of the Trading API waits `latency_seconds`. `port` 0 takes a free one, and
    `rate_limit_per_minute` or `streams_per_account` 0 sets no limit. The sandbox's time begins at `start`, by
    default with the real one, and runs `speed` times as fast; latency and rate limit keep to real time. `clock`
    answers nanoseconds since 1970 in its place.
    """
    if start is not None and start.tzinfo is None:
        raise ValueError("start needs a time zone, as in 2026-11-27T12:00-05:00")
    timepiece = Clock(start=None if start is None else nanoseconds(start), speed=speed, real=clock)
    api = TradingApi(seed=seed, rate_limit_per_minute=rate_limit_per_minute, clock=timepiece)
    door = _Door(api, latency_seconds, streams_per_account, timepiece)
    # Without cancellation a request that waits would go on waiting for a client that has hung up.
    server = web.Server(door.answer, handler_cancellation=True, access_log=None)
    runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    keeping_time = asyncio.create_task(api.timetable.keep())
    try:
        await web.TCPSite(runner, host, port).start()
        yield Sandbox(_url(host, runner.addresses[0][1]))
    finally:
        await runner.cleanup()
        keeping_time.cancel()
        with suppress(asyncio.CancelledError):
            await keeping_time


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Door:
    """Where every request comes in: the two environments of the Trading API, and what tests ask for."""

    def __init__(self, api: TradingApi, latency_seconds: float, streams_per_account: int, clock: Clock) -> None:
        self._api = api
        self._latency_seconds = latency_seconds
        self._clock = clock
        self._faults = Faults()
        self._counts = RequestCounts()
        self._control = Control(self._faults, self._counts)
        self._streams = Streams(api.customers, self._faults, self._counts, places=streams_per_account, wait=self._wait)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = _plain(request.rel_url.raw_path)
        environment, _, rest = path[1:].partition("/")
        if environment in PREFIXES and rest == STREAM_PATH[1:]:
            return await self._answer_stream(request, environment)
        if environment in PREFIXES:
            return await self._answer_trading(request, environment, f"/{rest}")
        try:
            if not path.startswith("/_"):
                raise EndpointNotFound
            answer = await self._control.answer(request, path)
        except Refused as refused:
            answer = refused.answer
        return await self._send(request, answer, None)

    async def _answer_trading(self, request: web.BaseRequest, environment: str, path: str) -> web.StreamResponse:
        key_id, route = presented_key_id(request.headers), ROUTES.find(path)
        pattern = route.pattern if route else None
        with self._counts.counting(key_id, pattern):
            fault = self._faults.take(key_id, path, pattern)
            await self._wait(fault)
            answer = answer_in_place(fault, request.headers, self._clock.real()) if fault else None
            if answer is None:
                body = await request.read() if request.can_read_body else b""
                query = request.rel_url.raw_query_string
                answer = self._api.answer(
                    environment, request.method, route, request.headers, query_string=query, body=body
                )
            return await self._send(request, answer, fault)

    async def _answer_stream(self, request: web.BaseRequest, environment: str) -> web.StreamResponse:
        """Serves a connection to its end, or answers why there is none."""
        key_id = presented_key_id(request.headers)
        fault = self._faults.take(key_id, STREAM_PATH, STREAM_PATH)
        try:
            if fault is None or not fault.refuses_handshake:
                return await self._streams.serve(request, environment, fault)
            answer = answer_in_place(fault, request.headers, self._clock.real()) or Answer(400, b"")
        except Refused as refused:
            answer = refused.answer
        with self._counts.counting(key_id, STREAM_PATH):
            await self._wait(fault)
            return await self._send(request, answer, fault)

    async def _wait(self, fault: Fault | None) -> None:
        seconds = self._latency_seconds + (fault.latency_ms / 1_000 if fault else 0)
        if seconds:
            await asyncio.sleep(seconds)

    async def _send(self, request: web.BaseRequest, answer: Answer, fault: Fault | None) -> web.StreamResponse:
        answer.headers["X-Request-ID"] = token_hex(16)
        if fault:
            amend(answer, fault)
        return await deliver(request, answer, fault)


def _plain(path: str) -> str:
    """Without doubled slashes and without one at the end: clients add both, and Alpaca's SDK follows no redirect."""
    return (_REPEATED_SLASHES.sub("/", path) if "//" in path else path).rstrip("/")
