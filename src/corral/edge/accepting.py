"""Accepts connections by itself, where the event loop's own way does not do.

That takes all that wait at once, and knows nothing of other processes on the same port: whichever wakes first gets
everything, and with connections that stay open it keeps it.
"""

import asyncio
import mmap
import os
import socket
import struct
from collections.abc import Callable
from functools import partial
from typing import Any, Final, final

from corral.logs import get_logger

_ACCEPTED_AT_ONCE: Final = 64
_WITHOUT_FILES_SECONDS: Final = 0.5
_REPORT_SECONDS: Final = 60.0
_YIELD_SECONDS: Final = 0.002
_NUMBER: Final = struct.Struct("=I")
_ABSENT: Final = 2**32 - 1


@final
class ConnectionCounts:
    """How many connections each worker on a port has, in memory that all of them see. Workers count from 1."""

    def __init__(self, descriptor: int, workers: int) -> None:
        self._memory = mmap.mmap(descriptor, workers * _NUMBER.size)
        self._workers = workers

    @staticmethod
    def allocate(workers: int) -> int:
        """Returns the descriptor of memory in which every worker is absent. It is for `pass_fds`."""
        descriptor = os.memfd_create("corral-connections")
        os.write(descriptor, _NUMBER.pack(_ABSENT) * workers)
        return descriptor

    def note(self, worker: int, connections: int) -> None:
        _NUMBER.pack_into(self._memory, (worker - 1) * _NUMBER.size, connections)

    def note_absent(self, worker: int) -> None:
        """For one that takes no connections: it has ended, or begins or ceases to serve."""
        self.note(worker, _ABSENT)

    def least_of_others(self, worker: int) -> int:
        """Returns a large number if there are none."""
        counts = _NUMBER.iter_unpack(self._memory[: self._workers * _NUMBER.size])
        return min((count for other, (count,) in enumerate(counts, 1) if other != worker), default=_ABSENT)


@final
class WorkerShare:
    """One worker's part in the connections of a port that it shares with others."""

    def __init__(self, counts: ConnectionCounts, worker: int) -> None:
        self._counts = counts
        self._worker = worker
        self._has_ceased = False

    def note(self, connections: int) -> None:
        if not self._has_ceased:
            self._counts.note(self._worker, connections)

    def cease(self) -> None:
        """From now on this worker takes no more."""
        self._has_ceased = True
        self._counts.note_absent(self._worker)

    def exceeds_others(self, connections: int) -> bool:
        """Whether another should get the next one. With many, an eighth more is no reason to wait."""
        return connections - connections // 8 > self._counts.least_of_others(self._worker)


class CountedConnections(set[Any]):
    """uvicorn's set of open connections. Each change is noted for the other workers."""

    def __init__(self, share: WorkerShare) -> None:
        super().__init__()
        self._share = share

    def add(self, connection: object, /) -> None:
        super().add(connection)
        self._share.note(len(self))

    def discard(self, connection: object, /) -> None:
        super().discard(connection)
        self._share.note(len(self))


class Acceptor:
    """Accepts connections of a listening socket, and begins each in a task of its own.

    With a `share`, it lets another worker go first where that has fewer connections, for two milliseconds: a worker
    that hangs must not keep the others from accepting. `connections` returns how many of this process are open.
    """

    def __init__(self, listener: socket.socket, *, share: WorkerShare | None, connections: Callable[[], int]) -> None:
        self._listener = listener
        self._share = share
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._log = get_logger()
        self._beginning: dict[asyncio.Task[None], float] = {}  # by age
        self._next_report = 0.0
        self._paused: asyncio.TimerHandle | None = None
        self._has_yielded = False
        self._is_closed = False

    def start(self) -> None:
        self._listener.setblocking(False)
        self._loop.add_reader(self._listener, self._accept)

    async def close(self, *, patience_seconds: float) -> None:
        """Closes the socket. What is not open `patience_seconds` later is closed too; open connections live on."""
        self._is_closed = True
        self._loop.remove_reader(self._listener)
        self._listener.close()
        if self._paused is not None:
            self._paused.cancel()
        if self._beginning:
            await asyncio.wait(list(self._beginning), timeout=patience_seconds)
        for task in list(self._beginning):
            task.cancel()

    async def _begin(self, wire: socket.socket) -> None:
        raise NotImplementedError

    def _makes_room(self) -> bool:
        """Whether the next connection may be accepted now. Otherwise it has paused."""
        share = self._share
        if share is None or self._has_yielded or not share.exceeds_others(self._connections() + len(self._beginning)):
            self._has_yielded = False
            return True
        self._has_yielded = True
        self._pause(_YIELD_SECONDS)
        return False

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            if not self._makes_room():
                return
            try:
                wire, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no more files, or no memory
                self._report(error)
                self._pause(_WITHOUT_FILES_SECONDS)
                return
            wire.setblocking(False)
            task = asyncio.ensure_future(self._begin(wire))
            self._beginning[task] = self._loop.time()
            task.add_done_callback(partial(self._done, wire))

    def _report(self, error: OSError) -> None:
        """Once a minute at most."""
        if self._loop.time() >= self._next_report:
            self._next_report = self._loop.time() + _REPORT_SECONDS
            self._log.error("accepting_failed", reason=error.strerror)

    def _pause(self, seconds: float) -> None:
        if self._paused is not None:
            self._paused.cancel()
        self._loop.remove_reader(self._listener)
        self._paused = self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        if self._paused is not None and not self._is_closed:
            self._paused.cancel()
            self._paused = None
            self._loop.add_reader(self._listener, self._accept)

    def _done(self, wire: socket.socket, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            wire.close()
        self._beginning.pop(task, None)


@final
class PlainAcceptor(Acceptor):
    """Of connections without TLS. `protocol` makes the protocol of each."""

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        *,
        share: WorkerShare,
        connections: Callable[[], int],
    ) -> None:
        super().__init__(listener, share=share, connections=connections)
        self._protocol = protocol

    async def _begin(self, wire: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, wire)
        except OSError:
            wire.close()
