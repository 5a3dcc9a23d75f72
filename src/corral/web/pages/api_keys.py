"""Adding an account, and the page of its API key: check, rename, replace, pause, resume and remove.

Each action has a page of its own; with JavaScript its form opens in a dialog instead.
"""

from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request, Response

from corral.credentials import management
from corral.credentials.arrangement import load_arrangement
from corral.credentials.models import Credential
from corral.credentials.reader import VALIDATE
from corral.credentials.routes import CREDENTIALS
from corral.credentials.schemas import NewCredential
from corral.credentials.validation import ValidationReport, validate_stored_keys
from corral.edge.field_types import Body, KeyIdText, KeySecretText, Name
from corral.edge.request_state import resources_of
from corral.errors import NotFound, Problem
from corral.identity.models import AuthUser
from corral.identity.throttling import client_address
from corral.web.confirmations import Done, confirm
from corral.web.forms import EmptyForm, Form, Redisplay, handle_form, initial_form
from corral.web.page_user import PageUser, see_other
from corral.web.rendering import render_page
from corral.web.view.switcher import build_switcher

router = APIRouter(prefix="/keys", include_in_schema=False)

_ACTIONS: Final = frozenset({"rename", "replace", "switch-off", "switch-on", "delete"})


class NewName(Body):
    nickname: Name


class NewKey(Body):
    api_key: KeyIdText
    secret_key: KeySecretText


class Removal(Body):
    nickname: str


class NameMismatch(Problem):
    """The name does not match. Nothing was removed."""

    status, code, title = 422, "nickname_differs", "Name does not match"


@router.get("/new")
async def show_add_account(user: PageUser, request: Request) -> Response:
    return render_page(request, "add_account.html", user=user, form=initial_form())


@router.post("/new")
async def add_account(user: PageUser, request: Request) -> Response:
    async def submit(body: NewCredential) -> Response:
        resources = resources_of(request)
        credential = await management.store_credential(
            user,
            resources.database,
            resources.vault,
            resources.alpaca,
            nickname=body.nickname,
            api_key=body.api_key,
            secret_key=body.secret_key,
            expected=body.credential_type,
            address=client_address(request),
        )
        return see_other(f"/keys/{credential.id}/found")

    async def redisplay(form: Form) -> Response:
        return render_page(request, "add_account.html", user=user, status=form.status, form=form)

    return await handle_form(request, NewCredential, submit, redisplay)


@router.get("/{credential_id:uuid}")
async def show_api_key(credential_id: UUID, user: PageUser, request: Request) -> Response:
    return await _api_key_page(credential_id, user, request, initial_form())


@router.get("/{credential_id:uuid}/found")
async def show_account_added(credential_id: UUID, user: PageUser, request: Request) -> Response:
    """Shows which account the API key belongs to, after adding it."""
    credential = await _load(credential_id, user, request)
    return render_page(
        request, "account_added.html", user=user, environment=credential.credential_type, credential=credential
    )


@router.get("/{credential_id:uuid}/check")
async def show_check(credential_id: UUID, user: PageUser, request: Request) -> Response:
    return await show_api_key(credential_id, user, request)


@router.post("/{credential_id:uuid}/check")
async def check_api_key(credential_id: UUID, user: PageUser, request: Request) -> Response:
    """Returns the page without a redirect, because only this response has the result. A reload checks again."""

    async def submit(_: EmptyForm) -> Response:
        resources = resources_of(request)
        opened = await CREDENTIALS.of(request).open_credential(user.id, credential_id, VALIDATE)
        check = await validate_stored_keys(resources.database, resources.alpaca, opened)
        return await _api_key_page(credential_id, user, request, initial_form(), check)

    async def redisplay(form: Form) -> Response:
        return await _api_key_page(credential_id, user, request, form)

    return await handle_form(request, EmptyForm, submit, redisplay)


@router.get("/{credential_id:uuid}/{action}")
async def show_action(credential_id: UUID, action: str, user: PageUser, request: Request) -> Response:
    if action not in _ACTIONS:
        raise NotFound
    credential = await _load(credential_id, user, request)
    return _action_page(
        request, user, credential, action, initial_form(nickname=credential.nickname if action == "rename" else "")
    )


