"""Two processes write the chain of one owner, and one is killed between an order's entry and its outcome."""

import asyncio
import os
import sys
from pathlib import Path

import asyncpg

from corral.audit import queries
from corral.audit.trail import AuditTrail
from corral.audit.verification import verify_chains
from corral.database.embedded.instance import EmbeddedDatabase
from tests.audit.trails import entries_of, pending_of
from tests.conftest import Service
from tests.journeys.program import PATIENCE, SOURCES
from tests.people import Person

PROGRAM = Path(__file__).with_name("writing_process.py")


async def start(
    postgres: EmbeddedDatabase, service: Service, person: Person, orders: int
) -> asyncio.subprocess.Process:
    arguments = [postgres.dsn("corral_app"), service.services.settings.keyring_path, person.user_id, orders]
    return await asyncio.create_subprocess_exec(
        sys.executable, str(PROGRAM), *map(str, arguments), stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
    )  # fmt: skip


async def test_several_processes_write_one_chain_without_gaps_or_forks(
    service: Service, alice: Person, postgres: EmbeddedDatabase, owner: asyncpg.Connection, trail: AuditTrail
) -> None:
    programs = [await start(postgres, service, alice, orders=60) for _ in range(2)]
    async with asyncio.timeout(PATIENCE):
        assert [await program.wait() for program in programs] == [0, 0]
    entries = await entries_of(owner, alice.user_id)
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    begun = {entry.seq for entry in entries if entry.result == "begun"}
    assert len(begun) == 120
    assert begun == {entry.concludes for entry in entries if entry.result == "done" and entry.concludes}
    async with queries.open_snapshot(owner):
        reports = await verify_chains(owner, service.resources.vault, {}, lambda _: None)
    assert next(report for report in reports if report.user_id == alice.user_id).problem is None


async def test_what_a_killed_process_had_begun_is_concluded_as_unknown(
    service: Service, alice: Person, postgres: EmbeddedDatabase, owner: asyncpg.Connection, trail: AuditTrail
) -> None:
    program = await start(postgres, service, alice, orders=-1)
    assert program.stdout is not None
    async with asyncio.timeout(PATIENCE):
        assert await program.stdout.readline() == b"begun\n"
        program.kill()
        await program.wait()
    assert await pending_of(owner, alice.user_id) == 1
    await owner.execute(
        "UPDATE corral.audit_pending SET begun_at = begun_at - interval '61 seconds' WHERE user_id = $1", alice.user_id
    )
    await trail.close_abandoned()
    begun, outcome = (await entries_of(owner, alice.user_id))[-2:]
    assert (begun.result, outcome.result, outcome.concludes) == ("begun", "unknown", begun.seq)
    assert (outcome.object_id, outcome.actor) == ("killed", begun.actor)
