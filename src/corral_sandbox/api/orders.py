"""/v2/orders: place, list, get, replace and cancel; and how an order is written."""

from dataclasses import replace
from decimal import Decimal
from uuid import UUID

from corral_sandbox.api.order_request import OrderChangeRequest, check_rules, read_change, read_order
from corral_sandbox.broker.matching import best_price
from corral_sandbox.broker.option_checks import check_option_order
from corral_sandbox.broker.order_checks import check_account, check_client_order_id, check_order, inferred_intent
from corral_sandbox.broker.order_manager import OrderManager
from corral_sandbox.broker.orders import BrokerOrder, OrderOutcome, OrderRequest
from corral_sandbox.errors import ApiError, InvalidParameterError, UnprocessableError
from corral_sandbox.http.requests import Document, Request, Response, as_choice, as_flag, as_limit, as_list
from corral_sandbox.market.assets import Asset
from corral_sandbox.market.money import format_amount, format_optional_amount
from corral_sandbox.market.time import format_optional_timestamp, format_timestamp, parse_timestamp


def place_order(request: Request) -> Document:
    """Returns the order as accepted. What happens to it next is published on the stream and shown by later requests."""
    manager = advanced_manager(request)
    order_request = read_order(request.json_object(), request.assets)
    check_account(manager)
    return submit_order(request, manager, order_request, request.order_outcome)


def submit_order(
    request: Request, manager: OrderManager, order_request: OrderRequest, outcome: OrderOutcome | None = None
) -> dict[str, object]:
    check_rules(order_request, request.now)
    check_client_order_id(manager, order_request.client_order_id)
    _check_allowed(request, manager, order_request)
    if order_request.asset is not None and order_request.asset.contract is not None:
        order_request = replace(order_request, intent=inferred_intent(manager, order_request))
    order = manager.place(order_request, request.now, outcome)
    document = order_document(order)
    manager.advance(request.now)
    return document


def _check_allowed(
    request: Request, manager: OrderManager, order_request: OrderRequest, replacing: BrokerOrder | None = None
) -> None:
    if order_request.asset is None or order_request.asset.contract is not None:
        check_option_order(manager, order_request, request.now, replacing=replacing)
    else:
        check_order(manager, order_request, request.account.configurations, request.now, replacing=replacing)


def list_orders(request: Request) -> Document:
    manager, query = advanced_manager(request), request.query()
    nested = as_flag("nested", query.get("nested", "false"))
    return [current_document(request, order, nested=nested) for order in matching_orders(manager, query, nested=nested)]


def get_order(request: Request) -> Document:
    manager = advanced_manager(request)
    nested = as_flag("nested", request.query().get("nested", "false"))
    return current_document(request, _requested_order(manager, request), nested=nested)


def get_order_by_client_order_id(request: Request) -> Document:
    manager = advanced_manager(request)
    order = manager.by_client_order_id.get(request.query().get("client_order_id", ""))
    if order is None:
        raise ApiError(404, "order not found for client order id", code=40410000)
    return current_document(request, order)


def replace_order(request: Request) -> Document:
    manager = advanced_manager(request)
    order, change = _requested_order(manager, request), read_change(request.json_object())
    check_account(manager)
    order_request = _replacement_request(order, change)
    check_client_order_id(manager, change.client_order_id)
    if order.is_exit:
        check_rules(replace(order_request, order_class=""), request.now)  # class rules apply to the whole group
    else:
        check_rules(order_request, request.now)
        _check_allowed(request, manager, order_request, replacing=order)
    new = manager.replace(order, order_request, request.now)
    document = order_document(new)
    manager.advance(request.now)
    return document


def cancel_order(request: Request) -> Response:
    manager = advanced_manager(request)
    order = _requested_order(manager, request)
    if not order.is_open or order.ratio is not None:
        raise UnprocessableError(f'order is already in "{order.status}" state')
    manager.cancel(order, request.now)
    return Response(204, b"")


def cancel_all_orders(request: Request) -> Response:
    return Response(
        207, [{"id": order.id, "status": 200} for order in cancel_all(advanced_manager(request), request.now)]
    )


