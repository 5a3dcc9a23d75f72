"""You: where you are signed in, what acts in your name, and your password."""

from datetime import datetime, timedelta
from typing import Annotated, Final, Literal
from uuid import UUID, uuid4

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field

from corral.database.connection import Database
from corral.edge.field_types import Body, Name
from corral.edge.services import resources
from corral.identity import api_tokens, sessions
from corral.identity.models import EVERYTHING, AuthUser, Scope
from corral.identity.problems import TokenNotFound
from corral.identity.schemas import PasswordChange
from corral.identity.security_events import Kind, device_of, load_events
from corral.identity.session_cookie import forget_session_cookie, source_of
from corral.identity.sign_in import change_password, has_password
from corral.secret import Secret
from corral.vault import Vault
from corral.web.forms import Button, Form, answer_form, filled
from corral.web.templating import render_page
from corral.web.visitors import Visitor, local_path, see_other

router = APIRouter(prefix="/you", include_in_schema=False)

SCOPES_IN_WORDS: Final[dict[str, str]] = {
    Scope.ACCOUNTS_READ: "See how your accounts stand: balances, positions, orders, history",
    Scope.CREDENTIALS_READ: "List your stored keys, without the keys themselves",
    Scope.CREDENTIALS_WRITE: "Store, change, check and delete keys",
    Scope.TOKENS_READ: "List your tokens, without the tokens themselves",
    Scope.TOKENS_WRITE: "Make tokens and revoke any of yours",
    EVERYTHING: "Everything that you may over the API, in later releases too",
}
LIFETIMES: Final = {"7": "A week", "30": "30 days", "90": "90 days", "365": "A year", "never": "For ever"}  # days


EVENTS_IN_WORDS: Final[dict[Kind, str]] = {
    "password_changed": "Password changed",
    "password_recovered": "Password reset with a recovery link",
    "recovery_link_made": "Recovery link created",
    "token_made": "API token created",
    "token_revoked": "API token revoked",
    "tokens_revoked": "All API tokens revoked",
}
MOST_EVENTS_SHOWN: Final = 20


class NewTokenForm(Body):
    """Without a scope nothing is made: by a page, a token that may do everything has to be wished for.

    `once` is of the page's own making, a new one each time it is shown.
    """

    once: UUID
    name: Name
    scopes: Annotated[list[Scope | Literal["*"]], Field(min_length=1)]
    days: Literal["7", "30", "90", "365", "never"]


@router.get("")
async def show_you(user: Visitor, request: Request) -> Response:
    return await _you_page(request, user)


@router.get("/sessions/others/end")
@router.get("/sessions/{session_id:uuid}/end")
@router.get("/tokens")
@router.get("/password")
async def show_form(user: Visitor, request: Request) -> Response:
    """Every form's address has a page: this one, on which the form stands."""
    return await _you_page(request, user)


@router.post("/sessions/others/end")
async def end_other_sessions(user: Visitor, request: Request) -> Response:
    async def act(_: Button) -> Response:
        await sessions.end_other_sessions(resources(request).database, user.id, user.session_or_token_id)
        return see_other("/you")

    async def again(form: Form) -> Response:
        return await _you_page(request, user, ending=form)

    return await answer_form(request, Button, act, again)


@router.post("/sessions/{session_id:uuid}/end")
async def end_session(session_id: UUID, user: Visitor, request: Request) -> Response:
    async def act(_: Button) -> Response:
        await sessions.end_session(resources(request).database, user.id, session_id)
        return see_other("/you")

    async def again(form: Form) -> Response:
        return await _you_page(request, user, ending=form)

    return await answer_form(request, Button, act, again)


@router.post("/tokens")
async def create_token(user: Visitor, request: Request) -> Response:
    """Not led on from: the token is nowhere but in this answer, and so that it can stay nowhere else, a form that is
    sent again, by a reload or a second click, is told that it was taken. It makes no second token.
    """

    async def act(body: NewTokenForm) -> Response:
        house = resources(request)
        _, token = await api_tokens.make_own_token(
            house.database,
            house.vault,
            user,
            name=body.name,
            scopes=None if EVERYTHING in body.scopes else body.scopes,
            expires_at=await _expiry(house.database, body.days),
            token_id=_token_id(house.vault, user, body.once),
            source=source_of(request, "session"),
        )
        return await _you_page(request, user, created=token)

    async def again(form: Form) -> Response:
        return await _you_page(request, user, creating=form)

    return await answer_form(request, NewTokenForm, act, again)


