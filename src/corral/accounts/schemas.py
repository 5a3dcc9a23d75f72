"""Wire models of live accounts."""

from pydantic import BaseModel, Field

from corral.alpaca.environments import Environment
from corral.edge.fields import UtcTime

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
