"""Checks again that an authenticated session or token is valid: for long-lived responses, and before changes."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from corral.database.connection import Connection, Database, get_connection_with_rls
from corral.identity import queries
from corral.identity.models import ALL_SCOPES, AuthUser, scopes_from_stored
from corral.identity.problems import Unauthenticated
from corral.identity.queries import SessionRow, TokenRow

LOOKUPS_PER_TRIP = 500

Lookup = TypeVar("Lookup")


async def revalidate(database: Database, users: Iterable[AuthUser]) -> set[bytes]:
    """Returns the `lookup` of each session or token that is still valid and unchanged.

    One that was deleted, has expired or changed, or whose owner is disabled, is not returned. The seal was
    checked at authentication, over the same fields that are compared here. The idle timeout does not end a
    long-lived response, which is no use of the session; its absolute lifetime does.
    """
    known = {user.lookup: user for user in users}
    sessions = [lookup for lookup, user in known.items() if user.authenticated_by == "session"]
    tokens = [lookup for lookup, user in known.items() if user.authenticated_by == "token"]
    standing: set[bytes] = set()
    for trip in trips(sessions):
        rows = await queries.find_sessions(database, trip)
        standing.update(lookup for lookup, row in rows.items() if _is_same_session(known[lookup], row))
    for trip in trips(tokens):
        found = await queries.find_api_tokens(database, trip)
        standing.update(lookup for lookup, row in found.items() if _is_same_token(known[lookup], row))
    return standing


async def lock_authorization(connection: Connection, user: AuthUser) -> bool:
    """Returns whether the session or token still exists, and locks it until the transaction ends.

    For what must not be created by a user whose access ends at this moment: a new password, disabling and revoking
    all tokens wait for the same lock, and end what was created before. To be called first in the transaction.
    """
    if not await queries.lock_user(connection, user.id):
        return False
    has_row = queries.has_session if user.authenticated_by == "session" else queries.has_api_token
    return await has_row(connection, user.id, user.session_or_token_id)


@asynccontextmanager
async def authorized_connection(database: Database, user: AuthUser) -> AsyncGenerator[Connection]:
    """A transaction for the changes of a request. Raises Unauthenticated if its session or token is no longer valid."""
    async with get_connection_with_rls(user.id, database) as connection:
        if not await lock_authorization(connection, user):
            raise Unauthenticated
        yield connection


def trips(lookups: Sequence[Lookup]) -> list[Sequence[Lookup]]:
    return [lookups[start : start + LOOKUPS_PER_TRIP] for start in range(0, len(lookups), LOOKUPS_PER_TRIP)]


def _is_same_session(user: AuthUser, row: SessionRow) -> bool:
    return _is_same(user, row) and user.scopes == ALL_SCOPES


def _is_same_token(user: AuthUser, row: TokenRow) -> bool:
    return _is_same(user, row) and user.scopes == scopes_from_stored(tuple(row.scopes))


def _is_same(user: AuthUser, row: SessionRow | TokenRow) -> bool:
    return (user.id, user.session_or_token_id, user.expires_at) == (row.user_id, row.id, row.expires_at)
