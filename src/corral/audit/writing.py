"""Adds entries to a chain: in a transaction of their own, or in that of the change itself."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, final
from uuid import UUID

from corral.audit import queries
from corral.audit.chain import extend_chain
from corral.audit.group_commit import HandOver
from corral.audit.models import Head, Link, NewEntry, Result
from corral.audit.queries import Addition
from corral.database.connection import Connection, Database, set_scope
from corral.vault import Vault

MOST_KNOWN: Final = 10_000  # owners; a head is small


async def record_in(connection: Connection, vault: Vault, user_id: UUID, *entries: NewEntry) -> None:
    """Adds the entries in the transaction of the change itself, so that both or neither are stored.

    The chain is that of `user_id`, also where the transaction is another user's. To be called last in a transaction,
    because others who add to this chain wait for its end.
    """
    if entries:
        locked = await queries.lock_head(connection, user_id, waits_for_disk=False)
        links = list(extend_chain(vault, user_id, locked.head, locked.moment, entries))
        await queries.append_links(connection, user_id, _addition(links, entries))
        if locked.scope != str(user_id):
            await set_scope(connection, locked.scope)


@final
class ChainWriter:
    """Adds entries in transactions of their own, which are on the disk when they end.

    For one owner at a time. It remembers how each chain ended when it wrote to it: unless another process has added
    something since, the next entries take one trip to the database.
    """

    def __init__(self, database: Database, vault: Vault, process_id: UUID) -> None:
        self._database = database
        self._vault = vault
        self._process_id = process_id
        self._known: OrderedDict[UUID, _KnownHead] = OrderedDict()

    async def write(self, user_id: UUID, entries: Sequence[NewEntry], hand_over: HandOver) -> None:
        """Hands the links of the entries over as soon as they are on the disk.

        What is begun is this process's to conclude.
        """
        known = self._known.pop(user_id, None)  # after an error, nothing is known
        if known is None or not await self._extend(user_id, entries, known, hand_over):
            await self._lock_and_append(user_id, entries, hand_over)

    async def _extend(
        self, user_id: UUID, entries: Sequence[NewEntry], known: "_KnownHead", hand_over: HandOver
    ) -> bool:
        """Returns False, and has added nothing, if the chain does not end as it is known to, or the clock was set."""
        moment = known.moment_now()
        links = list(extend_chain(self._vault, user_id, known.head, moment, entries))
        addition = _addition(links, entries, self._process_id)
        async with self._database.connection() as connection:
            if not await queries.extend_chain(connection, user_id, known.head, moment, addition):
                return False
            self._remember(user_id, links, known.moment, known.read_at)
            hand_over(links)
            await asyncio.sleep(0)  # who waited for this goes on before the connection is given back
        return True

    async def _lock_and_append(self, user_id: UUID, entries: Sequence[NewEntry], hand_over: HandOver) -> None:
        async with queries.open_writing(self._database) as connection:
            locked = await queries.lock_head(connection, user_id, waits_for_disk=True)
            read_at = time.monotonic()
            links = list(extend_chain(self._vault, user_id, locked.head, locked.moment, entries))
            await queries.append_links(connection, user_id, _addition(links, entries, self._process_id))
        self._remember(user_id, links, locked.moment, read_at)
        hand_over(links)

    def _remember(self, user_id: UUID, links: Sequence[Link], moment: datetime, read_at: float) -> None:
        self._known[user_id] = _KnownHead(Head(links[-1].seq, links[-1].mac), moment, read_at)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)


@dataclass(frozen=True, slots=True)
class _KnownHead:
    """`moment` is the database's time, and `read_at` this process's when it was read. So entries have the database's
    time without asking for it, and times do not go back within a chain.
    """

    head: Head
    moment: datetime
    read_at: float

    def moment_now(self) -> datetime:
        return self.moment + timedelta(seconds=time.monotonic() - self.read_at)


def _addition(links: Sequence[Link], entries: Sequence[NewEntry], process_id: UUID | None = None) -> Addition:
    return Addition(
        links,
        begun=[link.seq for link, entry in zip(links, entries, strict=True) if entry.result is Result.BEGUN],
        process_id=process_id,
        concluded=[entry.concludes for entry in entries if entry.concludes is not None],
    )
