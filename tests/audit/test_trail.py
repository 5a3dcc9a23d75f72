"""What is written down before and after something is sent: numbered, on the disk, and never in the answer's way."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import UUID

import asyncpg
import pytest

from corral.audit import group_commit, queries, writing
from corral.audit import trail as trails
from corral.audit.chain import canonical_text, follows, read_text
from corral.audit.group_commit import GroupCommit, HandOver
from corral.audit.models import Head, Link, NewEntry, Result
from corral.audit.problems import AuditUnavailable
from corral.audit.queries import Filters
from corral.audit.reading import load_deeds
from corral.audit.trail import AuditTrail
from corral.database.connection import Connection, get_connection_with_rls
from corral.database.embedded.instance import EmbeddedDatabase
from corral.errors import DatabaseUnavailable, Overloaded
from tests.access import owner_of
from tests.audit.trails import GRANT, entries_of, order, paused, pending_of
from tests.conftest import Service
from tests.log_lines import LogSince
from tests.people import Person


@asynccontextmanager
async def locked_head(postgres: EmbeddedDatabase, person: Person) -> AsyncGenerator[None]:
    """As by a transaction that hangs."""
    async with owner_of(postgres) as connection, connection.transaction():
        await connection.execute("SELECT FROM corral.audit_heads WHERE user_id = $1 FOR UPDATE", person.user_id)
        yield


async def test_an_order_is_written_down_before_it_leaves_and_its_outcome_after(
    trail: AuditTrail, alice: Person, owner: asyncpg.Connection
) -> None:
    before = len(await entries_of(owner, alice.user_id))
    pending = await trail.begin(alice.user_id, order()).written()
    assert [entry.result for entry in (await entries_of(owner, alice.user_id))[before:]] == ["begun"]
    assert await pending_of(owner, alice.user_id) == 1
    pending.conclude(Result.DONE, {"status": "200"}, object_id="alpaca-1")
    pending.conclude(Result.UNKNOWN)  # the first one counts
    await trail.close()
    begun, outcome = (await entries_of(owner, alice.user_id))[before:]
    assert (begun.object_id, begun.concludes) == ("corral-1", None)
    assert (outcome.result, outcome.concludes, outcome.object_id) == ("done", begun.seq, "alpaca-1")
    assert (outcome.actor, outcome.action, outcome.details) == (str(GRANT), "order.submit", {"status": "200"})
    assert await pending_of(owner, alice.user_id) == 0


async def test_an_order_whose_outcome_is_written_while_the_page_is_read_is_on_the_page(
    trail: AuditTrail, alice: Person, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    pending = await trail.begin(alice.user_id, order()).written()
    load_page = queries.load_page

    async def load_and_conclude(
        connection: Connection, user_id: UUID, filters: Filters, most: int
    ) -> list[tuple[str, bool]]:
        rows = await load_page(connection, user_id, filters, most)
        pending.conclude(Result.DONE)
        await trail.close()
        return rows

    monkeypatch.setattr(queries, "load_page", load_and_conclude)
    for shown in (Result.BEGUN, Result.DONE):
        page = await load_deeds(alice.user_id, service.resources.database, Filters(action="order.submit"), 10)
        assert [(deed.entry.result, deed.entry.details) for deed in page.deeds] == [
            (shown, order().details if shown is Result.BEGUN else {})
        ]


async def test_orders_of_the_same_moment_share_few_commits(
    trail: AuditTrail, alice: Person, owner: asyncpg.Connection
) -> None:
    before = len(await entries_of(owner, alice.user_id))
    pendings = await asyncio.gather(*(trail.begin(alice.user_id, order()).written() for _ in range(300)))
    assert sorted(pending.seq for pending in pendings) == list(range(before + 1, before + 301))
    for pending in pendings:
        pending.conclude(Result.DONE)
    await trail.close()
    commits = await owner.fetchval(
        "SELECT count(DISTINCT xmin::text) FROM corral.audit_entries WHERE user_id = $1 AND seq > $2",
        alice.user_id, before,
    )  # fmt: skip
    assert commits <= 8


async def test_an_outcome_is_written_with_the_next_order_or_soon_by_itself(
    trail: AuditTrail, alice: Person, owner: asyncpg.Connection
) -> None:
    (await trail.begin(alice.user_id, order()).written()).conclude(Result.DONE)
    last = await trail.begin(alice.user_id, order("next")).written()
    shared = "SELECT count(DISTINCT xmin::text) FROM corral.audit_entries WHERE user_id = $1 AND seq >= $2"
    assert await owner.fetchval(shared, alice.user_id, last.seq - 1) == 1
    last.conclude(Result.DONE)
    last.conclude(Result.UNKNOWN)
    async with asyncio.timeout(60):
        while await pending_of(owner, alice.user_id):  # noqa: ASYNC110 - the database tells of nothing
            await asyncio.sleep(0.02)
    assert [entry.result for entry in (await entries_of(owner, alice.user_id))[-4:]] == ["begun", "done"] * 2


async def test_entries_that_follow_ones_own_take_one_trip(
    trail: AuditTrail, alice: Person, bob: Person, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await trail.begin(alice.user_id, order()).written()
    lock_head = queries.lock_head

    async def refuse(*_: object, **__: object) -> None:
        raise DatabaseUnavailable(reason="it was asked for the head")

    monkeypatch.setattr(queries, "lock_head", refuse)
    first.conclude(Result.DONE)
    second = await trail.begin(alice.user_id, order()).written()
    assert second.seq == first.seq + 2
    before, _, entry = (await entries_of(owner, alice.user_id))[-3:]
    assert (before.seq, entry.seq, entry.at > before.at) == (first.seq, second.seq, True)
    assert abs(await owner.fetchval("SELECT clock_timestamp()") - entry.at) < timedelta(seconds=2)
    monkeypatch.setattr(writing, "MOST_KNOWN", 1)
    monkeypatch.setattr(queries, "lock_head", lock_head)
    await trail.begin(bob.user_id, order()).written()  # and Alice's head is forgotten
    monkeypatch.setattr(queries, "lock_head", refuse)
    await trail.begin(bob.user_id, order()).written()
    with pytest.raises(AuditUnavailable):
        await trail.begin(alice.user_id, order()).written()


async def test_processes_that_add_to_one_chain_in_turns_follow_each_other(
    trail: AuditTrail, service: Service, alice: Person, owner: asyncpg.Connection
) -> None:
    vault = service.resources.vault
    other = AuditTrail(service.resources.database, vault)
    for adding in (trail, other, other, trail, trail):
        (await adding.begin(alice.user_id, order()).written()).conclude(Result.DONE)
    await trail.close()
    await other.close()
    assert await pending_of(owner, alice.user_id) == 0
    rows = await owner.fetch(
        "SELECT seq, body, mac FROM corral.audit_entries WHERE user_id = $1 ORDER BY seq", alice.user_id
    )
    links = [Link(*row) for row in rows]
    before = [b"", *(link.mac for link in links)]
    assert [link.seq for link in links] == list(range(1, len(links) + 1))
    assert all(follows(vault, alice.user_id, mac, link) for mac, link in zip(before, links, strict=False))
    times = [read_text(link.body).at for link in links]
    assert times == sorted(times)


async def test_after_a_pause_of_the_clock_the_database_is_asked_for_the_time(
    trail: AuditTrail, alice: Person, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the machine has slept: its monotonic clock has stood still meanwhile."""
    await trail.begin(alice.user_id, order()).written()
    asleep = time.monotonic() - 3_600
    monkeypatch.setattr(writing, "time", SimpleNamespace(monotonic=lambda: asleep))
    await trail.begin(alice.user_id, order()).written()
    *_, entry = await entries_of(owner, alice.user_id)
    assert abs(await owner.fetchval("SELECT clock_timestamp()") - entry.at) < timedelta(seconds=60)


