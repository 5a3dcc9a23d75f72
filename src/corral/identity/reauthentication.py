"""Asks a signed-in user for the password again, because a session may have been stolen.

Wrong passwords are counted per user over all sessions, and separately from sign-in attempts: knowing an email is not
enough to keep its owner from confirming, and wrong confirmations do not prevent signing in.
"""

import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from corral.audit.models import Action, NewEntry, Result
from corral.audit.writing import record_in
from corral.database.connection import Connection, Database, get_connection_with_rls
from corral.identity import queries
from corral.identity.models import AuthUser
from corral.identity.passwords import is_password_of
from corral.identity.problems import SessionEnded, SignInRefused, SignInThrottled, Unauthenticated
from corral.identity.queries import UserRow
from corral.identity.revalidation import lock_authorization
from corral.identity.security_events import actor_of
from corral.logs import get_logger
from corral.secret import Secret
from corral.vault import Vault

_WRONG: Final = "Wrong password."
_PAUSED: Final = "Too many wrong passwords in this hour. Confirming is paused for a minute after each further one."

_log = get_logger()


async def confirm_password(database: Database, vault: Vault, person: AuthUser, current: Secret | None) -> UserRow:
    """Returns the user's row. A user without a password is not asked for one.

    Raises SignInRefused for a wrong password, SessionEnded for the fifth in a row, which ends this session, and
    SignInThrottled for a minute after the twentieth in an hour. Raises Unauthenticated if the session ended meanwhile.
    """
    async with get_connection_with_rls(person.id, database) as connection:
        user = await queries.load_own_user(connection, person.id)
        assert user is not None  # noqa: S101 - authenticated a moment ago; users are disabled, never deleted
        if user.password_sealed is None:
            return user
        wait = await queries.admit_confirmation(connection)
        if not await queries.has_session(connection, person.id, person.session_or_token_id):
            raise Unauthenticated  # ended by a concurrent request
        password_sealed = user.password_sealed
    if wait > 0:
        _log.warning("confirmation_throttled", user_id=str(person.id), seconds=round(wait, 1))
        raise SignInThrottled(_PAUSED, retry_after=math.ceil(wait))
    if not await is_password_of(vault, person.id, password_sealed, current or Secret("")):
        await _refuse(database, vault, person)
    async with get_connection_with_rls(person.id, database) as connection:
        await queries.accept_confirmation(connection, person.id)
    return user


@asynccontextmanager
async def confirmed_connection(database: Database, person: AuthUser) -> AsyncGenerator[Connection]:
    """A transaction for the confirmed action. Raises SignInRefused if the password has changed since."""
    async with get_connection_with_rls(person.id, database) as connection:
        if not await lock_authorization(connection, person):
            raise SignInRefused(_WRONG)
        yield connection


async def _refuse(database: Database, vault: Vault, person: AuthUser) -> None:
    entry = NewEntry(actor_of(person), Action.CONFIRMATION_REFUSED, Result.REFUSED)
    async with get_connection_with_rls(person.id, database) as connection:
        is_ended = await queries.refuse_confirmation(connection, person.session_or_token_id)
        await record_in(connection, vault, person.id, entry)
    _log.warning("confirmation_refused", user_id=str(person.id), session_ended=is_ended)
    raise SessionEnded if is_ended else SignInRefused(_WRONG)
