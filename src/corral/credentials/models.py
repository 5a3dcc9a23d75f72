"""A stored credential in memory: with its sealed keys for a call, or without them for everything else."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from corral.alpaca.environments import Environment


@dataclass(frozen=True, slots=True)
class Credential:
    """What its owner may see of it."""

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


@dataclass(frozen=True, slots=True)
class SealedCredential:
    """What a call needs. `revision` goes up whenever an answer that is kept must not be used any more."""

    id: UUID
    user_id: UUID
    credential_type: Environment
    account_id: str
    is_active: bool
    revision: int
    api_key_sealed: bytes
    secret_key_sealed: bytes
    last_used_at: datetime | None
    refused_at: datetime | None


class CredentialVersion(NamedTuple):
    """What tells whether a stored credential is still as it was. `is_refused` is the mark that Alpaca refuses it."""

    revision: int
    is_refused: bool


@dataclass(frozen=True, slots=True)
class NamedCredential:
    """What a call needs, and by what its owner recognises the account."""

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
