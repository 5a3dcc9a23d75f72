"""The settings page: display, sessions, API tokens, password and security activity."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal
from uuid import UUID, uuid4

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field

from corral.database.connection import Database
from corral.edge.field_types import Body, Name
from corral.edge.request_state import resources_of
from corral.errors import InvalidRequest
from corral.identity import api_tokens, sessions
from corral.identity.models import EVERYTHING, TO_BE_NAMED, AuthUser, Scope, is_idle_too_long
from corral.identity.problems import TokenNotFound
from corral.identity.schemas import PasswordChange
from corral.identity.security_events import Kind, device_of, load_events
from corral.identity.session_cookie import forget_session_cookie, source_of
from corral.identity.sign_in import change_password, has_password
from corral.secret import Secret
from corral.vault import Vault
from corral.web.confirmations import Done, confirm
from corral.web.display import Density, Display, Theme, current_display, is_time_zone, keep_display
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
    EVERYTHING: "Full access, including future features; grants only if selected, too",
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

ZoneName = Annotated[str, Field(max_length=64)]


class NewTokenForm(Body):
    """A scope is required, so that a token with full access is never created by accident.

    `once` is a new id each time the form is shown, so that submitting it twice creates one token.
    """

    once: UUID
    name: Name
    scopes: Annotated[list[Scope | Literal["*"]], Field(min_length=1)]
    days: Literal["7", "30", "90", "365", "never"]


class DisplayForm(Body):
    """`device_zone` is the IANA name that the browser reports, which only its script knows."""

    theme: Theme
    density: Density
    zone: Literal["new_york", "local"]
    device_zone: ZoneName | None = None
    amounts: Literal["hidden"] | None = None

    def display(self) -> Display:
        """Raises InvalidRequest."""
        local_zone = _known_zone(self.device_zone) if self.zone == "local" else None
        return Display(self.theme, self.density, local_zone, self.amounts == "hidden")


class AmountsForm(Body):
    amounts: Literal["hidden", "shown"]


class ZoneForm(Body):
    device_zone: ZoneName


@router.get("")
async def show_settings(user: PageUser, request: Request) -> Response:
    return await _settings_page(request, user)


@router.get("/display")
@router.get("/display/amounts")
@router.get("/display/zone")
@router.get("/sessions/others/end")
@router.get("/sessions/{session_id:uuid}/end")
@router.get("/tokens")
@router.get("/password")
async def show_form(user: PageUser, request: Request) -> Response:
    """Every form's URL has a page: this one."""
    return await _settings_page(request, user)


@router.post("/display")
async def save_display(user: PageUser, request: Request) -> Response:
    async def submit(body: DisplayForm) -> Response:
        return _keep(body.display(), "/you?saved=display", request)

    async def redisplay(form: Form) -> Response:
        return await _settings_page(request, user, showing=form)

    return await handle_form(request, DisplayForm, submit, redisplay)


@router.post("/display/amounts")
async def switch_amounts(user: PageUser, request: Request) -> Response:
    """The switch on every page: returns to the page in `next`."""

    async def submit(body: AmountsForm) -> Response:
        display = replace(current_display(), hides_amounts=body.amounts == "hidden")
        return _keep(display, local_path(request.query_params.get("next")), request)

    async def redisplay(form: Form) -> Response:
        return await _settings_page(request, user, showing=form)

    return await handle_form(request, AmountsForm, submit, redisplay)


@router.post("/display/zone")
async def update_local_zone(user: PageUser, request: Request) -> Response:
    """Called by the pages' script when a device that shows local time is in another zone than before."""

    async def submit(body: ZoneForm) -> Response:
        display, zone = current_display(), _known_zone(body.device_zone)
        return _keep(replace(display, local_zone=zone) if display.local_zone else display, "/you", request)

    async def redisplay(form: Form) -> Response:
        return await _settings_page(request, user, showing=form)

    return await handle_form(request, ZoneForm, submit, redisplay)


@router.post("/sessions/others/end")
async def end_other_sessions(user: PageUser, request: Request) -> Response:
    async def submit(_: EmptyForm) -> Response:
        await sessions.end_other_sessions(user.id, resources_of(request).database, user.session_or_token_id)
        return confirm(request, see_other("/you"), Done.OTHERS_SIGNED_OUT)

    async def redisplay(form: Form) -> Response:
        return await _settings_page(request, user, ending=form)

    return await handle_form(request, EmptyForm, submit, redisplay)


@router.post("/sessions/{session_id:uuid}/end")
async def end_session(session_id: UUID, user: PageUser, request: Request) -> Response:
    async def submit(_: EmptyForm) -> Response:
        await sessions.end_session(user.id, resources_of(request).database, session_id)
        return confirm(request, see_other("/you"), Done.DEVICE_SIGNED_OUT)

    async def redisplay(form: Form) -> Response:
        return await _settings_page(request, user, ending=form)

    return await handle_form(request, EmptyForm, submit, redisplay)


