"""The audit trail of a process: entries before and after what is sent to Alpaca, changes, and sums."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, Literal, Self, TypeAlias, final
from uuid import UUID, uuid4

from corral.audit import queries
from corral.audit.chain import read_text
from corral.audit.group_commit import GroupCommit, HandOver
from corral.audit.models import Action, Actor, AuditEntry, Link, NewEntry, Result
from corral.audit.problems import AuditUnavailable
from corral.audit.tallies import Tallies
from corral.audit.writing import ChainWriter, record_in
from corral.database.connection import Connection, Database
from corral.edge.request_state import StateKey
from corral.logs import get_logger
from corral.vault import Vault

LONGEST_WAIT_SECONDS: Final = 2.0  # of an order for its entry
_CLOSE_SECONDS: Final = 5.0

Outcome: TypeAlias = Literal[Result.DONE, Result.REFUSED, Result.FAILED, Result.UNKNOWN]

_log = get_logger()


@final
class AuditTrail:
    """Belongs to one event loop, and lives as long as the process."""

    __slots__ = ("_commits", "_database", "_open", "_tallies", "_vault", "_writer", "process_id")

    def __init__(self, database: Database, vault: Vault) -> None:
        self.process_id: Final = uuid4()
        self._database = database
        self._vault = vault
        self._writer = ChainWriter(database, vault, self.process_id)
        self._commits = GroupCommit(self._write, self._conclude_abandoned)
        self._tallies = Tallies()
        self._open: set[tuple[UUID, int]] = set()  # user and number of what this process has begun and not concluded

    def begin(self, user_id: UUID, entry: NewEntry) -> "Pending":
        """Writes down what is about to be sent to Alpaca: see `Pending.written`.

        Whoever gets a `Pending` concludes it in every case.
        """
        begun = replace(entry, result=Result.BEGUN)
        return Pending(self._commits, user_id, begun, self._commits.submit(user_id, begun))

    async def record(self, user_id: UUID, entry: NewEntry) -> AuditEntry:
        """Writes down what was done, and returns when that is on the disk. Raises AuditUnavailable."""
        link = await asyncio.shield(self._commits.submit(user_id, entry))
        return read_text(link.body)

    async def record_in(self, connection: Connection, user_id: UUID, *entries: NewEntry) -> None:
        """Writes down a change in the transaction that makes it: see `corral.audit.writing.record_in`."""
        await record_in(connection, self._vault, user_id, *entries)

    def count_refusal(
        self, user_id: UUID, action: Action, actor: Actor, code: str, *, credential_id: UUID | None = None,
        grant_id: UUID | None = None, address: str = "",
    ) -> None:  # fmt: skip
        """Counts a refusal. Those of a minute that differ in nothing but the address become one entry."""
        self._tallies.count_refusal(
            user_id, action, actor, code, credential_id=credential_id, grant_id=grant_id, address=address
        )

    def count_read(
        self, user_id: UUID, grant_id: UUID, credential_id: UUID, purpose: str, *, address: str = ""
    ) -> None:
        """Counts a read by a grant. Those of an hour for the same purpose become one entry."""
        self._tallies.count_read(user_id, grant_id, credential_id, purpose, address=address)

    def write_sums(self) -> None:
        """Writes the sums of minutes and hours that have ended."""
        self._submit_sums(self._tallies.take_ended())

    async def close_abandoned(self) -> None:
        """Concludes what nobody else will. Raises DatabaseUnavailable and Overloaded.

        What was begun by processes that are gone may have been sent. What this process has begun without knowing it,
        because the connection broke in the commit, was not.
        """
        gone: dict[UUID, list[int]] = {}
        for user_id, seq, is_own in await queries.find_abandoned(self._database, self.process_id):
            if not is_own:
                gone.setdefault(user_id, []).append(seq)
            elif (user_id, seq) not in self._open:
                await self._close(user_id, [seq], Result.REFUSED, "the database broke off; nothing was sent")
        for user_id, seqs in gone.items():
            await self._close(user_id, seqs, Result.UNKNOWN, "Corral stopped")

    async def _close(self, user_id: UUID, seqs: Sequence[int], outcome: Outcome, reason: str) -> None:
        async with queries.open_writing(self._database) as connection:
            await queries.lock_head(connection, user_id, waits_for_disk=True)
            # Another process may have been faster, or the one that was believed to be gone.
            left = await queries.find_pending_texts(connection, user_id, seqs)
            begun = [read_text(body) for body in left]
            conclusions = [_conclusion(entry, entry.seq, outcome, {"reason": reason}) for entry in begun]
            await record_in(connection, self._vault, user_id, *conclusions)
        _log.warning("audit_intents_abandoned", user_id=str(user_id), entries=len(left))

    async def close(self) -> None:
        """Writes what waits, for five seconds at most. What is not concluded by then is left to the next process."""
        self._submit_sums(self._tallies.take_all())
        await self._commits.close(_CLOSE_SECONDS)

    async def _write(self, user_id: UUID, entries: Sequence[NewEntry], hand_over: HandOver) -> None:
        await self._writer.write(user_id, entries, partial(self._note_open, user_id, entries, hand_over))

    def _note_open(
        self, user_id: UUID, entries: Sequence[NewEntry], hand_over: HandOver, links: Sequence[Link]
    ) -> None:
        for entry, link in zip(entries, links, strict=True):
            if entry.concludes is not None:
                self._open.discard((user_id, entry.concludes))
            elif entry.result is Result.BEGUN:
                self._open.add((user_id, link.seq))
        hand_over(links)

    def _conclude_abandoned(self, user_id: UUID, entry: NewEntry, link: Link) -> None:
        if entry.result is Result.BEGUN:
            self._commits.submit_unawaited(user_id, _not_sent(entry, link))

    def _submit_sums(self, sums: Sequence[tuple[UUID, NewEntry]]) -> None:
        for user_id, entry in sums:
            self._commits.submit_unawaited(user_id, entry)


@final
class Pending:
    """What is written down before it is sent. Its outcome has to follow."""

    __slots__ = ("_commits", "_entry", "_is_concluded", "_user_id", "_written")

    def __init__(self, commits: GroupCommit, user_id: UUID, entry: NewEntry, written: "asyncio.Future[Link]") -> None:
        self._commits = commits
        self._user_id = user_id
        self._entry = entry
        self._written = written
        self._is_concluded = False

    @property
    def seq(self) -> int:
        """Its number, when it is written."""
        return self._written.result().seq

    async def written(self) -> Self:
        """Returns when it is on the disk: nothing may be sent before.

        Raises AuditUnavailable after two seconds, or as soon as the database refuses: then nothing may be sent at all.
        If the caller is cancelled meanwhile, it is concluded as refused, should it be written after all.
        """
        try:
            async with asyncio.timeout(LONGEST_WAIT_SECONDS):
                await self._written
        except TimeoutError:
            self._give_up()
            self._commits.report_stuck(self._user_id, "the chain's head is locked, or the database is slow")
            raise AuditUnavailable(retry_after=1) from None
        except asyncio.CancelledError:
            self._give_up()
            raise
        return self

    def conclude(
        self, outcome: Outcome, details: Mapping[str, str] | None = None, *, object_id: str | None = None
    ) -> None:
        """Records how it ended, with the id of what was made, if any. Returns at once, never raises; once only.

        It awaits nothing, so that a request that is being cancelled records its outcome, too. What the database does
        not take now is tried again. What is not written yet was not sent, and is given up.
        """
        if self._is_concluded:
            return
        if not self._is_written():
            self._give_up()
            return
        self._is_concluded = True
        self._commits.submit_unawaited(
            self._user_id, _conclusion(self._entry, self.seq, outcome, details or {}, object_id)
        )

    def _give_up(self) -> None:
        self._is_concluded = True
        if self._is_written():  # in the same moment
            self._commits.submit_unawaited(self._user_id, _not_sent(self._entry, self._written.result()))
        else:
            self._written.cancel()

    def _is_written(self) -> bool:
        return self._written.done() and not self._written.cancelled() and self._written.exception() is None


AUDIT: Final = StateKey[AuditTrail]("audit")


def _conclusion(
    begun: NewEntry | AuditEntry, seq: int, outcome: Outcome, details: Mapping[str, str], object_id: str | None = None
) -> NewEntry:
    return NewEntry(
        actor=begun.actor,
        action=begun.action,
        result=outcome,
        credential_id=begun.credential_id,
        grant_id=begun.grant_id,
        object_id=object_id or begun.object_id,
        details=details,
        concludes=seq,
    )


def _not_sent(begun: NewEntry, link: Link) -> NewEntry:
    return _conclusion(begun, link.seq, Result.REFUSED, {"reason": "written too late; nothing was sent"})