def cancel_all(manager: OrderManager, now: int) -> list[BrokerOrder]:
    canceled = list(manager.open_orders)
    for order in canceled:
        if order.is_open:
            manager.cancel(order, now)
    return canceled


def advanced_manager(request: Request) -> OrderManager:
    manager = request.account.order_manager
    manager.advance(request.now)
    return manager


def current_document(request: Request, order: BrokerOrder, *, nested: bool = True) -> dict[str, object]:
    market = request.account.terms.market
    return order_document(order, nested=nested, peak=best_price(market, order, request.now))


def _replacement_request(order: BrokerOrder, change: OrderChangeRequest) -> OrderRequest:
    """Returns the request of the new order; its quantity defaults to what the old order has left.

    Raises for orders that are closed, not yet at the market, or notional, and for changes that change nothing.
    """
    old = order.request
    if not order.is_open or order.ratio is not None:
        raise UnprocessableError(f'order is already in "{order.status}" state')
    if order.status in _NOT_YET:
        raise UnprocessableError(
            f'unable to replace order, order isn\'t sent to exchange yet, status is "{order.status}"'
        )
    if old.notional is not None or change.notional is not None:
        raise UnprocessableError("notional orders cannot be replaced")
    if change.qty is not None and order.is_exit:
        raise UnprocessableError("the qty of an order that closes another one cannot be replaced")
    if change.trail is not None and not old.is_trailing:
        raise UnprocessableError("trail is only for trailing stop orders")
    new = replace(
        old,
        quantity=change.qty or order.left,
        time_in_force=change.time_in_force or old.time_in_force,
        limit_price=old.limit_price if change.limit_price is None else change.limit_price,
        stop_price=change.stop_price or old.stop_price,
        trail_price=old.trail_price and (change.trail or old.trail_price),
        trail_percent=old.trail_percent and (change.trail or old.trail_percent),
        client_order_id=None,
    )
    if new == replace(old, quantity=order.left, client_order_id=None):
        raise UnprocessableError("order parameters are not changed")
    return replace(new, client_order_id=change.client_order_id)


def _requested_order(manager: OrderManager, request: Request) -> BrokerOrder:
    order_id = request.path_parameters["order_id"]
    try:
        order = manager.orders.get(str(UUID(order_id)))
    except ValueError:
        raise InvalidParameterError("order_id is missing") from None
    if order is None:
        raise ApiError(404, f"order not found for {order_id}", code=40410000)
    return order


_NOT_YET = frozenset({"accepted", "pending_new"})
_DEFAULT_LIMIT, _HIGHEST_LIMIT = 50, 500


def matching_orders(manager: OrderManager, query: dict[str, str], *, nested: bool) -> list[BrokerOrder]:
    """Returns at most `limit` orders, the latest first unless `direction` is asc; legs only if not `nested`."""
    chosen = [order for order in manager.orders.values() if _is_listed(order, nested=nested)]
    chosen = _within(manager, [order for order in chosen if _fits(order, query)], query)
    if as_choice("direction", query.get("direction") or "desc", "asc", "desc") == "desc":
        chosen.reverse()
    return chosen[: as_limit("limit", query.get("limit") or str(_DEFAULT_LIMIT), _HIGHEST_LIMIT)]


def _is_listed(order: BrokerOrder, *, nested: bool) -> bool:
    return order.ratio is None and not (nested and order.is_leg)


def _fits(order: BrokerOrder, query: dict[str, str]) -> bool:
    status = as_choice("status", query.get("status") or "open", "open", "closed", "all")
    side = query.get("side") and as_choice("side", query["side"], "buy", "sell")
    symbols, classes = _names(query, "symbols"), _names(query, "asset_class")
    return (
        (status == "all" or order.is_open == (status == "open"))
        and (not side or order.request.side == side)
        and (not symbols or any(part.symbol.replace("/", "") in symbols for part in _assets(order)))
        and (not classes or any(part.asset_class in classes for part in _assets(order)))
    )


