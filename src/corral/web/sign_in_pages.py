"""In and out: set-up, signing in by password or one-time code, recovering, signing out."""

from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from corral.edge.services import resources
from corral.identity import sign_in
from corral.identity.links import code_in
from corral.identity.models import AuthUser, VerifiedUser
from corral.identity.problems import SessionEnded
from corral.identity.schemas import LinkSignIn, Recovery, SetUp, SignIn
from corral.identity.security_events import has_news
from corral.identity.session_cookie import begin_session, finish_session, network_address_of, source_of
from corral.web.forms import Form, answer_form, filled
from corral.web.templating import render_page
from corral.web.visitors import PerhapsVisitor, Visitor, local_path, see_other

router = APIRouter(include_in_schema=False)


@router.get("/sign-in")
async def show_sign_in(request: Request, user: PerhapsVisitor) -> Response:
    # With a link of their own, somebody who is signed in already may want to come in as somebody else: no redirect.
    return _sign_in_page(request, by_password=filled(), by_code=filled(), user=user)


@router.get("/sign-in/code")
async def show_code_field(request: Request, user: PerhapsVisitor) -> Response:
    return _sign_in_page(request, by_password=filled(), by_code=filled(), user=user, wants_code=True)


@router.post("/sign-in")
async def sign_in_with_password(request: Request) -> Response:
    async def act(body: SignIn) -> Response:
        house = resources(request)
        verified = await sign_in.check_password(
            house.database, house.vault, email=body.email, password=body.password, peer=network_address_of(request)
        )
        return await _signed_in(verified, request)

    async def again(form: Form) -> Response:
        return _sign_in_page(request, by_password=form, by_code=filled())

    return await answer_form(request, SignIn, act, again)


@router.post("/sign-in/code")
async def sign_in_with_code(request: Request) -> Response:
    async def act(body: LinkSignIn) -> Response:
        house = resources(request)
        verified = await sign_in.redeem_sign_in_link(house.database, house.vault, code_in(body.token))
        return await _signed_in(verified, request)

    async def again(form: Form) -> Response:
        return _sign_in_page(request, by_password=filled(), by_code=form, wants_code=True)

    return await answer_form(request, LinkSignIn, act, again)


@router.get("/setup")
async def show_set_up(request: Request) -> Response:
    return render_page(request, "set_up.html", user=None, form=filled())


@router.post("/setup")
async def set_up(request: Request) -> Response:
    async def act(body: SetUp) -> Response:
        house = resources(request)
        verified = await sign_in.set_up_first_user(
            house.database, house.vault, code=code_in(body.token), email=body.email, password=body.password
        )
        answer = see_other("/")
        await begin_session(verified, request, answer)
        return answer

    async def again(form: Form) -> Response:
        return render_page(request, "set_up.html", user=None, status=form.status, form=form)

    return await answer_form(request, SetUp, act, again)


@router.get("/sign-out")
async def show_way_back() -> RedirectResponse:
    """Whoever was led from here to the sign-in wanted to go, and comes back to the first page."""
    return see_other("/")


@router.post("/sign-out")
async def sign_out(user: Visitor, request: Request) -> Response:
    answer = see_other("/sign-in")
    await finish_session(user, request, answer)
    return answer


@router.get("/recover")
async def show_recovery(request: Request) -> Response:
    return render_page(request, "recover.html", user=None, form=filled())


@router.post("/recover")
async def recover(request: Request) -> Response:
    async def act(body: Recovery) -> Response:
        house = resources(request)
        await sign_in.recover_password(
            house.database,
            house.vault,
            code=code_in(body.token),
            new=body.new_password,
            source=source_of(request, "link"),
        )
        return see_other("/sign-in")

    async def again(form: Form) -> Response:
        return render_page(request, "recover.html", user=None, status=form.status, form=form)

    return await answer_form(request, Recovery, act, again)


async def _signed_in(verified: VerifiedUser, request: Request) -> Response:
    """Where they wanted to go; after a recovery, to the page that says so first."""
    destination = _destination(request)
    answer = see_other(destination)
    await begin_session(verified, request, answer)
    if await has_news(resources(request).database, verified.user_id):
        answer.headers["location"] = f"/you/recovered?next={quote(destination, safe='/')}"
    return answer


def _destination(request: Request) -> str:
    return local_path(request.query_params.get("next"))


def _sign_in_page(
    request: Request, *, by_password: Form, by_code: Form, wants_code: bool = False, user: AuthUser | None = None
) -> HTMLResponse:
    problem = by_password.problem or by_code.problem
    return render_page(
        request,
        "sign_in.html",
        user=None,
        status=problem.status if problem else 200,
        by_password=by_password,
        by_code=by_code,
        wants_code=wants_code,
        next=_destination(request),
        signed_in=user,
        ended=SessionEnded().detail if request.query_params.get("reason") == SessionEnded.code else None,
    )
