"""A browser's session from sign-in to sign-out: its row and its cookie."""

from contextlib import suppress
from uuid import UUID

from fastapi import Request, Response

from corral.edge.request_state import Resources, resources_of
from corral.identity import sessions
from corral.identity.dependencies import AUTHENTICATOR
from corral.identity.models import AuthUser, VerifiedUser
from corral.identity.problems import SessionNotFound
from corral.identity.security_events import ChangeSource, MadeBy, device_of
from corral.identity.throttling import client_address


async def begin_session(verified: VerifiedUser, request: Request, response: Response) -> AuthUser:
    """Creates a session for a user who has just proved their identity, and sets its cookie on `response`.

    The browser's previous session ends: its user could no longer sign out, and open pages of it would continue to show
    their data.
    """
    resources = resources_of(request)
    session = await sessions.start_session(
        resources.database, resources.vault, verified, request.headers.get("user-agent", "")
    )
    if former := request.cookies.get(session_cookie_name(resources.public_url)):
        await sessions.end_session_of(resources.database, resources.vault, former)
    cookie_value = session.cookie_value.reveal()
    _set_cookie(resources, response, cookie_value, int(sessions.ABSOLUTE.total_seconds()))
    return await AUTHENTICATOR.of(request).authenticate_session(cookie_value)


async def finish_session(user: AuthUser, request: Request, response: Response) -> None:
    """Ends the session on the server, and clears the cookie and the browser's cached data."""
    resources = resources_of(request)
    with suppress(SessionNotFound):  # ended elsewhere at the same time
        await sessions.end_session(user.id, resources.database, user.session_or_token_id)
    forget_session_cookie(resources, response)
    response.headers["clear-site-data"] = '"cache", "storage"'


def session_cookie_name(public_url: str) -> str:
    """`__Host-` binds the cookie to this host (RFC 6265bis §4.1.3.2); browsers accept it over https only."""
    return "__Host-corral_session" if public_url.startswith("https://") else "corral_session"


def forget_session_cookie(resources: Resources, response: Response) -> None:
    _set_cookie(resources, response, "", 0)


def source_of(request: Request, made_by: MadeBy, made_by_id: UUID | None = None) -> ChangeSource:
    """For the user to recognize. A guess, because it relies on what the browser sends."""
    return ChangeSource(made_by, client_address(request), device_of(request.headers.get("user-agent", "")), made_by_id)


def _set_cookie(resources: Resources, response: Response, value: str, max_age: int) -> None:
    response.set_cookie(
        session_cookie_name(resources.public_url),
        value,
        max_age=max_age,
        path="/",
        secure=resources.public_url.startswith("https://"),
        httponly=True,
        samesite="lax",
    )
