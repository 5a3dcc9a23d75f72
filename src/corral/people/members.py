"""What an administrator may do: list, disable and enable members. Nothing else.

Administrators have no access to what members stored. They cannot change other administrators, so that none can
lock out the others: only the operator can, at the command line.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from corral.audit.models import Action, Actor, ActorKind, NewEntry
from corral.audit.writing import record_in
from corral.database.connection import Database, get_connection_with_rls
from corral.identity.models import AuthUser
from corral.identity.reauthentication import confirmed_connection
from corral.identity.tokens import is_administrator
from corral.logs import get_logger
from corral.people import queries
from corral.people.problems import AdministratorProtected, PersonNotFound
from corral.people.queries import PendingInvitation, PersonRow
from corral.vault import Vault

_log = get_logger()


@dataclass(frozen=True, slots=True)
class Member:
    """The fields that administrators may see."""

    id: UUID
    email: str
    created_at: datetime
    disabled_at: datetime | None
    is_administrator: bool


async def list_people(
    administrator_id: UUID, database: Database, vault: Vault
) -> tuple[list[Member], list[PendingInvitation]]:
    """Returns all users in the order in which they joined, and all pending invitations."""
    async with get_connection_with_rls(administrator_id, database, readonly=True) as connection:
        rows, invitations = await queries.list_people(connection), await queries.list_invitations(connection)
    return [person_of(vault, row) for row in rows], invitations


async def disable_person(
    administrator: AuthUser, database: Database, vault: Vault, person_id: UUID, *, address: str = ""
) -> None:
    """Ends sessions, tokens and links at once. Raises PersonNotFound and AdministratorProtected.

    Raises SignInRefused if the administrator's password has changed since it was confirmed.
    """
    async with confirmed_connection(database, administrator) as connection:
        _refuse_others(await queries.disable_person(connection, person_id))
        await record_in(connection, vault, person_id, _entry(administrator, Action.PERSON_DISABLED, person_id, address))
    _log.info("user_disabled", user_id=str(person_id), by=str(administrator.id))


async def enable_person(
    administrator: AuthUser, database: Database, vault: Vault, person_id: UUID, *, address: str = ""
) -> None:
    """Ended sessions and tokens stay ended. Raises as `disable_person` does."""
    async with confirmed_connection(database, administrator) as connection:
        _refuse_others(await queries.enable_person(connection, person_id))
        await record_in(connection, vault, person_id, _entry(administrator, Action.PERSON_ENABLED, person_id, address))
    _log.info("user_enabled", user_id=str(person_id), by=str(administrator.id))


def _entry(administrator: AuthUser, action: Action, person_id: UUID, address: str) -> NewEntry:
    """In the trail of the person whom it concerns."""
    actor = Actor(ActorKind.PERSON, administrator.id)
    return NewEntry(actor, action, object_id=str(person_id), address=address)


def person_of(vault: Vault, row: PersonRow) -> Member:
    may_administer = is_administrator(vault, row.id, row.admin_seal)
    return Member(row.id, row.email, row.created_at, row.disabled_at, may_administer)


def _refuse_others(is_done: bool | None) -> None:  # noqa: FBT001 - the database's answer
    if is_done is None:
        raise PersonNotFound
    if not is_done:
        raise AdministratorProtected
