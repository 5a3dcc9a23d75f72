"""Entries are only added: by the grants of the serving role, by triggers for everybody, and only to one's own chain."""

from uuid import uuid4

import asyncpg
import pytest

from corral.audit.models import Link
from corral.audit.queries import Addition, append_links
from corral.audit.trail import AuditTrail
from corral.audit.writing import record_in
from corral.database.connection import Database, get_connection_with_rls
from tests.audit.trails import entries_of, order, paused, pending_of
from tests.conftest import Service
from tests.people import Person

CHANGES = [
    "UPDATE corral.audit_entries SET body = '{}' WHERE user_id = $1",
    "DELETE FROM corral.audit_entries WHERE user_id = $1",
    "DELETE FROM corral.audit_heads WHERE user_id = $1",
    "TRUNCATE corral.audit_entries, corral.audit_heads, corral.audit_pending",
    "UPDATE corral.audit_heads SET seq = seq - 1 WHERE user_id = $1",
    "UPDATE corral.audit_heads SET mac = '' WHERE user_id = $1",
]


@pytest.fixture
def database(service: Service) -> Database:
    return service.resources.database


@pytest.mark.parametrize("change", CHANGES)
async def test_neither_the_serving_role_nor_the_owner_changes_what_was_written(
    alice: Person, database: Database, owner: asyncpg.Connection, change: str
) -> None:
    arguments = [alice.user_id] if "$1" in change else []
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with get_connection_with_rls(alice.user_id, database) as connection:
            await connection.execute(change, *arguments)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match=r"only added to|only moves forward"):
        await owner.execute(change, *arguments)


async def test_alice_neither_sees_bobs_trail_nor_adds_to_it(
    service: Service, alice: Person, bob: Person, database: Database
) -> None:
    for table in ("audit_entries", "audit_heads", "audit_pending"):
        async with get_connection_with_rls(alice.user_id, database) as connection:
            users = {row[0] for row in await connection.fetch(f"SELECT user_id FROM corral.{table}")}
        assert users <= {alice.user_id}
    forged = Link(99, '{"action":"order.submit"}', bytes(32))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with get_connection_with_rls(alice.user_id, database) as connection:
            await append_links(connection, bob.user_id, Addition([forged]))
    async with get_connection_with_rls(alice.user_id, database) as connection:
        moved = await connection.execute("UPDATE corral.audit_heads SET seq = 99 WHERE user_id = $1", bob.user_id)
    assert moved == "UPDATE 0"


async def test_without_a_user_the_trail_cannot_be_read(
    service: Service, alice: Person, database: Database, owner: asyncpg.Connection
) -> None:
    async with get_connection_with_rls(alice.user_id, database) as connection:
        await record_in(connection, service.resources.vault, alice.user_id, *paused())
    pending = alice.user_id, 1, uuid4()  # of a table without rows, there is nothing to refuse
    await owner.execute("INSERT INTO corral.audit_pending (user_id, seq, process_id) VALUES ($1, $2, $3)", *pending)
    try:
        async with database.connection() as connection:
            for table in ("audit_entries", "audit_heads", "audit_pending"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError, match="no user is set"):
                    await connection.fetch(f"SELECT * FROM corral.{table}")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch("SELECT * FROM corral.audit_processes")
    finally:
        await owner.execute("DELETE FROM corral.audit_pending WHERE user_id = $1", alice.user_id)


async def test_an_entry_of_a_change_that_fails_is_not_there_either(
    service: Service, alice: Person, owner: asyncpg.Connection
) -> None:
    before = await entries_of(owner, alice.user_id)

    async def fail() -> None:
        async with get_connection_with_rls(alice.user_id, service.resources.database) as connection:
            await record_in(connection, service.resources.vault, alice.user_id, *paused())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await entries_of(owner, alice.user_id) == before


async def test_after_an_entry_in_another_chain_the_transaction_has_its_own_scope_again(
    service: Service, alice: Person, bob: Person, owner: asyncpg.Connection
) -> None:
    before = len(await entries_of(owner, bob.user_id))
    async with get_connection_with_rls(alice.user_id, service.resources.database) as connection:
        await record_in(connection, service.resources.vault, bob.user_id, *paused())
        await record_in(connection, service.resources.vault, bob.user_id)  # nothing
        users = await connection.fetch("SELECT DISTINCT user_id FROM corral.audit_entries")
    assert [row["user_id"] for row in users] == [alice.user_id]
    assert len(await entries_of(owner, bob.user_id)) == before + 1


async def test_a_person_is_deleted_with_their_trail_in_one_transaction_or_not_at_all(
    alice: Person, bob: Person, trail: AuditTrail, owner: asyncpg.Connection
) -> None:
    for person in (alice, bob):
        await trail.begin(person.user_id, order()).written()
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="audit_heads"):
        await owner.execute("DELETE FROM corral.users WHERE id = $1", alice.user_id)
    without_entries = "DELETE FROM corral.users WHERE id = '{0}'; DELETE FROM corral.audit_heads WHERE user_id = '{0}'"
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="deleted before its head"):
        await owner.execute(without_entries.format(alice.user_id))
    assert await pending_of(owner, alice.user_id) == 1
    async with owner.transaction():
        await owner.execute("DELETE FROM corral.users WHERE id = $1", alice.user_id)
        await owner.execute("DELETE FROM corral.audit_entries WHERE user_id = $1", alice.user_id)
        await owner.execute("DELETE FROM corral.audit_heads WHERE user_id = $1", alice.user_id)
    assert await entries_of(owner, alice.user_id) == []
    assert [await pending_of(owner, person.user_id) for person in (alice, bob)] == [0, 1]


async def test_numbers_have_no_gaps_after_a_transaction_that_was_rolled_back(
    service: Service, alice: Person, owner: asyncpg.Connection
) -> None:
    database, vault = service.resources.database, service.resources.vault
    async with database.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await record_in(connection, vault, alice.user_id, *paused(3))
        await transaction.rollback()
    async with get_connection_with_rls(alice.user_id, database) as connection:
        await record_in(connection, vault, alice.user_id, *paused(2))
    seqs = [entry.seq for entry in await entries_of(owner, alice.user_id)]
    assert seqs == list(range(1, len(seqs) + 1))
