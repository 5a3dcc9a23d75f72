"""The settings page: display, sessions, API tokens, password and security activity; and the forms of its devices and
password. Those of the display and of API tokens are in files of their own.
"""

from typing import Final
from uuid import UUID, uuid4

from fastapi import APIRouter, Request
from fastapi.responses import Response

from corral.edge.request_state import resources_of
from corral.identity import api_tokens, sessions
from corral.identity.models import EVERYTHING, AuthUser, Scope, is_idle_too_long
from corral.identity.schemas import PasswordChange
from corral.identity.security_events import Kind, device_of, load_events
from corral.identity.session_cookie import forget_session_cookie, source_of
from corral.identity.sign_in import change_password, has_password
from corral.secret import Secret
from corral.web.confirmations import Done, confirm
from corral.web.display import Display, current_display
from corral.web.forms import EmptyForm, Form, handle_form, initial_form
from corral.web.page_user import PageUser, local_path, see_other
from corral.web.rendering import render_page

router = APIRouter(prefix="/you", include_in_schema=False)

SCOPE_DESCRIPTIONS: Final[dict[str, str]] = {
    Scope.ACCOUNTS_READ: "View accounts: cash, equity, positions, orders and history",
    Scope.AUDIT_READ: "Read the audit trail: what was done, by whom and from where",
    Scope.CREDENTIALS_READ: "List accounts and key IDs, without secrets",
    Scope.CREDENTIALS_WRITE: "Add, change, check and remove accounts and their API keys",
    Scope.GRANTS_READ: "List grants, without their secrets",
    Scope.GRANTS_WRITE: "Create, narrow and revoke grants",
    Scope.TOKENS_READ: "List your API tokens, without their values",
    Scope.TOKENS_WRITE: "Create and revoke API tokens",
    EVERYTHING: "Full access, including future features, except grants and the audit trail",
}
LIFETIMES: Final = {
    "7": "7 days",
    "30": "30 days",
    "90": "90 days",
    "365": "1 year",
    "never": "Never expires",
}  # by days

EVENT_NAMES: Final[dict[Kind, str]] = {
    "password_changed": "Password changed",
    "password_recovered": "Password reset with a recovery link",
    "recovery_link_made": "Recovery link created",
    "token_made": "API token created",
    "token_revoked": "API token revoked",
    "tokens_revoked": "All API tokens revoked",
}
MAX_EVENTS: Final = 20


@router.get("")
async def show_settings(user: PageUser, request: Request) -> Response:
    return await settings_page(request, user)


@router.get("/display")
@router.get("/display/amounts")
@router.get("/display/zone")
@router.get("/sessions/others/end")
@router.get("/sessions/{session_id:uuid}/end")
@router.get("/tokens")
@router.get("/password")
async def show_form(user: PageUser, request: Request) -> Response:
    """Every form's URL has a page: this one."""
    return await settings_page(request, user)


@router.post("/sessions/others/end")
async def end_other_sessions(user: PageUser, request: Request) -> Response:
    async def submit(_: EmptyForm) -> Response:
        await sessions.end_other_sessions(user.id, resources_of(request).database, user.session_or_token_id)
        return confirm(request, see_other("/you"), Done.OTHERS_SIGNED_OUT)

    async def redisplay(form: Form) -> Response:
        return await settings_page(request, user, ending=form)

    return await handle_form(request, EmptyForm, submit, redisplay)


@router.post("/sessions/{session_id:uuid}/end")
async def end_session(session_id: UUID, user: PageUser, request: Request) -> Response:
    async def submit(_: EmptyForm) -> Response:
        await sessions.end_session(user.id, resources_of(request).database, session_id)
        return confirm(request, see_other("/you"), Done.DEVICE_SIGNED_OUT)

    async def redisplay(form: Form) -> Response:
        return await settings_page(request, user, ending=form)

    return await handle_form(request, EmptyForm, submit, redisplay)


@router.post("/password")
async def set_password(user: PageUser, request: Request) -> Response:
    async def submit(body: PasswordChange) -> Response:
        resources = resources_of(request)
        await change_password(
            resources.database,
            resources.vault,
            user,
            current=body.current_password,
            new=body.new_password,
            source=source_of(request, "session", user.session_or_token_id),
        )
        response = see_other("/sign-in?next=/you")  # the page that lists the API tokens, which still work
        forget_session_cookie(resources, response)
        return confirm(request, response, Done.PASSWORD_CHANGED)

    async def redisplay(form: Form) -> Response:
        return await settings_page(request, user, changing=form)

    return await handle_form(request, PasswordChange, submit, redisplay)


@router.get("/recovered")
async def show_password_reset(user: PageUser, request: Request) -> Response:
    """The first page after a sign-in that follows a recovery, so that its owner notices one by somebody else."""
    events = await load_events(user.id, resources_of(request).database)
    return render_page(
        request,
        "password_reset.html",
        user=user,
        event=next((event for event in events if event.kind == "password_recovered"), None),
        next=local_path(request.query_params.get("next")),
    )


def _display_form(display: Display) -> Form:
    return initial_form(
        theme=display.theme.value,
        density=display.density.value,
        zone="local" if display.local_zone else "new_york",
        amounts="hidden" if display.hides_amounts else "",
    )


async def settings_page(
    request: Request,
    user: AuthUser,
    *,
    showing: Form | None = None,
    ending: Form | None = None,
    creating: Form | None = None,
    changing: Form | None = None,
    created: Secret | None = None,
) -> Response:
    """Shows a rejected form with what is wrong: of the display, the sessions, the API tokens or the password."""
    resources = resources_of(request)
    rejected = showing or ending or creating or changing
    return render_page(
        request,
        "settings.html",
        user=user,
        status=rejected.status if rejected else 200,
        showing=showing or _display_form(current_display()),
        is_saved=request.query_params.get("saved") == "display",
        sessions=[
            (session, device_of(session.user_agent), is_idle_too_long(session.rested))
            for session in await sessions.load_sessions(user.id, resources.database)
        ],
        tokens=await api_tokens.load_api_tokens(user.id, resources.database),
        has_password=await has_password(user.id, resources.database),
        scope_descriptions=SCOPE_DESCRIPTIONS,
        lifetimes=LIFETIMES,
        ending=ending or initial_form(),
        creating=creating or initial_form(days="90"),
        once=uuid4(),
        changing=changing or initial_form(),
        created=created.reveal() if created else None,
        events=(await load_events(user.id, resources.database))[:MAX_EVENTS],
        event_names=EVENT_NAMES,
    )
