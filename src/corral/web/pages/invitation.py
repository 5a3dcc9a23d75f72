"""The page that an invitation link opens: the new member chooses a password."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from corral.edge.request_state import resources_of
from corral.identity.links import code_in
from corral.identity.session_cookie import begin_session
from corral.people.invitations import accept_invitation
from corral.people.schemas import InvitationAcceptance
from corral.web.forms import Form, handle_form, initial_form
from corral.web.page_user import see_other
from corral.web.rendering import render_page

router = APIRouter(include_in_schema=False)


@router.get("/invitation")
async def show_invitation(request: Request) -> Response:
    return render_page(request, "invitation.html", user=None, form=initial_form())


@router.post("/invitation")
async def accept(request: Request) -> Response:
    async def submit(body: InvitationAcceptance) -> Response:
        resources = resources_of(request)
        member = await accept_invitation(
            resources.database, resources.vault, code=code_in(body.token), password=body.password
        )
        response = see_other("/")
        await begin_session(member, request, response)
        return response

    async def redisplay(form: Form) -> Response:
        return render_page(request, "invitation.html", user=None, status=form.status, form=form)

    return await handle_form(request, InvitationAcceptance, submit, redisplay)
