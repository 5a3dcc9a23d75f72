"""The command line: `corral-sandbox`, which is also `corral sandbox`."""

import asyncio
import errno
import os
import signal
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal, DecimalException
from typing import Never

from corral_sandbox.market.time import FASTEST
from corral_sandbox.server import Sandbox, serve_sandbox
from corral_sandbox.version import __version__


class CommandError(Exception):
    """The sandbox cannot run as asked; the text is one line that says what to do."""


def main(arguments: Sequence[str] | None = None, program: str = "corral-sandbox") -> None:
    """Runs until SIGINT, SIGTERM or SIGHUP. Exits with status 1 after one line on standard error that says what to do.

    `program` is what a person typed to get here.
    """
    try:
        asyncio.run(_serve(_parser(program).parse_args(arguments), program))
    except CommandError as error:
        sys.stderr.write(f"{program.partition(' ')[0]}: {' '.join(str(error).split())}\n")
        sys.exit(1)


async def _serve(options: Namespace, program: str) -> None:
    stop = _stop_signal()
    async with _opened(options, program) as sandbox:
        _say(f"SANDBOX broker: {sandbox.paper_url} (paper), {sandbox.live_url} (live)")
        _say("  key ID PK… (paper) or AK… (live), secret: sandbox-secret-for-<key ID>. Press Ctrl-C to stop.")
        await stop.wait()


def _stop_signal() -> asyncio.Event:
    """Returns an event that the first signal to stop sets."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue  # as under nohup
        loop.add_signal_handler(number, stop.set)
    return stop


@asynccontextmanager
async def _opened(options: Namespace, program: str) -> AsyncGenerator[Sandbox]:
    """Raises CommandError if the address cannot be listened on."""
    serving = serve_sandbox(
        host=options.host,
        port=options.port,
        seed=options.seed,
        latency_seconds=options.latency_ms / 1_000,
        rate_limit_per_minute=options.rate_limit,
        start=options.start,
        speed=options.speed,
        characters=options.characters,
        depth=options.depth,
    )
    try:
        sandbox = await serving.__aenter__()
    except OSError as error:
        raise CommandError(_why_not(error, options.host, options.port, program)) from None
    try:
        yield sandbox
    finally:
        await serving.__aexit__(None, None, None)


def _why_not(error: OSError, host: str, port: int, program: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{host}:{port} is in use by another program: choose another port with `{program} --port N`"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"{host}:{port} may not be used: choose a port above 1023 with `{program} --port N`"
    reason = os.strerror(error.errno).lower() if error.errno is not None and error.errno > 0 else "no such host"
    return f"{host}:{port} cannot be used ({reason}): choose an address of this machine with `{program} --host ADDRESS`"


def _say(line: str) -> None:
    """Prints at once, so that a program that reads the address need not wait."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class _Parser(ArgumentParser):
    def error(self, message: str) -> Never:
        raise CommandError(f"{message} (see `{self.prog} --help`)")


def _parser(program: str) -> ArgumentParser:
    parser = _Parser(
        prog=program,
        allow_abbrev=False,
        add_help=False,
        description="Run an Alpaca-compatible SANDBOX broker for tests. It needs no account and no network, and keeps "
        "nothing when it stops.",
    )
    for option, default, read, value, meaning in (
        ("--host", "127.0.0.1", str, "ADDRESS", "Address to listen on."),
        ("--port", 8003, _from(0, 65_535), "PORT", "Port to listen on; 0 takes a free one."),
        ("--seed", 0, _whole, "N", "The same seed gives the same ids and prices."),
        ("--start", None, _moment, "TIME", "When its time starts, such as 2026-11-24T09:29-05:00. Default: now."),
        ("--speed", 1, _from(0, FASTEST), "N", "How fast its time runs: at 1440 a day takes a minute, at 0 it stands."),
        ("--latency-ms", 0, _from(0, 600_000), "N", "Delay of each answer, in milliseconds."),
        ("--rate-limit", 200, _from(0, 10**9), "N", "Requests that each key may send in a minute; 0 sets no limit."),
        (
            "--depth",
            None,
            _dollars,
            "DOLLARS",
            "How much of an order is filled at once. Default: 20000; at speed 0 all.",
        ),
    ):
        told = "" if default is None else f" Default: {default}."
        parser.add_argument(option, default=default, type=read, metavar=value, help=meaning + told)
    for option, meaning in (("--characters", "Open each account with cash, holdings and restrictions of its own."),):
        parser.add_argument(option, action="store_true", help=meaning)
    release = f"corral-sandbox {__version__}"
    parser.add_argument("--version", action="version", version=release, help="Print the version and exit.")
    parser.add_argument("--help", action="help", help="Print this and exit.")
    return parser


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ArgumentTypeError(f"{text} is not a whole number") from None


def _from(lowest: int, highest: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        number = _whole(text)
        if not lowest <= number <= highest:
            raise ArgumentTypeError(f"must be from {lowest} to {highest}")
        return number

    return read


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ArgumentTypeError("takes a time with its time zone, such as 2026-11-24T09:29-05:00")
    return moment


def _dollars(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except DecimalException:
        amount = Decimal(0)
    if not amount.is_finite() or amount <= 0:
        raise ArgumentTypeError("takes an amount of dollars above 0, such as 20000")
    return amount
