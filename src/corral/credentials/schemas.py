"""Wire models of credentials. Nothing that leaves has a field that could hold a key."""

from typing import Self
from uuid import UUID

from pydantic import BaseModel, Field, model_validator

from corral.alpaca.environments import Environment
from corral.edge.fields import Body, Name, SecretText, UtcTime


class NewCredential(Body):
    nickname: Name
    api_key: SecretText
    secret_key: SecretText
    credential_type: Environment | None = Field(
        default=None, description="What you expect; Alpaca decides, and a difference is refused."
    )


class CredentialChange(Body):
    nickname: Name | None = None
    is_active: bool | None = None
    api_key: SecretText | None = None
    secret_key: SecretText | None = None

    @model_validator(mode="after")
    def keys_come_in_pairs(self) -> Self:
        if (self.api_key is None) != (self.secret_key is None):
            raise ValueError("api_key and secret_key are replaced together")
        return self


class CredentialMetadata(BaseModel):
    id: UUID
    nickname: str
    credential_type: Environment
    account_number: str | None
    is_active: bool
    key_hint: str = Field(description="Enough to recognise the key id by", examples=["PK…7Q2X"])
    last_validated_at: UtcTime
    last_used_at: UtcTime | None
    created_at: UtcTime
    updated_at: UtcTime


class CredentialList(BaseModel):
    items: list[CredentialMetadata]


class ValidationResult(BaseModel):
    is_valid: bool
    account_type: Environment
    message: str
    checked_at: UtcTime
