"""Child processes: they get commands on standard input and reply on standard output, a line each.

A child ends when its standard input does. So none is left behind, however this process ends.
"""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

_LONGEST_LINE = 16 * 1024 * 1024
_ANSWERS_WITHIN_SECONDS = 60.0
_ENDS_WITHIN_SECONDS = 20.0


class ChildFailed(Exception):  # noqa: N818 - a condition
    """A child ended before it answered. Its log's last lines."""


class Child:
    def __init__(self, process: Process, log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, line: str) -> str:
        """One line out, one line back. Raises ChildFailed, or TimeoutError for one that hangs."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(line.encode() + b"\n")
        async with asyncio.timeout(_ANSWERS_WITHIN_SECONDS):
            answer = await stdout.readline()
        if not answer:
            raise ChildFailed(self._log.read_text(encoding="utf-8", errors="replace")[-2000:])
        return answer.decode().rstrip("\n")

    async def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _ENDS_WITHIN_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def running(module: str, *, log: Path) -> AsyncGenerator[Child]:
    """`python -m module` while the block runs; what it logs is appended to a file, as in production."""
    with log.open("ab") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            stdin=PIPE,
            stdout=PIPE,
            stderr=stderr,
            limit=_LONGEST_LINE,
            env={name: value for name, value in os.environ.items() if not name.upper().startswith("CORRAL_")},
            start_new_session=True,  # a terminal's Ctrl-C is for us; we end our children in order
        )
    child = Child(process, log)
    try:
        yield child
    finally:
        await child.end()
