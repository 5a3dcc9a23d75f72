"""From a request to its user: the session cookie or a bearer token, asked of the database every time."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Annotated, cast, final

from fastapi import Depends, Request

from corral.database.batching import BatchedLookup
from corral.database.connection import Database
from corral.database.notes import Notebook
from corral.identity import queries
from corral.identity.administrators import is_administrator
from corral.identity.api_tokens import is_sealed_token, token_lookups
from corral.identity.models import AuthUser
from corral.identity.problems import InsufficientScope, NotAnAdministrator, SessionRequired, Unauthenticated
from corral.identity.queries import SessionRow, TokenRow
from corral.identity.scopes import ALL_SCOPES, Scope, scopes_from_stored
from corral.identity.sessions import is_idle_too_long, is_sealed_session, session_lookups
from corral.identity.token_format import is_well_formed
from corral.vault import Vault

# How precisely "last seen" and "last used" are kept: not every request is worth a write.
_TOUCH_AFTER = timedelta(minutes=1)


@final
class Doorkeeper:
    """Finds out who is asking. Lives as long as the process; keeps nothing of what it found."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._vault = vault
        self._find_session = BatchedLookup(database.connection, queries.find_sessions)
        self._find_token = BatchedLookup(database.connection, queries.find_api_tokens)
        self._seen = Notebook(partial(queries.note_sessions_seen, database))
        self._used = Notebook(partial(queries.note_api_tokens_used, database))

    async def by_token(self, token: str) -> AuthUser:
        row = await self._token_row(token)
        if row is None or not is_sealed_token(self._vault, token, row):
            raise Unauthenticated
        if row.rested is None or row.rested > _TOUCH_AFTER:
            self._used.note((row.user_id, row.id))
        scopes = scopes_from_stored(row.scopes)
        return AuthUser(row.user_id, row.email, scopes, "token", row.id, row.expires_at, row.lookup)

    async def by_session(self, cookie_value: str) -> AuthUser:
        row = await self._session_row(cookie_value)
        if row is None or is_idle_too_long(row) or not is_sealed_session(self._vault, cookie_value, row):
            raise Unauthenticated
        if row.rested > _TOUCH_AFTER:
            self._seen.note((row.user_id, row.id))
        may_administer = is_administrator(self._vault, row.user_id, row.admin_seal)
        return AuthUser(
            row.user_id, row.email, ALL_SCOPES, "session", row.id, row.expires_at, row.lookup, may_administer
        )

    async def close(self) -> None:
        await self._seen.close()
        await self._used.close()

    async def _token_row(self, token: str) -> TokenRow | None:
        if is_well_formed(token):
            for lookup in token_lookups(self._vault, token):
                if row := await self._find_token(lookup):
                    return row
        return None

    async def _session_row(self, cookie_value: str) -> SessionRow | None:
        if is_well_formed(cookie_value):
            for lookup in session_lookups(self._vault, cookie_value):
                if row := await self._find_session(lookup):
                    return row
        return None


def session_cookie_name(public_url: str) -> str:
    """`__Host-` binds the cookie to this very host (RFC 6265bis §4.1.3.2); browsers take it over https only."""
    return "__Host-corral_session" if public_url.startswith("https://") else "corral_session"


async def get_current_user(request: Request) -> AuthUser:
    """The caller, or Unauthenticated. With an Authorization header the cookie is not looked at: never both."""
    user = await _identify(request)
    request.scope["state"]["user_id"] = user.id  # for the request's log line
    return user


async def _identify(request: Request) -> AuthUser:
    doorkeeper = cast("Doorkeeper", request.state.doorkeeper)
    authorization = request.headers.get("authorization")
    if authorization is not None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated
        return await doorkeeper.by_token(token.strip())
    cookie = request.cookies.get(cast("str", request.state.session_cookie))
    if cookie is None:
        raise Unauthenticated
    return await doorkeeper.by_session(cookie)


def _requires(scope: Scope) -> Callable[[Request], Awaitable[AuthUser]]:
    async def user_with_scope(request: Request) -> AuthUser:
        user = await get_current_user(request)
        if not user.may(scope):
            raise InsufficientScope(f"This API token lacks the scope {scope}.", scope=scope.value)
        return user

    return user_with_scope


get_accounts_reader = _requires(Scope.ACCOUNTS_READ)


async def _signed_in_person(request: Request) -> AuthUser:
    user = await get_current_user(request)
    if user.authenticated_by != "session":
        raise SessionRequired
    return user


async def _administrator(request: Request) -> AuthUser:
    user = await _signed_in_person(request)
    if not user.is_administrator:
        raise NotAnAdministrator
    return user


CurrentUser = Annotated[AuthUser, Depends(get_current_user)]
SignedInPerson = Annotated[AuthUser, Depends(_signed_in_person)]
Administrator = Annotated[AuthUser, Depends(_administrator)]
AccountsRead = Annotated[AuthUser, Depends(get_accounts_reader)]
CredentialsRead = Annotated[AuthUser, Depends(_requires(Scope.CREDENTIALS_READ))]
CredentialsWrite = Annotated[AuthUser, Depends(_requires(Scope.CREDENTIALS_WRITE))]
TokensRead = Annotated[AuthUser, Depends(_requires(Scope.TOKENS_READ))]
TokensWrite = Annotated[AuthUser, Depends(_requires(Scope.TOKENS_WRITE))]
