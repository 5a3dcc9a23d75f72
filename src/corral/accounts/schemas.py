"""Wire models of live accounts."""

from uuid import UUID

from pydantic import BaseModel, Field

from corral.alpaca.environments import Environment
from corral.edge.fields import UtcTime
from corral.edge.problems import ProblemBody

_MONEY = "A decimal, digit for digit as Alpaca wrote it"


class AccountDataResponse(BaseModel):
    """How an account stands. Source: `GET /v2/account`, https://docs.alpaca.markets/reference/getaccount-1."""

    account_type: Environment
    balance: str = Field(description=f"Alpaca's `cash`; negative on margin. {_MONEY}", examples=["-23140.2"])
    equity: str = Field(description=_MONEY, examples=["103820.56"])
    buying_power: str = Field(description=_MONEY, examples=["262113.632"])
    currency: str = Field(examples=["USD"])
    trading_blocked: bool
    account_blocked: bool
    pattern_day_trader: bool = Field(description="false where Alpaca no longer says so (since 2026-07-06)")
    daytrade_count: int = Field(description="0 where Alpaca no longer says so (since 2026-07-06)")
    last_updated: UtcTime = Field(description="The moment Alpaca answered, not the moment of the request")


class OverviewCredential(BaseModel):
    """By what its owner recognises an account."""

    id: UUID
    nickname: str
    credential_type: Environment
    account_number: str | None


class OverviewItem(BaseModel):
    """One account: how it stands, or why that is not known just now."""

    credential: OverviewCredential
    account_data: AccountDataResponse | None = Field(
        description="What the account-data call would answer; null with a problem"
    )
    problem: ProblemBody | None = Field(
        description="What the account-data call would answer instead, with `retry_after` in seconds where that "
        "would have the header; null with account data"
    )


class CurrencySums(BaseModel):
    """Sums over the accounts in one currency, every digit of them."""

    currency: str = Field(examples=["USD"])
    accounts: int = Field(description="How many accounts are in these sums")
    balance: str = Field(examples=["12012.0000000000001"])
    equity: str = Field(examples=["103820.56"])
    buying_power: str = Field(description="Of all of them; each can spend only its own", examples=["262113.632"])


class EnvironmentTotals(BaseModel):
    """Paper and live are apart, for play money is none."""

    account_type: Environment
    accounts: int = Field(description="How many accounts are in")
    missing: int = Field(description="How many are not, for a problem; whatever is summed is partial unless this is 0")
    by_currency: list[CurrencySums]


class OverviewResponse(BaseModel):
    """All active accounts of the caller, in the order of the list of credentials."""

    items: list[OverviewItem]
    totals: list[EnvironmentTotals]
