"""Revokes one grant, all of an account, or all of a person, after asking."""

from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import Response

from corral.edge.request_state import resources_of
from corral.grants import management
from corral.identity.models import AuthUser
from corral.identity.throttling import client_address
from corral.web.confirmations import Done, confirm
from corral.web.forms import EmptyForm, Form, Redisplay, handle_form, initial_form
from corral.web.page_user import PageUser, see_other
from corral.web.pages.grant import ONE_GRANT, find_grant, load_grant
from corral.web.pages.grants import GRANTS_OF_ACCOUNT, load_account
from corral.web.rendering import render_page

router = APIRouter(include_in_schema=False)


@router.get(f"{ONE_GRANT}/revoke")
async def show_revoke(credential_id: UUID, grant_id: UUID, user: PageUser, request: Request) -> Response:
    return await _revoke_page(request, user, initial_form(), credential_id, grant_id)


@router.post(f"{ONE_GRANT}/revoke")
async def revoke_grant(credential_id: UUID, grant_id: UUID, user: PageUser, request: Request) -> Response:
    async def submit(_: EmptyForm) -> Response:
        await load_grant(credential_id, grant_id, user, request)
        resources, address = resources_of(request), client_address(request)
        await management.revoke_grant(user, resources.database, resources.vault, grant_id, address=address)
        return confirm(request, see_other(f"/accounts/{credential_id}/grants"), Done.GRANT_REVOKED)

    return await handle_form(request, EmptyForm, submit, _redisplay_revoke(request, user, credential_id, grant_id))


@router.get(f"{GRANTS_OF_ACCOUNT}/all/revoke")
async def show_revoke_all_of_account(credential_id: UUID, user: PageUser, request: Request) -> Response:
    return await _revoke_page(request, user, initial_form(), credential_id)


@router.post(f"{GRANTS_OF_ACCOUNT}/all/revoke")
async def revoke_all_of_account(credential_id: UUID, user: PageUser, request: Request) -> Response:
    async def submit(_: EmptyForm) -> Response:
        await _revoke_all(user, request, credential_id)
        return confirm(request, see_other(f"/accounts/{credential_id}/grants"), Done.GRANTS_REVOKED)

    return await handle_form(request, EmptyForm, submit, _redisplay_revoke(request, user, credential_id))


@router.get("/you/grants/all/revoke")
async def show_revoke_all(user: PageUser, request: Request) -> Response:
    return await _revoke_page(request, user, initial_form())


@router.post("/you/grants/all/revoke")
async def revoke_all_grants(user: PageUser, request: Request) -> Response:
    async def submit(_: EmptyForm) -> Response:
        await _revoke_all(user, request)
        return confirm(request, see_other("/you/grants"), Done.GRANTS_REVOKED)

    return await handle_form(request, EmptyForm, submit, _redisplay_revoke(request, user))


async def _revoke_all(user: AuthUser, request: Request, credential_id: UUID | None = None) -> None:
    resources, address = resources_of(request), client_address(request)
    await management.revoke_grants(user, resources.database, resources.vault, credential_id, address=address)


def _redisplay_revoke(
    request: Request, user: AuthUser, credential_id: UUID | None = None, grant_id: UUID | None = None
) -> Redisplay:
    async def redisplay(form: Form) -> Response:
        return await _revoke_page(request, user, form, credential_id, grant_id)

    return redisplay


async def _revoke_page(
    request: Request,
    user: AuthUser,
    form: Form,
    credential_id: UUID | None = None,
    grant_id: UUID | None = None,
) -> Response:
    """Asks whether to revoke one, all of an account, or all. Raises CredentialNotFound, GrantNotFound."""
    credential, records = None, []
    if credential_id is None:
        records = await management.load_grants(user.id, resources_of(request).database)
    else:
        credential, _, records = await load_account(credential_id, user, request)
    return render_page(
        request,
        "revoke_grants.html",
        user=user,
        environment=credential.credential_type if credential else None,
        status=form.status,
        credential=credential,
        grant=None if grant_id is None else find_grant(records, grant_id),
        count=len(records),
        form=form,
    )
