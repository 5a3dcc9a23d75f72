"""Makes, lists, narrows, renews and revokes grants, for their owner."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from corral.audit.models import Action, NewEntry
from corral.audit.writing import record_in
from corral.credentials.management import load_credential
from corral.credentials.problems import CredentialNotFound
from corral.database.connection import Connection, Database, get_connection_with_rls
from corral.errors import InvalidRequest
from corral.grants import queries
from corral.grants.access import Access
from corral.grants.key_pairs import SECRET_FORM, is_sealed, new_key_id, report_altered, seal_secret, secret_lookup
from corral.grants.models import GrantRecord, GrantTerms, SecretRow, needs_password
from corral.grants.networks import Network, is_narrower
from corral.grants.problems import GrantAltered, GrantChanged, GrantMadeAlready, GrantNotFound, PasswordNotSet
from corral.grants.queries import HeldGrant
from corral.identity.models import AuthUser
from corral.identity.problems import SessionRequired, WiderThanItsMaker
from corral.identity.queries import lock_user, read_clock
from corral.identity.reauthentication import confirm_password
from corral.identity.revalidation import authorized_connection
from corral.identity.security_events import actor_of
from corral.identity.sign_in import has_password
from corral.logs import get_logger
from corral.secret import Secret
from corral.vault import Vault

USUAL_LIFETIME: Final = timedelta(days=30)
USUAL_OVERLAP: Final = timedelta(days=1)

_SIGN_IN: Final = "API tokens can't create grants that close or trade on a live account. Sign in with a browser."

_log = get_logger()


@dataclass(frozen=True, slots=True)
class GrantRequest:
    """What a new grant is to allow. `networks` is None for everywhere."""

    name: str
    access: Access
    lifetime: timedelta | None
    networks: tuple[Network, ...] | None


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What is to change. None leaves a field unchanged."""

    name: str | None = None
    access: Access | None = None
    lifetime: timedelta | None = None
    networks: tuple[Network, ...] | None = None


@dataclass(frozen=True, slots=True)
class Renewal:
    """Without a lifetime it keeps its expiration, and has at least 30 days left. `overlap` is for a new secret.

    With `ended_at`, only a grant that still has this expiration is renewed, so that a repeated request renews it once.
    """

    lifetime: timedelta | None = None
    has_new_secret: bool = False
    overlap: timedelta | None = None
    ended_at: datetime | None = None


async def make_grant(
    maker: AuthUser,
    database: Database,
    vault: Vault,
    credential_id: UUID,
    *,
    wanted: GrantRequest,
    current_password: Secret | None,
    grant_id: UUID | None = None,
    address: str = "",
) -> tuple[GrantRecord, Secret]:
    """Returns the grant and its secret, which is returned only here. `address` is the client's, for the audit trail.

    With a `grant_id`, a repeated request creates one grant: raises GrantMadeAlready for the second.

    What trades or closes on a live account has to be confirmed, see `_confirm`. Raises CredentialNotFound,
    TooManyGrants, WiderThanItsMaker for one that would outlive the token that makes it, and Unauthenticated if the
    session or token has ended meanwhile.
    """
    credential = await load_credential(maker.id, database, credential_id)
    if needs_password(wanted.access, credential.credential_type):
        await _confirm(maker, database, vault, current_password)
    secret = SECRET_FORM.new()
    async with authorized_connection(database, maker) as connection:
        if grant_id is not None and await queries.load_grants(connection, maker.id, grant_id=grant_id):
            raise GrantMadeAlready
        now = await read_clock(connection)
        terms = GrantTerms(
            user_id=maker.id,
            id=grant_id or uuid4(),
            credential_id=credential_id,
            key_id=new_key_id(),
            access=wanted.access,
            networks=wanted.networks,
            created_at=now,
            expires_at=now + (wanted.lifetime or USUAL_LIFETIME),
        )
        _refuse_outliving(maker, terms.expires_at)
        if not await queries.insert_grant(connection, terms, wanted.name):
            raise CredentialNotFound  # deleted a moment ago
        await _store_secrets(connection, vault, terms, [SecretRow(secret_lookup(vault, secret), b"", None)])
        made = await _load(connection, maker.id, terms.id)
        await record_in(connection, vault, maker.id, _entry(maker, Action.GRANT_MADE, made, address))
    _log_change("grant_made", made, maker.id, made_by=maker.authenticated_by)
    return made, Secret(secret)


