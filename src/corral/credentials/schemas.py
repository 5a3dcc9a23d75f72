"""Wire models of credentials. Nothing that leaves has a field that could hold a key."""

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
        default=None, description="What you expect; Alpaca decides, and a difference is refused."
    )


class CredentialChange(Body):
    nickname: Name | None = None
    is_active: bool | None = None
    api_key: KeyIdText | None = None
    secret_key: KeySecretText | None = None

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
    account_status: str | None = Field(
        description="Alpaca's word as of the last check: ACTIVE, ONBOARDING, ACCOUNT_CLOSED, …", examples=["ACTIVE"]
    )
    is_active: bool
    key_hint: str = Field(description="Enough to recognise the key id by", examples=["PK…7Q2X"])
    last_validated_at: UtcTime
    refused_at: UtcTime | None = Field(
        description="Since when Alpaca refuses the keys; null while it accepts them. Replacing them, or a check "
        "that Alpaca answers well, makes it null again"
    )
    last_used_at: UtcTime | None
    created_at: UtcTime
    updated_at: UtcTime


class CredentialList(BaseModel):
    items: list[CredentialMetadata]


class AccountFacts(BaseModel):
    """What the account may do. null: Alpaca does not say. Source: `GET /v2/account`."""

    model_config = ConfigDict(from_attributes=True)

    account_number: str | None
    status: str | None = Field(description="Alpaca's word", examples=["ACTIVE"])
    multiplier: str | None = Field(description="Of buying power; 1: a cash account", examples=["4"])
    shorting_enabled: bool | None
    options_approved_level: int | None = Field(description="What Alpaca has approved, 0 to 3")
    options_trading_level: int | None = Field(description="What is in force: no more than is approved")
    account_blocked: bool
    trading_blocked: bool
    transfers_blocked: bool | None
    trade_suspended_by_user: bool | None


class BudgetNow(BaseModel):
    """What is left of the account's requests this minute, as far as is known here: others may use it, too."""

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
        description="What each said to the keys. Stored keys are never sent to the one that they are not for"
    )
    latency_ms: int = Field(description="Of the whole call to Alpaca, retries included")
    budget: BudgetNow | None
    account: AccountFacts | None = Field(description="null for refused keys")
    findings: list[str] = Field(description="What is wrong and what to do, for a person; empty when all is well")
