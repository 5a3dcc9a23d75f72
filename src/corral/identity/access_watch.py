"""Whose access has changed: asked of the database twice a second, once for all that outlives its request.

A look asks for the users whose rights were changed by transactions that the look before did not see, so it costs what
has changed and not what is open. Whether somebody may go on is not decided here: whoever watches something asks the
full question again, but only about these users.
"""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol, final
from uuid import UUID

from corral.database.connection import READ_ONLY, Database
from corral.errors import DatabaseUnavailable, InternalError, Problem
from corral.identity import queries
from corral.identity.queries import AccessChanges
from corral.logs import get_logger

EVERY_SECONDS: Final = 0.5
DEADLINE_SECONDS: Final = 3.0  # without an answer by then, everything ends
ANEW_AFTER: Final = timedelta(seconds=30)
MOST_CHANGES: Final = 10_000  # that are read one by one; with more of them, everybody is asked about
PRUNE_EVERY_SECONDS: Final = 60.0

_log = get_logger()


@dataclass(frozen=True, slots=True)
class Look:
    """What one look has found. `users` is None if everybody is to be asked about."""

    moment: datetime  # by the database's clock
    users: frozenset[UUID] | None

    def concerns(self, user_id: UUID, ends_at: datetime | None = None) -> bool:
        """Whether to ask about this user now: access was changed, or the moment at which it ends by itself has come."""
        if self.users is None or user_id in self.users:
            return True
        return ends_at is not None and ends_at <= self.moment


@dataclass(frozen=True, slots=True)
class _Seen:
    changes: AccessChanges
    anew_at: datetime
    connections: int


@final
class AccessHorizon:
    """What was seen so far: a snapshot of the database, so that no transaction is missed however long it is open."""

    __slots__ = ("_database", "_seen")

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: _Seen | None = None

    def forget(self) -> None:
        """To be called when somebody may not have been asked about; the next look is about everybody."""
        self._seen = None

    async def look(self) -> Look:
        """Returns whose access has changed since the look before. Raises DatabaseUnavailable and Overloaded.

        It is about everybody after a look that failed, every 30 seconds, and when the answer may come from another
        history than the one before: from another server, or over a connection that is new since. A server that has
        crashed gives the numbers of transactions again that it has lost.
        """
        seen, self._seen = self._seen, None
        connections = self._database.connections_opened
        changes = await queries.load_access_changes(
            self._database, None if seen is None else seen.changes.snapshot, most=MOST_CHANGES
        )
        if changes.is_standby:  # it is behind, nobody knows how far
            raise DatabaseUnavailable(reason=READ_ONLY)
        if seen is None or changes.users is None or not self._goes_on(seen, changes):
            self._seen = _Seen(changes, changes.moment, connections)
            return Look(changes.moment, None)
        self._seen = _Seen(changes, seen.anew_at, connections)
        return Look(changes.moment, changes.users)

    def _goes_on(self, seen: _Seen, changes: AccessChanges) -> bool:
        return (
            changes.server == seen.changes.server
            and self._database.connections_opened == seen.connections
            and timedelta(0) <= changes.moment - seen.anew_at < ANEW_AFTER
        )


class Watcher(Protocol):
    """Holds what is open beyond its request, and ends what may not go on."""

    @property
    def is_watching(self) -> bool:
        """Whether anything is open."""
        ...

    async def check(self, look: Look) -> None:
        """Asks the database about everybody whom the look concerns, and ends what has lost its access."""
        ...

    def end_all(self, failure: str) -> None:
        """Nobody knows who may go on."""
        ...


@final
class AccessWatch:
    """Fails closed: if the database does not respond in time, all that is open ends."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._horizon = AccessHorizon(database)
        self._watchers: list[Watcher] = []
        self._newcomers: set[UUID] = set()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def is_running(self) -> bool:
        return bool(self._tasks) and not self._tasks[0].done()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        self._start()
        try:
            yield
        finally:
            await self._stop()

    @contextmanager
    def including(self, watcher: Watcher) -> Generator[None]:
        """As long as the block runs, what this one holds is watched."""
        self._watchers.append(watcher)
        try:
            yield
        finally:
            self._watchers.remove(watcher)

    def admit(self, user_id: UUID) -> None:
        """To be called for each thing that opens, or is read for it, with no `await` between.

        Whatever was asked about this user before may be from before the last look, so the next one is about them.
        Raises InternalError if nobody would notice the end of their access.
        """
        if not self.is_running:
            raise InternalError
        self._newcomers.add(user_id)

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._look_regularly()), loop.create_task(self._prune_regularly())]
        for task in self._tasks:
            task.add_done_callback(self._end_after)

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    async def _look_regularly(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            watchers = [watcher for watcher in self._watchers if watcher.is_watching]
            if not watchers:
                self._horizon.forget()
                continue
            deadline = loop.time() + DEADLINE_SECONDS
            newcomers, self._newcomers = self._newcomers, set()
            try:
                async with asyncio.timeout_at(deadline):
                    look = await self._horizon.look()
            except (Problem, TimeoutError) as problem:
                self._end_all(type(problem).__name__)
                continue
            if look.users is not None:
                look = Look(look.moment, look.users | newcomers)
            await asyncio.gather(*(self._check(watcher, look, deadline) for watcher in watchers))

    async def _check(self, watcher: Watcher, look: Look, deadline: float) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                await watcher.check(look)
        except (Problem, TimeoutError) as problem:
            self._horizon.forget()
            watcher.end_all(type(problem).__name__)

    async def _prune_regularly(self) -> None:
        """Deletes the changes that every process has seen. One that has stood still for longer asks about everybody."""
        settled: AccessChanges | None = None
        while True:
            await asyncio.sleep(PRUNE_EVERY_SECONDS)
            try:
                if settled is not None:
                    await queries.prune_access_changes(self._database, settled)
                settled = await queries.load_access_changes(self._database, None, most=0)
            except Problem as problem:
                settled = None
                _log.warning("access_changes_kept", failure=type(problem).__name__)

    def _end_all(self, failure: str) -> None:
        for watcher in self._watchers:
            watcher.end_all(failure)

    def _end_after(self, task: "asyncio.Task[None]") -> None:
        """Without its tasks, nothing may stay open."""
        bug = None if task.cancelled() else task.exception()
        if bug is not None:
            _log.error("access_watch_broke", exc_info=bug)
        if not self.is_running:
            self._end_all("AccessWatchStopped" if bug is None else type(bug).__name__)
