"""The Alpaca-compatible broker beside `corral demo`. `corral sandbox` is a command of `corral_sandbox`."""

import errno
import os
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime

from corral.errors import OperatorError
from corral_sandbox import Sandbox, serve_sandbox


class SandboxCannotListen(OperatorError):  # noqa: N818 - a condition
    """The sandbox's port is not available. One line that says what to do."""


@asynccontextmanager
async def open_sandbox(port: int, way_out: str, *, start: datetime, characters: bool) -> AsyncGenerator[Sandbox]:
    async with AsyncExitStack() as stack:
        try:
            broker = await stack.enter_async_context(serve_sandbox(port=port, start=start, characters=characters))
        except OSError as error:
            is_taken = error.errno == errno.EADDRINUSE
            reason = "is in use by another program" if is_taken else f"({os.strerror(error.errno or 0).lower()})"
            raise SandboxCannotListen(f"127.0.0.1:{port} {reason}: choose another port with `{way_out}`") from None
        yield broker
