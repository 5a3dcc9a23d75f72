"""Grants: those of an account and those of all accounts. Create, narrow, renew and revoke them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal, cast
from uuid import UUID, uuid4

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import AwareDatetime, BeforeValidator
from pydantic_core import PydanticCustomError

from corral.credentials.arrangement import load_arrangement
from corral.credentials.models import Credential
from corral.edge.field_types import Body, Name, SecretText, parse_duration
from corral.edge.request_state import resources_of
from corral.errors import InvalidRequest
from corral.grants import management
from corral.grants.access import Access
from corral.grants.addresses import GatewayAddresses, gateway_addresses
from corral.grants.management import GrantRequest, Narrowing, Renewal
from corral.grants.models import GrantRecord, needs_password
from corral.grants.networks import MOST_NETWORKS, Network
from corral.grants.problems import GrantNotFound
from corral.grants.schemas import Networks
from corral.identity.models import AuthUser
from corral.identity.sign_in import has_password
from corral.identity.throttling import client_address
from corral.secret import Secret
from corral.vault import Vault
from corral.web.confirmations import Done, confirm
from corral.web.forms import EmptyForm, Form, Redisplay, handle_form, initial_form
from corral.web.page_user import PageUser, see_other
from corral.web.rendering import render_page
from corral.web.view.grants import (
    ACCESS_MEANINGS,
    ACCESS_NAMES,
    LIFETIMES,
    OVERLAPS,
    ListedGrant,
    describe_grant,
    list_grants,
    shorter_lifetimes,
)
from corral.web.view.snippets import Snippet, fill_in_snippets
from corral.web.view.switcher import Switcher, build_switcher

router = APIRouter(include_in_schema=False)

_OF_ACCOUNT: Final = "/accounts/{credential_id:uuid}/grants"
_ONE: Final = f"{_OF_ACCOUNT}/{{grant_id:uuid}}"
_ANY_NETWORK: Final = "A grant can only be narrowed. Create a new one for use from everywhere."

ExpiresIn = Literal["1d", "7d", "30d", "90d", "365d"]


def _split(value: object) -> object:
    """Networks as they are typed: with commas or blanks between them."""
    texts = " ".join(cast("list[str]", value)).replace(",", " ").split() if isinstance(value, list) else []
    if len(texts) > MOST_NETWORKS:
        raise PydanticCustomError("networks", "Enter at most 16 networks.")
    return texts or None


TypedNetworks = Annotated[Networks | None, BeforeValidator(_split)]


class NewGrantForm(Body):
    """`once` is a new id each time the form is shown, so that submitting it twice creates one grant."""

    once: UUID
    name: Name
    access: Access
    expires_in: ExpiresIn
    networks: TypedNetworks = None
    current_password: SecretText | None = None


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


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A grant with its secret, for the one page that shows it."""

    record: GrantRecord
    secret: Secret
    addresses: GatewayAddresses

    @property
    def secret_key(self) -> str:
        return self.secret.reveal()

    @property
    def snippets(self) -> list[Snippet]:
        return fill_in_snippets(self.record.key_id, self.secret.reveal(), self.addresses)


@router.get(_OF_ACCOUNT)
async def show_grants(credential_id: UUID, user: PageUser, request: Request) -> Response:
    return await _account_page(credential_id, user, request)


@router.post(_OF_ACCOUNT)
async def create_grant(credential_id: UUID, user: PageUser, request: Request) -> Response:
    """Returns the page without a redirect, because only this response has the secret.

    Submitting the form again, by a reload or a second click, is an error and creates no second grant.
    """

    async def submit(body: NewGrantForm) -> Response:
        resources = resources_of(request)
        record, secret = await management.make_grant(
            user,
            resources.database,
            resources.vault,
            credential_id,
            wanted=GrantRequest(body.name, body.access, parse_duration(body.expires_in), _tuple(body.networks)),
            current_password=body.current_password,
            grant_id=_grant_id(resources.vault, user, body.once),
            address=client_address(request),
        )
        return await _account_page(credential_id, user, request, created=_key_pair(request, record, secret))

    async def redisplay(form: Form) -> Response:
        return await _account_page(credential_id, user, request, creating=form)

    return await handle_form(request, NewGrantForm, submit, redisplay)


