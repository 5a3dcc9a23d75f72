"""The audit trail: how long an order waits for its entry, and how long a long chain takes to verify.

`python -m benchmarks.audit` verifies a million entries; `make bench` a tenth of them.
"""

import asyncio
import logging
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import uvloop

from corral.audit import queries
from corral.audit.chain import EMPTY, extend_chain
from corral.audit.models import Action, Actor, ActorKind, NewEntry, Result
from corral.audit.trail import AuditTrail
from corral.audit.verification import verify_chains
from corral.credentials.keyring_check import open_vault
from corral.database.connection import Database, get_connection_with_rls, open_owner_connection
from corral.database.embedded.instance import embedded_postgres
from corral.database.migrate import apply_migrations
from corral.identity import sign_in
from corral.logs import configure_logging
from corral.vault import Vault

ENTRIES = 100_000
MILLION = 1_000_000
_PER_STATEMENT = 2_000
_ORDERS_PER_SECOND = 200
_SECONDS = 5
_AT_ONCE = 64
_GRANT = Actor(ActorKind.GRANT, uuid4())


@dataclass(frozen=True, slots=True)
class AuditFigures:
    """`begin_ms` is how long each order waited for its entry, `commit_ms` how long each bare commit took."""

    entries: int
    verify_seconds: float
    verify_cpu_seconds: float  # of them, of this process
    begin_ms: list[float]
    commit_ms: list[float]
    most_orders_per_second: float

    @property
    def seconds_for_a_million(self) -> float:
        return self.verify_seconds * MILLION / self.entries


async def measure_audit(database: Database, vault: Vault, owner_dsn: str, entries: int = ENTRIES) -> AuditFigures:
    user_id = await _new_user(database, vault)
    other_id = await _new_user(database, vault)
    commits = [await bare_commit(database, other_id) for _ in range(200)]
    begins, most = await _write_orders(AuditTrail(database, vault), user_id)
    await fill_trail(database, vault, entries)
    return AuditFigures(*await _verify(vault, owner_dsn), begins, commits, most)


async def _new_user(database: Database, vault: Vault) -> UUID:
    return await sign_in.add_user(database, vault, email=f"{uuid4()}@corral.example", password=None)


async def bare_commit(database: Database, user_id: UUID) -> float:
    """One row changed, and on the disk."""
    began = time.perf_counter()
    async with queries.open_writing(database) as connection:
        await queries.lock_head(connection, user_id, waits_for_disk=True)
    return (time.perf_counter() - began) * 1000


async def _write_orders(trail: AuditTrail, user_id: UUID) -> tuple[list[float], float]:
    """At a steady rate, whatever the earlier ones take; and then as many as there can be."""
    tasks: list[asyncio.Task[float]] = []
    began = time.perf_counter()
    for number in range(_ORDERS_PER_SECOND * _SECONDS):
        await asyncio.sleep(max(0.0, began + number / _ORDERS_PER_SECOND - time.perf_counter()))
        tasks.append(asyncio.create_task(_order(trail, user_id)))
    begins = await asyncio.gather(*tasks)
    ends_at = time.perf_counter() + _SECONDS

    async def trade() -> int:
        orders = 0
        while time.perf_counter() < ends_at:
            await _order(trail, user_id)
            orders += 1
        return orders

    orders = await asyncio.gather(*(trade() for _ in range(_AT_ONCE)))
    await trail.close()
    return begins, sum(orders) / _SECONDS


async def _order(trail: AuditTrail, user_id: UUID) -> float:
    began = time.perf_counter()
    pending = await trail.begin(user_id, _entry()).written()
    waited = time.perf_counter() - began
    pending.conclude(Result.DONE, {"status": "200"}, object_id="61e69015-8549-4bfd-b9c3-01e75843f47d")
    return waited * 1000


def _entry(number: int = 0) -> NewEntry:
    """As long as those of real orders."""
    details = {"symbol": "AAPL", "side": "buy", "qty": "1", "type": "limit", "limit_price": "270.25"}
    return NewEntry(
        _GRANT,
        Action.ORDER_SUBMIT,
        credential_id=_GRANT.id,
        grant_id=_GRANT.id,
        object_id=f"corral-{number:026d}",
        details=details,
        address="192.0.2.1",
    )


async def fill_trail(database: Database, vault: Vault, entries: int) -> None:
    """One chain, in one transaction."""
    user_id = await _new_user(database, vault)
    async with get_connection_with_rls(user_id, database) as connection:
        locked = await queries.lock_head(connection, user_id, waits_for_disk=False)
        head = EMPTY
        for first in range(0, entries, _PER_STATEMENT):
            new = [_entry(number) for number in range(first, min(first + _PER_STATEMENT, entries))]
            links = list(extend_chain(vault, user_id, head, locked.moment, new))
            await queries.append_links(connection, user_id, queries.Addition(links))
            head = type(head)(links[-1].seq, links[-1].mac)


async def _verify(vault: Vault, owner_dsn: str) -> tuple[int, float, float]:
    """All chains of the database: the number of entries, seconds, and seconds of CPU."""
    began, cpu = time.perf_counter(), time.process_time()
    async with open_owner_connection(owner_dsn) as connection, queries.open_snapshot(connection):
        reports = await verify_chains(connection, vault, {}, lambda _: None)
    assert all(report.problem is None for report in reports)
    return sum(report.entries for report in reports), time.perf_counter() - began, time.process_time() - cpu


async def _main(folder: Path) -> None:
    configure_logging("console", sys.stderr.buffer, lowest=logging.WARNING)
    async with embedded_postgres(folder / "data") as embedded:
        await apply_migrations(embedded.dsn("corral_owner"))
        async with Database.open(embedded.dsn("corral_app")) as database:
            vault = await open_vault(database, folder / "keyring.json")
            figures = await measure_audit(database, vault, embedded.dsn("corral_owner"), MILLION)
    for name, values in (("a bare commit", figures.commit_ms), ("an order's entry", figures.begin_ms)):
        ordered = sorted(values)
        print(f"{name}: median {ordered[len(ordered) // 2]:.1f} ms, 99 % {ordered[len(ordered) * 99 // 100]:.1f} ms")
    print(f"at most {figures.most_orders_per_second:,.0f} orders a second on one account")
    cpu = f"{figures.verify_cpu_seconds:.1f} s of CPU"
    print(f"{figures.entries:,} entries verified in {figures.verify_seconds:.1f} s, {cpu}, {sys.version.split()[0]}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="corral-bench-") as name:
        Path(name).chmod(0o711)
        uvloop.run(_main(Path(name)))
