"""Wire models of the overview."""

from uuid import UUID

from pydantic import BaseModel, Field

from corral.accounts.schemas import AccountDataResponse
from corral.alpaca.environments import Environment
from corral.edge.problems import ProblemBody


class OverviewCredential(BaseModel):
    """Identifies an account."""

    id: UUID
    nickname: str
    credential_type: Environment
    account_number: str | None


class OverviewItem(BaseModel):
    """One account with its account data or the error that occurred."""

    credential: OverviewCredential
    account_data: AccountDataResponse | None = Field(
        description="The response of the account-data call; null if there is a problem"
    )
    problem: ProblemBody | None = Field(
        description="The error of the account-data call, with `retry_after` in seconds instead of the "
        "header; null if there is account data"
    )


class CurrencySums(BaseModel):
    """Exact totals of the accounts in one currency."""

    currency: str = Field(examples=["USD"])
    accounts: int = Field(description="How many accounts are included")
    balance: str = Field(examples=["12012.0000000000001"])
    equity: str = Field(examples=["103820.56"])
    buying_power: str = Field(description="Total; each account can use only its own", examples=["262113.632"])


class EnvironmentTotals(BaseModel):
    """Totals, separately for paper and live."""

    account_type: Environment
    accounts: int = Field(description="How many accounts are included")
    missing: int = Field(
        description="How many accounts are not included because of a problem; unless it is 0, totals are partial"
    )
    by_currency: list[CurrencySums]


class OverviewResponse(BaseModel):
    """All active accounts of the user, in the order of the list of credentials."""

    items: list[OverviewItem]
    totals: list[EnvironmentTotals]
