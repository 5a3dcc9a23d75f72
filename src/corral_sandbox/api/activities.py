"""/v2/account/activities: the trades, transfers and option events of an account."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from corral_sandbox.broker.initial_state import CashTransfer, initial_transfers
from corral_sandbox.broker.ledger import COIN_FEE, FILL, Execution
from corral_sandbox.broker.order_manager import OrderManager
from corral_sandbox.errors import InvalidParameterError
from corral_sandbox.http.requests import Document, Request, as_choice, as_date, as_limit, as_list
from corral_sandbox.market.money import format_amount
from corral_sandbox.market.time import SECOND, format_timestamp, new_york_time, parse_timestamp

_HIGHEST_PAGE_SIZE = 100


@dataclass(frozen=True, slots=True)
class Activity:
    """A trade, transfer, fee or option event. `at` is in nanoseconds since 1970; several may have the same."""

    id: str
    at: int
    kind: str
    entry: Execution | CashTransfer
    currency: str

    @property
    def order_id(self) -> str | None:
        return self.entry.order_id if isinstance(self.entry, Execution) else None

    def document(self) -> dict[str, object]:
        entry = self.entry
        if isinstance(entry, CashTransfer):
            return _non_trade(self, entry.amount)
        if entry.kind == FILL:
            return _trade(self, entry)
        if entry.kind == COIN_FEE:
            return _coin_fee(self, entry)
        return {
            **_non_trade(self, entry.cash),
            "symbol": entry.symbol,
            "qty": format_amount(entry.quantity),
            **_price(entry),
        }


def list_activities(request: Request) -> Document:
    """Returns one page of activities after `page_token`, the latest first unless `direction` is asc.

    The token is the id of the last activity that the client received. Activities of the same instant keep their order.
    """
    query = request.query()
    fits = _filter(query, _kinds(request, query))
    found = [activity for activity in all_activities(request.account.order_manager, request.now) if fits(activity)]
    if as_choice("direction", query.get("direction") or "desc", "asc", "desc") == "desc":
        found.reverse()
    start = _after_token(found, query["page_token"]) if query.get("page_token") else 0
    size = as_limit("page_size", query.get("page_size") or str(_HIGHEST_PAGE_SIZE), _HIGHEST_PAGE_SIZE)
    return [activity.document() for activity in found[start : start + size]]


def all_activities(manager: OrderManager, now: int) -> Iterator[Activity]:
    """Yields every activity up to `now`, in nanoseconds since 1970, the earliest first."""
    manager.advance(now)
    currency = str(manager.terms.profile["currency"])
    for transfer in initial_transfers(manager.terms):
        yield Activity(_activity_id(transfer.at, transfer.id), transfer.at, transfer.kind, transfer, currency)
    for execution in manager.executions():
        yield activity_of(execution, currency)


def activity_of(execution: Execution, currency: str) -> Activity:
    return Activity(_activity_id(execution.at, execution.id), execution.at, execution.kind, execution, currency)


def _activity_id(at: int, unique: str) -> str:
    """Returns an id that begins with New York's time to the millisecond, in seventeen digits, as Alpaca's do."""
    return f"{new_york_time(at):%Y%m%d%H%M%S}{at % SECOND // 1_000_000:03}::{unique}"


def _kinds(request: Request, query: dict[str, str]) -> set[str]:
    """Returns the requested types; an empty set means all."""
    if "activity_type" in request.path_parameters:
        return {request.path_parameters["activity_type"]}
    kinds = set(as_list(query.get("activity_types", "")))
    if kinds and query.get("category"):
        raise InvalidParameterError("activity_types and category cannot be used together")
    return kinds


def _filter(query: dict[str, str], kinds: set[str]) -> Callable[[Activity], bool]:
    category = query.get("category") and as_choice(
        "category", query["category"], "trade_activity", "non_trade_activity"
    )
    after, until = _moment(query, "after"), _moment(query, "until")
    day = as_date("date", query["date"]) if query.get("date") else None
    order_id = query.get("order_id")
    return lambda activity: (
        (not kinds or activity.kind in kinds)
        and (not category or (activity.kind == FILL) == (category == "trade_activity"))
        and (after is None or activity.at > after)
        and (until is None or activity.at < until)
        and (day is None or new_york_time(activity.at).date() == day)
        and (not order_id or activity.order_id == order_id)
    )


def _moment(query: dict[str, str], name: str) -> int | None:
    if not query.get(name):
        return None
    try:
        return parse_timestamp(query[name])
    except ValueError:
        raise InvalidParameterError(f"invalid {name}: {query[name]}") from None


def _after_token(found: list[Activity], token: str) -> int:
    for index, activity in enumerate(found):
        if activity.id == token:
            return index + 1
    raise InvalidParameterError("invalid page_token")


def _trade(activity: Activity, execution: Execution) -> dict[str, object]:
    return {
        "id": activity.id,
        "activity_type": FILL,
        "transaction_time": format_timestamp(execution.at),
        "type": "partial_fill" if execution.left else "fill",
        "price": format_amount(execution.price),
        "qty": format_amount(abs(execution.quantity)),
        "side": "buy" if execution.quantity > 0 else "sell",
        "symbol": execution.symbol,
        "leaves_qty": format_amount(execution.left),
        "order_id": execution.order_id,
        "cum_qty": format_amount(execution.cumulative),
        "order_status": "partially_filled" if execution.left else "filled",
    }


def _non_trade(activity: Activity, amount: Decimal) -> dict[str, object]:
    return {
        "id": activity.id,
        "activity_type": activity.kind,
        "date": new_york_time(activity.at).date().isoformat(),
        "net_amount": format_amount(amount),
        "status": "executed",
        "created_at": format_timestamp(activity.at),
        "currency": activity.currency,
    }


def _coin_fee(activity: Activity, fee: Execution) -> dict[str, object]:
    """A fee in dollars names no symbol, as at Alpaca."""
    document = _non_trade(activity, fee.cash)
    if not fee.quantity:
        return {**document, "description": "Coin Pair Transaction Fee (USD)"}
    return {
        **document,
        "description": "Coin Pair Transaction Fee (Non USD)",
        "symbol": fee.symbol.replace("/", ""),
        "qty": format_amount(fee.quantity),
        "price": format_amount(fee.price),
    }


def _price(execution: Execution) -> dict[str, object]:
    return {"price": format_amount(execution.price)} if execution.price else {}