async def load_grants(user_id: UUID, database: Database) -> list[GrantRecord]:
    """Returns those of all accounts, the oldest first, expired ones included."""
    async with get_connection_with_rls(user_id, database, readonly=True) as connection:
        return await queries.load_grants(connection, user_id)


async def load_grants_of(user_id: UUID, database: Database, credential_id: UUID) -> list[GrantRecord]:
    """Raises CredentialNotFound."""
    await load_credential(user_id, database, credential_id)
    async with get_connection_with_rls(user_id, database, readonly=True) as connection:
        return await queries.load_grants(connection, user_id, credential_id=credential_id)


async def narrow_grant(
    user: AuthUser, database: Database, vault: Vault, grant_id: UUID, change: Narrowing, *, address: str = ""
) -> GrantRecord:
    """Raises InvalidRequest for what would be wider, GrantNotFound, GrantAltered, and Unauthenticated as above."""
    async with authorized_connection(database, user) as connection:
        held = await _hold(connection, vault, user.id, grant_id)
        narrowed = _narrowed(held.terms, change, await read_clock(connection))
        await queries.update_grant(connection, narrowed, change.name)
        await _store_secrets(connection, vault, narrowed, held.secrets)
        record = await _load(connection, user.id, grant_id)
        await record_in(connection, vault, user.id, _entry(user, Action.GRANT_NARROWED, record, address))
    _log_change("grant_narrowed", record, user.id)
    return record


async def renew_grant(
    person: AuthUser,
    database: Database,
    vault: Vault,
    grant_id: UUID,
    *,
    renewal: Renewal,
    current_password: Secret | None,
    address: str = "",
) -> tuple[GrantRecord, Secret | None]:
    """By the signed-in owner; also one that has expired. Returns the new secret if there is one.

    The previous secret works until `overlap` is over, and the one before it no longer. It has to be confirmed like
    making the grant. Raises GrantNotFound, GrantAltered, GrantChanged, and Unauthenticated as above.
    """
    async with get_connection_with_rls(person.id, database, readonly=True) as connection:
        record = await _load(connection, person.id, grant_id)
    if needs_password(record.access, record.credential_type):
        await _confirm(person, database, vault, current_password)
    secret = SECRET_FORM.new() if renewal.has_new_secret else None
    async with authorized_connection(database, person) as connection:
        held = await _hold(connection, vault, person.id, grant_id)
        if renewal.ended_at not in {None, held.terms.expires_at}:
            raise GrantChanged
        now = await read_clock(connection)
        terms = replace(held.terms, expires_at=_extended(held.terms.expires_at, renewal.lifetime, now))
        secrets = held.secrets
        if secret is not None:
            previous = _previous(held.secrets, renewal.overlap, now)
            secrets = [*previous, SecretRow(secret_lookup(vault, secret), b"", None)]
        await queries.update_grant(connection, terms)
        await _store_secrets(connection, vault, terms, secrets)
        record = await _load(connection, person.id, grant_id)
        await record_in(connection, vault, person.id, _entry(person, Action.GRANT_RENEWED, record, address))
    _log_change("grant_renewed", record, person.id, has_new_secret=secret is not None)
    return record, Secret(secret) if secret is not None else None


async def revoke_grant(user: AuthUser, database: Database, vault: Vault, grant_id: UUID, *, address: str = "") -> None:
    """Raises GrantNotFound."""
    async with get_connection_with_rls(user.id, database) as connection:
        record = await _load(connection, user.id, grant_id)
        await queries.delete_grant(connection, user.id, grant_id)
        await record_in(connection, vault, user.id, _entry(user, Action.GRANT_REVOKED, record, address))
    _log.info("grant_revoked", user_id=str(user.id), grant_id=str(grant_id))


async def revoke_grants(
    user: AuthUser, database: Database, vault: Vault, credential_id: UUID | None = None, *, address: str = ""
) -> None:
    """All, or all of an account. Includes those that are being made at this moment. Raises CredentialNotFound."""
    if credential_id is not None:
        await load_credential(user.id, database, credential_id)
    entry = NewEntry(actor_of(user), Action.GRANTS_REVOKED, credential_id=credential_id, address=address)
    async with get_connection_with_rls(user.id, database) as connection:
        await lock_user(connection, user.id)
        await queries.delete_grants(connection, user.id, credential_id)
        await record_in(connection, vault, user.id, entry)
    _log.info("grants_revoked", user_id=str(user.id), credential_id=str(credential_id) if credential_id else None)


