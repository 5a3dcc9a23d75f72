"""Batches small reads or writes into one round trip, because under load the trip costs more than the rows.

A look-up that arrives while a query runs waits for the next one. No look-up is answered by a query that was sent before
it: a committed revocation is seen by every later request, exactly as with a query for each.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import islice
from typing import Generic, Protocol, TypeVar, final

from corral.database.connection import Connection
from corral.errors import Problem
from corral.logs import get_logger

Key = TypeVar("Key", bound=Hashable)
Found = TypeVar("Found")

# A query takes one in this many of the waiting keys. If it took all, requests that arrived together would stay together
# on the way to Alpaca and back, each waiting for the work of all of them. The more keys wait, the larger the batch:
# after some dozens of queries none is left, however many there were.
SHARE_OF_A_BATCH = 16
KEYS_PER_BATCH = 200  # at most

# So many queries of one kind are under way at most. With one at a time, requests that come one by one wait, because a
# query takes about as long as passes until the next request. The second one gives its connection back after
# MOST_BATCHES, so that others have their turn.
MOST_QUERIES = 2
MOST_BATCHES = 16

# A connection is kept so long for further keys, if another one is free for whoever comes next: to give it back and to
# get it again costs half as much as a query.
LINGER_SECONDS = 0.005

# Requests that will not call Alpaca are better batched. Such a query is sent after this many passes of the event loop
# without a further caller, because then no request is about to make one, and at once when enough keys wait. It takes
# half of them: the others are looked up while its callers are served, so that neither the database nor this process
# waits for the other.
SHARE_OF_A_GATHERING = 2
ENOUGH_KEYS = 8
QUIET_PASSES = 2
MOST_PASSES = 64  # that a query waits at most

FLUSH_SECONDS = 1.0

_log = get_logger()


class Connections(Protocol):
    """Where a look-up gets its connection. `has_spare` says whether one is free for whoever comes next."""

    def connection(self) -> AbstractAsyncContextManager[Connection]: ...
    @property
    def has_spare(self) -> bool: ...


@final
class BatchedLookup(Generic[Key, Found]):
    """`await lookup(key)` returns what `fetch_many` found for the key, or None.

    Belongs to one event loop. Consecutive queries share a connection. If a query fails, only its callers get the
    error. One that `gathers` waits briefly for further callers, and makes one query at a time.
    """

    __slots__ = ("_callers", "_connections", "_fetch_many", "_flushing", "_gathers", "_lingering", "_waiting")

    def __init__(
        self,
        connections: Connections,
        fetch_many: Callable[[Connection, Sequence[Key]], Awaitable[Mapping[Key, Found]]],
        *,
        gathers: bool = False,
    ) -> None:
        self._connections = connections
        self._fetch_many = fetch_many
        self._gathers = gathers
        self._callers = 0  # so far
        self._waiting: dict[Key, list[asyncio.Future[Found | None]]] = {}
        self._flushing: set[asyncio.Task[bool]] = set()
        self._lingering: list[asyncio.Event] = []  # set for a further key

    async def __call__(self, key: Key) -> Found | None:
        return await self.start(key)

    def start(self, key: Key) -> "asyncio.Future[Found | None]":
        """Begins the look-up, for a caller that has something else to do until it needs the answer."""
        self._callers += 1
        # A future for each caller, so that one that gives up cancels only its own.
        result: asyncio.Future[Found | None] = asyncio.get_running_loop().create_future()
        callers = self._waiting.get(key)
        if callers is None:
            self._waiting[key] = [result]
            self._start_flush()
        else:
            callers.append(result)
        return result

    def _start_flush(self) -> None:
        if not self._waiting:
            return
        if self._lingering:
            self._lingering.pop().set()
        elif len(self._flushing) < (1 if self._gathers else MOST_QUERIES):
            flush = asyncio.get_running_loop().create_task(self._flush(is_helping=bool(self._flushing)))
            self._flushing.add(flush)
            flush.add_done_callback(self._finish_flush)

    async def _flush(self, *, is_helping: bool) -> bool:
        """Makes queries until no key waits, or some if it helps another. Returns whether none of them failed.

        Without a connection, one that helps leaves the keys to the other.
        """
        batch: dict[Key, list[asyncio.Future[Found | None]]] = {}
        try:
            async with self._connections.connection() as connection:
                batches = 0
                while (not is_helping or batches < MOST_BATCHES) and (self._waiting or await self._linger(connection)):
                    if self._gathers:
                        await self._gather_callers()
                    batch = self._take_batch()
                    _resolve(batch, await self._fetch_many(connection, list(batch)))
                    batches += 1
        except BaseException as error:
            _fail_all(batch if batch or is_helping else self._take_all(), error)
            if not isinstance(error, Exception):
                raise
            return False
        return True

    async def _linger(self, connection: Connection) -> bool:
        """Waits briefly for a further key, and returns whether there is one. Whoever waited for the last query goes on
        meanwhile.
        """
        if not self._connections.has_spare:
            await asyncio.sleep(0)
            return bool(self._waiting)
        further = asyncio.Event()
        timer = asyncio.get_running_loop().call_later(LINGER_SECONDS, further.set)
        self._lingering.append(further)
        try:
            await further.wait()
        finally:
            timer.cancel()
            if further in self._lingering:
                self._lingering.remove(further)
        return bool(self._waiting) and not connection.is_closed()

    async def _gather_callers(self) -> None:
        quiet = 0
        for _ in range(MOST_PASSES):
            if quiet == QUIET_PASSES or len(self._waiting) >= ENOUGH_KEYS:
                return
            before = self._callers
            await asyncio.sleep(0)
            quiet = quiet + 1 if self._callers == before else 0

    def _take_batch(self) -> dict[Key, list[asyncio.Future[Found | None]]]:
        """Removes and returns the keys that have waited longest, just before the query is sent."""
        share = SHARE_OF_A_GATHERING if self._gathers else SHARE_OF_A_BATCH
        size = min(-(-len(self._waiting) // share), KEYS_PER_BATCH)
        return {key: self._waiting.pop(key) for key in list(islice(self._waiting, size))}

    def _take_all(self) -> dict[Key, list[asyncio.Future[Found | None]]]:
        """Removes and returns all keys, when there is no connection."""
        batch, self._waiting = self._waiting, {}
        return batch

    def _finish_flush(self, flush: asyncio.Task[bool]) -> None:
        self._flushing.discard(flush)
        # One that failed beside another does not begin again at once: there may be no connection for it.
        if not self._flushing or (not flush.cancelled() and flush.result()):
            self._start_flush()


@final
class WriteBehindBuffer(Generic[Key]):
    """Collects small writes that no response waits for, each once, and writes them together within a second.

    Belongs to one event loop. A write that is lost because the database is unavailable does no harm.
    """

    __slots__ = ("_keys", "_timer", "_write_many", "_writing")

    def __init__(self, write_many: Callable[[Sequence[Key]], Awaitable[None]]) -> None:
        self._write_many = write_many
        self._keys: dict[Key, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None

    def add(self, key: Key) -> None:
        self._keys[key] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._begin)

    async def close(self) -> None:
        """Writes the rest, while the pool is still open."""
        if self._timer is not None:
            self._timer.cancel()
            self._begin()
        if self._writing is not None:
            await self._writing

    def _begin(self) -> None:
        self._timer = None
        self._writing = asyncio.get_running_loop().create_task(self._write(self._writing))

    async def _write(self, earlier: asyncio.Task[None] | None) -> None:
        if earlier is not None:
            await earlier
        keys, self._keys = list(self._keys), {}
        try:
            await self._write_many(keys)
        except Problem as problem:
            _log.warning("writes_lost", writes=len(keys), code=problem.code)


def _resolve(batch: Mapping[Key, list["asyncio.Future[Found | None]"]], found: Mapping[Key, Found]) -> None:
    for key, callers in batch.items():
        row = found.get(key)
        for result in _still_waiting([callers]):
            result.set_result(row)


def _fail_all(batch: Mapping[Key, list["asyncio.Future[Found | None]"]], error: BaseException) -> None:
    for result in _still_waiting(batch.values()):
        result.set_exception(error)


def _still_waiting(
    batch: Iterable[list["asyncio.Future[Found | None]"]],
) -> Iterator["asyncio.Future[Found | None]"]:
    return (result for callers in batch for result in callers if not result.done())
