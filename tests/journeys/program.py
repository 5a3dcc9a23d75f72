"""The real program: `python -m corral …` in its own process (see forking.py), ended by its process id."""

import asyncio
import itertools
import os
import re
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from aiohttp import ClientSession, ClientTimeout, CookieJar

from corral.database.embedded.os_user import OsUser
from tests.journeys.forking import ForkedProcess, template

SOURCES = Path(__file__).parents[2] / "src"
PATIENCE = 240.0  # seconds after which a program counts as hanging, on a machine that does other things, too

_PORTS = itertools.count(os.getpid())  # two runs of the tests on one machine seldom try the same

# Every record of every library, down to DEBUG: what is logged then must hold no secret either.
_TALKATIVE = """
import logging
from corral import cli
quiet = cli.configure_logging
def talkative(log_format, stream, **_):
    quiet(log_format, stream, lowest=logging.DEBUG)
    logging.getLogger().setLevel(logging.DEBUG)
    for handler in logging.getLogger().handlers:
        handler.setLevel(logging.DEBUG)
    logging.getLogger("aiohttp").debug("every logger speaks: %s", "control")
cli.configure_logging = talkative
cli.main()
"""


@dataclass(frozen=True, slots=True)
class Ended:
    status: int
    out: str
    err: str

    @property
    def only_complaint(self) -> str:
        """The one line that a refusal consists of."""
        assert self.status == 1, self
        assert self.err.startswith("corral: "), self
        assert self.err.count("\n") == 1, self
        return self.err.removeprefix("corral: ").strip()


@dataclass(frozen=True, slots=True)
class Running:
    process: asyncio.subprocess.Process | ForkedProcess
    out_file: Path
    err_file: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def out(self) -> str:
        return self.out_file.read_text()

    @property
    def err(self) -> str:
        return self.err_file.read_text()

    async def says(self, pattern: str) -> str:
        """What the pattern's group finds on standard output, as soon as it is there."""
        async with asyncio.timeout(PATIENCE):
            while not (found := re.search(pattern, self.out)):
                assert self.process.returncode is None, self.err
                await asyncio.sleep(0.05)
        return found[1]

    async def logs(self, text: str) -> None:
        """Returns as soon as this is in its log."""
        async with asyncio.timeout(PATIENCE):
            while text not in self.err:  # noqa: ASYNC110 - another process's file
                await asyncio.sleep(0.05)

    async def url(self) -> str:
        return await self.says(r"listens on (http://127\.0\.0\.1:\d+)")

    async def ends(self) -> int:
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        if self.process.returncode is None:
            self.process.send_signal(how)
        return await self.ends()


async def corral(*arguments: object, **settings: object) -> Ended:
    """Runs one command to its end."""
    return await corral_reading("", *arguments, **settings)


async def corral_reading(stdin: str, *arguments: object, **settings: object) -> Ended:
    texts, env = [*map(str, arguments)], environment(**settings)
    forked = await _forked_to_its_end(stdin, texts, env)
    return forked or await _executed_to_its_end(stdin, texts, env)


async def _forked_to_its_end(stdin: str, arguments: list[str], env: dict[str, str]) -> Ended | None:
    (their_in, our_in), (our_out, their_out), (our_err, their_err) = _pipe(), _pipe(), _pipe()
    with our_in, our_out, our_err:
        with their_in, their_out, their_err:
            streams = their_in.fileno(), their_out.fileno(), their_err.fileno()
            process = await template.fork(arguments, env, streams)
        if process is None:
            return None
        try:
            async with asyncio.timeout(PATIENCE):
                our_in.write(stdin.encode())
                our_in.close()
                out, err = await asyncio.gather(_read_to_end(our_out), _read_to_end(our_err))
                return Ended(await process.wait(), out, err)
        finally:
            process.kill()


def _pipe() -> tuple[BinaryIO, BinaryIO]:
    ours, theirs = os.pipe()
    return open(ours, "rb", buffering=0), open(theirs, "wb", buffering=0)  # noqa: PTH123 - descriptors


async def _read_to_end(pipe: BinaryIO) -> str:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return (await reader.read()).decode()


async def _executed_to_its_end(stdin: str, arguments: list[str], env: dict[str, str]) -> Ended:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "corral", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=env,
        cwd="/",
    )
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate(stdin.encode())
    finally:
        if process.returncode is None:
            process.kill()
    return Ended(await process.wait(), out.decode(), err.decode())


@asynccontextmanager
async def running(*arguments: object, **settings: object) -> AsyncGenerator[Running]:
    """Starts `corral …`; what is left of it at the end is ended."""
    texts, env = [*map(str, arguments)], environment(**settings)
    with _output() as (out, err):
        with _opened(Path(os.devnull), "rb") as nothing, _opened(out) as out_file, _opened(err) as err_file:
            streams = nothing.fileno(), out_file.fileno(), err_file.fileno()
            process = await template.fork(texts, env, streams)
        if process is not None:
            async with _ended_at_last(process):
                yield Running(process, out, err)
            return
    async with running_command([sys.executable, "-m", "corral", *texts], env) as started:
        yield started


def running_talkatively(*arguments: object, **settings: object) -> AbstractAsyncContextManager[Running]:
    """The same, and every logger of every library speaks."""
    return running_command([sys.executable, "-c", _TALKATIVE, *map(str, arguments)], environment(**settings))


@asynccontextmanager
async def running_command(
    command: list[str], env: dict[str, str], *, user: OsUser | None = None
) -> AsyncGenerator[Running]:
    """As another user of the system, where `user` is one."""
    with _output() as (out, err):
        with _opened(out) as out_file, _opened(err) as err_file:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out_file,
                stderr=err_file,
                env=env,
                cwd="/",
                user=user.uid if user else None,
                group=user.gid if user else None,
                extra_groups=[] if user else None,
            )
        async with _ended_at_last(process):
            yield Running(process, out, err)


@contextmanager
def _output() -> Generator[tuple[Path, Path]]:
    with tempfile.TemporaryDirectory(prefix="corral-out-") as said:
        yield Path(said, "out"), Path(said, "err")


@asynccontextmanager
async def _ended_at_last(process: asyncio.subprocess.Process | ForkedProcess) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(PATIENCE):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


def _opened(file: Path, mode: Literal["rb", "wb"] = "wb") -> BinaryIO:
    return file.open(mode)


def environment(**settings: object) -> dict[str, str]:
    """Nothing inherited but the way to programs, and a port of its own.

    Settings are in lower case, without their prefix; other variables as they are.
    """
    plain = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": str(SOURCES)}
    plain |= {"CORRAL_DRAIN_SECONDS": "0", "CORRAL_PORT": str(free_port())}
    plain |= {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    return plain | {
        name if name.isupper() else f"CORRAL_{name.upper()}": str(value) for name, value in settings.items()
    }


def browser(url: str) -> ClientSession:
    """A client that keeps cookies, which aiohttp by itself does not for plain addresses."""
    return ClientSession(url, cookie_jar=CookieJar(unsafe=True), timeout=ClientTimeout(total=PATIENCE))


def free_port() -> int:
    """A port that nobody has, and that nobody is given soon.

    Each process of the tests has its own two thousand below 32768, where Linux begins to give ports to clients.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 6
    while True:
        port = 20_000 + worker * 2_000 + next(_PORTS) % 2_000
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
