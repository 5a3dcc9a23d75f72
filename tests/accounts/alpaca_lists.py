"""Lists as Alpaca might hold them, and answers about them, for tests."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

Json = dict[str, Any]

ORDER: Json = {
    "asset_class": "us_equity",
    "asset_id": "b0b6dd9d-8b9b-48a9-ba46-b9d54906e415",
    "canceled_at": None,
    "client_order_id": "5680c4bc-9ac1-4a12-a44c-df427ba53032",
    "created_at": "2026-11-23T14:31:04.668464435Z",
    "expired_at": None,
    "extended_hours": False,
    "failed_at": None,
    "filled_at": "2026-11-23T14:31:05.024916Z",
    "filled_avg_price": "240.10",
    "filled_qty": "20",
    "hwm": None,
    "legs": None,
    "limit_price": None,
    "notional": None,
    "order_class": "",
    "order_type": "market",
    "qty": "20.000000001",
    "replaced_at": None,
    "replaced_by": None,
    "replaces": None,
    "side": "buy",
    "source": None,
    "status": "filled",
    "stop_price": None,
    "submitted_at": "2026-11-23T14:31:04.577215743Z",
    "subtag": None,
    "symbol": "AAPL",
    "time_in_force": "day",
    "trail_percent": None,
    "trail_price": None,
    "type": "market",
    "updated_at": "2026-11-23T14:31:05.027690Z",
    "position_intent": "buy_to_open",
    "expires_at": "2026-11-23T21:00:00Z",
}

POSITION: Json = {
    "asset_id": "b0b6dd9d-8b9b-48a9-ba46-b9d54906e415",
    "symbol": "AAPL",
    "exchange": "NASDAQ",
    "asset_class": "us_equity",
    "asset_marginable": True,
    "qty": "-20",
    "avg_entry_price": "240",
    "side": "short",
    "market_value": "-4880.00",
    "cost_basis": "-4800",
    "unrealized_pl": "-80",
    "unrealized_plpc": "-0.0166666666666667",
    "unrealized_intraday_pl": "80",
    "unrealized_intraday_plpc": "0.0166666666666667",
    "current_price": "244",
    "lastday_price": "242.5",
    "change_today": "0.0061855670103093",
    "qty_available": "20",
}

FILL: Json = {
    "activity_type": "FILL",
    "cum_qty": "2",
    "id": "20220202135509981::2d7be4ff-d1f3-43e9-856a-0f5cf5c5088e",
    "leaves_qty": "0",
    "order_id": "b5abe576-6a8a-49f3-a353-46b72c1ccae9",
    "order_status": "filled",
    "price": "174.780",
    "qty": "2",
    "side": "buy",
    "symbol": "AAPL",
    "transaction_time": "2022-02-02T18:55:09.981482Z",
    "type": "fill",
}

DIVIDEND: Json = {
    "activity_sub_type": "SDIV",
    "activity_type": "DIV",
    "created_at": "2021-05-10T14:01:04.650275Z",
    "currency": "USD",
    "date": "2019-08-01",
    "id": "20190801011955195::5f596936-6f23-4cef-bdf1-3806aae57dbf",
    "net_amount": "1.020",
    "per_share_amount": "0.51",
    "qty": "2",
    "status": "executed",
    "symbol": "T",
}

# JSON numbers, which no float of ours may touch.
HISTORY = (
    '{"base_value": 8413.0400, "base_value_asof": "2026-04-06", "cashflow": {"CSD": [9.93, 0]},'
    ' "equity": [8425.21000000000000000001, null], "profit_loss": [12.170, 0],'
    ' "profit_loss_pct": [1.4e-3, null], "timeframe": "1D", "timestamp": [1775606400, 1775692800]}'
)

CLOCK: Json = {
    "timestamp": "2026-11-23T14:22:20.586011618-05:00",
    "is_open": True,
    "next_open": "2026-11-24T09:30:00-05:00",
    "next_close": "2026-11-23T16:00:00-05:00",
}

# What answers each path well, as text, so that numbers arrive as they are written.
ANSWERS = {
    "/v2/positions": json.dumps([POSITION]),
    "/v2/orders": json.dumps([{**ORDER, "id": str(UUID(int=1))}]),
    "/v2/account/activities": json.dumps([FILL, DIVIDEND]),
    "/v2/account/portfolio/history": HISTORY,
    "/v2/clock": json.dumps(CLOCK),
}


def order(number: int, **fields: object) -> Json:
    return {**ORDER, "id": str(UUID(int=number)), **fields}


def orders(numbers: Sequence[int], **fields: object) -> list[Json]:
    return [order(number, **fields) for number in numbers]


def fill(number: int, **fields: object) -> Json:
    return {**FILL, "id": f"20220202135509981::{UUID(int=number)}", **fields}
