"""Dependencies that give a page its signed-in user, and redirects to the sign-in page and back."""

import re
from contextlib import suppress
from typing import Annotated, Final, Never
from urllib.parse import quote, urlencode

from fastapi import Depends, Request
from fastapi.responses import RedirectResponse

from corral.edge.middleware import Receive, Scope, Send, reads_pages
from corral.errors import NotFound, Problem
from corral.identity.dependencies import get_current_user
from corral.identity.models import AuthUser
from corral.identity.problems import NotAnAdministrator, SessionEnded, SessionRequired, Unauthenticated

# A path of this server. `//host` and `/\host` are other hosts, and so may be a path with characters that browsers drop.
_LOCAL: Final = re.compile(r"/(?![/\\])[!-\[\]-~]*", re.ASCII)
_LONGEST: Final = 1024
_KNOWN_USER: Final = "page_user"


class SignInRequired(Exception):  # noqa: N818 - a redirect and not an error
    """`path` is the page that was requested; `reason` is a problem code that the sign-in page explains."""

    def __init__(self, path: str, reason: str | None) -> None:
        self.path, self.reason = path, reason
        super().__init__(path)


async def require_page_user(request: Request) -> AuthUser:
    """Raises SignInRequired, Unauthenticated (for requests of scripts), or SessionRequired for an API token."""
    try:
        user = await get_current_user(request)
    except Unauthenticated:
        if not reads_pages(request.scope):
            raise
        raise sign_in_required(request) from None
    if user.authenticated_by != "session":
        raise SessionRequired
    request.scope["state"][_KNOWN_USER] = user
    return user


def known_page_user(scope: Scope) -> AuthUser | None:
    """Returns the user if this request has already been found to be theirs."""
    return scope.get("state", {}).get(_KNOWN_USER)


async def unknown_page(scope: Scope, receive: Receive, send: Send) -> Never:
    """For a path without a route. Raises NotFound; its page has the navigation of a user who is signed in."""
    request = Request(scope, receive, send)
    if reads_pages(scope) and request.cookies:
        with suppress(Problem, SignInRequired):
            await require_page_user(request)
    raise NotFound


async def find_page_user(request: Request) -> AuthUser | None:
    """For pages that need no session."""
    try:
        return await require_page_user(request)
    except (SignInRequired, Unauthenticated, SessionRequired):
        return None


async def _require_administrator(user: Annotated[AuthUser, Depends(require_page_user)]) -> AuthUser:
    if not user.is_administrator:
        raise NotAnAdministrator
    return user


async def redirect_to_sign_in(_request: Request, raised: Exception) -> RedirectResponse:
    assert isinstance(raised, SignInRequired)  # noqa: S101 - for the type checker: it is registered for nothing else
    params = {"next": raised.path if raised.path != "/" else None, "reason": raised.reason}
    query = urlencode({name: value for name, value in params.items() if value is not None}, safe="/", quote_via=quote)
    return see_other(f"/sign-in?{query}" if query else "/sign-in")


def sign_in_required(request: Request, cause: Unauthenticated | None = None) -> SignInRequired:
    """The exception that redirects to the sign-in page and back to this one."""
    return SignInRequired(page_path(request), cause.code if isinstance(cause, SessionEnded) else None)


def see_other(path: str) -> RedirectResponse:
    """The response to an accepted form: the browser continues with a GET, so a reload repeats nothing."""
    return RedirectResponse(path, 303)


def local_path(wanted: str | None) -> str:
    """Where to go after signing in: always a path of this server."""
    if wanted is None or len(wanted) > _LONGEST or not _LOCAL.fullmatch(wanted):
        return "/"
    return wanted


def page_path(request: Request) -> str:
    """The path of the page, with its query.

    Every form's path also has a page, so a form that was sent too late leads back to it, without its query.
    """
    query = f"?{request.url.query}" if request.url.query and request.method == "GET" else ""
    return local_path(f"{request.url.path}{query}")


PageUser = Annotated[AuthUser, Depends(require_page_user)]
AdministratorPageUser = Annotated[AuthUser, Depends(_require_administrator)]
OptionalPageUser = Annotated[AuthUser | None, Depends(find_page_user)]
