"""The sandbox and what is measured, one in a process: `python -m benchmarks.servers`.

The first line in is an `Order`, the first line out the address. From then on every line in is answered
with the process's memory, and the end of input ends the server.
"""

import asyncio
import ctypes
import gc
import sys
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Literal

import asyncpg
import psutil
import uvloop
from aiohttp import web
from pydantic import BaseModel, SecretStr

from benchmarks.accounts import SANDBOX_SEED
from benchmarks.plan_as_written import CONNECTIONS, THREADS, create_plan
from corral.app import create_app
from corral.credentials.keyring_check import open_vault
from corral.database.connection import Database
from corral.edge.middleware import ASGIApp, Message, Receive, Scope, Send
from corral.edge.server import reserve_port, serve_http
from corral.hardening import raise_file_limit
from corral.logs import configure_logging
from corral.serving import open_services
from corral.settings import Settings
from corral_sandbox import serve_sandbox

LATENCY_SECONDS = 0.08
SANDBOX_START = datetime.fromisoformat("2026-11-24T10:30-05:00")  # the market is open until 16:00
CONSTANT = (
    b'{"account_type":"paper","balance":"-23140.2","equity":"103820.56","buying_power":"262113.632",'
    b'"currency":"USD","trading_blocked":false,"account_blocked":false,"pattern_day_trader":false,'
    b'"daytrade_count":0,"last_updated":"2026-01-02T14:30:00.123456Z"}'
)


Kind = Literal["sandbox", "plain_sandbox", "aiohttp", "corral", "plan", "plan_in_thread", "constant"]


class Order(BaseModel):
    """`speed` and `latency_seconds` are those of a plain sandbox; its time starts at `SANDBOX_START`."""

    kind: Kind
    database_url: str
    data_dir: Path
    sandbox_url: str = ""
    cache_seconds: float = 0
    speed: int = 1
    latency_seconds: float = 0


async def main() -> None:
    gc.freeze()  # as the program does: what was imported stays, and is not looked through again and again
    raise_file_limit()
    configure_logging("json", sys.stderr.buffer)
    orders = await _standard_input()
    order = Order.model_validate_json(await orders.readline())
    if order.kind == "sandbox":
        async with serve_sandbox(
            port=0, seed=SANDBOX_SEED, latency_seconds=LATENCY_SECONDS, rate_limit_per_minute=0, characters=True
        ) as sandbox:
            _say(sandbox.url)
            await _answer(orders)
    elif order.kind == "plain_sandbox":
        gc.disable()  # with 400 accounts, a collection stops it for 0.2 s, in whichever of two turns it comes
        async with serve_sandbox(
            port=0,
            seed=SANDBOX_SEED,
            start=SANDBOX_START,
            speed=order.speed,
            latency_seconds=order.latency_seconds,
            rate_limit_per_minute=0,
        ) as sandbox:
            _say(sandbox.url)
            await _answer(orders)
    elif order.kind == "aiohttp":
        async with _serving_nothing() as url:
            _say(url)
            await _answer(orders)
    else:
        async with _opened_app(order) as app:
            await _serve(app, orders)


@asynccontextmanager
async def _serving_nothing() -> AsyncGenerator[str]:
    """The least that an answer costs on the sandbox's HTTP server: it reads a body, and returns a constant."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.can_read_body:
            await request.read()
        return web.Response(body=CONSTANT, headers={"Content-Type": "application/json"})

    runner = web.ServerRunner(web.Server(answer, handler_cancellation=True, access_log=None), handle_signals=False)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _standard_input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def _serve(app: ASGIApp, orders: asyncio.StreamReader) -> None:
    stop = asyncio.Event()

    async def stop_at_the_end() -> None:
        await _answer(orders)
        stop.set()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(stop_at_the_end())
        await serve_http(app, listener=reserve_port("127.0.0.1", 0), ready=_say, grace_seconds=10, stop=stop)


async def _answer(orders: asyncio.StreamReader) -> None:
    while await orders.readline():
        _say(str(_settled_memory()))


def _settled_memory() -> int:
    """Bytes that only this process uses, once garbage is collected and free memory given back to the system."""
    gc.collect()
    with suppress(AttributeError):  # glibc's; others give back by themselves
        ctypes.CDLL(None).malloc_trim(0)
    return psutil.Process().memory_full_info().uss


def _say(line: str) -> None:
    print(line, flush=True)


@asynccontextmanager
async def _opened_app(order: Order) -> AsyncGenerator[ASGIApp]:
    if order.kind == "constant":
        yield _constant
    elif order.kind == "corral":
        settings = _settings(order)
        async with open_services(settings, sandbox=True) as resources:
            yield create_app(settings, resources.state)
    else:
        async with _opened_plan(order) as app:
            yield app


def _settings(order: Order) -> Settings:
    return Settings(
        port=0,
        data_dir=order.data_dir,
        database_url=SecretStr(order.database_url),
        alpaca_paper_url=f"{order.sandbox_url}/paper",
        alpaca_live_url=f"{order.sandbox_url}/live",
        alpaca_data_url=order.sandbox_url,
        cache_seconds=order.cache_seconds,
    )


@asynccontextmanager
async def _opened_plan(order: Order) -> AsyncGenerator[ASGIApp]:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
    async with Database.open(order.database_url) as database:
        vault = await open_vault(database, _settings(order).keyring_path)
    async with asyncpg.create_pool(order.database_url, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
        yield create_plan(pool, vault, sandbox_url=order.sandbox_url, in_thread=order.kind == "plan_in_thread")


async def _constant(scope: Scope, receive: Receive, send: Send) -> None:
    """The least that any answer of this size costs on this server."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(CONSTANT)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": CONSTANT})


async def _live(receive: Receive, send: Send) -> None:
    for stage in ("startup", "shutdown"):
        message: Message = await receive()
        assert message["type"] == f"lifespan.{stage}"
        await send({"type": f"lifespan.{stage}.complete"})


if __name__ == "__main__":
    uvloop.run(main())