@router.get("/tokens/{token_id:uuid}/revoke")
async def show_revoking(token_id: UUID, user: Visitor, request: Request) -> Response:
    return await _revoking_page(request, user, token_id, filled())


@router.post("/tokens/{token_id:uuid}/revoke")
async def revoke_token(token_id: UUID, user: Visitor, request: Request) -> Response:
    async def act(_: Button) -> Response:
        await api_tokens.revoke_api_token(resources(request).database, user.id, token_id, source_of(request, "session"))
        return see_other("/you")

    async def again(form: Form) -> Response:
        return await _revoking_page(request, user, token_id, form)

    return await answer_form(request, Button, act, again)


@router.get("/tokens/all/revoke")
async def show_revoking_all(user: Visitor, request: Request) -> Response:
    return _revoking_all_page(request, user, filled())


@router.post("/tokens/all/revoke")
async def revoke_all_tokens(user: Visitor, request: Request) -> Response:
    async def act(_: Button) -> Response:
        await api_tokens.revoke_all_api_tokens(resources(request).database, user.id, source_of(request, "session"))
        return see_other("/you")

    async def again(form: Form) -> Response:
        return _revoking_all_page(request, user, form)

    return await answer_form(request, Button, act, again)


@router.post("/password")
async def set_password(user: Visitor, request: Request) -> Response:
    async def act(body: PasswordChange) -> Response:
        house = resources(request)
        await change_password(
            house.database,
            house.vault,
            user,
            current=body.current_password,
            new=body.new_password,
            source=source_of(request, "session"),
        )
        answer = see_other("/sign-in?next=/you")  # where the tokens are listed: they still work
        forget_session_cookie(house, answer)
        return answer

    async def again(form: Form) -> Response:
        return await _you_page(request, user, changing=form)

    return await answer_form(request, PasswordChange, act, again)


@router.get("/recovered")
async def show_recovery(user: Visitor, request: Request) -> Response:
    """Where the first sign-in after a recovery leads: whoever did not ask for it learns of it here."""
    events = await load_events(resources(request).database, user.id)
    return render_page(
        request,
        "you_recovered.html",
        user=user,
        event=next((event for event in events if event.kind == "password_recovered"), None),
        next=local_path(request.query_params.get("next")),
    )


async def _expiry(database: Database, days: str) -> datetime | None:
    return None if days == "never" else await api_tokens.moment_in(database, timedelta(days=int(days)))


def _token_id(vault: Vault, user: AuthUser, once: UUID) -> UUID:
    """One for each showing of a form, and none that whoever sends it could choose."""
    return UUID(bytes=vault.verifier("token_form", str(user.id), str(once))[:16], version=4)


async def _you_page(
    request: Request,
    user: AuthUser,
    *,
    ending: Form | None = None,
    creating: Form | None = None,
    changing: Form | None = None,
    created: Secret | None = None,
) -> Response:
    house = resources(request)
    refused = ending or creating or changing
    return render_page(
        request,
        "you.html",
        user=user,
        status=refused.status if refused else 200,
        sessions=[
            (session, device_of(session.user_agent), sessions.is_idle_too_long(session))
            for session in await sessions.load_sessions(house.database, user.id)
        ],
        tokens=await api_tokens.load_api_tokens(house.database, user.id),
        has_password=await has_password(house.database, user.id),
        scopes_in_words=SCOPES_IN_WORDS,
        lifetimes=LIFETIMES,
        ending=ending or filled(),
        creating=creating or filled(days="90"),
        once=uuid4(),
        changing=changing or filled(),
        created=created.reveal() if created else None,
        events=(await load_events(house.database, user.id))[:MOST_EVENTS_SHOWN],
        events_in_words=EVENTS_IN_WORDS,
    )


async def _revoking_page(request: Request, user: AuthUser, token_id: UUID, form: Form) -> Response:
    for token in await api_tokens.load_api_tokens(resources(request).database, user.id):
        if token.id == token_id:
            return render_page(request, "you_revoke.html", user=user, status=form.status, token=token, form=form)
    raise TokenNotFound


def _revoking_all_page(request: Request, user: AuthUser, form: Form) -> Response:
    return render_page(request, "you_revoke.html", user=user, status=form.status, token=None, form=form)
