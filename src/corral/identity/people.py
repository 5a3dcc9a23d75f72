"""People as the operator sees them: listed and disabled by the owner's role, which serves no request."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from corral.database.connection import Connection, Database, open_owner_connection
from corral.identity import queries
from corral.identity.queries import Person, UserRow
from corral.logs import get_logger

_log = get_logger()


class OwnerUnknown(Exception):  # noqa: N818 - a condition
    """The command needs the owner's address. One line."""


class NoSuchPerson(Exception):  # noqa: N818 - a condition
    """There is nobody of this address. One line."""


@asynccontextmanager
async def owner_connection(owner_dsn: str | None) -> AsyncGenerator[Connection]:
    if owner_dsn is None:
        raise OwnerUnknown("set CORRAL_DATABASE_OWNER_URL: the serving role cannot list people, by design")
    async with open_owner_connection(owner_dsn) as connection:
        yield connection


async def load_people(connection: Connection) -> list[Person]:
    return await queries.load_people(connection)


async def find_person(database: Database, email: str) -> UserRow:
    """Somebody who may sign in; raises NoSuchPerson for one who is disabled, too."""
    user = await queries.find_user_by_email(database, email)
    if user is None:
        raise NoSuchPerson(_nobody(email))
    if user.disabled_at is not None:
        raise NoSuchPerson(f"{email} is disabled; `corral users enable {email}` lets them in again")
    return user


async def disable_person(connection: Connection, email: str) -> None:
    user_id = await queries.disable_person(connection, email)
    if user_id is None:
        raise NoSuchPerson(_nobody(email))
    _log.info("user_disabled", user_id=str(user_id))


async def enable_person(connection: Connection, email: str) -> None:
    user_id = await queries.enable_person(connection, email)
    if user_id is None:
        raise NoSuchPerson(_nobody(email))
    _log.info("user_enabled", user_id=str(user_id))


def _nobody(email: str) -> str:
    return f"there is nobody with the address {email}; `corral users list` shows who is"
