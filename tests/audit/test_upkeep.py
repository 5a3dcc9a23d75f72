"""What nobody concluded is concluded as unknown once its process is gone; sums and heads are written by themselves."""

import asyncio
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from corral.audit import queries, upkeep
from corral.audit.heads import load_heads
from corral.audit.models import ANYONE, Action, Result
from corral.audit.trail import AuditTrail
from corral.audit.upkeep import open_audit_trail
from corral.audit.writing import ChainWriter
from corral.errors import DatabaseUnavailable
from tests.audit.trails import entries_of, order, pending_of
from tests.conftest import Service
from tests.log_lines import LogSince
from tests.people import Person


@pytest.fixture
def other(service: Service) -> AuditTrail:
    """That of another process, which looks for what is left open."""
    return AuditTrail(service.resources.database, service.resources.vault)


async def age(owner: asyncpg.Connection, person: Person) -> None:
    await owner.execute(
        "UPDATE corral.audit_pending SET begun_at = begun_at - interval '61 seconds' WHERE user_id = $1", person.user_id
    )


async def test_an_intent_is_left_alone_while_its_process_runs_and_until_it_is_a_minute_old(
    service: Service, trail: AuditTrail, other: AuditTrail, alice: Person, owner: asyncpg.Connection
) -> None:
    await queries.note_process(service.resources.database, trail.process_id)
    pending = await trail.begin(alice.user_id, order()).written()
    await age(owner, alice)
    await other.close_abandoned()
    assert await pending_of(owner, alice.user_id) == 1, "the process runs"
    await queries.forget_process(service.resources.database, trail.process_id)
    young = await trail.begin(alice.user_id, order("young")).written()
    await asyncio.gather(*(other.close_abandoned() for _ in range(3)))  # as several processes at once
    *_, last = await entries_of(owner, alice.user_id)
    assert (last.concludes, last.result, last.details) == (pending.seq, "unknown", {"reason": "Corral stopped"})
    assert await pending_of(owner, alice.user_id) == 1
    assert last.seq == young.seq + 1
    young.conclude(Result.DONE)


async def test_a_process_that_has_not_been_seen_for_a_minute_is_gone(
    service: Service, trail: AuditTrail, other: AuditTrail, alice: Person, owner: asyncpg.Connection, log: LogSince
) -> None:
    await queries.note_process(service.resources.database, trail.process_id)
    pending = await trail.begin(alice.user_id, order()).written()
    await age(owner, alice)
    await owner.execute(
        "UPDATE corral.audit_processes SET last_seen_at = last_seen_at - interval '61 seconds' WHERE id = $1",
        trail.process_id,
    )
    await other.close_abandoned()
    assert (await log.awaited("audit_intents_abandoned", user_id=str(alice.user_id)))["entries"] == 1
    # It was not gone after all. What it knows is added, and the trail has both.
    pending.conclude(Result.DONE)
    await trail.close()
    results = [entry.result for entry in await entries_of(owner, alice.user_id) if entry.concludes]
    assert results == ["unknown", "done"]


async def test_an_intent_whose_commit_was_not_confirmed_is_concluded_as_refused_by_its_own_process(
    trail: AuditTrail, service: Service, alice: Person, owner: asyncpg.Connection
) -> None:
    known = await trail.begin(alice.user_id, order("known")).written()
    begun = replace(order("unconfirmed"), result=Result.BEGUN)
    writer = ChainWriter(service.resources.database, service.resources.vault, trail.process_id)
    await writer.write(alice.user_id, [begun], lambda _: None)
    await age(owner, alice)
    await trail.close_abandoned()
    *_, last = await entries_of(owner, alice.user_id)
    assert (last.object_id, last.result) == ("unconfirmed", "refused")
    known.conclude(Result.DONE)
    await trail.close()
    assert await pending_of(owner, alice.user_id) == 0


async def test_processes_of_long_ago_are_forgotten(service: Service, owner: asyncpg.Connection) -> None:
    old, new = uuid4(), uuid4()
    await queries.note_process(service.resources.database, old)
    await owner.execute("UPDATE corral.audit_processes SET last_seen_at = now() - interval '2 days' WHERE id = $1", old)
    await queries.note_process(service.resources.database, new)
    assert await owner.fetchval("SELECT count(*) FROM corral.audit_processes WHERE id = $1", old) == 0
    await queries.forget_process(service.resources.database, new)


async def test_while_it_runs_the_trail_says_so_and_at_its_end_writes_what_it_has(
    service: Service, alice: Person, owner: asyncpg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "HEARTBEAT_SECONDS", 0.01)
    file = tmp_path / "audit-heads.jsonl"
    async with open_audit_trail(service.resources.database, service.resources.vault, file) as trail:
        first = await _seen(owner, trail)
        async with asyncio.timeout(60):
            await _seen_after(owner, trail, first)
        trail.count_refusal(alice.user_id, Action.GRANT_REFUSED, ANYONE, "expired")
        trail.count_read(alice.user_id, uuid4(), uuid4(), "positions")
    assert await _seen(owner, trail) is None
    actions = [entry.action for entry in await entries_of(owner, alice.user_id)]
    assert actions[-2:] == ["grant.refused", "grant.read"]
    assert max(load_heads(file)[alice.user_id]) == len(actions)


async def _seen(owner: asyncpg.Connection, trail: AuditTrail) -> datetime | None:
    return await owner.fetchval("SELECT last_seen_at FROM corral.audit_processes WHERE id = $1", trail.process_id)


async def _seen_after(owner: asyncpg.Connection, trail: AuditTrail, moment: datetime | None) -> None:
    while True:
        if await _seen(owner, trail) != moment:
            return
        await asyncio.sleep(0.01)


async def test_an_outage_of_the_database_does_not_end_the_upkeep(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "HEARTBEAT_SECONDS", 0.01)
    calls, enough = 0, asyncio.Event()
    note_process = queries.note_process

    async def refuse(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            enough.set()
        raise DatabaseUnavailable

    async with open_audit_trail(service.resources.database, service.resources.vault, tmp_path / "heads"):
        monkeypatch.setattr(queries, "note_process", refuse)
        await asyncio.wait_for(enough.wait(), 60)
        monkeypatch.setattr(queries, "note_process", note_process)
