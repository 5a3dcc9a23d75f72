"""Keys: added, checked, renamed, replaced, switched off and on, deleted. Each deed has a page of its own."""

from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request, Response

from corral.credentials import management
from corral.credentials.models import Credential
from corral.credentials.reader import VALIDATE
from corral.credentials.routes import CREDENTIALS
from corral.credentials.schemas import NewCredential
from corral.credentials.validation import validate_stored_keys
from corral.edge.field_types import Body, KeyIdText, KeySecretText, Name
from corral.edge.services import resources
from corral.errors import NotFound, Problem
from corral.identity.models import AuthUser
from corral.web.forms import Again, Button, Form, answer_form, filled
from corral.web.templating import render_page
from corral.web.visitors import Visitor, see_other

router = APIRouter(prefix="/keys", include_in_schema=False)

_DEEDS: Final = frozenset({"rename", "replace", "switch-off", "switch-on", "delete"})


class NewName(Body):
    nickname: Name


class NewKeys(Body):
    api_key: KeyIdText
    secret_key: KeySecretText


class Deletion(Body):
    nickname: str


class NicknameDiffers(Problem):
    """That is not the nickname of these keys, so nothing was deleted."""

    status, code, title = 422, "nickname_differs", "Not the nickname"


@router.get("/new")
async def show_adding(user: Visitor, request: Request) -> Response:
    return render_page(request, "keys_new.html", user=user, form=filled())


@router.post("/new")
async def add_keys(user: Visitor, request: Request) -> Response:
    async def act(body: NewCredential) -> Response:
        house = resources(request)
        credential = await management.store_credential(
            user,
            house.database,
            house.vault,
            house.alpaca,
            nickname=body.nickname,
            api_key=body.api_key,
            secret_key=body.secret_key,
            expected=body.credential_type,
        )
        return see_other(f"/keys/{credential.id}/found")

    async def again(form: Form) -> Response:
        return render_page(request, "keys_new.html", user=user, status=form.status, form=form)

    return await answer_form(request, NewCredential, act, again)


@router.get("/{credential_id:uuid}")
async def show_keys(credential_id: UUID, user: Visitor, request: Request) -> Response:
    credential = await _load(credential_id, user, request)
    return render_page(
        request,
        "keys.html",
        user=user,
        environment=credential.credential_type,
        credential=credential,
        form=filled(),
        found=None,
    )


@router.get("/{credential_id:uuid}/found")
async def show_found(credential_id: UUID, user: Visitor, request: Request) -> Response:
    """What Alpaca said the keys are: the last step of adding and replacing them."""
    credential = await _load(credential_id, user, request)
    return render_page(
        request, "keys_found.html", user=user, environment=credential.credential_type, credential=credential
    )


@router.get("/{credential_id:uuid}/check")
async def show_check(credential_id: UUID, user: Visitor, request: Request) -> Response:
    return await show_keys(credential_id, user, request)


@router.post("/{credential_id:uuid}/check")
async def check_keys(credential_id: UUID, user: Visitor, request: Request) -> Response:
    """Not led on from: what was found is nowhere but in this answer, and asking again harms nothing."""

    async def act(_: Button) -> Response:
        core = resources(request)
        opened = await CREDENTIALS.of(request).open_credential(user.id, credential_id, VALIDATE)
        found = await validate_stored_keys(core.database, core.alpaca, opened)
        credential = await _load(credential_id, user, request)
        return render_page(
            request,
            "keys.html",
            user=user,
            environment=credential.credential_type,
            credential=credential,
            form=filled(),
            found=found,
        )

    async def again(form: Form) -> Response:
        credential = await _load(credential_id, user, request)
        return render_page(
            request,
            "keys.html",
            user=user,
            environment=credential.credential_type,
            status=form.status,
            credential=credential,
            form=form,
            found=None,
        )

    return await answer_form(request, Button, act, again)


@router.get("/{credential_id:uuid}/{deed}")
async def show_deed(credential_id: UUID, deed: str, user: Visitor, request: Request) -> Response:
    if deed not in _DEEDS:
        raise NotFound
    credential = await _load(credential_id, user, request)
    return _deed_page(request, user, credential, deed, filled(nickname=credential.nickname if deed == "rename" else ""))


@router.post("/{credential_id:uuid}/rename")
async def rename(credential_id: UUID, user: Visitor, request: Request) -> Response:
    async def act(body: NewName) -> Response:
        return await _change(credential_id, user, request, nickname=body.nickname)

    return await answer_form(request, NewName, act, _again(credential_id, "rename", user, request))


@router.post("/{credential_id:uuid}/switch-off")
async def switch_off(credential_id: UUID, user: Visitor, request: Request) -> Response:
    async def act(_: Button) -> Response:
        return await _change(credential_id, user, request, is_active=False)

    return await answer_form(request, Button, act, _again(credential_id, "switch-off", user, request))


@router.post("/{credential_id:uuid}/switch-on")
async def switch_on(credential_id: UUID, user: Visitor, request: Request) -> Response:
    async def act(_: Button) -> Response:
        return await _change(credential_id, user, request, is_active=True)

    return await answer_form(request, Button, act, _again(credential_id, "switch-on", user, request))


@router.post("/{credential_id:uuid}/replace")
async def replace_keys(credential_id: UUID, user: Visitor, request: Request) -> Response:
    async def act(body: NewKeys) -> Response:
        house = resources(request)
        replacement = await management.prepare_replacement(
            user.id,
            house.database,
            house.vault,
            house.alpaca,
            credential_id,
            api_key=body.api_key,
            secret_key=body.secret_key,
        )
        await management.change_credential(
            user, house.database, credential_id, nickname=None, is_active=None, replacement=replacement
        )
        return see_other(f"/keys/{credential_id}/found")

    return await answer_form(request, NewKeys, act, _again(credential_id, "replace", user, request))


@router.post("/{credential_id:uuid}/delete")
async def delete_keys(credential_id: UUID, user: Visitor, request: Request) -> Response:
    async def act(body: Deletion) -> Response:
        credential = await _load(credential_id, user, request)
        if body.nickname.strip() != credential.nickname:
            raise NicknameDiffers
        await management.delete_credential(user, resources(request).database, credential_id)
        return see_other("/")

    return await answer_form(request, Deletion, act, _again(credential_id, "delete", user, request))


async def _load(credential_id: UUID, user: AuthUser, request: Request) -> Credential:
    return await management.load_credential(user.id, resources(request).database, credential_id)


async def _change(
    credential_id: UUID,
    user: AuthUser,
    request: Request,
    *,
    nickname: str | None = None,
    is_active: bool | None = None,
) -> Response:
    await management.change_credential(
        user,
        resources(request).database,
        credential_id,
        nickname=nickname,
        is_active=is_active,
        replacement=None,
    )
    return see_other(f"/keys/{credential_id}")


def _again(credential_id: UUID, deed: str, user: AuthUser, request: Request) -> Again:
    async def again(form: Form) -> Response:
        return _deed_page(request, user, await _load(credential_id, user, request), deed, form)

    return again


def _deed_page(request: Request, user: AuthUser, credential: Credential, deed: str, form: Form) -> Response:
    return render_page(
        request,
        "keys_deed.html",
        user=user,
        environment=credential.credential_type,
        status=form.status,
        credential=credential,
        deed=deed,
        form=form,
    )
