"""The command line: `corral-sandbox`, which is also `corral sandbox`."""

import asyncio
import errno
import os
import signal
import socket
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import UTC, datetime
from decimal import Decimal, DecimalException
from pathlib import Path
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
        options = create_parser(program).parse_args(arguments)
        options.control_token = _control_token(options)
        asyncio.run(_serve(options, program))
    except CommandError as error:
        _fail(program, str(error))
    except KeyboardInterrupt:
        _fail(program, "interrupted")


async def _serve(options: Namespace, program: str) -> None:
    stop = _stop_signal()
    async with AsyncExitStack() as stack:
        try:
            sandbox = await stack.enter_async_context(_sandbox(options))
        except ValueError as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(_why_not(error, options.host, options.port, program)) from None
        _say(f"SANDBOX broker: {sandbox.paper_url} (paper), {sandbox.live_url} (live)")
        _say("  key ID PK… (paper) or AK… (live), secret: sandbox-secret-for-<key ID>. Press Ctrl-C to stop.")
        if not sandbox.takes_control_calls:
            _say("  Other machines can reach this address. To use control calls (/_…), add --control-token-file FILE.")
        await stop.wait()


def _sandbox(options: Namespace) -> AbstractAsyncContextManager[Sandbox]:
    return serve_sandbox(
        host=options.host,
        port=options.port,
        seed=options.seed,
        latency_seconds=options.latency_ms / 1_000,
        rate_limit_per_minute=options.rate_limit,
        start=options.start,
        speed=options.speed,
        characters=options.characters,
        depth=options.depth,
        control_token=options.control_token,
        log=_log if options.log_requests else None,
    )


def _stop_signal() -> asyncio.Event:
    """Returns an event that the first signal to stop sets."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue  # as under nohup
        loop.add_signal_handler(number, stop.set)
    return stop


def _control_token(options: Namespace) -> str | None:
    """Returns the token, without spaces and line breaks around it. A file does not show in the list of processes."""
    file: str | None = options.control_token_file
    if file is None:
        return options.control_token
    try:
        text = sys.stdin.readline() if file == "-" else Path(file).read_text("utf-8")
    except (OSError, UnicodeError):
        raise CommandError(f"{file} cannot be read as text: give --control-token-file a file with the token") from None
    if not text.strip():
        raise CommandError(f"{file} is empty: give --control-token-file a file with the token")
    return text.strip()


def _log(line: str) -> None:
    sys.stderr.write(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {line}\n")


def _why_not(error: OSError, host: str, port: int, program: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{host}:{port} is in use by another program: choose another port with `{program} --port N`"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"{host}:{port} may not be used: choose a port above 1023 with `{program} --port N`"
    if isinstance(error, socket.gaierror):
        reason = "no such host"
    elif error.errno is None or error.errno == errno.EADDRNOTAVAIL:  # None from Python 3.13 on
        reason = "not an address of this machine"
    else:
        reason = os.strerror(error.errno).lower()
    return f"{host}:{port} cannot be used ({reason}): choose an address of this machine with `{program} --host ADDRESS`"


def _say(line: str) -> None:
    """Prints at once, so that a program that reads the address need not wait, also where there is no UTF-8."""
    encoding = sys.stdout.encoding
    sys.stdout.write(f"{line}\n".encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()


def _fail(program: str, reason: str) -> Never:
    sys.stderr.write(f"{program.partition(' ')[0]}: {' '.join(reason.split())}\n")
    sys.exit(1)


class _Parser(ArgumentParser):
    def error(self, message: str) -> Never:
        raise CommandError(f"{message.removeprefix('argument ')} (see `{self.prog} --help`)")


def create_parser(program: str) -> ArgumentParser:
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
        default_text = "" if default is None else f" Default: {default}."
        parser.add_argument(option, default=default, type=read, metavar=value, help=meaning + default_text)
    for option, meaning in (
        ("--characters", "Open each account with cash, holdings and restrictions of its own."),
        ("--log-requests", "Print a line for each request on standard error."),
    ):
        parser.add_argument(option, action="store_true", help=meaning)
    token = parser.add_mutually_exclusive_group()
    token.add_argument(
        "--control-token",
        metavar="TOKEN",
        help="What control calls (/_...) must send as Authorization: Bearer TOKEN. Needed on an address that other "
        "machines can reach. Other users of this machine can read it in the list of processes.",
    )
    token.add_argument(
        "--control-token-file", metavar="FILE", help="A file that holds the control token; - is standard input."
    )
    release = f"corral-sandbox {__version__}"
    parser.add_argument("--version", action="version", version=release, help="Print the version and exit.")
    parser.add_argument("--help", action="help", help="Print this and exit.")
    return parser


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ArgumentTypeError("must be a whole number") from None


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
        raise ArgumentTypeError("must be a time with its time zone, such as 2026-11-24T09:29-05:00")
    return moment


def _dollars(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except DecimalException:
        amount = Decimal(0)
    if not amount.is_finite() or amount <= 0:
        raise ArgumentTypeError("must be an amount of dollars above 0, such as 20000")
    return amount
