"""Wire models of the overview."""

from uuid import UUID

from pydantic import BaseModel, Field

from corral.accounts.schemas import AccountDataResponse
from corral.alpaca.environments import Environment
from corral.edge.problems import ProblemBody


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