@router.get(f"{_OF_ACCOUNT}/all/revoke")
async def show_revoke_all_of_account(credential_id: UUID, user: PageUser, request: Request) -> Response:
    return await _revoke_page(request, user, initial_form(), credential_id)


@router.post(f"{_OF_ACCOUNT}/all/revoke")
async def revoke_all_of_account(credential_id: UUID, user: PageUser, request: Request) -> Response:
    async def submit(_: EmptyForm) -> Response:
        await _revoke_all(user, request, credential_id)
        return confirm(request, see_other(f"/accounts/{credential_id}/grants"), Done.GRANTS_REVOKED)

    return await handle_form(request, EmptyForm, submit, _redisplay_revoke(request, user, credential_id))


@router.get(_ONE)
@router.get(f"{_ONE}/narrow")
@router.get(f"{_ONE}/renew")
async def show_grant(credential_id: UUID, grant_id: UUID, user: PageUser, request: Request) -> Response:
    """Every form's URL has a page: this one."""
    return await _grant_page(credential_id, grant_id, user, request)


@router.post(f"{_ONE}/narrow")
async def narrow_grant(credential_id: UUID, grant_id: UUID, user: PageUser, request: Request) -> Response:
    async def submit(body: NarrowingForm) -> Response:
        resources = resources_of(request)
        record = await _load_grant(credential_id, grant_id, user, request)
        change = _narrowing(record, body)
        await management.narrow_grant(
            user, resources.database, resources.vault, grant_id, change, address=client_address(request)
        )
        return confirm(request, see_other(f"/accounts/{credential_id}/grants/{grant_id}"), Done.GRANT_CHANGED)

    async def redisplay(form: Form) -> Response:
        return await _grant_page(credential_id, grant_id, user, request, narrowing=form)

    return await handle_form(request, NarrowingForm, submit, redisplay)


@router.post(f"{_ONE}/renew")
async def renew_grant(credential_id: UUID, grant_id: UUID, user: PageUser, request: Request) -> Response:
    """With a new secret, returns the page without a redirect, because only this response has it."""

    async def submit(body: RenewalForm) -> Response:
        resources = resources_of(request)
        await _load_grant(credential_id, grant_id, user, request)
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
        return await _grant_page(credential_id, grant_id, user, request, renewed=_key_pair(request, record, secret))

    async def redisplay(form: Form) -> Response:
        return await _grant_page(credential_id, grant_id, user, request, renewing=form)

    return await handle_form(request, RenewalForm, submit, redisplay)


@router.get(f"{_ONE}/revoke")
async def show_revoke(credential_id: UUID, grant_id: UUID, user: PageUser, request: Request) -> Response:
    return await _revoke_page(request, user, initial_form(), credential_id, grant_id)


@router.post(f"{_ONE}/revoke")
async def revoke_grant(credential_id: UUID, grant_id: UUID, user: PageUser, request: Request) -> Response:
    async def submit(_: EmptyForm) -> Response:
        await _load_grant(credential_id, grant_id, user, request)
        resources, address = resources_of(request), client_address(request)
        await management.revoke_grant(user, resources.database, resources.vault, grant_id, address=address)
        return confirm(request, see_other(f"/accounts/{credential_id}/grants"), Done.GRANT_REVOKED)

    return await handle_form(request, EmptyForm, submit, _redisplay_revoke(request, user, credential_id, grant_id))


