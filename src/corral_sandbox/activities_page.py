"""/v2/account/activities: what moved money or holdings, trade by trade."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from corral_sandbox.answers import Document
from corral_sandbox.book import Book
from corral_sandbox.ledger import Execution
from corral_sandbox.moments import SECOND, as_moment, in_utc
from corral_sandbox.money import in_writing
from corral_sandbox.opening_history import Transfer, opening_transfers
from corral_sandbox.parameters import Invalid, as_choice, as_date, as_limit, as_list
from corral_sandbox.requests import Request
from corral_sandbox.trading_calendar import new_york_time

_HIGHEST_PAGE_SIZE = 100
_FILL = "FILL"


@dataclass(frozen=True, slots=True)
class _Activity:
    """`at` is in nanoseconds since 1970; several may have the same."""

    id: str
    at: int
    kind: str
    told: Execution | Transfer

    @property
    def order_id(self) -> str | None:
        return self.told.order_id if isinstance(self.told, Execution) else None

    def document(self) -> dict[str, object]:
        told = self.told
        if isinstance(told, Transfer):
            return _non_trade(self, told.amount)
        if told.kind == _FILL:
            return _trade(self, told)
        return {**_non_trade(self, told.cash), "symbol": told.symbol, "qty": in_writing(told.quantity), **_price(told)}


def list_activities(request: Request) -> Document:
    """Answers a page of them, the latest first unless `direction` is asc, from after `page_token` on.

    A token is the id of the last activity that was received. What happened at the same instant keeps its order.
    """
    query = request.query()
    fits = _filter(query, _kinds(request, query))
    found = [activity for activity in _all(request.customer.book, request.now) if fits(activity)]
    if as_choice("direction", query.get("direction") or "desc", "asc", "desc") == "desc":
        found.reverse()
    start = _after_token(found, query["page_token"]) if query.get("page_token") else 0
    size = as_limit("page_size", query.get("page_size") or str(_HIGHEST_PAGE_SIZE), _HIGHEST_PAGE_SIZE)
    return [activity.document() for activity in found[start : start + size]]


def _all(book: Book, now: int) -> Iterator[_Activity]:
    book.advance(now)
    for transfer in opening_transfers(book.account):
        yield _Activity(_activity_id(transfer.at, transfer.id), transfer.at, transfer.kind, transfer)
    for execution in book.executions():
        yield _Activity(_activity_id(execution.at, execution.id), execution.at, execution.kind, execution)


def _activity_id(at: int, unique: str) -> str:
    """New York's time down to the millisecond, in seventeen digits, as Alpaca writes it."""
    return f"{new_york_time(at):%Y%m%d%H%M%S}{at % SECOND // 1_000_000:03}::{unique}"


def _kinds(request: Request, query: dict[str, str]) -> set[str]:
    """Answers the types that are asked for, none for all."""
    if "activity_type" in request.parameters:
        return {request.parameters["activity_type"]}
    kinds = set(as_list(query.get("activity_types", "")))
    if kinds and query.get("category"):
        raise Invalid("activity_types and category cannot be used together")
    return kinds


def _filter(query: dict[str, str], kinds: set[str]) -> Callable[[_Activity], bool]:
    category = query.get("category") and as_choice(
        "category", query["category"], "trade_activity", "non_trade_activity"
    )
    after, until = _moment(query, "after"), _moment(query, "until")
    day = as_date("date", query["date"]) if query.get("date") else None
    order_id = query.get("order_id")
    return lambda activity: (
        (not kinds or activity.kind in kinds)
        and (not category or (activity.kind == _FILL) == (category == "trade_activity"))
        and (after is None or activity.at > after)
        and (until is None or activity.at < until)
        and (day is None or new_york_time(activity.at).date() == day)
        and (not order_id or activity.order_id == order_id)
    )


def _moment(query: dict[str, str], name: str) -> int | None:
    if not query.get(name):
        return None
    try:
        return as_moment(query[name])
    except ValueError:
        raise Invalid(f"invalid {name}: {query[name]}") from None


def _after_token(found: list[_Activity], token: str) -> int:
    for index, activity in enumerate(found):
        if activity.id == token:
            return index + 1
    raise Invalid("invalid page_token")


def _trade(activity: _Activity, execution: Execution) -> dict[str, object]:
    return {
        "id": activity.id,
        "activity_type": _FILL,
        "transaction_time": in_utc(execution.at),
        "type": "partial_fill" if execution.left else "fill",
        "price": in_writing(execution.price),
        "qty": in_writing(abs(execution.quantity)),
        "side": "buy" if execution.quantity > 0 else "sell",
        "symbol": execution.symbol,
        "leaves_qty": in_writing(execution.left),
        "order_id": execution.order_id,
        "cum_qty": in_writing(execution.cumulative),
        "order_status": "partially_filled" if execution.left else "filled",
    }


def _non_trade(activity: _Activity, amount: Decimal) -> dict[str, object]:
    return {
        "id": activity.id,
        "activity_type": activity.kind,
        "date": new_york_time(activity.at).date().isoformat(),
        "net_amount": in_writing(amount),
        "status": "executed",
        "created_at": in_utc(activity.at),
        "currency": "USD",
    }


def _price(execution: Execution) -> dict[str, object]:
    return {"price": in_writing(execution.price)} if execution.price else {}
