"""Writes the entries of one owner that arrive while a transaction is under way together in the next one.

So hundreds of orders a second on one account cost tens of commits. Owners do not wait for each other. What nobody
waits for is written with the next entry that somebody does wait for, or a moment later by itself.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, final
from uuid import UUID

from corral.audit.models import Link, NewEntry
from corral.audit.problems import AuditUnavailable
from corral.errors import DatabaseUnavailable, Problem
from corral.logs import get_logger

ENTRIES_PER_COMMIT: Final = 200  # at most
# Connections that write at the same time, of the pool's ten. More owners than these wait for each other.
WRITERS: Final = 4
# Outcomes and sums that wait for the database. Beyond them they are lost, and the next process concludes as unknown.
MOST_LATE: Final = 50_000
# So long does an outcome wait for the next order's entry. A killed process forgets the outcomes that wait.
LINGER_SECONDS: Final = 0.2
FIRST_RETRY_SECONDS: Final = 0.5
LONGEST_RETRY_SECONDS: Final = 30.0

HandOver = Callable[[Sequence[Link]], None]

_log = get_logger()


@dataclass(eq=False, frozen=True, slots=True)
class Submitted:
    """An entry that is to be written. Without `written`, nobody waits for it, and it is tried until it is written."""

    user_id: UUID
    entry: NewEntry
    written: "asyncio.Future[Link] | None"

    @property
    def is_given_up(self) -> bool:
        return self.written is not None and self.written.cancelled()


@final
class GroupCommit:
    """Belongs to one event loop.

    `write` adds entries to the chain of one user, in one transaction, and hands its links over as soon as that has
    ended. `abandoned` is called for an entry that was written although nobody waits for it any more.
    """

    def __init__(
        self,
        write: Callable[[UUID, Sequence[NewEntry], HandOver], Awaitable[None]],
        abandoned: Callable[[UUID, NewEntry, Link], None],
    ) -> None:
        self._write = write
        self._abandoned = abandoned
        self._queues: dict[UUID, deque[Submitted]] = {}
        self._writers: set[asyncio.Task[None]] = set()  # one for each queue
        self._lingering: dict[UUID, list[Submitted]] = {}  # of those without a queue
        self._slots = asyncio.Semaphore(WRITERS)
        self._late: list[Submitted] = []
        self._retry: asyncio.TimerHandle | None = None
        self._retry_seconds = FIRST_RETRY_SECONDS
        self._stuck: set[UUID] = set()

    def submit(self, user_id: UUID, entry: NewEntry) -> "asyncio.Future[Link]":
        """The future gets the written entry, or AuditUnavailable.

        Cancel it to give up: the entry is not written then, unless that is just being done (see `abandoned`).
        """
        written: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
        self._enqueue(Submitted(user_id, entry, written))
        return written

    def submit_unawaited(self, user_id: UUID, entry: NewEntry) -> None:
        """Returns at once. What the database does not take is tried again."""
        submitted = Submitted(user_id, entry, None)
        if user_id in self._queues:
            self._enqueue(submitted)
        elif lingering := self._lingering.get(user_id):
            lingering.append(submitted)
        else:
            self._lingering[user_id] = lingering = [submitted]
            asyncio.get_running_loop().call_later(LINGER_SECONDS, self._end_lingering, user_id, lingering)

    def report_stuck(self, user_id: UUID, reason: str) -> None:
        """Says it once in the log, until an entry of this user is written again."""
        if user_id not in self._stuck:
            self._stuck.add(user_id)
            _log.error("audit_stuck", user_id=str(user_id), reason=reason)

    async def close(self, seconds: float) -> None:
        """Tries once more to write everything, for this long."""
        self._retry_late()
        try:
            async with asyncio.timeout(seconds):
                while self._writers or self._lingering:
                    for user_id in list(self._lingering):
                        self._enqueue_lingering(user_id)
                    await asyncio.wait(self._writers)
        except TimeoutError:
            for writer in self._writers:
                writer.cancel()
        if self._retry is not None:
            self._retry.cancel()
        left = [*self._queues.values(), *self._lingering.values()]
        waiting = [submitted for submitted in chain.from_iterable(left) if not submitted.is_given_up]
        if lost := len(self._late) + len(waiting):
            _log.error("audit_entries_lost", entries=lost)

    def _enqueue(self, submitted: Submitted) -> None:
        queue = self._queues.get(submitted.user_id)
        if queue is not None:
            queue.append(submitted)
            return
        self._queues[submitted.user_id] = deque([*self._lingering.pop(submitted.user_id, ()), submitted])
        writer = asyncio.get_running_loop().create_task(self._write_queue(submitted.user_id))
        self._writers.add(writer)
        writer.add_done_callback(self._finish)

    def _end_lingering(self, user_id: UUID, lingering: Sequence[Submitted]) -> None:
        if self._lingering.get(user_id) is lingering:  # else it left with an order's entry, and others linger now
            self._enqueue_lingering(user_id)

    def _enqueue_lingering(self, user_id: UUID) -> None:
        for submitted in self._lingering.pop(user_id, ()):
            self._enqueue(submitted)

    def _finish(self, writer: asyncio.Task[None]) -> None:
        self._writers.discard(writer)
        if not writer.cancelled() and (error := writer.exception()):
            _log.error("audit_writer_broke", exc_info=error)

    async def _write_queue(self, user_id: UUID) -> None:
        queue = self._queues[user_id]
        try:
            while queue:
                async with self._slots:
                    await self._write_batch(user_id, queue)
        finally:
            del self._queues[user_id]
            _fail_all(queue, AuditUnavailable(retry_after=1))  # none is left, unless the writer broke

    async def _write_batch(self, user_id: UUID, queue: deque[Submitted]) -> None:
        taken = [queue.popleft() for _ in range(min(len(queue), ENTRIES_PER_COMMIT))]
        batch = [submitted for submitted in taken if not submitted.is_given_up]
        if not batch:
            return
        is_written = False

        def hand_over(links: Sequence[Link]) -> None:
            nonlocal is_written
            is_written = True
            self._resolve(user_id, batch, links)

        try:
            await self._write(user_id, [submitted.entry for submitted in batch], hand_over)
        except Problem as problem:
            if not is_written:  # else the connection broke when it was given back
                self._keep_late(batch, problem)
                self.report_stuck(user_id, problem.reason if isinstance(problem, DatabaseUnavailable) else problem.code)
        except BaseException as error:
            _fail_all(batch, error)
            raise

    def _resolve(self, user_id: UUID, batch: Sequence[Submitted], links: Sequence[Link]) -> None:
        for submitted, link in zip(batch, links, strict=True):
            if submitted.written is None:
                continue
            if submitted.written.done():
                self._abandoned(user_id, submitted.entry, link)
            else:
                submitted.written.set_result(link)
        self._retry_seconds = FIRST_RETRY_SECONDS
        if user_id in self._stuck:
            self._stuck.remove(user_id)
            _log.info("audit_works_again", user_id=str(user_id))

    def _keep_late(self, batch: Sequence[Submitted], problem: Problem) -> None:
        _fail_all(batch, AuditUnavailable(retry_after=1), cause=problem)
        late = [submitted for submitted in batch if submitted.written is None]
        kept = late[: MOST_LATE - len(self._late)]
        self._late += kept
        if len(kept) < len(late):
            _log.error("audit_entries_lost", entries=len(late) - len(kept))
        if self._late and self._retry is None:
            self._retry = asyncio.get_running_loop().call_later(self._retry_seconds, self._retry_late)
            self._retry_seconds = min(2 * self._retry_seconds, LONGEST_RETRY_SECONDS)

    def _retry_late(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        late, self._late = self._late, []
        for submitted in late:
            self._enqueue(submitted)


def _fail_all(batch: Iterable[Submitted], error: BaseException, cause: BaseException | None = None) -> None:
    error.__cause__ = error.__cause__ or cause
    for submitted in batch:
        if submitted.written is not None and not submitted.written.done():
            submitted.written.set_exception(error)