def _within(manager: OrderManager, orders: list[BrokerOrder], query: dict[str, str]) -> list[BrokerOrder]:
    """Returns the orders between two times or two orders, both excluded."""
    before, after = query.get("before_order_id"), query.get("after_order_id")
    until, since = query.get("until"), query.get("after")
    if (before and after) or ((before or after) and (until or since)):
        raise InvalidParameterError("before_order_id, after_order_id and after/until cannot be used together")
    if before:
        end = _known(manager, before).number
        return [order for order in orders if order.number < end]
    if after:
        start = _known(manager, after).number
        return [order for order in orders if order.number > start]
    start = _moment("after", since) if since else -1
    end = _moment("until", until) if until else None
    return [order for order in orders if start < order.submitted_at and (end is None or order.submitted_at < end)]


def _known(manager: OrderManager, order_id: str) -> BrokerOrder:
    order = manager.orders.get(order_id)
    if order is None:
        raise InvalidParameterError(f"order not found: {order_id}")
    return order


def _moment(name: str, text: str) -> int:
    try:
        return parse_timestamp(text)
    except ValueError:
        raise InvalidParameterError(f"invalid {name}: {text}") from None


def _names(query: dict[str, str], name: str) -> set[str]:
    return {part.replace("/", "") for part in as_list(query.get(name, ""))}


def _assets(order: BrokerOrder) -> list[Asset]:
    return [order.request.asset] if order.request.asset else [leg.asset for leg in order.request.legs]


_LEFT_OUT_IF_NULL = ("position_intent", "expires_at", "group_id", "group_role", "ratio_qty")


def order_document(order: BrokerOrder, *, nested: bool = True, peak: Decimal | None = None) -> dict[str, object]:
    """Returns every field; one that does not apply is null, or left out where Alpaca leaves it out.

    `peak` is the best price so far of a trailing stop. Legs are included when `nested`, and always for a
    multi-leg option order.
    """
    order_request, asset = order.request, order.request.asset
    average, legs = order.filled_average, order.nested_legs if nested or order.legs else []
    leg_documents, stop_price = [order_document(leg) for leg in legs] or None, _stop_price(order, peak)
    kind = order_request.type if order.ratio is None else ""
    document: dict[str, object] = {
        "id": order.id,
        "client_order_id": order.client_order_id,
        "created_at": format_timestamp(order.submitted_at),
        "updated_at": format_timestamp(order.updated_at),
        "submitted_at": format_timestamp(order.submitted_at),
        "filled_at": format_optional_timestamp(order.filled_at if order.status == "filled" else None),
        "expires_at": format_optional_timestamp(order.expires_at),
        "expired_at": format_optional_timestamp(order.expired_at),
        "canceled_at": format_optional_timestamp(order.canceled_at),
        "failed_at": format_optional_timestamp(order.failed_at),
        "replaced_at": format_optional_timestamp(order.replaced_at),
        "replaced_by": order.replaced_by,
        "replaces": order.replaces,
        "asset_id": asset.id if asset else "",
        "symbol": asset.symbol if asset else "",
        "asset_class": asset.asset_class if asset else "",
        "notional": format_optional_amount(order_request.notional),
        "qty": format_optional_amount(order_request.quantity),
        "filled_qty": format_amount(order.filled_quantity),
        "filled_avg_price": format_optional_amount(average),
        "order_class": order_request.order_class,
        "order_type": kind,
        "type": kind,
        "side": order_request.side if asset else "",
        "time_in_force": order_request.time_in_force,
        "limit_price": format_optional_amount(order_request.limit_price),
        "stop_price": format_optional_amount(stop_price),
        "status": order.status,
        "extended_hours": order_request.extended_hours,
        "legs": leg_documents,
        "trail_percent": format_optional_amount(order_request.trail_percent),
        "trail_price": format_optional_amount(order_request.trail_price),
        "hwm": format_optional_amount(peak or order.peak),
        "subtag": None,
        "source": None,
        "position_intent": order_request.intent,
        "group_id": order.group.id if order.group else None,
        "group_role": order.role,
        "ratio_qty": format_optional_amount(order.ratio),
    }
    for name in _LEFT_OUT_IF_NULL:
        if document[name] is None:
            del document[name]
    return document


def _stop_price(order: BrokerOrder, peak: Decimal | None) -> Decimal | None:
    """Returns the current stop of a trailing stop order."""
    best = peak or order.peak
    if order.request.type == "trailing_stop" and best is not None:
        return order.request.trailing_stop(best)
    return order.request.stop_price
