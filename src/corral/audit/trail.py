"""The audit trail of a process: entries before and after what is sent to Alpaca, changes, and sums."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal, TypeAlias, final
from uuid import UUID, uuid4

from corral.audit import queries
from corral.audit.chain import read_text
from corral.audit.group_commit import GroupCommit
from corral.audit.models import Action, Actor, AuditEntry, NewEntry, Result
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
        self._commits = GroupCommit(self._write)
        self._tallies = Tallies()
        self._open: set[tuple[UUID, int]] = set()  # user and number of what this process has begun and not concluded

    async def begin(self, user_id: UUID, entry: NewEntry) -> "Pending":
        """Writes down what is about to be sent to Alpaca, and returns when that is on the disk.

        Raises AuditUnavailable after two seconds, or as soon as the database refuses: then nothing may be sent.
        Whoever gets a `Pending` concludes it in every case. If the caller is cancelled before, the entry is concluded
        as refused, should it be written after all.
        """
        written = self._commits.submit(user_id, replace(entry, result=Result.BEGUN))
        try:
            async with asyncio.timeout(LONGEST_WAIT_SECONDS):
                return Pending(self, await asyncio.shield(written))
        except TimeoutError:
            self._give_up(user_id, written)
            self._commits.report_stuck(user_id, "the chain's head is locked, or the database is slow")
            raise AuditUnavailable(retry_after=1) from None
        except asyncio.CancelledError:
            self._give_up(user_id, written)
            raise

    async def record(self, user_id: UUID, entry: NewEntry) -> AuditEntry:
        """Writes down what was done, and returns when that is on the disk. Raises AuditUnavailable."""
        return await asyncio.shield(self._commits.submit(user_id, entry))

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

    def conclude(
        self,
        begun: AuditEntry,
        outcome: Outcome,
        details: Mapping[str, str] | None = None,
        object_id: str | None = None,
    ) -> None:
        """Of a `Pending`, which calls it once."""
        self._commits.submit_unawaited(begun.user_id, _conclusion(begun, outcome, details or {}, object_id))

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
            conclusions = [_conclusion(read_text(body), outcome, {"reason": reason}) for body in left]
            await record_in(connection, self._vault, user_id, *conclusions)
        _log.warning("audit_intents_abandoned", user_id=str(user_id), entries=len(left))

    async def close(self) -> None:
        """Writes what waits, for five seconds at most. What is not concluded by then is left to the next process."""
        self._submit_sums(self._tallies.take_all())
        await self._commits.close(_CLOSE_SECONDS)

    async def _write(self, user_id: UUID, entries: Sequence[NewEntry]) -> list[AuditEntry]:
        written = await self._writer.write(user_id, entries)
        for entry in written:
            if entry.concludes is not None:
                self._open.discard((user_id, entry.concludes))
            elif entry.result == Result.BEGUN:
                self._open.add((user_id, entry.seq))
        return written

    def _give_up(self, user_id: UUID, written: "asyncio.Future[AuditEntry]") -> None:
        if not self._commits.withdraw(user_id, written):
            written.add_done_callback(self._conclude_unsent)

    def _conclude_unsent(self, written: "asyncio.Future[AuditEntry]") -> None:
        if not written.cancelled() and written.exception() is None:
            self.conclude(written.result(), Result.REFUSED, {"reason": "written too late; nothing was sent"})

    def _submit_sums(self, sums: Sequence[tuple[UUID, NewEntry]]) -> None:
        for user_id, entry in sums:
            self._commits.submit_unawaited(user_id, entry)


@final
class Pending:
    """What was written down and may be sent now. Its outcome has to follow."""

    __slots__ = ("_is_concluded", "_trail", "entry")

    def __init__(self, trail: AuditTrail, entry: AuditEntry) -> None:
        self.entry: Final = entry
        self._trail = trail
        self._is_concluded = False

    def conclude(
        self, outcome: Outcome, details: Mapping[str, str] | None = None, *, object_id: str | None = None
    ) -> None:
        """Records how it ended, with the id of what was made, if any. Returns at once, never raises; once only.

        It awaits nothing, so that a request that is being cancelled records its outcome, too. What the database does
        not take now is tried again.
        """
        if not self._is_concluded:
            self._is_concluded = True
            self._trail.conclude(self.entry, outcome, details, object_id)


AUDIT: Final = StateKey[AuditTrail]("audit")


def _conclusion(
    begun: AuditEntry, outcome: Outcome, details: Mapping[str, str], object_id: str | None = None
) -> NewEntry:
    return NewEntry(
        actor=begun.actor,
        action=begun.action,
        result=outcome,
        credential_id=begun.credential_id,
        grant_id=begun.grant_id,
        object_id=object_id or begun.object_id,
        details=details,
        concludes=begun.seq,
    )
