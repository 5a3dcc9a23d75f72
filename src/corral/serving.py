"""Runs the service from start to stop: `corral serve`, and what `corral demo` builds on."""

import asyncio
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from corral import __version__
from corral.app import DatabaseAddresses, State, create_app, database_addresses, open_state
from corral.database.data_folder import exclusive_serve_lock
from corral.database.migrate import apply_migrations
from corral.edge.server import serve_http
from corral.hardening import raise_file_limit
from corral.logs import get_logger
from corral.settings import Settings

_log = get_logger()

# A request in flight may wait for Alpaca for its whole deadline, and then has to be written out.
_GRACE_BEYOND_UPSTREAM_SECONDS = 5.0


class CannotListen(Exception):  # noqa: N818 - a condition
    """The address is none of this machine's, or not to be had by this user. One line."""


@dataclass(frozen=True, slots=True)
class House:
    """An opened service: everything but the listening socket."""

    settings: Settings
    addresses: DatabaseAddresses
    state: State


@asynccontextmanager
async def opened_house(settings: Settings, *, sandbox: bool = False) -> AsyncGenerator[House]:
    """Database started and migrated, proved and opened. Commands use it as `corral serve` does, beside it."""
    async with database_addresses(settings) as addresses:
        if addresses.owner is not None:
            await apply_migrations(addresses.owner)
        async with open_state(settings, addresses.app, sandbox=sandbox) as state:
            yield House(settings, addresses, state)


async def serve(
    settings: Settings, announce: Callable[[House, str], Awaitable[None]], *, sandbox: bool = False
) -> None:
    """Serves until SIGINT or SIGTERM; then ends what is under way, and closes in reverse order.

    `announce` is told the address once the service answers there.
    """
    stop = stop_signal()
    raise_file_limit()
    async with AsyncExitStack() as stack:
        if settings.database_url is None:
            stack.enter_context(exclusive_serve_lock(settings.data_dir))
        house = await stack.enter_async_context(opened_house(settings, sandbox=sandbox))
        announcements: list[asyncio.Future[None]] = []

        def ready(url: str) -> None:
            _log.info("serving", url=url, version=__version__)
            announcement = asyncio.ensure_future(announce(house, url))
            # One that fails ends the service: nobody was told the link without which nobody gets in.
            announcement.add_done_callback(lambda done: stop.set() if done.exception() else None)
            announcements.append(announcement)

        await _listen(house, ready, stop)
        _log.info("stopping")
        await asyncio.gather(*announcements)


async def _listen(house: House, ready: Callable[[str], None], stop: asyncio.Event) -> None:
    settings = house.settings
    try:
        await serve_http(
            create_app(settings, house.state),
            host=settings.host,
            port=settings.port,
            ready=ready,
            grace_seconds=settings.upstream_timeout_seconds + _GRACE_BEYOND_UPSTREAM_SECONDS,
            stop=stop,
        )
    except OSError as error:
        reason = (error.strerror or "").partition(" (")[0]
        raise CannotListen(
            f"cannot listen on {settings.host}:{settings.port} ({reason}); choose another with --host or --port"
        ) from None


def stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop
