"""`corral sandbox`: only the Alpaca-compatible broker."""

import errno
import os
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime

from corral.commands.console import out
from corral.errors import OperatorError
from corral.signals import Signals
from corral_sandbox import Sandbox, serve_sandbox


class SandboxCannotListen(OperatorError):  # noqa: N818 - a condition
    """The sandbox's port is not available. One line that says what to do."""


async def run_sandbox(
    port: int, seed: int, latency_seconds: float, *, start: datetime | None, speed: int, characters: bool
) -> None:
    signals = Signals()
    way_out = "corral sandbox --port N"
    async with open_sandbox(
        port, way_out, seed=seed, latency_seconds=latency_seconds, start=start, speed=speed, characters=characters
    ) as broker:
        out.print(f"SANDBOX broker: {broker.paper_url} (paper), {broker.live_url} (live)")
        out.print("  key ID PK… (paper) or AK… (live), secret: sandbox-secret-for-<key ID>. Press Ctrl-C to stop.")
        await signals.once.wait()


@asynccontextmanager
async def open_sandbox(
    port: int,
    way_out: str,
    *,
    seed: int = 0,
    latency_seconds: float = 0,
    speed: int = 1,
    start: datetime | None = None,
    characters: bool = False,
) -> AsyncGenerator[Sandbox]:
    async with AsyncExitStack() as stack:
        try:
            broker = await stack.enter_async_context(
                serve_sandbox(
                    port=port,
                    seed=seed,
                    latency_seconds=latency_seconds,
                    speed=speed,
                    start=start,
                    characters=characters,
                )
            )
        except OSError as error:
            is_taken = error.errno == errno.EADDRINUSE
            reason = "is in use by another program" if is_taken else f"({os.strerror(error.errno or 0).lower()})"
            raise SandboxCannotListen(f"127.0.0.1:{port} {reason}: choose another port with `{way_out}`") from None
        yield broker