async def test_an_order_whose_entry_cannot_be_written_within_two_seconds_is_not_sent(
    trail: AuditTrail, alice: Person, bob: Person, postgres: EmbeddedDatabase, owner: asyncpg.Connection, log: LogSince
) -> None:
    before = len(await entries_of(owner, alice.user_id))
    async with locked_head(postgres, alice):
        began = time.monotonic()  # the database counts the seconds
        results = await asyncio.gather(
            *(trail.begin(alice.user_id, order()).written() for _ in range(3)), return_exceptions=True
        )
        assert time.monotonic() - began >= 1.5
        for result in results:
            assert isinstance(result, AuditUnavailable)
            assert (result.status, result.code, result.retry_after) == (503, "audit_unavailable", 1)
        (await trail.begin(bob.user_id, order()).written()).conclude(Result.DONE)  # others are not kept waiting
    assert len(log.alarms("audit_stuck")) == 1
    (await trail.begin(alice.user_id, order("later")).written()).conclude(Result.DONE)
    await trail.close()
    assert await log.awaited("audit_works_again")
    written = (await entries_of(owner, alice.user_id))[before:]
    assert [entry.result for entry in written if entry.object_id == "later"] == ["begun", "done"]
    sent = {entry.seq for entry in written if entry.object_id == "corral-1" and entry.result == "begun"}
    assert sent == {entry.concludes for entry in written if entry.result == "refused"}


