"""From a request to its user: the session cookie or a bearer token, asked of the database every time."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Annotated, Final, final

from fastapi import Depends, Request

from corral.database.batching import BatchedLookup, WriteBehindBuffer
from corral.database.connection import Database
from corral.edge.services import ServiceKey
from corral.identity import queries
from corral.identity.models import ALL_SCOPES, AuthUser, Scope, scopes_from_stored
from corral.identity.problems import InsufficientScope, NotAnAdministrator, SessionRequired, Unauthenticated
from corral.identity.queries import SessionRow, TokenRow
from corral.identity.sealed_tokens import (
    is_administrator,
    is_sealed_session,
    is_sealed_token,
    is_well_formed,
    session_lookups,
    token_lookups,
)
from corral.identity.sessions import is_idle_too_long
from corral.vault import Vault

# How precisely "last seen" and "last used" are kept: not every request is worth a write.
_TOUCH_AFTER = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Presented:
    """What a request presents to prove who sends it: an API token, or the cookie of a session."""

    is_session: bool
    value: str = field(repr=False)
    lookups: list[bytes] = field(repr=False)  # by every key of the keyring


@final
class Authenticator:
    """Finds the user of a token or session cookie. Lives as long as the process; keeps nothing of what it found."""

    def __init__(self, database: Database, vault: Vault, *, cookie_name: str) -> None:
        self._cookie_name = cookie_name
        self._vault = vault
        self._find_session = BatchedLookup(database.connection, queries.find_sessions)
        self._find_token = BatchedLookup(database.connection, queries.find_api_tokens)
        self._seen = WriteBehindBuffer(partial(queries.note_sessions_seen, database))
        self._used = WriteBehindBuffer(partial(queries.note_api_tokens_used, database))

    def presented(self, request: Request) -> Presented:
        """Raises Unauthenticated. With an Authorization header the cookie is not looked at: never both."""
        authorization = request.headers.get("authorization")
        if authorization is not None:
            scheme, _, token = authorization.partition(" ")
            if scheme.lower() != "bearer":
                raise Unauthenticated
            return self._presented_token(token.strip())
        cookie = request.cookies.get(self._cookie_name)
        if cookie is None:
            raise Unauthenticated
        return self._presented_session(cookie)

    async def authenticate(self, presented: Presented) -> AuthUser:
        """The user, as the database knows them now. Raises Unauthenticated."""
        find = self._find_session if presented.is_session else self._find_token
        for lookup in presented.lookups:
            if row := await find(lookup):
                return self.verify(presented, row)
        raise Unauthenticated

    def verify(self, presented: Presented, row: SessionRow | TokenRow) -> AuthUser:
        """The user of a row that was loaded for this very request. Raises Unauthenticated for one that is not whole."""
        if isinstance(row, SessionRow):
            return self._verify_session(presented.value, row)
        return self._verify_token(presented.value, row)

    async def authenticate_token(self, token: str) -> AuthUser:
        return await self.authenticate(self._presented_token(token))

    async def authenticate_session(self, cookie_value: str) -> AuthUser:
        return await self.authenticate(self._presented_session(cookie_value))

    async def close(self) -> None:
        await self._seen.close()
        await self._used.close()

    def _presented_token(self, token: str) -> Presented:
        if not is_well_formed(token):
            raise Unauthenticated
        return Presented(is_session=False, value=token, lookups=token_lookups(self._vault, token))

    def _presented_session(self, cookie_value: str) -> Presented:
        if not is_well_formed(cookie_value):
            raise Unauthenticated
        return Presented(is_session=True, value=cookie_value, lookups=session_lookups(self._vault, cookie_value))

    def _verify_token(self, token: str, row: TokenRow) -> AuthUser:
        if not is_sealed_token(self._vault, token, row):
            raise Unauthenticated
        if row.rested is None or row.rested > _TOUCH_AFTER:
            self._used.add((row.user_id, row.id))
        scopes = scopes_from_stored(row.scopes)
        return AuthUser(row.user_id, row.email, scopes, "token", row.id, row.expires_at, row.lookup)

    def _verify_session(self, cookie_value: str, row: SessionRow) -> AuthUser:
        if is_idle_too_long(row) or not is_sealed_session(self._vault, cookie_value, row):
            raise Unauthenticated
        if row.rested > _TOUCH_AFTER:
            self._seen.add((row.user_id, row.id))
        may_administer = is_administrator(self._vault, row.user_id, row.admin_seal)
        return AuthUser(
            row.user_id, row.email, ALL_SCOPES, "session", row.id, row.expires_at, row.lookup, may_administer
        )


AUTHENTICATOR: Final = ServiceKey[Authenticator]("authenticator")


def session_cookie_name(public_url: str) -> str:
    """`__Host-` binds the cookie to this very host (RFC 6265bis §4.1.3.2); browsers take it over https only."""
    return "__Host-corral_session" if public_url.startswith("https://") else "corral_session"


async def get_current_user(request: Request) -> AuthUser:
    """The caller. Raises Unauthenticated."""
    authenticator = AUTHENTICATOR.of(request)
    user = await authenticator.authenticate(authenticator.presented(request))
    request.scope["state"]["user_id"] = user.id  # for the request's log line
    return user


def require_scope(user: AuthUser, scope: Scope) -> AuthUser:
    """The same user. Raises InsufficientScope."""
    if scope not in user.scopes:
        raise InsufficientScope(f"This API token lacks the scope {scope}.", scope=scope.value)
    return user


def _requires(scope: Scope) -> Callable[[Request], Awaitable[AuthUser]]:
    async def user_with_scope(request: Request) -> AuthUser:
        return require_scope(await get_current_user(request), scope)

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
