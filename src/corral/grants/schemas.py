"""Request and response models of grants. No response has a field for a secret, except that of a new one."""

from datetime import timedelta
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, PlainValidator, WithJsonSchema, field_validator, model_validator
from pydantic_core import PydanticCustomError

from corral.alpaca.environments import Environment
from corral.edge.field_types import Body, Name, SecretText, UtcTime, parse_duration
from corral.grants.access import Access
from corral.grants.networks import MOST_NETWORKS, Network, canonical, parse_network

_SHORTEST, _LONGEST, _LONGEST_OVERLAP = timedelta(minutes=1), timedelta(days=365), timedelta(days=7)
_DURATION = {"type": "string", "pattern": "^[0-9]{1,6}[mhdw]$"}


def _to_lifetime(value: object) -> timedelta:
    lifetime = parse_duration(value)
    if lifetime is None or not _SHORTEST <= lifetime <= _LONGEST:
        raise PydanticCustomError("lifetime", "Enter a time from 1 minute to 365 days, such as 90m, 12h or 30d.")
    return lifetime


def _to_overlap(value: object) -> timedelta:
    overlap = parse_duration(value)
    if overlap is None or overlap > _LONGEST_OVERLAP:
        raise PydanticCustomError("overlap", "Enter at most 7 days, such as 24h. 0m ends the previous secret now.")
    return overlap


def _to_network(value: object) -> Network:
    try:
        return parse_network(value if isinstance(value, str) else "")
    except ValueError:
        raise PydanticCustomError(
            "network", "Enter networks such as 192.0.2.0/24 or 2001:db8::/32, or single addresses."
        ) from None


Lifetime = Annotated[timedelta, PlainValidator(_to_lifetime), WithJsonSchema({**_DURATION, "examples": ["30d"]})]
Overlap = Annotated[timedelta, PlainValidator(_to_overlap), WithJsonSchema({**_DURATION, "examples": ["24h"]})]
Networks = Annotated[
    list[
        Annotated[
            Network, PlainValidator(_to_network), WithJsonSchema({"type": "string", "examples": ["192.0.2.0/24"]})
        ]
    ],
    Field(min_length=1, max_length=MOST_NETWORKS),
    AfterValidator(canonical),
]


class NewGrant(Body):
    name: Name
    access: Access = Field(
        description="`read` views the account; `close_only` also cancels orders and closes positions; `trade` also "
        "places and replaces orders."
    )
    expires_in: Lifetime | None = Field(default=None, description="30 days by default, 365 at most")
    networks: Networks | None = Field(
        default=None, description="The only networks from which it may be used; everywhere by default"
    )
    current_password: SecretText | None = Field(
        default=None, description="Required for `close_only` and `trade` on a live account"
    )


class GrantChange(Body):
    """A grant can only be narrowed. Omitted fields stay unchanged."""

    name: Name | None = None
    access: Access | None = None
    expires_in: Lifetime | None = Field(default=None, description="From now on; no later than its present expiration")
    networks: Networks | None = Field(default=None, description="Within the present ones")

    @field_validator("*")
    @classmethod
    def _is_not_null(cls, value: object) -> object:
        if value is None:
            raise PydanticCustomError("null", "Omit this field to leave it unchanged.")
        return value


class GrantRenewal(Body):
    expires_in: Lifetime | None = Field(
        default=None, description="From now on. By default it keeps its expiration, and has at least 30 days left"
    )
    new_secret: bool = False
    overlap: Overlap | None = Field(
        default=None, description="How long the previous secret keeps working: a day by default"
    )
    current_password: SecretText | None = Field(
        default=None, description="Required for `close_only` and `trade` on a live account"
    )

    @model_validator(mode="after")
    def _overlap_is_for_a_new_secret(self) -> Self:
        if self.overlap is not None and not self.new_secret:
            raise PydanticCustomError("overlap_alone", "Send overlap only with new_secret.")
        return self


class GrantMetadata(BaseModel):
    id: UUID
    credential_id: UUID
    credential_type: Environment
    name: str
    key_id: str = Field(examples=["CGQ7M2ZK4T6WXBNC5DPFGHJRSA"])
    access: Access
    networks: list[str] | None = Field(description="The only networks from which it may be used; null for everywhere")
    created_at: UtcTime
    expires_at: UtcTime
    last_used_at: UtcTime | None
    is_expired: bool
    ends_soon: bool = Field(description="Whether it expires within a week")
    previous_secret_until: UtcTime | None = Field(
        description="Until when the secret from before the last renewal works; null if it doesn't"
    )
    account_state: Literal["active", "paused", "key_rejected"] = Field(
        description="`paused` by its owner, or Alpaca rejects its API key. The grant works again when the account does"
    )


class GrantList(BaseModel):
    items: list[GrantMetadata]


class _Reachable(GrantMetadata):
    base_url: str = Field(description="Takes the place of Alpaca's trading address")
    data_url: str = Field(description="Takes the place of Alpaca's market data address")
    stream_url: str = Field(description="Takes the place of Alpaca's address of trade updates")


class CreatedGrant(_Reachable):
    secret_key: str = Field(description="The secret itself. Shown only here.")


class RenewedGrant(_Reachable):
    secret_key: str | None = Field(description="The new secret, if you asked for one. Shown only here.")
