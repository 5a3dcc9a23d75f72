"""Where an invitation leads: a password is chosen, and whoever is invited is here."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from corral.edge.services import resources
from corral.identity.links import code_in
from corral.identity.session_cookie import begin_session
from corral.people.invitations import accept_invitation
from corral.people.schemas import InvitationAcceptance
from corral.web.forms import Form, answer_form, filled
from corral.web.templating import render_page
from corral.web.visitors import see_other

router = APIRouter(include_in_schema=False)


@router.get("/invitation")
async def show_invitation(request: Request) -> Response:
    return render_page(request, "invitation.html", user=None, form=filled())


@router.post("/invitation")
async def accept(request: Request) -> Response:
    async def act(body: InvitationAcceptance) -> Response:
        house = resources(request)
        verified = await accept_invitation(
            house.database, house.vault, code=code_in(body.token), password=body.password
        )
        answer = see_other("/")
        await begin_session(verified, request, answer)
        return answer

    async def again(form: Form) -> Response:
        return render_page(request, "invitation.html", user=None, status=form.status, form=form)

    return await answer_form(request, InvitationAcceptance, act, again)
