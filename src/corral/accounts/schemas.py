"""Response models of accounts, built from Alpaca's responses.

Decimals are texts, digit for digit as Alpaca wrote them. Times are in UTC with `Z`, with as many digits
of a second as Alpaca wrote. Alpaca adds values to its enumerations, so they are texts here.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from corral.alpaca.activities import Activity, TradeActivity
from corral.alpaca.environments import Environment
from corral.alpaca.items import UnreadableItem, count_unreadable, readable
from corral.alpaca.models import MarketClock
from corral.alpaca.orders import Order
from corral.alpaca.portfolio_history import PortfolioHistory
from corral.alpaca.positions import Position

_MONEY = "A decimal, exactly as Alpaca returned it"
Decimal = Annotated[str, Field(description=_MONEY, examples=["240.5"])]
Factor = Annotated[str, Field(description="A decimal factor: 0.0084 is 0.84 %", examples=["0.0084"])]
Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-11-24T14:30:05.123456789Z"])]
Day = Annotated[str, Field(json_schema_extra={"format": "date"}, examples=["2026-11-24"])]


class AccountDataResponse(BaseModel):
    """Balances and restrictions of an account. Source: `GET /v2/account`, https://docs.alpaca.markets/reference/getaccount-1."""

    account_type: Environment
    balance: str = Field(description=f"Alpaca's `cash`; negative on margin. {_MONEY}", examples=["-23140.2"])
    equity: str = Field(description=_MONEY, examples=["103820.56"])
    buying_power: str = Field(description=_MONEY, examples=["262113.632"])
    currency: str = Field(examples=["USD"])
    trading_blocked: bool
    account_blocked: bool
    pattern_day_trader: bool = Field(description="false if Alpaca no longer returns it (since 2026-07-06)")
    daytrade_count: int = Field(description="0 if Alpaca no longer returns it (since 2026-07-06)")
    last_updated: Moment = Field(description="When Alpaca responded, which may be before the request")


