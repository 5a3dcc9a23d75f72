"""What the audit trail does by itself: says that this process runs, closes what others left open, publishes heads."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from corral.audit import queries
from corral.audit.heads import HeadPublisher
from corral.audit.trail import AuditTrail
from corral.database.connection import Database
from corral.errors import Problem
from corral.logs import get_logger
from corral.vault import Vault

# A process that has not said for a minute that it runs counts as gone.
HEARTBEAT_SECONDS: Final = 15.0
_TURNS_BETWEEN_TASKS: Final = 4  # the rest is done every minute

_log = get_logger()


@asynccontextmanager
async def open_audit_trail(database: Database, vault: Vault, heads_file: Path) -> AsyncGenerator[AuditTrail]:
    """At the end, writes what waits and publishes the last heads."""
    trail, publisher = AuditTrail(database, vault), HeadPublisher(database, heads_file)
    await _keep_up(trail, database, publisher)
    task = asyncio.get_running_loop().create_task(_keep_up_regularly(trail, database, publisher))
    try:
        yield trail
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await trail.close()
        with suppress(Problem):
            await publisher.publish(await queries.note_process(database, trail.process_id))
            await queries.forget_process(database, trail.process_id)


async def _keep_up_regularly(trail: AuditTrail, database: Database, publisher: HeadPublisher) -> None:
    turn = 0
    while True:
        await asyncio.sleep(HEARTBEAT_SECONDS)
        turn = (turn + 1) % _TURNS_BETWEEN_TASKS
        with suppress(Problem):  # readiness and the trail itself report it
            if turn:
                await queries.note_process(database, trail.process_id)
            else:
                await _keep_up(trail, database, publisher)


async def _keep_up(trail: AuditTrail, database: Database, publisher: HeadPublisher) -> None:
    now = await queries.note_process(database, trail.process_id)
    trail.write_sums()
    await trail.close_abandoned()
    await publisher.publish(now)