@router.post("/tokens")
async def create_token(user: PageUser, request: Request) -> Response:
    """Returns the page without a redirect, because only this response has the token.

    Submitting the form again, by a reload or a second click, is an error and creates no second token.
    """

    async def submit(body: NewTokenForm) -> Response:
        resources = resources_of(request)
        _, token = await api_tokens.make_own_token(
            resources.database,
            resources.vault,
            user,
            name=body.name,
            scopes=_scopes(body.scopes),
            expires_at=await _expiry(resources.database, body.days),
            token_id=_token_id(resources.vault, user, body.once),
            source=source_of(request, "session", user.session_or_token_id),
        )
        return await _settings_page(request, user, created=token)

    async def redisplay(form: Form) -> Response:
        return await _settings_page(request, user, creating=form)

    return await handle_form(request, NewTokenForm, submit, redisplay)


@router.get("/tokens/{token_id:uuid}/revoke")
async def show_revoke(token_id: UUID, user: PageUser, request: Request) -> Response:
    return await _revoke_page(request, user, token_id, initial_form())


@router.post("/tokens/{token_id:uuid}/revoke")
async def revoke_token(token_id: UUID, user: PageUser, request: Request) -> Response:
    async def submit(_: EmptyForm) -> Response:
        resources, source = resources_of(request), source_of(request, "session", user.session_or_token_id)
        await api_tokens.revoke_api_token(user.id, resources.database, resources.vault, token_id, source)
        return confirm(request, see_other("/you"), Done.TOKEN_REVOKED)

    async def redisplay(form: Form) -> Response:
        return await _revoke_page(request, user, token_id, form)

    return await handle_form(request, EmptyForm, submit, redisplay)


@router.get("/tokens/all/revoke")
async def show_revoke_all(user: PageUser, request: Request) -> Response:
    return _revoke_all_page(request, user, initial_form())


@router.post("/tokens/all/revoke")
async def revoke_all_tokens(user: PageUser, request: Request) -> Response:
    async def submit(_: EmptyForm) -> Response:
        resources, source = resources_of(request), source_of(request, "session", user.session_or_token_id)
        await api_tokens.revoke_all_api_tokens(user.id, resources.database, resources.vault, source)
        return confirm(request, see_other("/you"), Done.TOKENS_REVOKED)

    async def redisplay(form: Form) -> Response:
        return _revoke_all_page(request, user, form)

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
        return await _settings_page(request, user, changing=form)

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


def _known_zone(name: str | None) -> str:
    """Raises InvalidRequest."""
    if name is None or not is_time_zone(name):
        raise InvalidRequest("Local time isn't available: the browser's time zone is unknown.")
    return name


def _keep(display: Display, path: str, request: Request) -> Response:
    response = see_other(path)
    keep_display(display, resources_of(request).public_url, response)
    return response


def _display_form(display: Display) -> Form:
    return initial_form(
        theme=display.theme.value,
        density=display.density.value,
        zone="local" if display.local_zone else "new_york",
        amounts="hidden" if display.hides_amounts else "",
    )


def _scopes(selected: list[Scope | Literal["*"]]) -> list[str]:
    """Full access has all scopes but those that must be named, whichever others are selected with it."""
    return [EVERYTHING, *TO_BE_NAMED.intersection(selected)] if EVERYTHING in selected else [*selected]


async def _expiry(database: Database, days: str) -> datetime | None:
    return None if days == "never" else await api_tokens.moment_in(database, timedelta(days=int(days)))


def _token_id(vault: Vault, user: AuthUser, once: UUID) -> UUID:
    """The same id for the same form, and one that the sender cannot choose."""
    return UUID(bytes=vault.verifier("token_form", str(user.id), str(once))[:16], version=4)


async def _settings_page(
    request: Request,
    user: AuthUser,
    *,
    showing: Form | None = None,
    ending: Form | None = None,
    creating: Form | None = None,
    changing: Form | None = None,
    created: Secret | None = None,
) -> Response:
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


async def _revoke_page(request: Request, user: AuthUser, token_id: UUID, form: Form) -> Response:
    for token in await api_tokens.load_api_tokens(user.id, resources_of(request).database):
        if token.id == token_id:
            return render_page(request, "revoke_token.html", user=user, status=form.status, token=token, form=form)
    raise TokenNotFound


def _revoke_all_page(request: Request, user: AuthUser, form: Form) -> Response:
    return render_page(request, "revoke_token.html", user=user, status=form.status, token=None, form=form)
