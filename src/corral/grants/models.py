"""Grants in memory: what one allows, as its seal covers it, and as the gateway finds it for a request."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from corral.alpaca.environments import Environment
from corral.credentials.models import SealedCredential
from corral.grants.access import Access
from corral.grants.networks import Address, Network, is_within


def needs_password(access: Access, environment: Environment) -> bool:
    """Whether making or renewing it has to be confirmed: it moves real money."""
    return environment is Environment.LIVE and access is not Access.READ


@dataclass(frozen=True, slots=True)
class GrantTerms:
    """All that a grant allows, and whose it is. Every field is part of its seal."""

    user_id: UUID
    id: UUID
    credential_id: UUID
    key_id: str
    access: Access
    networks: tuple[Network, ...] | None
    """Where it may be used from; None for everywhere."""
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SecretRow:
    """One secret of a grant, as stored. `valid_until` is None as long as no other one has taken its place."""

    lookup: bytes
    seal: bytes
    valid_until: datetime | None


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant that was presented and may be used, as it is stored now. Equal ones open the same account for the same.

    Beyond the request or the message it is kept only to prepare the next change, which is not sent by it: see
    `GrantSearch.expected`.
    """

    terms: GrantTerms
    stored: SealedCredential = field(repr=False)
    """The account that it opens, read under its owner's scope; `CredentialReader.open_row` takes it."""
    lookup: bytes = field(repr=False)
    """The keyed hash by which it was found."""
    valid_until: datetime | None = None
    """Of the secret that was presented, if another one has taken its place."""

    @property
    def ends_at(self) -> datetime:
        return self.expires_at if self.valid_until is None else min(self.expires_at, self.valid_until)

    @property
    def user_id(self) -> UUID:
        return self.terms.user_id

    @property
    def id(self) -> UUID:
        return self.terms.id

    @property
    def credential_id(self) -> UUID:
        return self.terms.credential_id

    @property
    def key_id(self) -> str:
        return self.terms.key_id

    @property
    def access(self) -> Access:
        return self.terms.access

    @property
    def expires_at(self) -> datetime:
        return self.terms.expires_at

    @property
    def credential_type(self) -> Environment:
        return self.stored.credential_type

    @property
    def is_paused(self) -> bool:
        """Its owner has paused the account. The grant works again when the account is resumed."""
        return not self.stored.is_active

    @property
    def is_refused(self) -> bool:
        """Alpaca rejects the account's API key. The grant works again with a new key of the same account."""
        return self.stored.refused_at is not None

    def admits(self, address: Address | None) -> bool:
        """Whether it may be used from this address; None is an unknown one, from which a limited grant may not."""
        return is_within(address, self.terms.networks)


MOST_GRANTS: Final = 100
"""Of one credential, expired ones included."""


@dataclass(frozen=True, slots=True)
class GrantRecord:
    """A grant as its owner sees it."""

    id: UUID
    credential_id: UUID
    credential_type: Environment
    name: str
    key_id: str
    access: Access
    networks: tuple[Network, ...] | None
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    is_expired: bool
    ends_soon: bool
    previous_secret_until: datetime | None
    is_active: bool
    """Of the account."""
    is_refused: bool
    """Of the account's API key."""
