"""Runs the service from start to stop, for `corral serve` and `corral demo`."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

from corral import __version__
from corral.app import State, create_app, open_state
from corral.database.embedded.files import exclusive_serve_lock
from corral.edge.certificate import ServedCertificate
from corral.edge.server import serve_http
from corral.hardening import raise_file_limit
from corral.listening import drain_seconds, grace_seconds, open_certificate, reserved_port
from corral.logs import get_logger
from corral.settings import Settings
from corral.signals import Signals
from corral.storage import DatabaseAddresses, migrated_database, valkey_address

_log = get_logger()


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
    signals, draining, stop = Signals(), asyncio.Event(), asyncio.Event()
    raise_file_limit()
    valkey_address(settings)
    certificate = await asyncio.to_thread(open_certificate, settings)
    async with AsyncExitStack() as stack:
        if settings.database_url is None:
            stack.enter_context(exclusive_serve_lock(settings.data_dir))
        listener = stack.enter_context(reserved_port(settings, "demo" if sandbox else "serve"))
        services = await stack.enter_async_context(open_services(settings, sandbox=sandbox, certificate=certificate))
        stack.callback(asyncio.ensure_future(_drain(services, signals, draining, stop)).cancel)
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

        await serve_http(
            create_app(settings, services.state),
            listener=listener,
            ready=ready,
            grace_seconds=grace_seconds(settings),
            draining=draining,
            stop=stop,
            certificate=certificate,
        )
        await asyncio.gather(*announcements)


async def _drain(services: Services, signals: Signals, draining: asyncio.Event, stop: asyncio.Event) -> None:
    """Sets `stop` at the end. A load balancer needs a moment to see that this process is not ready."""
    await signals.once.wait()
    _log.info("stopping")
    services.state["readiness"].drain()
    draining.set()
    with suppress(TimeoutError):
        await asyncio.wait_for(signals.twice.wait(), drain_seconds(services.settings))
    stop.set()