@router.post("/{credential_id:uuid}/rename")
async def rename(credential_id: UUID, user: PageUser, request: Request) -> Response:
    async def submit(body: NewName) -> Response:
        return await _change(credential_id, user, request, Done.RENAMED, nickname=body.nickname)

    return await handle_form(request, NewName, submit, _redisplay(credential_id, "rename", user, request))


@router.post("/{credential_id:uuid}/switch-off")
async def pause(credential_id: UUID, user: PageUser, request: Request) -> Response:
    async def submit(_: EmptyForm) -> Response:
        return await _change(credential_id, user, request, Done.PAUSED, is_active=False)

    return await handle_form(request, EmptyForm, submit, _redisplay(credential_id, "switch-off", user, request))


@router.post("/{credential_id:uuid}/switch-on")
async def resume(credential_id: UUID, user: PageUser, request: Request) -> Response:
    async def submit(_: EmptyForm) -> Response:
        return await _change(credential_id, user, request, Done.RESUMED, is_active=True)

    return await handle_form(request, EmptyForm, submit, _redisplay(credential_id, "switch-on", user, request))


@router.post("/{credential_id:uuid}/replace")
async def replace_api_key(credential_id: UUID, user: PageUser, request: Request) -> Response:
    async def submit(body: NewKey) -> Response:
        resources = resources_of(request)
        replacement = await management.prepare_replacement(
            user.id,
            resources.database,
            resources.vault,
            resources.alpaca,
            credential_id,
            api_key=body.api_key,
            secret_key=body.secret_key,
        )
        await management.change_credential(
            user,
            resources.database,
            resources.vault,
            credential_id,
            nickname=None,
            is_active=None,
            replacement=replacement,
            address=client_address(request),
        )
        return confirm(request, see_other(f"/keys/{credential_id}"), Done.KEY_REPLACED)

    return await handle_form(request, NewKey, submit, _redisplay(credential_id, "replace", user, request))


@router.post("/{credential_id:uuid}/delete")
async def remove_account(credential_id: UUID, user: PageUser, request: Request) -> Response:
    async def submit(body: Removal) -> Response:
        credential = await _load(credential_id, user, request)
        if body.nickname.strip() != credential.nickname:
            raise NameMismatch
        resources, address = resources_of(request), client_address(request)
        await management.delete_credential(user, resources.database, resources.vault, credential_id, address=address)
        return confirm(request, see_other("/"), Done.ACCOUNT_REMOVED)

    return await handle_form(request, Removal, submit, _redisplay(credential_id, "delete", user, request))


async def _load(credential_id: UUID, user: AuthUser, request: Request) -> Credential:
    return await management.load_credential(user.id, resources_of(request).database, credential_id)


async def _change(
    credential_id: UUID,
    user: AuthUser,
    request: Request,
    done: Done,
    *,
    nickname: str | None = None,
    is_active: bool | None = None,
) -> Response:
    resources = resources_of(request)
    await management.change_credential(
        user,
        resources.database,
        resources.vault,
        credential_id,
        nickname=nickname,
        is_active=is_active,
        replacement=None,
        address=client_address(request),
    )
    return confirm(request, see_other(f"/keys/{credential_id}"), done)


async def _api_key_page(
    credential_id: UUID, user: AuthUser, request: Request, form: Form, check: ValidationReport | None = None
) -> Response:
    arranged = await load_arrangement(user.id, resources_of(request).database)
    credential = arranged.find(credential_id)
    return render_page(
        request,
        "api_key.html",
        user=user,
        environment=credential.credential_type,
        status=form.status,
        credential=credential,
        switcher=build_switcher(arranged, credential_id, f"/keys/{credential_id}"),
        form=form,
        naming=initial_form(nickname=credential.nickname),
        check=check,
    )


def _redisplay(credential_id: UUID, action: str, user: AuthUser, request: Request) -> Redisplay:
    async def redisplay(form: Form) -> Response:
        return _action_page(request, user, await _load(credential_id, user, request), action, form)

    return redisplay


def _action_page(request: Request, user: AuthUser, credential: Credential, action: str, form: Form) -> Response:
    return render_page(
        request,
        "api_key_action.html",
        user=user,
        environment=credential.credential_type,
        status=form.status,
        credential=credential,
        action=action,
        form=form,
    )
