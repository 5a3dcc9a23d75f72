"""Which orders `GET /v2/orders` lists."""

from corral_sandbox.book import Book
from corral_sandbox.listing import Asset
from corral_sandbox.moments import as_moment
from corral_sandbox.orders import Order
from corral_sandbox.parameters import Invalid, as_choice, as_limit, as_list

_DEFAULT_LIMIT, _HIGHEST_LIMIT = 50, 500


def chosen_orders(book: Book, query: dict[str, str], *, nested: bool) -> list[Order]:
    """Answers at most `limit`, the latest first unless `direction` is asc; when `nested`, no legs of their own."""
    chosen = [order for order in book.orders.values() if _is_listed(order, nested=nested)]
    chosen = _within(book, [order for order in chosen if _fits(order, query)], query)
    if as_choice("direction", query.get("direction") or "desc", "asc", "desc") == "desc":
        chosen.reverse()
    return chosen[: as_limit("limit", query.get("limit") or str(_DEFAULT_LIMIT), _HIGHEST_LIMIT)]


def _is_listed(order: Order, *, nested: bool) -> bool:
    return order.ratio is None and not (nested and order.is_leg)


def _fits(order: Order, query: dict[str, str]) -> bool:
    status = as_choice("status", query.get("status") or "open", "open", "closed", "all")
    side = query.get("side") and as_choice("side", query["side"], "buy", "sell")
    symbols, classes = _names(query, "symbols"), _names(query, "asset_class")
    return (
        (status == "all" or order.is_open == (status == "open"))
        and (not side or order.ticket.side == side)
        and (not symbols or any(part.symbol.replace("/", "") in symbols for part in _assets(order)))
        and (not classes or any(part.asset_class in classes for part in _assets(order)))
    )


def _within(book: Book, orders: list[Order], query: dict[str, str]) -> list[Order]:
    """Answers the orders between two moments or two orders, neither of them included."""
    before, after = query.get("before_order_id"), query.get("after_order_id")
    until, since = query.get("until"), query.get("after")
    if (before and after) or ((before or after) and (until or since)):
        raise Invalid("before_order_id, after_order_id and after/until cannot be used together")
    if before:
        end = _known(book, before).number
        return [order for order in orders if order.number < end]
    if after:
        start = _known(book, after).number
        return [order for order in orders if order.number > start]
    start = _moment("after", since) if since else -1
    end = _moment("until", until) if until else None
    return [order for order in orders if start < order.submitted_at and (end is None or order.submitted_at < end)]


def _known(book: Book, order_id: str) -> Order:
    order = book.orders.get(order_id)
    if order is None:
        raise Invalid(f"order not found: {order_id}")
    return order


def _moment(name: str, text: str) -> int:
    try:
        return as_moment(text)
    except ValueError:
        raise Invalid(f"invalid {name}: {text}") from None


def _names(query: dict[str, str], name: str) -> set[str]:
    return {part.replace("/", "") for part in as_list(query.get(name, ""))}


def _assets(order: Order) -> list[Asset]:
    return [order.ticket.asset] if order.ticket.asset else [leg.asset for leg in order.ticket.legs]
