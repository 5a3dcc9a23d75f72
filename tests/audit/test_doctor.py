"""What `corral doctor` says of a trail that takes no entries."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from corral.audit.heads import HEADS_FILE
from corral.audit.models import Result
from corral.audit.trail import AuditTrail
from corral.commands import audit
from corral.commands.audit import find_stuck
from corral.database.embedded.instance import EmbeddedDatabase
from corral.settings import Settings
from tests.access import owner_of
from tests.audit.trails import order
from tests.people import Person


async def test_a_trail_that_stays_locked_is_named_and_one_that_is_in_use_is_not(
    alice: Person, postgres: EmbeddedDatabase, tmp_path: Path
) -> None:
    settings, dsn = Settings(data_dir=tmp_path), postgres.dsn("corral_owner")
    lock = "SELECT FROM corral.audit_heads WHERE user_id = $1 FOR UPDATE"
    async with owner_of(postgres) as other, other.transaction():
        await other.execute(lock, alice.user_id)
        problem = await find_stuck(settings, dsn)
    assert problem is not None
    assert problem.startswith(f"a transaction has locked the trail of {alice.user_id} for seconds")
    async with owner_of(postgres) as other, other.transaction():
        await other.execute(lock, alice.user_id)
        finding = asyncio.create_task(find_stuck(settings, dsn))
        await asyncio.sleep(0.5)
    assert await finding is None


async def test_orders_without_an_outcome_are_counted(
    alice: Person, trail: AuditTrail, owner: asyncpg.Connection, postgres: EmbeddedDatabase, tmp_path: Path
) -> None:
    settings, dsn = Settings(data_dir=tmp_path), postgres.dsn("corral_owner")
    await owner.execute("SELECT corral.note_audit_process($1)", trail.process_id)
    pending = await trail.begin(alice.user_id, order()).written()
    await owner.execute(
        "UPDATE corral.audit_pending SET begun_at = begun_at - interval '6 minutes' WHERE user_id = $1", alice.user_id
    )
    problem = await find_stuck(settings, dsn)
    pending.conclude(Result.DONE)
    assert problem == "1 order has no outcome after five minutes: start Corral, which concludes it as unknown"


async def test_heads_that_cannot_be_published_and_an_unknown_owner_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data_dir=tmp_path)
    assert "CORRAL_DATABASE_OWNER_URL" in (await find_stuck(settings, None) or "")
    (tmp_path / HEADS_FILE).touch()
    monkeypatch.setattr(audit.os, "access", _refuse)  # as another user's file; root may write every file
    assert "is not writable" in (await find_stuck(settings, None) or "")


def _refuse(*_: object) -> bool:
    return False