async def test_an_entry_that_is_written_too_late_says_that_nothing_was_sent(
    trail: AuditTrail, alice: Person, postgres: EmbeddedDatabase, owner: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch, log: LogSince,
) -> None:  # fmt: skip
    monkeypatch.setattr(trails, "LONGEST_WAIT_SECONDS", 0.05)
    async with locked_head(postgres, alice):
        with pytest.raises(AuditUnavailable):
            await trail.begin(alice.user_id, order()).written()
    await log.awaited("audit_stuck", user_id=str(alice.user_id))
    await trail.close()
    begun, outcome = (await entries_of(owner, alice.user_id))[-2:]
    assert (begun.result, outcome.result, outcome.concludes) == ("begun", "refused", begun.seq)
    assert outcome.details == {"reason": "written too late; nothing was sent"}


async def test_an_entry_that_is_given_up_and_then_refused_is_nothing(
    trail: AuditTrail, alice: Person, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse_late(*_: object, **__: object) -> None:
        await asyncio.sleep(0.3)
        raise DatabaseUnavailable(reason="it is stopped")

    before = await entries_of(owner, alice.user_id)
    monkeypatch.setattr(trails, "LONGEST_WAIT_SECONDS", 0.05)
    monkeypatch.setattr(queries, "lock_head", refuse_late)
    with pytest.raises(AuditUnavailable):
        await trail.begin(alice.user_id, order()).written()
    await trail.close()
    assert await entries_of(owner, alice.user_id) == before


async def test_the_service_is_ready_while_only_an_audit_trail_is_stuck(
    service: Service, alice: Person, postgres: EmbeddedDatabase
) -> None:
    async with locked_head(postgres, alice):
        async with alice.client.get("/readyz") as answer:
            assert answer.status == 200
        async with alice.client.post("/api/tokens", json={"name": "another"}) as answer:
            assert answer.status == 503


async def test_who_hangs_up_before_the_entry_is_written_leaves_none_or_a_refused_one(
    trail: AuditTrail, alice: Person, postgres: EmbeddedDatabase, owner: asyncpg.Connection
) -> None:
    async with locked_head(postgres, alice):
        waiting = [asyncio.create_task(trail.begin(alice.user_id, order(f"{number}")).written()) for number in range(2)]
        await asyncio.sleep(0.1)  # the first ones are waiting for the lock
        waiting.append(asyncio.create_task(trail.begin(alice.user_id, order("queued")).written()))
        await asyncio.sleep(0.1)
        for task in waiting:
            task.cancel()
        assert all(
            isinstance(one, asyncio.CancelledError) for one in await asyncio.gather(*waiting, return_exceptions=True)
        )
    await asyncio.sleep(0)
    await trail.close()
    written = [entry for entry in await entries_of(owner, alice.user_id) if entry.action == "order.submit"]
    assert [(entry.object_id, entry.result) for entry in written] == [
        ("0", "begun"), ("1", "begun"), ("0", "refused"), ("1", "refused"),
    ]  # fmt: skip
    assert await pending_of(owner, alice.user_id) == 0


async def test_an_outcome_is_recorded_by_a_request_that_is_being_cancelled(
    trail: AuditTrail, alice: Person, owner: asyncpg.Connection
) -> None:
    begun = asyncio.Event()

    async def request() -> None:
        pending = await trail.begin(alice.user_id, order()).written()
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            pending.conclude(Result.UNKNOWN, {"reason": "the client hung up"})

    task = asyncio.create_task(request())
    await begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await trail.close()
    assert (await entries_of(owner, alice.user_id))[-1].result == "unknown"


class Database:
    """A database that refuses as long as it is told to. Remembers which entries were written for nobody."""

    def __init__(self) -> None:
        self.refusal: Exception | None = None
        self.refusal_of_what_is_written: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.written: list[list[NewEntry]] = []
        self.abandoned: list[NewEntry] = []

    def commits(self) -> GroupCommit:
        return GroupCommit(self.write, lambda _user_id, entry, _link: self.abandoned.append(entry))

    async def write(self, user_id: UUID, entries: Sequence[NewEntry], hand_over: HandOver) -> None:
        await self.gate.wait()
        if self.refusal is not None:
            raise self.refusal
        self.written.append(list(entries))
        first = sum(map(len, self.written)) - len(entries) + 1
        now = datetime.now(UTC)
        hand_over(
            [Link(seq, canonical_text(user_id, seq, now, entry), b"") for seq, entry in enumerate(entries, first)]
        )
        if self.refusal_of_what_is_written is not None:
            raise self.refusal_of_what_is_written


ALICE = UUID(int=1)


async def test_an_outcome_that_the_database_does_not_take_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, log: LogSince
) -> None:
    monkeypatch.setattr(group_commit, "FIRST_RETRY_SECONDS", 0.01)
    database = Database()
    commits = database.commits()
    database.refusal = DatabaseUnavailable(reason="it is stopped")
    commits.submit_unawaited(ALICE, order("kept"))
    refused = commits.submit(ALICE, order("refused"))
    with pytest.raises(AuditUnavailable) as raised:
        await refused
    assert raised.value.__cause__ is database.refusal
    await asyncio.sleep(0.1)
    database.refusal = Overloaded()
    await asyncio.sleep(0.05)
    database.refusal = None
    await log.awaited("audit_works_again")
    await commits.close(1)
    assert [[entry.object_id for entry in batch] for batch in database.written] == [["kept"]]
    (stuck,) = log.alarms("audit_stuck")
    assert stuck["reason"] == "it is stopped"


