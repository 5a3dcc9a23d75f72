"""Response models of the calls over all accounts. Their JSON is written by `answers.py`."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from corral.accounts.schemas import (
    Decimal,
    Factor,
    Moment,
    NonTradeActivityResponse,
    OrderResponse,
    PositionResponse,
    TradeActivityResponse,
)
from corral.alpaca.environments import Environment
from corral.edge.problems import ProblemBody

_ROUNDED = "rounded half to even to 18 significant digits, unless it is Alpaca's own"


class AccountProblemBody(BaseModel):
    """Why an account, or a part of it, is not in the answer."""

    credential_id: UUID
    problem: ProblemBody = Field(
        description="The error of the call for this account alone, with `retry_after` in seconds instead of the "
        "header. `items_skipped`: it could not be read for an earlier page, so its items from there are missing"
    )


class _List(BaseModel):
    problems: list[AccountProblemBody] = Field(description="Accounts that could not be read; the others are complete")
    unreadable: int = Field(
        description="How many more items Alpaca returned that can't be read and are left out; normally 0"
    )
    next_cursor: str | None = Field(
        description="Send it as `cursor` for the next page; null if no account that could be read has more"
    )


class _OfAccount(BaseModel):
    credential_id: UUID


class PositionPartResponse(PositionResponse, _OfAccount):
    """What one account holds, as Alpaca returned it."""


class MergedPositionResponse(BaseModel):
    """One asset in one or more accounts. Long and short, paper and live, and currencies are never merged.

    Sums are exact, of the parts that have the number, and null if none has it.
    """

    symbol: str = Field(description="Coins as `BTC/USD`, however an account writes them", examples=["AAPL"])
    asset_id: str
    asset_class: str | None = Field(examples=["us_equity"])
    exchange: str | None = Field(examples=["NASDAQ"])
    currency: str = Field(examples=["USD"])
    account_type: Environment
    side: str = Field(examples=["long"])
    qty: Decimal
    qty_available: Decimal | None
    avg_entry_price: Decimal | None = Field(description=f"Weighted by quantity, {_ROUNDED}; null if a part has none")
    market_value: Decimal | None
    cost_basis: Decimal | None
    unrealized_pl: Decimal | None
    unrealized_plpc: Factor | None = Field(description=f"Factor of the cost basis, {_ROUNDED}")
    unrealized_intraday_pl: Decimal | None
    unrealized_intraday_plpc: Factor | None = Field(description=f"Factor of the value at the last close, {_ROUNDED}")
    current_price: Decimal | None = Field(description="As in the largest part")
    lastday_price: Decimal | None
    change_today: Factor | None
    weight: Factor | None = Field(
        description="Share of the absolute market value of all positions of this account type and currency"
    )
    missing: int = Field(description="How many parts lack one of the numbers that are added up")
    parts: list[PositionPartResponse] = Field(description="The largest first")


class PositionTotalsResponse(BaseModel):
    """Exact totals of one account type and currency."""

    account_type: Environment
    currency: str = Field(examples=["USD"])
    positions: int
    market_value: Decimal
    long_market_value: Decimal
    short_market_value: Decimal
    cost_basis: Decimal
    unrealized_pl: Decimal
    unrealized_intraday_pl: Decimal
    missing: int = Field(description="How many parts of positions lack one of the numbers")


class AllPositionsList(_List):
    """All positions, merged by symbol, on one page: by account type, currency and absolute market value."""

    items: list[MergedPositionResponse]
    totals: list[PositionTotalsResponse]


class AccountOrderResponse(OrderResponse, _OfAccount):
    """An order, and the account that it belongs to."""


class AllOrdersList(_List):
    """A page of the orders of all accounts, sorted by submission time."""

    items: list[AccountOrderResponse]


class AccountTradeActivityResponse(TradeActivityResponse, _OfAccount):
    """A fill or partial fill, and the account that it belongs to."""


class AccountNonTradeActivityResponse(NonTradeActivityResponse, _OfAccount):
    """Any other activity, and the account that it belongs to."""


class AllActivitiesList(_List):
    """A page of the activities of all accounts, sorted by time."""

    items: list[Annotated[AccountTradeActivityResponse | AccountNonTradeActivityResponse, Field(discriminator="kind")]]


class JoinedResponse(_OfAccount):
    """An account whose first value is here. Its equity came in, and is no gain."""

    equity: Decimal


class CurvePointResponse(BaseModel):
    """The accounts that have joined so far, each with its last value."""

    at: Moment
    equity: Decimal = Field(description="The exact sum")
    profit_loss: Decimal | None = Field(description="The exact sum; null if an account has none")
    joined: list[JoinedResponse] = Field(description="Accounts that join at this point; none at the first one")


class CurveResponse(BaseModel):
    """The equity of all accounts of one type and currency over time."""

    account_type: Environment
    currency: str = Field(examples=["USD"])
    timeframe: str = Field(examples=["1D"])
    accounts: int = Field(description="How many accounts are included")
    missing: int = Field(description="How many accounts are left out of the whole curve because of a problem")
    credential_ids: list[UUID] = Field(description="The accounts that are included")
    base_value: Decimal | None = Field(description="The sum of their base values; null if one has none")
    profit_loss: Decimal | None = Field(
        description="The sum of what Alpaca returned for each account's last point, of the whole period with "
        "`pnl_reset=no_reset`; null if one has none"
    )
    profit_loss_pct: Factor | None = Field(
        description="`profit_loss` as a factor of `base_value`, rounded half to even to 18 significant digits; null if "
        "the base value is not positive"
    )
    points: list[CurvePointResponse]


class AllCurvesList(_List):
    """One curve for each account type and currency. Nothing is converted."""

    items: list[CurveResponse]
