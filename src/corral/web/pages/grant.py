"""One grant: its page, and how it is narrowed or renewed."""

from collections.abc import Sequence
from typing import Final, Literal
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import AwareDatetime

from corral.edge.field_types import Body, Name, SecretText, parse_duration
from corral.edge.request_state import resources_of
from corral.errors import InvalidRequest
from corral.grants import management
from corral.grants.access import Access
from corral.grants.management import Narrowing, Renewal
from corral.grants.models import GrantRecord, needs_password
from corral.grants.problems import GrantNotFound
from corral.identity.models import AuthUser
from corral.identity.sign_in import has_password
from corral.identity.throttling import client_address
from corral.web.confirmations import Done, confirm
from corral.web.forms import Form, handle_form, initial_form
from corral.web.page_user import PageUser, see_other
from corral.web.pages.grants import (
    GRANTS_OF_ACCOUNT,
    ExpiresIn,
    KeyPair,
    TypedNetworks,
    as_tuple,
    key_pair,
    load_account,
)
from corral.web.rendering import render_page
from corral.web.view.grants import (
    ACCESS_MEANINGS,
    ACCESS_NAMES,
    LIFETIMES,
    OVERLAPS,
    ListedGrant,
    describe_grant,
    shorter_lifetimes,
)

router = APIRouter(include_in_schema=False)

ONE_GRANT: Final = f"{GRANTS_OF_ACCOUNT}/{{grant_id:uuid}}"
_ANY_NETWORK: Final = "A grant can only be narrowed. Create a new one for use from everywhere."


class NarrowingForm(Body):
    name: Name
    access: Access | None = None
    expires_in: ExpiresIn | None = None
    networks: TypedNetworks = None


class RenewalForm(Body):
    """`ended_at` is the end that the form has shown, so that submitting it twice renews the grant once."""

    expires_in: ExpiresIn
    new_secret: Literal["yes"] | None = None
    overlap: Literal["0m", "1h", "1d", "7d"] = "1d"
    current_password: SecretText | None = None
    ended_at: AwareDatetime | None = None


@router.get(ONE_GRANT)
@router.get(f"{ONE_GRANT}/narrow")
@router.get(f"{ONE_GRANT}/renew")
async def show_grant(credential_id: UUID, grant_id: UUID, user: PageUser, request: Request) -> Response:
    """Every form's URL has a page: this one."""
    return await _grant_page(credential_id, grant_id, user, request)


@router.post(f"{ONE_GRANT}/narrow")
async def narrow_grant(credential_id: UUID, grant_id: UUID, user: PageUser, request: Request) -> Response:
    async def submit(body: NarrowingForm) -> Response:
        resources = resources_of(request)
        record = await load_grant(credential_id, grant_id, user, request)
        change = _narrowing(record, body)
        await management.narrow_grant(
            user, resources.database, resources.vault, grant_id, change, address=client_address(request)
        )
        return confirm(request, see_other(f"/accounts/{credential_id}/grants/{grant_id}"), Done.GRANT_CHANGED)

    async def redisplay(form: Form) -> Response:
        return await _grant_page(credential_id, grant_id, user, request, narrowing=form)

    return await handle_form(request, NarrowingForm, submit, redisplay)


@router.post(f"{ONE_GRANT}/renew")
async def renew_grant(credential_id: UUID, grant_id: UUID, user: PageUser, request: Request) -> Response:
    """With a new secret, returns the page without a redirect, because only this response has it."""

    async def submit(body: RenewalForm) -> Response:
        resources = resources_of(request)
        await load_grant(credential_id, grant_id, user, request)
        record, secret = await management.renew_grant(
            user,
            resources.database,
            resources.vault,
            grant_id,
            renewal=_renewal(body),
            current_password=body.current_password,
            address=client_address(request),
        )
        if secret is None:
            path = f"/accounts/{credential_id}/grants/{grant_id}"
            return confirm(request, see_other(path), Done.GRANT_RENEWED)
        return await _grant_page(credential_id, grant_id, user, request, renewed=key_pair(request, record, secret))

    async def redisplay(form: Form) -> Response:
        return await _grant_page(credential_id, grant_id, user, request, renewing=form)

    return await handle_form(request, RenewalForm, submit, redisplay)


async def load_grant(credential_id: UUID, grant_id: UUID, user: AuthUser, request: Request) -> GrantRecord:
    """Raises CredentialNotFound, and GrantNotFound also for one of another account."""
    records = await management.load_grants_of(user.id, resources_of(request).database, credential_id)
    return find_grant(records, grant_id)


def find_grant(records: Sequence[GrantRecord], grant_id: UUID) -> GrantRecord:
    for record in records:
        if record.id == grant_id:
            return record
    raise GrantNotFound


def _narrowing(record: GrantRecord, body: NarrowingForm) -> Narrowing:
    """What differs. Raises InvalidRequest for networks that were emptied, because that would be everywhere."""
    if body.networks is None and record.networks is not None:
        raise InvalidRequest(errors=[{"loc": ["networks"], "msg": _ANY_NETWORK}])
    return Narrowing(body.name, body.access, parse_duration(body.expires_in), as_tuple(body.networks))


def _renewal(body: RenewalForm) -> Renewal:
    has_new_secret = body.new_secret is not None
    overlap = parse_duration(body.overlap) if has_new_secret else None
    return Renewal(parse_duration(body.expires_in), has_new_secret, overlap, body.ended_at)


async def _grant_page(
    credential_id: UUID,
    grant_id: UUID,
    user: AuthUser,
    request: Request,
    *,
    narrowing: Form | None = None,
    renewing: Form | None = None,
    renewed: KeyPair | None = None,
) -> Response:
    credential, switcher, records = await load_account(credential_id, user, request)
    record = find_grant(records, grant_id)
    grant = describe_grant(record, credential)
    rejected = narrowing or renewing
    return render_page(
        request,
        "grant.html",
        user=user,
        environment=credential.credential_type,
        status=rejected.status if rejected else 200,
        credential=credential,
        switcher=switcher,
        grant=grant,
        renewed=renewed,
        narrowing=narrowing or _narrowing_form(grant),
        renewing=renewing or initial_form(expires_in="30d", overlap="1d"),
        ended_at=record.expires_at.isoformat(),
        is_confirmed=needs_password(record.access, credential.credential_type),
        has_password=await has_password(user.id, resources_of(request).database),
        narrower={access.value: ACCESS_NAMES[access] for access in Access if record.access.includes(access)},
        earlier={} if record.is_expired else {"": "No change"} | shorter_lifetimes(record),
        lifetimes=LIFETIMES,
        overlaps=OVERLAPS,
        access_meanings=ACCESS_MEANINGS,
    )


def _narrowing_form(grant: ListedGrant) -> Form:
    return initial_form(name=grant.record.name, access=grant.record.access.value, networks=grant.networks)
