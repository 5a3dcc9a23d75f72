"""Runs the service from start to stop: `corral serve`, and what `corral demo` builds on."""

import asyncio
import errno
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

from corral import __version__
from corral.app import DatabaseAddresses, State, create_app, database_addresses, open_state
from corral.database.data_folder import exclusive_serve_lock
from corral.database.migrate import apply_migrations
from corral.edge.server import PortTaken, reserve_port, serve_http
from corral.ending import Signals
from corral.hardening import raise_file_limit
from corral.logs import get_logger
from corral.settings import Settings

_log = get_logger()

# A request in flight may wait for Alpaca for its whole deadline, and then has to be written out.
_GRACE_BEYOND_UPSTREAM_SECONDS = 5.0
_USUAL_DRAIN_SECONDS = 3.0


class CannotListen(Exception):  # noqa: N818 - a condition
    """The address is in use, none of this machine's, or not to be had by this user. One line with the way out."""


@dataclass(frozen=True, slots=True)
class Services:
    """An opened service: everything but the listening socket."""

    settings: Settings
    addresses: DatabaseAddresses
    state: State


@asynccontextmanager
async def open_services(settings: Settings, *, sandbox: bool = False) -> AsyncGenerator[Services]:
    """Database started and migrated, proved and opened. Commands use it as `corral serve` does, beside it."""
    async with database_addresses(settings) as addresses:
        if addresses.owner is not None:
            await apply_migrations(addresses.owner)
        async with open_state(settings, addresses.app, sandbox=sandbox) as state:
            yield Services(settings, addresses, state)


async def serve(
    settings: Settings,
    announce: Callable[[Services, str], Awaitable[str]],
    say: Callable[[str], object],
    *,
    sandbox: bool = False,
) -> None:
    """Serves until SIGINT, SIGTERM or SIGHUP; then ends what is under way, and closes in reverse order.

    For `drain_seconds` it first only says that it is not ready, so that nobody is sent here who would be refused. A
    second signal ends that at once.

    `announce` is told the address once the service answers there. What it returns is said, unless the service is
    stopping by then: a link would lead nowhere. Raises CannotListen before anything is started.
    """
    told, stop = Signals(), asyncio.Event()
    raise_file_limit()
    async with AsyncExitStack() as stack:
        if settings.database_url is None:
            stack.enter_context(exclusive_serve_lock(settings.data_dir))
        listener = stack.enter_context(_reserved_port(settings, "demo" if sandbox else "serve"))
        services = await stack.enter_async_context(open_services(settings, sandbox=sandbox))
        stack.callback(asyncio.ensure_future(_drain(services, told, stop)).cancel)
        announcements: list[asyncio.Future[None]] = []

        async def announced(url: str) -> None:
            try:
                announcement = await announce(services, url)
                if not told.once.is_set():
                    say(announcement)
            except BaseException:
                told.once.set()  # nobody was told the link without which nobody gets in
                told.twice.set()
                raise

        def ready(url: str) -> None:
            _log.info("serving", url=url, version=__version__)
            announcements.append(asyncio.ensure_future(announced(url)))

        grace_seconds = settings.upstream_timeout_seconds + _GRACE_BEYOND_UPSTREAM_SECONDS
        app = create_app(settings, services.state)
        await serve_http(app, listener=listener, ready=ready, grace_seconds=grace_seconds, stop=stop)
        await asyncio.gather(*announcements)


async def _drain(services: Services, told: Signals, stop: asyncio.Event) -> None:
    """Ends in setting `stop`. A balancer needs a moment to see that this process is not ready."""
    await told.once.wait()
    _log.info("stopping")
    services.state["watch"].drain()
    with suppress(TimeoutError):
        await asyncio.wait_for(told.twice.wait(), _drain_seconds(services.settings))
    stop.set()


def _drain_seconds(settings: Settings) -> float:
    """A person at a terminal does not wait for a balancer."""
    if settings.drain_seconds is not None:
        return settings.drain_seconds
    return 0.0 if sys.stderr.isatty() else _USUAL_DRAIN_SECONDS


@contextmanager
def _reserved_port(settings: Settings, command: Literal["demo", "serve"]) -> Generator[socket.socket]:
    """Before anything is started that a refusal would have to stop again. Raises CannotListen."""
    another_port = f"choose another port with `corral {command} --port N`"
    another_port += " or CORRAL_PORT" if command == "serve" else ""
    try:
        with _reserved(settings.host, settings.port, another_port) as listener:
            yield listener
    except PortTaken as taken:
        raise CannotListen(f"{taken}: {another_port}") from None


def _reserved(host: str, port: int, another_port: str) -> socket.socket:
    try:
        return reserve_port(host, port)
    except OSError as error:
        reason = (error.strerror or "").partition(" (")[0].lower()
        way_out = another_port if error.errno == errno.EACCES else "use --host with an address of this machine"
        raise CannotListen(f"cannot listen on {host}:{port} ({reason}): {way_out}") from None
