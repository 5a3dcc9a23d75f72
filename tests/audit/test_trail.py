"""What is written down before and after something is sent: numbered, on the disk, and never in the answer's way."""

import asyncio
from uuid import uuid4

import asyncpg

from corral.audit.chain import read_text
from corral.audit.models import Action, Actor, ActorKind, AuditEntry, NewEntry, Result
from corral.audit.trail import AuditTrail
from tests.people import Person

GRANT = Actor(ActorKind.GRANT, uuid4())


def order(**members: object) -> NewEntry:
    return NewEntry(GRANT, Action.ORDER_SUBMIT, object_id="corral-1", details={"symbol": "AAPL"}, **members)  # pyright: ignore[reportArgumentType]


async def entries_of(owner: asyncpg.Connection, person: Person) -> list[AuditEntry]:
    rows = await owner.fetch("SELECT body FROM corral.audit_entries WHERE user_id = $1 ORDER BY seq", person.user_id)
    return [read_text(row["body"]) for row in rows]


async def test_an_order_is_written_down_before_it_leaves_and_its_outcome_after(
    trail: AuditTrail, alice: Person, owner: asyncpg.Connection
) -> None:
    before = len(await entries_of(owner, alice))
    pending = await trail.begin(alice.user_id, order())
    assert [entry.result for entry in (await entries_of(owner, alice))[before:]] == ["begun"]
    pending.conclude(Result.DONE, {"status": "200"}, object_id="alpaca-1")
    pending.conclude(Result.UNKNOWN)  # the first one counts
    await trail.close()
    begun, outcome = (await entries_of(owner, alice))[before:]
    assert (outcome.result, outcome.concludes, outcome.object_id) == ("done", begun.seq, "alpaca-1")
    assert (outcome.actor, outcome.action, outcome.details) == (str(GRANT), "order.submit", {"status": "200"})
    assert await owner.fetchval("SELECT count(*) FROM corral.audit_pending WHERE user_id = $1", alice.user_id) == 0


async def test_orders_of_the_same_moment_share_few_commits(
    trail: AuditTrail, alice: Person, owner: asyncpg.Connection
) -> None:
    before = len(await entries_of(owner, alice))
    pendings = await asyncio.gather(*(trail.begin(alice.user_id, order()) for _ in range(300)))
    assert sorted(pending.entry.seq for pending in pendings) == list(range(before + 1, before + 301))
    for pending in pendings:
        pending.conclude(Result.DONE)
    await trail.close()
    commits = await owner.fetchval(
        "SELECT count(DISTINCT xmin::text) FROM corral.audit_entries WHERE user_id = $1 AND seq > $2",
        alice.user_id,
        before,
    )
    assert commits <= 8
