"""All SQL of managing people: by administrators and the operator, and invitations."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from corral.database.connection import Connection, Database
from corral.identity.problems import EmailTaken, NotAnAdministrator


@dataclass(frozen=True, slots=True)
class PersonRow:
    id: UUID
    email: str
    created_at: datetime
    disabled_at: datetime | None
    admin_seal: bytes | None


@dataclass(frozen=True, slots=True)
class PendingInvitation:
    id: UUID
    email: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class InvitationRow:
    seal: bytes
    email: str
    invited_by: UUID
    expires_at: datetime


# Under an administrator's scope: every function first checks that it is one.


async def list_people(connection: Connection) -> list[PersonRow]:
    with _refusing_others():
        return [PersonRow(*row) for row in await connection.fetch("SELECT * FROM corral.list_people()")]


async def list_invitations(connection: Connection) -> list[PendingInvitation]:
    with _refusing_others():
        return [PendingInvitation(*row) for row in await connection.fetch("SELECT * FROM corral.list_invitations()")]


async def issue_invitation(
    connection: Connection, lookup: bytes, seal: bytes, *, email: str, expires_at: datetime
) -> UUID:
    """Returns its id. Raises EmailTaken if a user has this email."""
    with _refusing_others():
        invitation_id: UUID | None = await connection.fetchval(
            "SELECT corral.issue_invitation($1, $2, $3, $4)", lookup, seal, email, expires_at
        )
    if invitation_id is None:
        raise EmailTaken
    return invitation_id


async def revoke_invitation(connection: Connection, invitation_id: UUID) -> bool:
    """Returns False if there is none with this id."""
    with _refusing_others():
        return await connection.fetchval("SELECT corral.revoke_invitation($1)", invitation_id)


async def disable_person(connection: Connection, person_id: UUID) -> bool | None:
    """Returns True when done, None if there is no user with this id, False for an administrator, who is not changed."""
    with _refusing_others():
        return await connection.fetchval("SELECT corral.disable_person($1)", person_id)


async def enable_person(connection: Connection, person_id: UUID) -> bool | None:
    """Returns the same as `disable_person`."""
    with _refusing_others():
        return await connection.fetchval("SELECT corral.enable_person($1)", person_id)


@contextmanager
def _refusing_others() -> Generator[None]:
    try:
        yield
    except asyncpg.InsufficientPrivilegeError:
        raise NotAnAdministrator from None


# Before there is a user: look-ups by hash.


async def find_invitation(database: Database, lookups: Sequence[bytes]) -> InvitationRow | None:
    rows = await database.fetch("SELECT * FROM corral.find_invitation($1)", lookups)
    return InvitationRow(*rows[0]) if rows else None


async def redeem_invitation(connection: Connection, lookups: Sequence[bytes]) -> InvitationRow | None:
    row = await connection.fetchrow("SELECT * FROM corral.redeem_invitation($1)", lookups)
    return InvitationRow(*row) if row else None


# As the owner, for an operator's commands.


async def load_people(connection: Connection) -> list[PersonRow]:
    rows = await connection.fetch(
        "SELECT id, email, created_at, disabled_at, admin_seal FROM corral.users ORDER BY created_at, id"
    )
    return [PersonRow(*row) for row in rows]


async def find_user_id(connection: Connection, email: str) -> UUID | None:
    return await connection.fetchval("SELECT id FROM corral.users WHERE email = $1", email)


async def disable_user(connection: Connection, user_id: UUID) -> None:
    """Ends sessions, tokens, links and invitations in the same transaction."""
    await connection.execute("SELECT corral.disable_user($1)", user_id)


async def enable_user(connection: Connection, user_id: UUID) -> None:
    await connection.execute("UPDATE corral.users SET disabled_at = NULL WHERE id = $1", user_id)


async def set_admin_seal(connection: Connection, user_id: UUID, seal: bytes | None) -> None:
    """None revokes the right, and with it the invitations made by the user."""
    async with connection.transaction():
        await connection.execute("UPDATE corral.users SET admin_seal = $2 WHERE id = $1", user_id, seal)
        if seal is None:
            await connection.execute("DELETE FROM corral.invitations WHERE invited_by = $1", user_id)
