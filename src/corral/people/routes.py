"""HTTP for administrators: members and invitations. And for accepting an invitation."""

from uuid import UUID

from fastapi import APIRouter, Request, Response

from corral.edge.problems import responses_for
from corral.edge.request_state import resources_of
from corral.errors import DatabaseUnavailable, InvalidRequest
from corral.identity.dependencies import Administrator
from corral.identity.problems import (
    EmailTaken,
    LinkRefused,
    NotAnAdministrator,
    PasswordTooWeak,
    SessionEnded,
    SessionRequired,
    SignInRefused,
    SignInThrottled,
    Unauthenticated,
)
from corral.identity.reauthentication import confirm_password
from corral.identity.schemas import Me, me_of
from corral.identity.session_cookie import begin_session
from corral.identity.throttling import client_address
from corral.people import invitations, members
from corral.people.problems import AdministratorProtected, InvitationNotFound, PersonNotFound
from corral.people.schemas import (
    CreatedInvitation,
    Invitation,
    InvitationAcceptance,
    NewInvitation,
    PasswordConfirmation,
    People,
    Person,
)

router = APIRouter(prefix="/api", tags=["members"])

_ALWAYS = (InvalidRequest, DatabaseUnavailable)
_ADMINISTRATORS_ONLY = (Unauthenticated, SessionRequired, NotAnAdministrator)
_CONFIRMED = (*_ADMINISTRATORS_ONLY, SessionEnded, SignInRefused, SignInThrottled)


@router.get("/people", summary="List members", responses=responses_for(*_ADMINISTRATORS_ONLY, DatabaseUnavailable))
async def list_people(user: Administrator, request: Request) -> People:
    """Returns the email and status of all members, and nothing about their accounts. Administrators only."""
    resources = resources_of(request)
    people, pending = await members.list_people(user.id, resources.database, resources.vault)
    return People(
        items=[_person(person) for person in people],
        invitations=[Invitation(id=one.id, email=one.email, expires_at=one.expires_at) for one in pending],
    )


@router.post(
    "/people/invitations",
    summary="Invite a member",
    status_code=201,
    responses=responses_for(*_CONFIRMED, EmailTaken, *_ALWAYS),
)
async def invite(body: NewInvitation, user: Administrator, request: Request) -> CreatedInvitation:
    """Creates a one-time link for this email, valid for 24 hours. It replaces an earlier one."""
    resources = resources_of(request)
    await confirm_password(resources.database, resources.vault, user, body.current_password)
    link, invitation = await invitations.invite(
        user, resources.database, resources.vault, email=body.email, public_url=resources.public_url
    )
    return CreatedInvitation(
        id=invitation.id, email=invitation.email, expires_at=invitation.expires_at, link=link.reveal()
    )


@router.delete(
    "/people/invitations/{invitation_id}",
    summary="Revoke an invitation",
    status_code=204,
    responses=responses_for(*_ADMINISTRATORS_ONLY, InvitationNotFound, *_ALWAYS),
)
async def revoke_invitation(invitation_id: UUID, user: Administrator, request: Request) -> None:
    """Revokes the link of an invitation, also one by another administrator."""
    await invitations.revoke_invitation(user.id, resources_of(request).database, invitation_id)


@router.post(
    "/people/{person_id}/disable",
    summary="Disable a member",
    status_code=204,
    responses=responses_for(*_CONFIRMED, PersonNotFound, AdministratorProtected, *_ALWAYS),
)
async def disable(person_id: UUID, body: PasswordConfirmation, user: Administrator, request: Request) -> None:
    """Ends the member's sessions, API tokens and streams immediately. Their accounts stay stored, but unused."""
    resources = resources_of(request)
    await confirm_password(resources.database, resources.vault, user, body.current_password)
    await members.disable_person(user, resources.database, resources.vault, person_id, address=client_address(request))


@router.post(
    "/people/{person_id}/enable",
    summary="Enable a member",
    status_code=204,
    responses=responses_for(*_CONFIRMED, PersonNotFound, AdministratorProtected, *_ALWAYS),
)
async def enable(person_id: UUID, body: PasswordConfirmation, user: Administrator, request: Request) -> None:
    """Lets the member sign in again. Sessions and API tokens that have ended don't come back."""
    resources = resources_of(request)
    await confirm_password(resources.database, resources.vault, user, body.current_password)
    await members.enable_person(user, resources.database, resources.vault, person_id, address=client_address(request))


@router.post(
    "/invitation",
    summary="Accept an invitation",
    status_code=201,
    responses=responses_for(LinkRefused, EmailTaken, PasswordTooWeak, *_ALWAYS),
)
async def accept(body: InvitationAcceptance, request: Request, response: Response) -> Me:
    """Creates the invited member with the chosen password and signs them in."""
    resources = resources_of(request)
    verified = await invitations.accept_invitation(
        resources.database, resources.vault, code=body.token, password=body.password
    )
    return me_of(await begin_session(verified, request, response))


def _person(person: members.Member) -> Person:
    return Person(
        id=person.id,
        email=person.email,
        is_administrator=person.is_administrator,
        created_at=person.created_at,
        disabled_at=person.disabled_at,
    )
