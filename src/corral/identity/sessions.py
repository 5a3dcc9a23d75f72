"""Cookie sessions: 190 random bits in the browser, stored as two keyed hashes."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from corral.database.connection import Database, get_connection_with_rls
from corral.identity import queries
from corral.identity.models import VerifiedUser
from corral.identity.problems import SessionNotFound
from corral.identity.queries import SessionMetadata
from corral.identity.tokens import is_well_formed, new_token, session_lookups, session_verifiers
from corral.logs import get_logger
from corral.secret import Secret
from corral.vault import Vault

# The absolute timeout (OWASP Session Management), besides the idle timeout.
ABSOLUTE = timedelta(hours=12)

_log = get_logger()


@dataclass(frozen=True, slots=True)
class NewSession:
    cookie_value: Secret
    expires_at: datetime


async def start_session(database: Database, vault: Vault, verified: VerifiedUser, user_agent: str) -> NewSession:
    """Creates a new id at every sign-in, which prevents session fixation.

    Raises the `refusal` of `verified` if the password has changed, or the user was disabled, since verification.
    """
    user_id, value, session_id = verified.user_id, new_token(), uuid4()
    async with get_connection_with_rls(user_id, database) as connection:
        if not await queries.lock_user(connection, user_id, verified.access_epoch):
            raise verified.refusal
        expires_at = await queries.read_clock(connection) + ABSOLUTE
        lookup, seal = session_verifiers(vault, value, user_id=user_id, session_id=session_id, expires_at=expires_at)
        await queries.insert_session(
            connection,
            user_id=user_id,
            session_id=session_id,
            lookup=lookup,
            seal=seal,
            expires_at=expires_at,
            user_agent="".join(filter(str.isprintable, user_agent))[:200],
        )
    _log.info("session_started", user_id=str(user_id), session_id=str(session_id))
    return NewSession(Secret(value), expires_at)


async def load_sessions(user_id: UUID, database: Database) -> list[SessionMetadata]:
    """Returns also those that are idle for too long, because streams that they opened continue until they are ended."""
    async with get_connection_with_rls(user_id, database, readonly=True) as connection:
        return await queries.load_sessions(connection, user_id)


async def end_session(user_id: UUID, database: Database, session_id: UUID) -> None:
    async with get_connection_with_rls(user_id, database) as connection:
        is_deleted = await queries.delete_session(connection, user_id, session_id)
    if not is_deleted:
        raise SessionNotFound
    _log.info("session_ended", user_id=str(user_id), session_id=str(session_id))


async def end_session_of(database: Database, vault: Vault, cookie_value: str) -> None:
    """Ends any user's session, also an idle one. Does nothing for a cookie without a session."""
    if not is_well_formed(cookie_value):
        return
    found = await queries.find_sessions(database, session_lookups(vault, cookie_value))
    for row in found.values():
        with suppress(SessionNotFound):  # ended elsewhere at the same time
            await end_session(row.user_id, database, row.id)


async def end_other_sessions(user_id: UUID, database: Database, kept_id: UUID) -> None:
    async with get_connection_with_rls(user_id, database) as connection:
        await queries.delete_other_sessions(connection, user_id, kept_id)
    _log.info("other_sessions_ended", user_id=str(user_id), session_id=str(kept_id))
