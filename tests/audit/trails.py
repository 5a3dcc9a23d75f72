"""Entries to write down, and what was written."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID, uuid4

import asyncpg

from corral.audit.chain import read_text
from corral.audit.models import Action, Actor, ActorKind, AuditEntry, NewEntry

GRANT: Final = Actor(ActorKind.GRANT, uuid4())


def order(client_order_id: str = "corral-1") -> NewEntry:
    return NewEntry(GRANT, Action.ORDER_SUBMIT, object_id=client_order_id, details={"symbol": "AAPL"})


def paused(times: int = 1) -> Sequence[NewEntry]:
    return [NewEntry(GRANT, Action.CREDENTIAL_PAUSED, details={"number": str(number)}) for number in range(times)]


async def entries_of(owner: asyncpg.Connection, user_id: UUID) -> list[AuditEntry]:
    rows = await owner.fetch("SELECT body FROM corral.audit_entries WHERE user_id = $1 ORDER BY seq", user_id)
    return [read_text(row["body"]) for row in rows]


async def pending_of(owner: asyncpg.Connection, user_id: UUID) -> int:
    return await owner.fetchval("SELECT count(*) FROM corral.audit_pending WHERE user_id = $1", user_id)
