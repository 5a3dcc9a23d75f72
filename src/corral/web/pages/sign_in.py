"""Set-up, sign-in by password or one-time code, password recovery and sign-out."""

from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from corral.audit.trail import AUDIT
from corral.edge.request_state import resources_of
from corral.identity import sign_in
from corral.identity.links import code_in
from corral.identity.models import AuthUser, VerifiedUser
from corral.identity.problems import SessionEnded
from corral.identity.schemas import LinkSignIn, Recovery, SetUp, SignIn
from corral.identity.security_events import has_unseen_recovery
from corral.identity.session_cookie import begin_session, finish_session, source_of
from corral.identity.throttling import network_address_of
from corral.web.confirmations import Done, confirm
from corral.web.forms import Form, handle_form, initial_form
from corral.web.page_user import OptionalPageUser, PageUser, local_path, see_other
from corral.web.rendering import render_page

router = APIRouter(include_in_schema=False)


@router.get("/sign-in")
async def show_sign_in(request: Request, user: OptionalPageUser) -> Response:
    # No redirect for a signed-in user, who may want to use the link of another account.
    return _sign_in_page(request, by_password=initial_form(), by_code=initial_form(), user=user)


@router.get("/sign-in/code")
async def show_code_field(request: Request, user: OptionalPageUser) -> Response:
    return _sign_in_page(request, by_password=initial_form(), by_code=initial_form(), user=user, shows_code=True)


@router.post("/sign-in")
async def sign_in_with_password(request: Request) -> Response:
    async def submit(body: SignIn) -> Response:
        resources = resources_of(request)
        user = await sign_in.check_password(
            resources.database,
            resources.vault,
            AUDIT.of(request),
            email=body.email,
            password=body.password,
            peer=network_address_of(request),
        )
        return await _begin_session(user, request)

    async def redisplay(form: Form) -> Response:
        return _sign_in_page(request, by_password=form, by_code=initial_form())

    return await handle_form(request, SignIn, submit, redisplay)


@router.post("/sign-in/code")
async def sign_in_with_code(request: Request) -> Response:
    async def submit(body: LinkSignIn) -> Response:
        resources = resources_of(request)
        user = await sign_in.redeem_sign_in_link(resources.database, resources.vault, code_in(body.token))
        return await _begin_session(user, request)

    async def redisplay(form: Form) -> Response:
        return _sign_in_page(request, by_password=initial_form(), by_code=form, shows_code=True)

    return await handle_form(request, LinkSignIn, submit, redisplay)


@router.get("/setup")
async def show_set_up(request: Request) -> Response:
    return render_page(request, "set_up.html", user=None, form=initial_form())


@router.post("/setup")
async def set_up(request: Request) -> Response:
    async def submit(body: SetUp) -> Response:
        resources = resources_of(request)
        user = await sign_in.set_up_first_user(
            resources.database, resources.vault, code=code_in(body.token), email=body.email, password=body.password
        )
        response = see_other("/")
        await begin_session(user, request, response)
        return response

    async def redisplay(form: Form) -> Response:
        return render_page(request, "set_up.html", user=None, status=form.status, form=form)

    return await handle_form(request, SetUp, submit, redisplay)


@router.get("/sign-out")
async def show_sign_out() -> RedirectResponse:
    """A session that ended before signing out leads here after the next sign-in."""
    return see_other("/")


@router.post("/sign-out")
async def sign_out(user: PageUser, request: Request) -> Response:
    response = see_other("/sign-in")
    await finish_session(user, request, response)
    return confirm(request, response, Done.SIGNED_OUT)


@router.get("/recover")
async def show_recovery(request: Request) -> Response:
    return render_page(request, "recover.html", user=None, form=initial_form())


@router.post("/recover")
async def recover(request: Request) -> Response:
    async def submit(body: Recovery) -> Response:
        resources = resources_of(request)
        await sign_in.recover_password(
            resources.database,
            resources.vault,
            code=code_in(body.token),
            new=body.new_password,
            source=source_of(request, "link"),
        )
        return confirm(request, see_other("/sign-in"), Done.PASSWORD_CHANGED)

    async def redisplay(form: Form) -> Response:
        return render_page(request, "recover.html", user=None, status=form.status, form=form)

    return await handle_form(request, Recovery, submit, redisplay)


async def _begin_session(user: VerifiedUser, request: Request) -> Response:
    """Redirects to the requested page, or first to the one that reports a password reset."""
    destination = _destination(request)
    response = see_other(destination)
    await begin_session(user, request, response)
    if await has_unseen_recovery(user.user_id, resources_of(request).database):
        response.headers["location"] = f"/you/recovered?next={quote(destination, safe='/')}"
    return response


def _destination(request: Request) -> str:
    return local_path(request.query_params.get("next"))


def _sign_in_page(
    request: Request, *, by_password: Form, by_code: Form, shows_code: bool = False, user: AuthUser | None = None
) -> HTMLResponse:
    problem = by_password.problem or by_code.problem
    return render_page(
        request,
        "sign_in.html",
        user=None,
        status=problem.status if problem else 200,
        by_password=by_password,
        by_code=by_code,
        shows_code=shows_code,
        next=_destination(request),
        signed_in=user,
        ended=SessionEnded().detail if request.query_params.get("reason") == SessionEnded.code else None,
    )
