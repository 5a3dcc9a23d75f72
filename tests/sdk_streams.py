"""Runs the sockets of Alpaca's own Python client, and ends them for certain."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def running(stream: Any) -> AsyncGenerator[None]:  # noqa: ANN401 - the client's sockets have no common type
    """Runs a `TradingStream` or one of the data streams as a task of this loop.

    Its task can lose a cancellation (`asyncio.wait_for` of Python 3.11 does, when an answer comes at the same moment),
    and would connect again and again in the tests that follow. So it is told that it has ended, and cancelled until
    it has.
    """
    task = asyncio.create_task(stream._run_forever())
    try:
        yield
    finally:
        await stream.stop_ws()
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=1)
        await stream.close()
