"""HTTP for a person's own sessions. No token can see or end one."""

from uuid import UUID

from fastapi import APIRouter, Request, Response

from corral.edge.problems import responses_for
from corral.edge.resources import resources
from corral.errors import DatabaseUnavailable, InvalidRequest
from corral.identity import sessions
from corral.identity.current_user import SignedInPerson
from corral.identity.devices import device_of
from corral.identity.problems import SessionNotFound, SessionRequired, Unauthenticated
from corral.identity.schemas import Session, SessionList
from corral.identity.signed_in import forget_session_cookie

router = APIRouter(prefix="/api/sessions", tags=["identity"])


@router.get("", summary="List sessions", responses=responses_for(Unauthenticated, SessionRequired, DatabaseUnavailable))
async def list_sessions(user: SignedInPerson, request: Request) -> SessionList:
    """Returns your sessions, last used first. The device is derived from the User-Agent header."""
    return SessionList(
        items=[
            Session(
                id=session.id,
                device=device_of(session.user_agent),
                is_current=session.id == user.session_or_token_id,
                is_idle=sessions.is_idle_too_long(session),
                created_at=session.created_at,
                last_seen_at=session.last_seen_at,
                expires_at=session.expires_at,
            )
            for session in await sessions.load_sessions(resources(request).database, user.id)
        ]
    )


@router.delete(
    "",
    summary="End all other sessions",
    status_code=204,
    responses=responses_for(Unauthenticated, SessionRequired, DatabaseUnavailable),
)
async def end_others(user: SignedInPerson, request: Request) -> None:
    """Ends all other sessions and their streams. API tokens are not affected."""
    await sessions.end_other_sessions(resources(request).database, user.id, user.session_or_token_id)


@router.delete(
    "/{session_id}",
    summary="End a session",
    status_code=204,
    responses=responses_for(Unauthenticated, SessionRequired, SessionNotFound, InvalidRequest, DatabaseUnavailable),
)
async def end_one(session_id: UUID, user: SignedInPerson, request: Request, response: Response) -> None:
    """Ends a session and its streams immediately."""
    house = resources(request)
    await sessions.end_session(house.database, user.id, session_id)
    if session_id == user.session_or_token_id:
        forget_session_cookie(house, response)