async def _confirm(person: AuthUser, database: Database, vault: Vault, current_password: Secret | None) -> None:
    """For what moves real money. Raises as `confirm_password` does.

    Raises SessionRequired for an API token, and PasswordNotSet for a person who signs in by link only: whoever has
    their session has all that they have.
    """
    if person.authenticated_by != "session":
        raise SessionRequired(_SIGN_IN)
    if not await has_password(person.id, database):
        raise PasswordNotSet
    if current_password is None:
        raise _invalid("current_password", "Enter your password. This grant can trade with real money.")
    await confirm_password(database, vault, person, current_password)


def _refuse_outliving(maker: AuthUser, expires_at: datetime) -> None:
    if maker.authenticated_by == "token" and maker.expires_at is not None and expires_at > maker.expires_at:
        raise WiderThanItsMaker("A token can't create a grant that outlives it. Choose a shorter expires_in.")


async def _hold(connection: Connection, vault: Vault, user_id: UUID, grant_id: UUID) -> HeldGrant:
    """What was written by hand must not be sealed again, and neither must a grant whose seals are gone."""
    held = await queries.lock_grant(connection, user_id, grant_id)
    if held is None:
        raise GrantNotFound
    if not held.secrets:
        report_altered(held.terms)
        raise GrantAltered
    if not all(is_sealed(vault, held.terms, secret) for secret in held.secrets):
        raise GrantAltered
    return held


def _narrowed(terms: GrantTerms, change: Narrowing, now: datetime) -> GrantTerms:
    access = change.access or terms.access
    networks = change.networks or terms.networks
    expires_at = now + change.lifetime if change.lifetime else terms.expires_at
    if not terms.access.includes(access):
        raise _wider("access", "more access")
    if change.networks and not is_narrower(change.networks, than=terms.networks):
        raise _wider("networks", "other networks")
    if expires_at > terms.expires_at:
        raise _invalid("expires_in", "A grant can't be extended here. Renew it instead.")
    return replace(terms, access=access, networks=networks, expires_at=expires_at)


def _extended(expires_at: datetime, lifetime: timedelta | None, now: datetime) -> datetime:
    return max(expires_at, now + USUAL_LIFETIME) if lifetime is None else now + lifetime


def _previous(secrets: Iterable[SecretRow], overlap: timedelta | None, now: datetime) -> list[SecretRow]:
    """Returns the current secret, with an end; nothing if it ends at once."""
    last = USUAL_OVERLAP if overlap is None else overlap
    return [replace(one, valid_until=now + last) for one in secrets if one.valid_until is None and last]


async def _store_secrets(connection: Connection, vault: Vault, terms: GrantTerms, secrets: Iterable[SecretRow]) -> None:
    await queries.replace_secrets(connection, terms, [seal_secret(vault, terms, secret) for secret in secrets])


async def _load(connection: Connection, user_id: UUID, grant_id: UUID) -> GrantRecord:
    found = await queries.load_grants(connection, user_id, grant_id=grant_id)
    if not found:
        raise GrantNotFound
    return found[0]


def _entry(user: AuthUser, action: Action, grant: GrantRecord, address: str) -> NewEntry:
    networks = " ".join(str(network) for network in grant.networks or ())
    details = {"name": grant.name, "access": grant.access.value, "expires_at": grant.expires_at.isoformat()}
    return NewEntry(
        actor_of(user),
        action,
        credential_id=grant.credential_id,
        grant_id=grant.id,
        details=details | ({"networks": networks} if networks else {}),
        address=address,
    )


def _wider(field: str, more: str) -> InvalidRequest:
    return _invalid(field, f"A grant can only be narrowed. Create a new one for {more}.")


def _invalid(field: str, sentence: str) -> InvalidRequest:
    return InvalidRequest(errors=[{"loc": ["body", field], "msg": sentence}])


def _log_change(event: str, grant: GrantRecord, user_id: UUID, **facts: object) -> None:
    _log.info(
        event,
        user_id=str(user_id),
        grant_id=str(grant.id),
        credential_id=str(grant.credential_id),
        access=grant.access.value,
        **facts,
    )
