"""Runs the service from start to stop, for `corral serve` and `corral demo`."""

import asyncio
import errno
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

from corral import __version__
from corral.app import State, create_app, open_state
from corral.database.embedded.files import exclusive_serve_lock
from corral.edge.certificate import ServedCertificate, TlsFiles
from corral.edge.server import PortTaken, reserve_port, serve_http
from corral.errors import OperatorError
from corral.hardening import raise_file_limit
from corral.logs import get_logger
from corral.settings import Settings
from corral.signals import Signals
from corral.storage import DatabaseAddresses, migrated_database, valkey_address

_log = get_logger()

# A request under way may wait for Alpaca for its whole deadline, and then its answer has to be sent.
_GRACE_BEYOND_UPSTREAM_SECONDS = 5.0
_USUAL_DRAIN_SECONDS = 3.0


class CannotListen(OperatorError):  # noqa: N818 - a condition
    """The address is in use, not on this machine, or not allowed for this user. One line that says what to do."""


@dataclass(frozen=True, slots=True)
class Services:
    """An opened service: everything but the listening socket."""

    settings: Settings
    addresses: DatabaseAddresses
    state: State
    certificate: ServedCertificate | None = None


@asynccontextmanager
async def open_services(
    settings: Settings, *, sandbox: bool = False, certificate: ServedCertificate | None = None
) -> AsyncGenerator[Services]:
    """Starts, migrates, checks and opens the database, and all that the service needs over it."""
    async with (
        migrated_database(settings) as addresses,
        open_state(settings, addresses.app, sandbox=sandbox) as state,
    ):
        yield Services(settings, addresses, state, certificate)


def open_certificate(settings: Settings) -> ServedCertificate | None:
    """Returns None without TLS. Raises CertificateUnusable."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return ServedCertificate(TlsFiles(settings.tls_cert, settings.tls_key), settings.browser_url)


async def serve(
    settings: Settings,
    announce: Callable[[Services, str], Awaitable[str]],
    say: Callable[[str], object],
    *,
    sandbox: bool = False,
) -> None:
    """Serves until SIGINT, SIGTERM or SIGHUP; then finishes the requests under way, and closes in reverse order.

    For `drain_seconds` it first only reports that it is not ready, so that a load balancer stops sending requests. A
    second signal ends the wait at once.

    `announce` gets the address once the service answers there. `say` prints what it returns, unless the service is
    stopping by then, when a link would not work. Raises CertificateUnusable, ValkeyRefused and CannotListen before
    anything is started.
    """
    signals, stop = Signals(), asyncio.Event()
    raise_file_limit()
    valkey_address(settings)
    certificate = await asyncio.to_thread(open_certificate, settings)
    async with AsyncExitStack() as stack:
        if settings.database_url is None:
            stack.enter_context(exclusive_serve_lock(settings.data_dir))
        listener = stack.enter_context(_reserved_port(settings, "demo" if sandbox else "serve"))
        services = await stack.enter_async_context(open_services(settings, sandbox=sandbox, certificate=certificate))
        stack.callback(asyncio.ensure_future(_drain(services, signals, stop)).cancel)
        announcements: list[asyncio.Future[None]] = []

        async def announced(url: str) -> None:
            try:
                announcement = await announce(services, url)
                if not signals.once.is_set():
                    say(announcement)
            except BaseException:
                signals.once.set()  # without the link that was not printed, the user cannot sign in
                signals.twice.set()
                raise

        def ready(url: str) -> None:
            _log.info("serving", url=url, version=__version__)
            announcements.append(asyncio.ensure_future(announced(url)))

        grace_seconds = settings.upstream_timeout_seconds + _GRACE_BEYOND_UPSTREAM_SECONDS
        app = create_app(settings, services.state)
        await serve_http(
            app, listener=listener, ready=ready, grace_seconds=grace_seconds, stop=stop, certificate=certificate
        )
        await asyncio.gather(*announcements)


async def _drain(services: Services, signals: Signals, stop: asyncio.Event) -> None:
    """Sets `stop` at the end. A load balancer needs a moment to see that this process is not ready."""
    await signals.once.wait()
    _log.info("stopping")
    services.state["readiness"].drain()
    with suppress(TimeoutError):
        await asyncio.wait_for(signals.twice.wait(), _drain_seconds(services.settings))
    stop.set()


def _drain_seconds(settings: Settings) -> float:
    """At a terminal there is no load balancer to wait for."""
    if settings.drain_seconds is not None:
        return settings.drain_seconds
    return 0.0 if sys.stderr.isatty() else _USUAL_DRAIN_SECONDS


@contextmanager
def _reserved_port(settings: Settings, command: Literal["demo", "serve"]) -> Generator[socket.socket]:
    """Reserves the port before anything is started. Raises CannotListen."""
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
