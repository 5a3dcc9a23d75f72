"""FastAPI dependencies for routes: the caller, by session or token, with the required scope."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Final

from fastapi import Depends, Request

from corral.edge.request_state import StateKey
from corral.identity.models import AuthUser, Scope
from corral.identity.problems import NotAnAdministrator, SessionRequired
from corral.identity.tokens import Authenticator, require_scope

AUTHENTICATOR: Final = StateKey[Authenticator]("authenticator")


async def get_current_user(request: Request) -> AuthUser:
    """Returns the caller. Raises Unauthenticated."""
    authenticator = AUTHENTICATOR.of(request)
    user = await authenticator.authenticate(authenticator.presented(request))
    request.scope["state"]["user_id"] = user.id  # for the request's log line
    return user


def _requires(scope: Scope) -> Callable[[Request], Awaitable[AuthUser]]:
    async def user_with_scope(request: Request) -> AuthUser:
        return require_scope(await get_current_user(request), scope)

    return user_with_scope


get_accounts_reader = _requires(Scope.ACCOUNTS_READ)
get_audit_reader = _requires(Scope.AUDIT_READ)


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
AuditRead = Annotated[AuthUser, Depends(get_audit_reader)]
CredentialsRead = Annotated[AuthUser, Depends(_requires(Scope.CREDENTIALS_READ))]
CredentialsWrite = Annotated[AuthUser, Depends(_requires(Scope.CREDENTIALS_WRITE))]
GrantsRead = Annotated[AuthUser, Depends(_requires(Scope.GRANTS_READ))]
GrantsWrite = Annotated[AuthUser, Depends(_requires(Scope.GRANTS_WRITE))]
TokensRead = Annotated[AuthUser, Depends(_requires(Scope.TOKENS_READ))]
TokensWrite = Annotated[AuthUser, Depends(_requires(Scope.TOKENS_WRITE))]