class _OfAlpaca(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class PositionResponse(_OfAlpaca):
    """A position in one asset. Short positions have a negative `qty` and `market_value`."""

    asset_id: str
    symbol: str = Field(examples=["AAPL"])
    exchange: str | None = Field(examples=["NASDAQ"])
    asset_class: str | None = Field(examples=["us_equity"])
    asset_marginable: bool | None
    side: str = Field(examples=["long"])
    qty: Decimal
    qty_available: Decimal | None = Field(description="Not held by open orders")
    avg_entry_price: Decimal | None
    market_value: Decimal | None
    cost_basis: Decimal | None
    unrealized_pl: Decimal | None
    unrealized_plpc: Factor | None
    unrealized_intraday_pl: Decimal | None
    unrealized_intraday_plpc: Factor | None
    current_price: Decimal | None
    lastday_price: Decimal | None
    change_today: Factor | None
    swap_rate: Decimal | None = Field(
        default=None, description="Units of the account's currency per US dollar, for accounts in another currency"
    )
    prev_swap_rate: Decimal | None = None
    avg_entry_swap_rate: Decimal | None = None
    usd: dict[str, Decimal] | None = Field(
        default=None,
        description="The values in US dollars, by the names above, for accounts in another currency",
        examples=[{"market_value": "4880.00"}],
    )


class OrderLegResponse(_OfAlpaca):
    """An order. What Alpaca leaves open is null: a market order has no `limit_price`."""

    id: str
    client_order_id: str | None
    status: str = Field(examples=["filled"])
    symbol: str | None = Field(description="null for a multi-leg order", examples=["AAPL"])
    asset_id: str | None
    asset_class: str | None = Field(examples=["us_equity"])
    side: str | None = Field(examples=["buy"])
    type: str | None = Field(examples=["limit"])
    order_class: str = Field(description="`simple` if Alpaca returns an empty text", examples=["simple"])
    time_in_force: str | None = Field(examples=["day"])
    position_intent: str | None = Field(examples=["buy_to_open"])
    qty: Decimal | None
    notional: Decimal | None
    filled_qty: Decimal | None
    filled_avg_price: Decimal | None
    limit_price: Decimal | None
    stop_price: Decimal | None
    trail_price: Decimal | None
    trail_percent: Decimal | None
    hwm: Decimal | None = Field(description="A trailing stop's highest or lowest price so far")
    ratio_qty: Decimal | None = Field(description="A leg's proportion in a multi-leg order")
    extended_hours: bool
    created_at: Moment | None
    updated_at: Moment | None
    submitted_at: Moment | None
    filled_at: Moment | None
    expires_at: Moment | None
    expired_at: Moment | None
    canceled_at: Moment | None
    failed_at: Moment | None
    replaced_at: Moment | None
    replaced_by: str | None = Field(description="The id of the order that replaced it")
    replaces: str | None = Field(description="The id of the order that it replaced")
    group_id: str | None = Field(description="Shared by the orders of a bracket, OCO or OTO")
    group_role: str | None = Field(examples=["take_profit"])


class OrderResponse(OrderLegResponse):
    """An order with those of its legs that Alpaca does not list separately."""

    legs: list[OrderLegResponse]


_OTHER = Field(
    default_factory=dict[str, str | bool],
    description="Other fields that Alpaca returns; numbers are texts",
)


class TradeActivityResponse(_OfAlpaca):
    """A fill or partial fill of an order."""

    kind: Literal["trade"] = "trade"
    id: str = Field(examples=["20220202135509981::2d7be4ff-d1f3-43e9-856a-0f5cf5c5088e"])
    activity_type: str = Field(examples=["FILL"])
    transaction_time: Moment
    type: str | None = Field(examples=["partial_fill"])
    side: str = Field(examples=["buy"])
    symbol: str = Field(examples=["AAPL"])
    qty: Decimal
    price: Decimal
    cum_qty: Decimal | None
    leaves_qty: Decimal | None
    order_id: str | None
    order_status: str | None = Field(examples=["partially_filled"])
    description: str | None = None
    other: dict[str, str | bool] = _OTHER


class NonTradeActivityResponse(_OfAlpaca):
    """Any other activity: dividends, fees, transfers, …"""

    kind: Literal["non_trade"] = "non_trade"
    id: str = Field(examples=["20190801011955195::5f596936-6f23-4cef-bdf1-3806aae57dbf"])
    activity_type: str = Field(examples=["DIV"])
    activity_sub_type: str | None = Field(examples=["SDIV"])
    date: Day | None = Field(description="The settlement date")
    created_at: Moment | None
    net_amount: Decimal | None
    currency: str | None = Field(examples=["USD"])
    symbol: str | None = Field(examples=["T"])
    cusip: str | None
    qty: Decimal | None
    per_share_amount: Decimal | None
    group_id: str | None
    status: str | None = Field(examples=["executed"])
    price: Decimal | None = Field(default=None, description="Of a crypto fee or an exercised option")
    description: str | None = Field(default=None, examples=["TAF fee for 1572 shares (89 trades)"])
    other: dict[str, str | bool] = _OTHER


ActivityResponse = Annotated[TradeActivityResponse | NonTradeActivityResponse, Field(discriminator="kind")]


class HistoryPointResponse(_OfAlpaca):
    """A time window, dated at its start; null if Alpaca has no value."""

    at: Moment
    equity: Decimal | None
    profit_loss: Decimal | None
    profit_loss_pct: Factor | None


class ClockResponse(_OfAlpaca):
    """Whether the market is open, and when it opens and closes next. In UTC; Alpaca returns New York time."""

    timestamp: Moment
    is_open: bool
    next_open: Moment
    next_close: Moment


_UNREADABLE = Field(
    description="How many more items Alpaca returned that can't be read and are left out; normally 0. "
    "The CSV file includes them"
)
_NEXT_CURSOR = Field(description="Send it as `cursor` for the next page; null on the last page")


class PositionList(BaseModel):
    """All positions, on one page."""

    items: list[PositionResponse]
    unreadable: int = _UNREADABLE
    next_cursor: str | None = _NEXT_CURSOR


class OrderList(BaseModel):
    """A page of orders, sorted by submission time."""

    items: list[OrderResponse]
    unreadable: int = _UNREADABLE
    next_cursor: str | None = _NEXT_CURSOR


class ActivityList(BaseModel):
    """A page of activities, sorted by time."""

    items: list[ActivityResponse]
    unreadable: int = _UNREADABLE
    next_cursor: str | None = _NEXT_CURSOR


class PortfolioHistoryResponse(BaseModel):
    """Points sorted by time, for a chart."""

    timeframe: str = Field(examples=["1D"])
    base_value: Decimal | None = Field(description="The starting value of profit and loss")
    base_value_asof: Day | None = Field(description="The day whose closing equity is the base value, if any")
    items: list[HistoryPointResponse]
    unreadable: int = _UNREADABLE
    missing: int = Field(description="How many points are missing because they can't be read; normally 0")
    next_cursor: str | None = _NEXT_CURSOR


def position_response(position: Position) -> PositionResponse:
    return PositionResponse.model_validate(position)


def order_response(order: Order) -> OrderResponse:
    return OrderResponse.model_validate(order)


def activity_response(activity: Activity) -> TradeActivityResponse | NonTradeActivityResponse:
    if isinstance(activity, TradeActivity):
        return TradeActivityResponse.model_validate(activity)
    return NonTradeActivityResponse.model_validate(activity)


def position_list(entries: Sequence[Position | UnreadableItem]) -> PositionList:
    return PositionList(
        items=[position_response(position) for position in readable(entries)],
        unreadable=count_unreadable(entries),
        next_cursor=None,
    )


def order_list(entries: Sequence[Order | UnreadableItem], next_cursor: str | None) -> OrderList:
    return OrderList(
        items=[order_response(order) for order in readable(entries)],
        unreadable=count_unreadable(entries),
        next_cursor=next_cursor,
    )


def activity_list(entries: Sequence[Activity | UnreadableItem], next_cursor: str | None) -> ActivityList:
    return ActivityList(
        items=[activity_response(activity) for activity in readable(entries)],
        unreadable=count_unreadable(entries),
        next_cursor=next_cursor,
    )


def portfolio_history_response(history: PortfolioHistory) -> PortfolioHistoryResponse:
    missing = count_unreadable(history.entries)
    return PortfolioHistoryResponse(
        timeframe=history.timeframe,
        base_value=history.base_value,
        base_value_asof=history.base_value_asof,
        items=[HistoryPointResponse.model_validate(point) for point in history.points],
        unreadable=missing,
        missing=missing,
        next_cursor=None,
    )


def clock_response(clock: MarketClock) -> ClockResponse:
    return ClockResponse.model_validate(clock)
