"""A sandbox for programs without an event loop, such as most tests of people who use the SDK."""

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from corral_sandbox.server import Sandbox, serve_sandbox


@contextmanager
def run_sandbox(
    *,
    seed: int = 0,
    start: datetime | None = None,
    speed: int = 1,
    latency_seconds: float = 0.0,
    rate_limit_per_minute: int = 200,
) -> Generator[Sandbox]:
    """Serves on a free port, in a thread of its own, while the block runs; else as `serve_sandbox`."""
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
            served.result()  # raises what kept it from starting
        sandbox, stop = started.result()
        try:
            yield sandbox
        finally:
            stop()
            served.result()
