"""The operator's commands for people: listed, disabled and promoted by the owner's role, which serves no request."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import UUID

from corral.audit.models import OPERATOR_ACTOR, Action, NewEntry
from corral.audit.writing import record_in
from corral.database.connection import Connection, Database, open_owner_connection
from corral.errors import OperatorError
from corral.identity.queries import UserRow, find_user_by_email
from corral.identity.tokens import admin_seal
from corral.logs import get_logger
from corral.people import queries
from corral.people.members import Member, person_of
from corral.vault import Vault

_log = get_logger()


class OwnerUnknown(OperatorError):  # noqa: N818 - a condition
    """The command needs the owner's database URL. One line."""


class NoSuchPerson(OperatorError):  # noqa: N818 - a condition
    """There is no user with this email. One line."""


@asynccontextmanager
async def owner_connection(owner_dsn: str | None) -> AsyncGenerator[Connection]:
    if owner_dsn is None:
        raise OwnerUnknown("set CORRAL_DATABASE_OWNER_URL: only the database's owner may do this")
    async with open_owner_connection(owner_dsn) as connection:
        yield connection


async def load_people(connection: Connection, vault: Vault) -> list[Member]:
    return [person_of(vault, row) for row in await queries.load_people(connection)]


async def find_person(database: Database, email: str) -> UserRow:
    """Returns an enabled user. Raises NoSuchPerson, also for a disabled one."""
    user = await find_user_by_email(database, email)
    if user is None:
        raise NoSuchPerson(_nobody(email))
    if user.disabled_at is not None:
        raise NoSuchPerson(f"{email} is disabled: run `corral users enable {email}` first")
    return user


async def disable_person(connection: Connection, vault: Vault, email: str) -> None:
    user_id = await _find_user_id(connection, email)
    async with connection.transaction():
        await queries.disable_user(connection, user_id)
        await record_in(connection, vault, user_id, _entry(Action.PERSON_DISABLED, user_id))
    _log.info("user_disabled", user_id=str(user_id), by="operator")


async def enable_person(connection: Connection, vault: Vault, email: str) -> None:
    user_id = await _find_user_id(connection, email)
    async with connection.transaction():
        await queries.enable_user(connection, user_id)
        await record_in(connection, vault, user_id, _entry(Action.PERSON_ENABLED, user_id))
    _log.info("user_enabled", user_id=str(user_id), by="operator")


async def promote_person(connection: Connection, vault: Vault, email: str) -> None:
    """Makes the user an administrator, from the next request on."""
    user_id = await _find_user_id(connection, email)
    async with connection.transaction():
        await queries.set_admin_seal(connection, user_id, admin_seal(vault, user_id))
        await record_in(connection, vault, user_id, _entry(Action.PERSON_PROMOTED, user_id))
    _log.info("user_promoted", user_id=str(user_id))


async def demote_person(connection: Connection, vault: Vault, email: str) -> None:
    """Makes the user no administrator, from the next request on. Their invitations no longer work."""
    user_id = await _find_user_id(connection, email)
    async with connection.transaction():
        await queries.set_admin_seal(connection, user_id, None)
        await record_in(connection, vault, user_id, _entry(Action.PERSON_DEMOTED, user_id))
    _log.info("user_demoted", user_id=str(user_id))


def _entry(action: Action, user_id: UUID) -> NewEntry:
    return NewEntry(OPERATOR_ACTOR, action, object_id=str(user_id))


async def _find_user_id(connection: Connection, email: str) -> UUID:
    user_id = await queries.find_user_id(connection, email)
    if user_id is None:
        raise NoSuchPerson(_nobody(email))
    return user_id


def _nobody(email: str) -> str:
    return f"no person has the address {email}: `corral users list` shows everyone"
