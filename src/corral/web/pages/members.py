"""The members page for administrators: members and invitations; inviting, disabling and enabling."""

from typing import Final, Literal
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import Response

from corral.edge.request_state import resources_of
from corral.health.routes import READINESS
from corral.identity.models import AuthUser
from corral.identity.reauthentication import confirm_password
from corral.identity.sign_in import has_password
from corral.identity.throttling import client_address
from corral.people import invitations, members
from corral.people.members import Member
from corral.people.problems import InvitationNotFound, PersonNotFound
from corral.people.schemas import NewInvitation, PasswordConfirmation
from corral.secret import Secret
from corral.web.confirmations import Done, confirm
from corral.web.forms import EmptyForm, Form, handle_form, initial_form
from corral.web.page_user import AdministratorPageUser, see_other
from corral.web.rendering import render_page

Action = Literal["disable", "enable"]

router = APIRouter(prefix="/people", include_in_schema=False)

_CHANGES: Final = {"disable": members.disable_person, "enable": members.enable_person}
_DONE: Final[dict[Action, Done]] = {"disable": Done.MEMBER_DISABLED, "enable": Done.MEMBER_ENABLED}


@router.get("")
async def show_members(user: AdministratorPageUser, request: Request) -> Response:
    return await _members_page(request, user, initial_form())


@router.get("/invitations")
async def show_invite(user: AdministratorPageUser, request: Request) -> Response:
    return await _members_page(request, user, initial_form())


@router.post("/invitations")
async def invite(user: AdministratorPageUser, request: Request) -> Response:
    """Returns the page without a redirect, because only this response has the link."""

    async def submit(body: NewInvitation) -> Response:
        resources = resources_of(request)
        await confirm_password(resources.database, resources.vault, user, body.current_password)
        link, _ = await invitations.invite(
            user, resources.database, resources.vault, email=body.email, public_url=resources.public_url
        )
        return await _members_page(request, user, initial_form(), invited=body.email, link=link)

    async def redisplay(form: Form) -> Response:
        return await _members_page(request, user, form)

    return await handle_form(request, NewInvitation, submit, redisplay)


@router.get("/invitations/{invitation_id:uuid}/revoke")
async def show_revoke_invitation(invitation_id: UUID, user: AdministratorPageUser, request: Request) -> Response:
    return await _revoke_invitation_page(request, user, invitation_id, initial_form())


@router.post("/invitations/{invitation_id:uuid}/revoke")
async def revoke_invitation(invitation_id: UUID, user: AdministratorPageUser, request: Request) -> Response:
    async def submit(_: EmptyForm) -> Response:
        await invitations.revoke_invitation(user.id, resources_of(request).database, invitation_id)
        return confirm(request, see_other("/people"), Done.INVITATION_REVOKED)

    async def redisplay(form: Form) -> Response:
        return await _revoke_invitation_page(request, user, invitation_id, form)

    return await handle_form(request, EmptyForm, submit, redisplay)


@router.get("/{person_id:uuid}/{action}")
async def show_action(person_id: UUID, action: Action, user: AdministratorPageUser, request: Request) -> Response:
    return await _action_page(request, user, person_id, action, initial_form())


@router.post("/{person_id:uuid}/{action}")
async def apply_action(person_id: UUID, action: Action, user: AdministratorPageUser, request: Request) -> Response:
    async def submit(body: PasswordConfirmation) -> Response:
        resources = resources_of(request)
        await confirm_password(resources.database, resources.vault, user, body.current_password)
        await _CHANGES[action](user, resources.database, resources.vault, person_id, address=client_address(request))
        return confirm(request, see_other("/people"), _DONE[action])

    async def redisplay(form: Form) -> Response:
        return await _action_page(request, user, person_id, action, form)

    return await handle_form(request, PasswordConfirmation, submit, redisplay)


async def _members_page(
    request: Request, user: AuthUser, form: Form, *, invited: str | None = None, link: Secret | None = None
) -> Response:
    resources = resources_of(request)
    people, pending = await members.list_people(user.id, resources.database, resources.vault)
    return render_page(
        request,
        "members.html",
        user=user,
        status=form.status,
        members=people,
        pending=pending,
        not_ready=READINESS.of(request).reason,
        form=form,
        asks_password=await has_password(user.id, resources.database),
        invited=invited,
        link=link.reveal() if link else None,
    )


async def _revoke_invitation_page(request: Request, user: AuthUser, invitation_id: UUID, form: Form) -> Response:
    resources = resources_of(request)
    _, pending = await members.list_people(user.id, resources.database, resources.vault)
    for invitation in pending:
        if invitation.id == invitation_id:
            return render_page(
                request, "revoke_invitation.html", user=user, status=form.status, invitation=invitation, form=form
            )
    raise InvitationNotFound


async def _action_page(request: Request, user: AuthUser, person_id: UUID, action: Action, form: Form) -> Response:
    resources = resources_of(request)
    people, _ = await members.list_people(user.id, resources.database, resources.vault)
    return render_page(
        request,
        "member_action.html",
        user=user,
        status=form.status,
        member=_find(people, person_id),
        action=action,
        form=form,
        asks_password=await has_password(user.id, resources.database),
    )


def _find(members: list[Member], person_id: UUID) -> Member:
    for person in members:
        if person.id == person_id:
            return person
    raise PersonNotFound