async def test_what_is_written_is_not_written_again_when_its_connection_breaks_afterwards() -> None:
    database = Database()
    commits = database.commits()
    database.refusal_of_what_is_written = DatabaseUnavailable(reason="it is stopped")
    commits.submit_unawaited(ALICE, order("outcome"))
    assert (await commits.submit(ALICE, order("next"))).seq == 2
    await commits.close(1)
    assert [[entry.object_id for entry in batch] for batch in database.written] == [["outcome", "next"]]


async def test_entries_that_wait_for_the_database_are_bounded(monkeypatch: pytest.MonkeyPatch, log: LogSince) -> None:
    monkeypatch.setattr(group_commit, "MOST_LATE", 3)
    database = Database()
    database.refusal = DatabaseUnavailable(reason="it is stopped")
    commits = database.commits()
    for number in range(5):
        commits.submit_unawaited(ALICE, order(str(number)))
    await log.awaited("audit_entries_lost", entries=2)
    await commits.close(1)
    await log.awaited("audit_entries_lost", entries=3)


async def test_who_gives_up_while_others_write_leaves_nothing() -> None:
    database = Database()
    database.gate.clear()
    commits = database.commits()
    others = [commits.submit(UUID(int=number), order()) for number in range(10, 10 + group_commit.WRITERS)]
    given_up = commits.submit(ALICE, order())
    await asyncio.sleep(0)
    for gone in (given_up, others[0]):  # which waits, and which is being written
        gone.cancel()
    database.gate.set()
    await asyncio.gather(*others[1:])
    await commits.close(1)
    assert len(database.written) == len(others)
    assert len(database.abandoned) == 1


