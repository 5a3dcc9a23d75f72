"""API tokens on the settings page: create and revoke them."""

from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field

from corral.database.connection import Database
from corral.edge.field_types import Body, Name
from corral.edge.request_state import resources_of
from corral.identity import api_tokens
from corral.identity.models import EVERYTHING, TO_BE_NAMED, AuthUser, Scope
from corral.identity.problems import TokenNotFound
from corral.identity.session_cookie import source_of
from corral.web.confirmations import Done, confirm
from corral.web.forms import EmptyForm, Form, handle_form, id_of_form, initial_form
from corral.web.page_user import PageUser, see_other
from corral.web.pages.settings import settings_page
from corral.web.rendering import render_page

router = APIRouter(prefix="/you", include_in_schema=False)


class NewTokenForm(Body):
    """A scope is required, so that a token with full access is never created by accident.

    `once` is a new id each time the form is shown, so that submitting it twice creates one token.
    """

    once: UUID
    name: Name
    scopes: Annotated[list[Scope | Literal["*"]], Field(min_length=1)]
    days: Literal["7", "30", "90", "365", "never"]


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
            token_id=id_of_form(resources.vault, "token_form", user, body.once),
            source=source_of(request, "session", user.session_or_token_id),
        )
        return await settings_page(request, user, created=token)

    async def redisplay(form: Form) -> Response:
        return await settings_page(request, user, creating=form)

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


def _scopes(selected: list[Scope | Literal["*"]]) -> list[str]:
    """Full access has all scopes but those that must be named, whichever others are selected with it."""
    return [EVERYTHING, *TO_BE_NAMED.intersection(selected)] if EVERYTHING in selected else [*selected]


async def _expiry(database: Database, days: str) -> datetime | None:
    return None if days == "never" else await api_tokens.moment_in(database, timedelta(days=int(days)))


async def _revoke_page(request: Request, user: AuthUser, token_id: UUID, form: Form) -> Response:
    for token in await api_tokens.load_api_tokens(user.id, resources_of(request).database):
        if token.id == token_id:
            return render_page(request, "revoke_token.html", user=user, status=form.status, token=token, form=form)
    raise TokenNotFound


def _revoke_all_page(request: Request, user: AuthUser, form: Form) -> Response:
    return render_page(request, "revoke_token.html", user=user, status=form.status, token=None, form=form)
