"""One worker: opens the database and the vault, and serves on the port that it shares with others."""

import asyncio
import gc
import os
import socket
import sys
from typing import Final, final

import uvloop
from pydantic import ValidationError

from corral import __version__
from corral.app import create_app, open_state
from corral.database.embedded.files import leave_note
from corral.edge.accepting import ConnectionCounts, WorkerShare
from corral.edge.server import serve_http
from corral.errors import DatabaseUnavailable, OperatorError, Problem
from corral.hardening import raise_file_limit
from corral.health.readiness import ReadinessMonitor
from corral.listening import drain_seconds, grace_seconds, open_certificate
from corral.logs import configure_logging, get_logger
from corral.settings import Settings
from corral.signals import Signals
from corral.storage import database_addresses
from corral.workers.channel import Channel, Command, Report, WorkerOrder

_ALIVE_SECONDS: Final = 1.0

_log = get_logger()


def main(descriptor: int) -> None:
    """Exits with status 0 at the end, and with 1 if it cannot serve. The supervisor gets the reason."""
    gc.freeze()
    gc.enable()
    sys.exit(uvloop.run(_run(socket.socket(fileno=descriptor))))


async def _run(end: socket.socket) -> int:
    signals = Signals()
    end.set_inheritable(False)
    channel = await Channel.open(end)
    line = await channel.receive()
    if not line:  # the supervisor was killed
        return 1
    order = _read_order(line)
    if order is None:
        channel.send(Report(state="failed", detail="another release was installed: restart `corral serve`"))
        await channel.close()
        return 1
    configure_logging(order.log_format, sys.stderr.buffer, has_colors=order.has_colors, worker=order.worker)
    try:
        await _Worker(order, channel, signals).run()
    except DatabaseUnavailable as unavailable:
        channel.send(Report(state="failed", detail=unavailable.reason))
    except (Problem, OperatorError, ValueError) as error:
        channel.send(Report(state="failed", detail=str(error)))
    else:
        return 0
    finally:
        await channel.close()
    return 1


def _read_order(line: bytes) -> WorkerOrder | None:
    """Returns None if the supervisor is of another release: of one that was installed over it while it ran."""
    try:
        order = WorkerOrder.model_validate_json(line)
    except ValidationError:
        return None
    return order if order.version == __version__ else None


@final
class _Worker:
    def __init__(self, order: WorkerOrder, channel: Channel, signals: Signals) -> None:
        self._order = order
        self._channel = channel
        self._signals = signals
        self._settings = Settings.model_validate(order.settings)
        self._drain, self._hurry = asyncio.Event(), asyncio.Event()
        self._draining, self._stop = asyncio.Event(), asyncio.Event()

    async def run(self) -> None:
        raise_file_limit()
        order, settings = self._order, self._settings
        for inherited in filter(None, (order.listener, order.counts, order.lock)):
            os.set_inheritable(inherited, False)
        tasks = [asyncio.ensure_future(work) for work in (self._follow_commands(), self._say_alive())]
        try:
            certificate = await asyncio.to_thread(open_certificate, settings)
            async with (
                database_addresses(settings) as addresses,
                open_state(settings, addresses.app, connections=order.connections) as state,
            ):
                tasks.append(asyncio.ensure_future(self._leave(state["readiness"])))
                await serve_http(
                    create_app(settings, state),
                    listener=socket.socket(fileno=order.listener),
                    ready=self._report_ready,
                    grace_seconds=grace_seconds(settings),
                    draining=self._draining,
                    stop=self._stop,
                    certificate=certificate,
                    share=WorkerShare(ConnectionCounts(order.counts, order.workers), order.worker),
                )
        finally:
            for task in tasks:
                task.cancel()

    def _report_ready(self, url: str) -> None:
        _log.info("serving", url=url, version=__version__, pid=os.getpid())
        self._channel.send(Report(state="serving", detail=url))

    async def _say_alive(self) -> None:
        """From the event loop: a worker that blocks it is not alive."""
        while True:
            self._channel.send(Report(state="alive"))
            await asyncio.sleep(_ALIVE_SECONDS)

    async def _follow_commands(self) -> None:
        while line := await self._channel.receive():
            command = Command.model_validate_json(line).command
            self._drain.set()
            if command == "hurry":
                self._hurry.set()
        if not self._drain.is_set():
            _log.error("supervisor_gone", advice="start corral serve again")
            if self._order.lock is not None:
                leave_note(self._order.lock, str(os.getpid()))
        self._drain.set()
        await self._signals.once.wait()  # nobody else can send a second command
        self._hurry.set()

    async def _leave(self, readiness: ReadinessMonitor) -> None:
        """Sets `stop` at the end.

        /readyz says no only if all workers stop: a load balancer would take the whole port for stopping. A signal to
        this process alone, which may be one to all, is no reason to take fewer requests before the others do.
        """
        drain, signalled = (asyncio.ensure_future(event.wait()) for event in (self._drain, self._signals.once))
        await asyncio.wait((drain, signalled), return_when=asyncio.FIRST_COMPLETED)
        if not drain.done():
            _log.info("worker_leaving")
            self._channel.send(Report(state="leaving"))
        drain.add_done_callback(lambda told: None if told.cancelled() else readiness.drain())
        self._draining.set()
        hurried, again = (asyncio.ensure_future(event.wait()) for event in (self._hurry, self._signals.twice))
        await asyncio.wait((hurried, again), timeout=drain_seconds(self._settings), return_when=asyncio.FIRST_COMPLETED)
        self._stop.set()
        for waiting in (drain, signalled, hurried, again):
            waiting.cancel()
