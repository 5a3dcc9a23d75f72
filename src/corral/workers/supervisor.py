"""The supervisor of several workers: does what is done once, and keeps them running until it is told to stop."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from corral import __version__
from corral.database.capacity import connections_for_each
from corral.database.connection import Database
from corral.database.embedded.files import exclusive_serve_lock
from corral.edge.accepting import ConnectionCounts
from corral.edge.certificate import ServedCertificate
from corral.hardening import raise_file_limit
from corral.listening import drain_seconds, grace_seconds, open_certificate, reserved_port
from corral.logs import get_logger
from corral.settings import Settings
from corral.signals import Signals
from corral.storage import DatabaseAddresses, Storage, migrated_database, open_shared, open_storage, valkey_address
from corral.workers.channel import Command, WorkerOrder, handed_over
from corral.workers.crew import Crew

if TYPE_CHECKING:
    from corral.valkey.client import Valkey

# To write what waits, to close connections, and to stop the database.
_CLOSING_SECONDS: Final = 30.0

_log = get_logger()


@dataclass(frozen=True, slots=True)
class OpenedService:
    """What the start block is about. The storage is open while it is composed, and no longer."""

    settings: Settings
    addresses: DatabaseAddresses
    storage: Storage
    certificate: ServedCertificate | None
    valkey: "Valkey | None"
    url: str


@dataclass(frozen=True, slots=True)
class LogForm:
    """How each process writes its lines."""

    log_format: Literal["console", "json"]
    has_colors: bool


async def supervise(
    settings: Settings,
    workers: int,
    announce: Callable[[OpenedService], Awaitable[str]],
    say: Callable[[str], object],
    log_form: LogForm,
) -> None:
    """Serves with `workers` processes until SIGINT, SIGTERM or SIGHUP; then all of them end as a single one does.

    A second signal ends the wait for load balancers. `say` prints what `announce` returns, once all of them serve.
    Everything that would stop the start of each of them stops this one before, with one line.
    """
    signals = Signals()
    raise_file_limit()
    valkey_address(settings)
    certificate = await asyncio.to_thread(open_certificate, settings)
    async with AsyncExitStack() as stack:
        lock = stack.enter_context(exclusive_serve_lock(settings.data_dir)) if settings.database_url is None else None
        listener = stack.enter_context(reserved_port(settings, "serve"))
        addresses = await stack.enter_async_context(migrated_database(settings))
        counts = ConnectionCounts.allocate(workers)
        stack.callback(os.close, counts)
        async with Database.open(addresses.app, connections=1) as database:
            connections = await connections_for_each(database, workers)
        async with open_storage(settings, addresses.app) as storage, open_shared(settings, storage.vault) as valkey:

            def order_of(worker: int) -> WorkerOrder:
                return WorkerOrder(
                    version=__version__,
                    worker=worker,
                    workers=workers,
                    settings=handed_over(settings),
                    connections=connections,
                    log_format=log_form.log_format,
                    has_colors=log_form.has_colors,
                    listener=listener.fileno(),
                    counts=counts,
                    lock=lock,
                )

            inherited = [descriptor for descriptor in (listener.fileno(), counts, lock) if descriptor is not None]
            crew = Crew(workers, order_of, inherited, counts)
            stack.push_async_callback(crew.abandon)
            stack.callback(asyncio.ensure_future(_tell(crew, signals)).cancel)
            url = await crew.start()
            if url is not None:
                text = await announce(OpenedService(settings, addresses, storage, certificate, valkey, url))
                if not signals.once.is_set():  # otherwise a link would not work
                    say(text)
        await crew.serve()
        listener.close()  # the workers have it, and close it when they take no more
        await crew.ended(within_seconds=drain_seconds(settings) + grace_seconds(settings) + _CLOSING_SECONDS)


async def _tell(crew: Crew, signals: Signals) -> None:
    await signals.once.wait()
    _log.info("stopping")
    crew.tell(Command(command="drain"))
    await signals.twice.wait()
    crew.tell(Command(command="hurry"))
