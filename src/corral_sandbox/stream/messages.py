"""What the streams publish: trade updates and account activities, and the ids of their events."""

from decimal import Decimal
from uuid import UUID

from corral_sandbox.api.activities import Activity
from corral_sandbox.api.orders import order_document
from corral_sandbox.broker.initial_state import CashTransfer
from corral_sandbox.broker.ledger import COIN_FEE, FILL, Execution
from corral_sandbox.broker.order_manager import OrderEvent, OrderManager
from corral_sandbox.broker.orders import BrokerOrder
from corral_sandbox.market.money import format_amount
from corral_sandbox.market.time import SECOND, format_timestamp, new_york_time, settlement_date

_MILLISECOND = SECOND // 1_000
_BUST = "trade_bust"


def update_document(event: OrderEvent, *, name: str | None = None) -> dict[str, object]:
    """Returns a trade update, under another name if one is given. Legs are published on their own."""
    return {
        "event": name or event.name,
        "timestamp": format_timestamp(event.at),
        **_execution(event),
        "order": {**order_document(event.order), "legs": None},
    }


def _execution(event: OrderEvent) -> dict[str, object]:
    execution = event.execution
    if execution is None:
        return {}
    quantity = abs(execution.quantity)
    return {
        "execution_id": execution.id,
        "price": format_amount(execution.price),
        "qty": format_amount(-quantity if event.name == _BUST else quantity),
        "position_qty": format_amount(event.position),
        **({} if execution.previous_id is None else {"previous_execution_id": execution.previous_id}),
        **({"reason": "TRADE_BUST"} if event.name == _BUST else {}),
    }


def trade_event_document(account_id: str, event: OrderEvent) -> dict[str, object]:
    """Returns a trade update as Alpaca sends it as a server-sent event."""
    return {
        "account_id": account_id,
        "at": format_timestamp(event.at),
        "event_id": event_id(account_id, event.number, event.at),
        **update_document(event),
    }


def activity_event_document(manager: OrderManager, activity: Activity, number: int) -> dict[str, object]:
    """Returns an activity, `number` of its account, as Alpaca sends it as a server-sent event."""
    account_id, entry = str(manager.terms.profile["id"]), activity.entry
    is_trade = activity.kind == FILL
    day = new_york_time(activity.at).date()
    return {
        "account_id": account_id,
        "at": format_timestamp(activity.at),
        "event_id": event_id(account_id, number, activity.at),
        "ref_id": entry.id,
        "activity_type": "TRD" if is_trade else activity.kind,
        "executed_at": format_timestamp(activity.at),
        "settle_date": (settlement_date(day) if is_trade else day).isoformat(),
        "status": "executed",
        "currency": "USD",
        **_amounts(entry),
        "details": _details(manager, entry, day.isoformat()),
    }


def _amounts(entry: Execution | CashTransfer) -> dict[str, object]:
    if isinstance(entry, CashTransfer):
        return {"qty": "0", "price": "0", "net_amount": format_amount(entry.amount)}
    quantity = abs(entry.quantity) if entry.kind == FILL and entry.previous_id is None else entry.quantity
    return {
        "qty": format_amount(quantity),
        "price": format_amount(entry.price),
        "net_amount": format_amount(entry.cash),
        **({} if entry.previous_id is None else {"previous_id": entry.previous_id}),
    }


def _details(manager: OrderManager, entry: Execution | CashTransfer, day: str) -> dict[str, object]:
    if isinstance(entry, CashTransfer):
        return {"system_date": day}
    if entry.kind == COIN_FEE:
        symbol = {"symbol": entry.symbol.replace("/", "")} if entry.symbol else {}
        return {"system_date": day, **symbol}
    if entry.kind == FILL:
        return _trade_details(manager.orders[entry.order_id], entry)
    return {"system_date": day, "group_id": entry.id, "symbol": entry.symbol}


def _trade_details(order: BrokerOrder, execution: Execution) -> dict[str, object]:
    asset = order.request.asset
    return {
        "order_id": order.id,
        "client_order_id": order.client_order_id,
        "side": order.request.side,
        "symbol": execution.symbol,
        "asset_id": asset.id if asset else "",
        "cum_qty": format_amount(execution.cumulative),
        "leaves_qty": format_amount(execution.left),
        "order_status": "partially_filled" if execution.left else "filled",
        "execution_type": _execution_type(execution, order),
    }


def _execution_type(execution: Execution, order: BrokerOrder) -> str:
    if execution.previous_id is not None:
        return _BUST if _is_reversal(execution.quantity, order) else "trade_correct"
    return "partial_fill" if execution.left else "fill"


def _is_reversal(quantity: Decimal, order: BrokerOrder) -> bool:
    return quantity * order.request.sign < 0


_ULID_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ULID_LENGTH, _ULID_TIME_LENGTH = 26, 10


def event_id(account_id: str, number: int, at: int) -> str:
    """Returns a ULID: the milliseconds since 1970 of `at`, the event's number in its account, and a part of the
    account's id. So those of an account sort in the order of their events, and a run can be repeated.
    """
    value = (at // _MILLISECOND << 80) | (number << 40) | (UUID(account_id).int & 0xFF_FFFF_FFFF)
    digits = [_ULID_DIGITS[value >> 5 * place & 31] for place in range(_ULID_LENGTH)]
    return "".join(reversed(digits))


def end_of_event_id(text: str) -> int:
    """Returns the end of the millisecond that a ULID begins with, in nanoseconds since 1970. Raises ValueError."""
    if len(text) != _ULID_LENGTH or not set(text) <= set(_ULID_DIGITS):
        raise ValueError(text)
    milliseconds = 0
    for digit in text[:_ULID_TIME_LENGTH]:
        milliseconds = milliseconds * 32 + _ULID_DIGITS.index(digit)
    return (milliseconds + 1) * _MILLISECOND - 1
