"""Who looks at a page: a person with a session. Somebody without one is led to the sign-in, and back again."""

import re
from typing import Annotated, Final
from urllib.parse import quote, urlencode

from fastapi import Depends, Request
from fastapi.responses import RedirectResponse

from corral.edge.edge import reads_pages
from corral.identity.authenticator import get_current_user
from corral.identity.models import AuthUser
from corral.identity.problems import NotAnAdministrator, SessionEnded, SessionRequired, Unauthenticated

# A path of our own. `//host` and `/\host` lead to another one, and so would what a browser leaves out (a tab).
_LOCAL: Final = re.compile(r"/(?![/\\])[!-\[\]-~]*", re.ASCII)
_LONGEST: Final = 1024


class SignedOut(Exception):  # noqa: N818 - a condition
    """Nobody is signed in; the page that was asked for is `where`, and `reason` one that the sign-in page tells."""

    def __init__(self, where: str, reason: str | None) -> None:
        self.where, self.reason = where, reason
        super().__init__(where)


async def visitor_of(request: Request) -> AuthUser:
    """Raises SignedOut, or Unauthenticated for a script of a page; a token opens no pages (SessionRequired)."""
    try:
        user = await get_current_user(request)
    except Unauthenticated:
        if not reads_pages(request.scope):
            raise
        raise signed_out(request) from None
    if user.authenticated_by != "session":
        raise SessionRequired
    return user


async def perhaps_visitor(request: Request) -> AuthUser | None:
    """For pages that are everybody's."""
    try:
        return await visitor_of(request)
    except (SignedOut, Unauthenticated, SessionRequired):
        return None


async def _administrator_of(user: Annotated[AuthUser, Depends(visitor_of)]) -> AuthUser:
    if not user.is_administrator:
        raise NotAnAdministrator
    return user


async def lead_to_sign_in(_request: Request, raised: Exception) -> RedirectResponse:
    assert isinstance(raised, SignedOut)  # noqa: S101 - for the type checker: it is registered for nothing else
    told = {"next": raised.where if raised.where != "/" else None, "reason": raised.reason}
    query = urlencode({name: value for name, value in told.items() if value is not None}, safe="/", quote_via=quote)
    return see_other(f"/sign-in?{query}" if query else "/sign-in")


def signed_out(request: Request, because: Unauthenticated | None = None) -> SignedOut:
    """Leads to the sign-in and back to the page. `because` has a reason of its own, if it is more than absence."""
    return SignedOut(_where(request), because.code if isinstance(because, SessionEnded) else None)


def see_other(path: str) -> RedirectResponse:
    """The answer to a form that was taken: the browser goes on with a GET, and a reload repeats nothing."""
    return RedirectResponse(path, 303)


def local_path(wanted: str | None) -> str:
    """Where to go after signing in: only ever a page of ours."""
    if wanted is None or len(wanted) > _LONGEST or not _LOCAL.fullmatch(wanted):
        return "/"
    return wanted


def _where(request: Request) -> str:
    """The page. A form's address has a page of its own, so a form that was sent too late leads back to it."""
    query = f"?{request.url.query}" if request.url.query and request.method == "GET" else ""
    return local_path(f"{request.url.path}{query}")


Visitor = Annotated[AuthUser, Depends(visitor_of)]
AdministratorVisitor = Annotated[AuthUser, Depends(_administrator_of)]
PerhapsVisitor = Annotated[AuthUser | None, Depends(perhaps_visitor)]
