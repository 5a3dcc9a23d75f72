"""Stored credentials in memory: with the sealed keys for a call, or without them for everything else."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from corral.alpaca.environments import Environment


@dataclass(frozen=True, slots=True)
class Credential:
    """The fields that its owner may see."""

    id: UUID
    nickname: str
    credential_type: Environment
    account_number: str | None
    account_status: str | None
    is_active: bool
    key_hint: str
    last_validated_at: datetime
    refused_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime
    updated_at: datetime
    group: str | None
    is_pinned: bool


@dataclass(frozen=True, slots=True)
class SealedCredential:
    """The fields that a call needs. `revision` increases whenever cached answers must no longer be used.

    Two are equal that differ in nothing but when they were last used.
    """

    id: UUID
    user_id: UUID
    credential_type: Environment
    account_id: str
    is_active: bool
    revision: int
    api_key_sealed: bytes
    secret_key_sealed: bytes
    last_used_at: datetime | None = field(compare=False)
    refused_at: datetime | None


class CredentialVersion(NamedTuple):
    """Shows whether a stored credential has changed. `is_refused` marks one that Alpaca rejects."""

    revision: int
    is_refused: bool


@dataclass(frozen=True, slots=True)
class NamedCredential:
    """The fields that a call needs, and the account's name."""

    nickname: str
    account_number: str | None
    sealed: SealedCredential


@dataclass(frozen=True, slots=True)
class Replacement:
    """New keys for a stored credential, validated and sealed."""

    key_hint: str
    account_number: str | None
    account_status: str | None
    sealed: tuple[bytes, bytes]  # key id, secret


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """Everything about a stored account: for its owner's pages, which read it at Alpaca, too."""

    credential: Credential
    sealed: SealedCredential

    @property
    def named(self) -> NamedCredential:
        return NamedCredential(self.credential.nickname, self.credential.account_number, self.sealed)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an account is in its owner's lists. None leaves a field unchanged; an empty `group` is none."""

    group: str | None = None
    is_pinned: bool | None = None


@dataclass(frozen=True, slots=True)
class HomeView:
    """How a person likes the home page. `layout` and `scope` are None until they choose one.

    The pages know the names; one that a later release has removed means the default.
    """

    layout: str | None = None
    sort_by: str = "custom"
    is_descending: bool = False
    group_by: str = "none"
    scope: str | None = None
    has_shortcuts: bool = True
