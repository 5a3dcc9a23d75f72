"""A program that writes orders of one account down, started by the tests: DATABASE KEYRING USER_ID ORDERS."""

import asyncio
import signal
import sys
from pathlib import Path
from uuid import UUID, uuid4

from corral.audit.models import Action, Actor, ActorKind, NewEntry, Result
from corral.audit.trail import AuditTrail
from corral.database.connection import Database
from corral.vault import Vault, load_keyring

_GRANT = Actor(ActorKind.GRANT, uuid4())


async def main(dsn: str, keyring: str, user_id: UUID, orders: int) -> None:
    """With fewer than no orders, writes one down and stops before its outcome, to be killed."""
    async with Database.open(dsn) as database:
        trail = AuditTrail(database, Vault(load_keyring(Path(keyring))))
        if orders < 0:
            await trail.begin(user_id, NewEntry(_GRANT, Action.ORDER_SUBMIT, object_id="killed")).written()
            sys.stdout.write("begun\n")
            sys.stdout.flush()
            signal.pause()
        await asyncio.gather(*(_order(trail, user_id) for _ in range(orders)))
        await trail.close()


async def _order(trail: AuditTrail, user_id: UUID) -> None:
    pending = await trail.begin(user_id, NewEntry(_GRANT, Action.ORDER_SUBMIT)).written()
    await asyncio.sleep(0)
    pending.conclude(Result.DONE)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], UUID(sys.argv[3]), int(sys.argv[4])))
