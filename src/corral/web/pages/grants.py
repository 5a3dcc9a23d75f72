"""An account's grants, and how one is created; those of all accounts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal, cast
from uuid import UUID, uuid4

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from corral.credentials.arrangement import load_arrangement
from corral.credentials.models import Credential
from corral.edge.field_types import Body, Name, SecretText, parse_duration
from corral.edge.request_state import resources_of
from corral.grants import management
from corral.grants.access import Access
from corral.grants.addresses import GatewayAddresses, gateway_addresses
from corral.grants.management import GrantRequest
from corral.grants.models import GrantRecord, needs_password
from corral.grants.networks import MOST_NETWORKS, Network
from corral.grants.schemas import Networks
from corral.identity.models import AuthUser
from corral.identity.sign_in import has_password
from corral.identity.throttling import client_address
from corral.secret import Secret
from corral.web.forms import Form, handle_form, id_of_form, initial_form
from corral.web.page_user import PageUser
from corral.web.rendering import render_page
from corral.web.view.grants import ACCESS_MEANINGS, ACCESS_NAMES, LIFETIMES, list_grants
from corral.web.view.snippets import Snippet, fill_in_snippets
from corral.web.view.switcher import Switcher, build_switcher

router = APIRouter(include_in_schema=False)

GRANTS_OF_ACCOUNT: Final = "/accounts/{credential_id:uuid}/grants"

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


@router.get(GRANTS_OF_ACCOUNT)
async def show_grants(credential_id: UUID, user: PageUser, request: Request) -> Response:
    return await _account_page(credential_id, user, request)


@router.post(GRANTS_OF_ACCOUNT)
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
            wanted=GrantRequest(body.name, body.access, parse_duration(body.expires_in), as_tuple(body.networks)),
            current_password=body.current_password,
            grant_id=id_of_form(resources.vault, "grant_form", user, body.once),
            address=client_address(request),
        )
        return await _account_page(credential_id, user, request, created=key_pair(request, record, secret))

    async def redisplay(form: Form) -> Response:
        return await _account_page(credential_id, user, request, creating=form)

    return await handle_form(request, NewGrantForm, submit, redisplay)


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


async def load_account(
    credential_id: UUID, user: AuthUser, request: Request
) -> tuple[Credential, Switcher, list[GrantRecord]]:
    database = resources_of(request).database
    arranged = await load_arrangement(user.id, database)
    credential = arranged.find(credential_id)
    switcher = build_switcher(arranged, credential_id, f"/accounts/{credential_id}/grants")
    return credential, switcher, await management.load_grants_of(user.id, database, credential_id)


def as_tuple(networks: Sequence[Network] | None) -> tuple[Network, ...] | None:
    return None if networks is None else tuple(networks)


def key_pair(request: Request, record: GrantRecord, secret: Secret) -> KeyPair:
    resources = resources_of(request)
    return KeyPair(record, secret, gateway_addresses(resources.public_url, resources.gateway_url))


async def _account_page(
    credential_id: UUID,
    user: AuthUser,
    request: Request,
    *,
    creating: Form | None = None,
    created: KeyPair | None = None,
) -> Response:
    credential, switcher, records = await load_account(credential_id, user, request)
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
