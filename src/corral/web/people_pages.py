"""People, for administrators: who is here and who is invited; inviting, shutting out, letting in again."""

from typing import Final, Literal
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import Response

from corral.edge.services import resources
from corral.health.routes import READINESS
from corral.identity.models import AuthUser
from corral.identity.reauthentication import confirm_password
from corral.identity.sign_in import has_password
from corral.people import invitations, members
from corral.people.members import Person
from corral.people.problems import InvitationNotFound, PersonNotFound
from corral.people.schemas import NewInvitation, PasswordConfirmation
from corral.secret import Secret
from corral.web.forms import Button, Form, answer_form, filled
from corral.web.templating import render_page
from corral.web.visitors import AdministratorVisitor, see_other

Deed = Literal["disable", "enable"]

router = APIRouter(prefix="/people", include_in_schema=False)

_ACTIONS: Final = {"disable": members.disable_person, "enable": members.enable_person}


@router.get("")
async def show_people(user: AdministratorVisitor, request: Request) -> Response:
    return await _people_page(request, user, filled())


@router.get("/invitations")
async def show_inviting(user: AdministratorVisitor, request: Request) -> Response:
    return await _people_page(request, user, filled())


@router.post("/invitations")
async def invite(user: AdministratorVisitor, request: Request) -> Response:
    """Not led on from: the link is nowhere but in this answer."""

    async def act(body: NewInvitation) -> Response:
        house = resources(request)
        await confirm_password(house.database, house.vault, user, body.current_password)
        link, _ = await invitations.invite(
            user, house.database, house.vault, email=body.email, public_url=house.public_url
        )
        return await _people_page(request, user, filled(), invited=body.email, link=link)

    async def again(form: Form) -> Response:
        return await _people_page(request, user, form)

    return await answer_form(request, NewInvitation, act, again)


@router.get("/invitations/{invitation_id:uuid}/revoke")
async def show_revoking(invitation_id: UUID, user: AdministratorVisitor, request: Request) -> Response:
    return await _revoking_page(request, user, invitation_id, filled())


@router.post("/invitations/{invitation_id:uuid}/revoke")
async def revoke_invitation(invitation_id: UUID, user: AdministratorVisitor, request: Request) -> Response:
    async def act(_: Button) -> Response:
        await invitations.revoke_invitation(user.id, resources(request).database, invitation_id)
        return see_other("/people")

    async def again(form: Form) -> Response:
        return await _revoking_page(request, user, invitation_id, form)

    return await answer_form(request, Button, act, again)


@router.get("/{person_id:uuid}/{deed}")
async def show_deed(person_id: UUID, deed: Deed, user: AdministratorVisitor, request: Request) -> Response:
    return await _deed_page(request, user, person_id, deed, filled())


@router.post("/{person_id:uuid}/{deed}")
async def do_deed(person_id: UUID, deed: Deed, user: AdministratorVisitor, request: Request) -> Response:
    async def act(body: PasswordConfirmation) -> Response:
        house = resources(request)
        await confirm_password(house.database, house.vault, user, body.current_password)
        await _ACTIONS[deed](user, house.database, person_id)
        return see_other("/people")

    async def again(form: Form) -> Response:
        return await _deed_page(request, user, person_id, deed, form)

    return await answer_form(request, PasswordConfirmation, act, again)


async def _people_page(
    request: Request, user: AuthUser, form: Form, *, invited: str | None = None, link: Secret | None = None
) -> Response:
    house = resources(request)
    people, pending = await members.list_people(user.id, house.database, house.vault)
    return render_page(
        request,
        "people.html",
        user=user,
        status=form.status,
        people=people,
        pending=pending,
        not_ready=READINESS.of(request).reason,
        form=form,
        asks_password=await has_password(house.database, user.id),
        invited=invited,
        link=link.reveal() if link else None,
    )


async def _revoking_page(request: Request, user: AuthUser, invitation_id: UUID, form: Form) -> Response:
    house = resources(request)
    _, pending = await members.list_people(user.id, house.database, house.vault)
    for invitation in pending:
        if invitation.id == invitation_id:
            return render_page(
                request, "people_revoke.html", user=user, status=form.status, invitation=invitation, form=form
            )
    raise InvitationNotFound


async def _deed_page(request: Request, user: AuthUser, person_id: UUID, deed: Deed, form: Form) -> Response:
    house = resources(request)
    people, _ = await members.list_people(user.id, house.database, house.vault)
    return render_page(
        request,
        "people_deed.html",
        user=user,
        status=form.status,
        person=_found(people, person_id),
        deed=deed,
        form=form,
        asks_password=await has_password(house.database, user.id),
    )


def _found(people: list[Person], person_id: UUID) -> Person:
    for person in people:
        if person.id == person_id:
            return person
    raise PersonNotFound