@router.get("/you/grants")
async def show_all_grants(user: PageUser, request: Request) -> Response:
    database = resources_of(request).database
    arranged = await load_arrangement(user.id, database)
    credentials = [account.credential for account in arranged.accounts]
    grants = list_grants(await management.load_grants(user.id, database), credentials)
    return render_page(
        request,
        "all_grants.html",
        user=user,
        ending=[grant for grant in grants if grant.record.ends_soon],
        others=[grant for grant in grants if not grant.record.ends_soon],
        accounts=credentials,
    )


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


def _tuple(networks: Sequence[Network] | None) -> tuple[Network, ...] | None:
    return None if networks is None else tuple(networks)


def _grant_id(vault: Vault, user: AuthUser, once: UUID) -> UUID:
    """The same id for the same form, and one that the sender cannot choose."""
    return UUID(bytes=vault.verifier("grant_form", str(user.id), str(once))[:16], version=4)


def _narrowing(record: GrantRecord, body: NarrowingForm) -> Narrowing:
    """What differs. Raises InvalidRequest for networks that were emptied, because that would be everywhere."""
    if body.networks is None and record.networks is not None:
        raise InvalidRequest(errors=[{"loc": ["networks"], "msg": _ANY_NETWORK}])
    return Narrowing(body.name, body.access, parse_duration(body.expires_in), _tuple(body.networks))


def _renewal(body: RenewalForm) -> Renewal:
    has_new_secret = body.new_secret is not None
    overlap = parse_duration(body.overlap) if has_new_secret else None
    return Renewal(parse_duration(body.expires_in), has_new_secret, overlap, body.ended_at)


def _key_pair(request: Request, record: GrantRecord, secret: Secret) -> KeyPair:
    resources = resources_of(request)
    return KeyPair(record, secret, gateway_addresses(resources.public_url, resources.gateway_url))


async def _load_grant(credential_id: UUID, grant_id: UUID, user: AuthUser, request: Request) -> GrantRecord:
    """Raises CredentialNotFound, and GrantNotFound also for one of another account."""
    records = await management.load_grants_of(user.id, resources_of(request).database, credential_id)
    return _find(records, grant_id)


def _find(records: Sequence[GrantRecord], grant_id: UUID) -> GrantRecord:
    for record in records:
        if record.id == grant_id:
            return record
    raise GrantNotFound


async def _load_account(
    credential_id: UUID, user: AuthUser, request: Request
) -> tuple[Credential, Switcher, list[GrantRecord]]:
    database = resources_of(request).database
    arranged = await load_arrangement(user.id, database)
    credential = arranged.find(credential_id)
    switcher = build_switcher(arranged, credential_id, f"/accounts/{credential_id}/grants")
    return credential, switcher, await management.load_grants_of(user.id, database, credential_id)


async def _account_page(
    credential_id: UUID,
    user: AuthUser,
    request: Request,
    *,
    creating: Form | None = None,
    created: KeyPair | None = None,
) -> Response:
    credential, switcher, records = await _load_account(credential_id, user, request)
    return render_page(
        request,
        "account_grants.html",
        user=user,
        environment=credential.credential_type,
        status=creating.status if creating else 200,
        credential=credential,
        switcher=switcher,
        grants=list_grants(records, [credential]),
        creating=creating or initial_form(access=Access.READ.value, expires_in="30d"),
        once=uuid4(),
        created=created,
        is_confirmed=needs_password(Access.TRADE, credential.credential_type),
        has_password=await has_password(user.id, resources_of(request).database),
        access_names=ACCESS_NAMES,
        access_meanings=ACCESS_MEANINGS,
        lifetimes=LIFETIMES,
    )


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
    credential, switcher, records = await _load_account(credential_id, user, request)
    record = _find(records, grant_id)
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
        credential, _, records = await _load_account(credential_id, user, request)
    return render_page(
        request,
        "revoke_grants.html",
        user=user,
        environment=credential.credential_type if credential else None,
        status=form.status,
        credential=credential,
        grant=None if grant_id is None else _find(records, grant_id),
        count=len(records),
        form=form,
    )
