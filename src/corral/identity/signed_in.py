"""What every way in ends with: a new session, its cookie, and who one is."""

from uuid import UUID

from fastapi import Request, Response

from corral.edge.resources import resources
from corral.identity import sessions
from corral.identity.current_user import session_cookie_name
from corral.identity.models import AuthUser
from corral.identity.schemas import Me


async def answer_signed_in(request: Request, response: Response, user_id: UUID) -> Me:
    house = resources(request)
    session = await sessions.start_session(house.database, house.vault, user_id, request.headers.get("user-agent", ""))
    _set_cookie(request, response, session.cookie_value.reveal(), int(sessions.ABSOLUTE.total_seconds()))
    return me_of(await request.state.doorkeeper.by_session(session.cookie_value.reveal()))


def forget_cookie(request: Request, response: Response) -> None:
    _set_cookie(request, response, "", 0)


def me_of(user: AuthUser) -> Me:
    return Me(
        id=user.id,
        email=user.email,
        scopes=sorted(user.scopes),
        authenticated_by=user.authenticated_by,
        is_administrator=user.is_administrator,
        expires_at=user.expires_at,
    )


def _set_cookie(request: Request, response: Response, value: str, max_age: int) -> None:
    public_url = resources(request).public_url
    response.set_cookie(
        session_cookie_name(public_url),
        value,
        max_age=max_age,
        path="/",
        secure=public_url.startswith("https://"),
        httponly=True,
        samesite="lax",
    )