async def test_outcomes_linger_for_their_whole_time_also_after_others_left_with_an_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of them that is written by itself is a commit more."""
    monkeypatch.setattr(group_commit, "LINGER_SECONDS", 0.3)
    database = Database()
    commits = database.commits()
    commits.submit_unawaited(ALICE, order("first outcome"))
    await asyncio.sleep(0.2)
    await commits.submit(ALICE, order("second"))
    commits.submit_unawaited(ALICE, order("second outcome"))
    await asyncio.sleep(0.2)  # the first outcome would have left by now
    await commits.submit(ALICE, order("third"))
    assert [[entry.object_id for entry in batch] for batch in database.written] == [
        ["first outcome", "second"],
        ["second outcome", "third"],
    ]
    await commits.close(1)


async def test_a_request_that_ends_as_its_entry_is_written_has_sent_nothing(
    trail: AuditTrail, alice: Person, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    request: list[asyncio.Task[object]] = []
    extend_chain = queries.extend_chain

    async def extend_and_cancel(
        connection: Connection, user_id: UUID, head: Head, moment: datetime, added: queries.Addition
    ) -> bool:
        extended = await extend_chain(connection, user_id, head, moment, added)
        asyncio.get_running_loop().call_soon(request[0].cancel)  # before the request goes on
        return extended

    (await trail.begin(alice.user_id, order("before")).written()).conclude(Result.DONE)
    monkeypatch.setattr(queries, "extend_chain", extend_and_cancel)
    request.append(asyncio.create_task(trail.begin(alice.user_id, order("late")).written()))
    with pytest.raises(asyncio.CancelledError):
        await request[0]
    monkeypatch.undo()
    await trail.close()
    written = [entry for entry in await entries_of(owner, alice.user_id) if entry.object_id == "late"]
    assert [entry.result for entry in written] == ["begun", "refused"]
    assert await pending_of(owner, alice.user_id) == 0


async def test_closing_waits_only_so_long(log: LogSince) -> None:
    database = Database()
    database.gate.clear()
    commits = database.commits()
    commits.submit_unawaited(ALICE, order())
    began = asyncio.get_running_loop().time()
    await commits.close(0.1)
    assert asyncio.get_running_loop().time() - began < 5
    assert log.alarms("audit_entries_lost") == []


async def test_a_bug_in_writing_reaches_whoever_waits_and_the_log(
    monkeypatch: pytest.MonkeyPatch, log: LogSince
) -> None:
    monkeypatch.setattr(group_commit, "ENTRIES_PER_COMMIT", 1)
    database = Database()
    database.refusal = ZeroDivisionError()
    commits = database.commits()
    first, second = commits.submit(ALICE, order()), commits.submit(ALICE, order())
    with pytest.raises(ZeroDivisionError):
        await first
    with pytest.raises(AuditUnavailable):
        await second
    await log.awaited("audit_writer_broke")
    database.refusal = None
    assert (await commits.submit(ALICE, order())).seq == 1


async def test_recording_without_an_intent_returns_the_entry(
    service: Service, trail: AuditTrail, alice: Person
) -> None:
    first, second = [await trail.record(alice.user_id, entry) for entry in paused(2)]
    async with get_connection_with_rls(alice.user_id, service.resources.database) as connection:
        await trail.record_in(connection, alice.user_id, *paused())
    assert second.seq == first.seq + 1
    assert second.details == {"number": "1"}
    assert second.at >= first.at
