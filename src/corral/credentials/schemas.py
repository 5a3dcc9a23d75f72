"""Request and response models of credentials. No response has a field that could contain a key."""

from typing import Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from corral.alpaca.environments import Environment
from corral.credentials.validation import Verdict
from corral.edge.field_types import Body, KeyIdText, KeySecretText, Name, UtcTime


class NewCredential(Body):
    nickname: Name
    api_key: KeyIdText
    secret_key: KeySecretText
    credential_type: Environment | None = Field(
        default=None, description="The expected environment; keys for the other one are rejected."
    )


class CredentialChange(Body):
    nickname: Name | None = None
    is_active: bool | None = None
    api_key: KeyIdText | None = None
    secret_key: KeySecretText | None = None

    @model_validator(mode="after")
    def keys_come_in_pairs(self) -> Self:
        if (self.api_key is None) != (self.secret_key is None):
            raise ValueError("Send api_key and secret_key together.")
        return self


class CredentialMetadata(BaseModel):
    id: UUID
    nickname: str
    credential_type: Environment
    account_number: str | None
    account_status: str | None = Field(
        description="Alpaca's status at the last check: ACTIVE, ONBOARDING, ACCOUNT_CLOSED, …", examples=["ACTIVE"]
    )
    is_active: bool
    key_hint: str = Field(description="Part of the key ID, to recognize it", examples=["PK…7Q2X"])
    last_validated_at: UtcTime
    refused_at: UtcTime | None = Field(
        description="Since when Alpaca rejects the keys; null while it accepts them. Cleared when new keys are "
        "stored or a check succeeds"
    )
    last_used_at: UtcTime | None
    created_at: UtcTime
    updated_at: UtcTime


class CredentialList(BaseModel):
    items: list[CredentialMetadata]


class ValidatedAccount(BaseModel):
    """Permissions of the account; null if Alpaca does not return them. Source: `GET /v2/account`."""

    model_config = ConfigDict(from_attributes=True)

    account_number: str | None
    status: str | None = Field(description="Alpaca's status", examples=["ACTIVE"])
    multiplier: str | None = Field(description="Of buying power; 1 for a cash account", examples=["4"])
    shorting_enabled: bool | None
    options_approved_level: int | None = Field(description="Approved by Alpaca, 0 to 3")
    options_trading_level: int | None = Field(description="In effect: at most the approved level")
    account_blocked: bool
    trading_blocked: bool
    transfers_blocked: bool | None
    trade_suspended_by_user: bool | None


class BudgetNow(BaseModel):
    """Requests left to the account this minute, as far as Corral knows: other programs may use it, too."""

    model_config = ConfigDict(from_attributes=True)

    limit: int
    remaining: int
    resets_in_seconds: int


class ValidationResult(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    is_valid: bool
    account_type: Environment
    message: str
    checked_at: UtcTime
    environments: dict[Environment, Verdict] = Field(
        description="The result for each environment. Stored keys are sent only to their own"
    )
    latency_ms: int = Field(description="Of the whole request to Alpaca, including retries")
    budget: BudgetNow | None
    account: ValidatedAccount | None = Field(description="null for rejected keys")
    findings: list[str] = Field(description="Problems and what to do, for people; empty if there are none")
