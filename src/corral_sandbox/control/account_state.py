"""All of an account as a document that a failing test can print, and that `PUT /_accounts/{key_id}` takes again; and
the few figures of it for a list of accounts.
"""

from collections import Counter
from collections.abc import Iterator
from decimal import ROUND_DOWN, Decimal

from corral_sandbox.api.account import get_account
from corral_sandbox.api.positions import list_positions
from corral_sandbox.broker.accounts import TradingAccount
from corral_sandbox.broker.initial_state import KEY_ID_PREFIXES, RESTRICTIONS
from corral_sandbox.broker.order_manager import OrderManager
from corral_sandbox.broker.orders import BrokerOrder, OrderGroup, OrderRequest
from corral_sandbox.control.account_form import DERIVED
from corral_sandbox.http.requests import Request
from corral_sandbox.market.money import CENT, ZERO, format_amount

_FIGURES = (
    "id",
    "account_number",
    "created_at",
    "equity",
    "last_equity",
    "long_market_value",
    "short_market_value",
    "buying_power",
    "regt_buying_power",
    "options_buying_power",
    "non_marginable_buying_power",
    "initial_margin",
    "maintenance_margin",
)
_FIGURES_OF_POSITION = ("symbol", "current_price", "market_value", "unrealized_pl", "qty_available")


def account_state(key_id: str, account: TradingAccount, now: int) -> dict[str, object]:
    """Returns an account as of `now`, in nanoseconds since 1970; what follows from the rest is under `derived`."""
    manager, opened = account.order_manager, account.initial_terms
    manager.advance(now)
    profile = account.terms.profile
    return {
        "cash": format_amount(manager.ledger.state.cash),
        "currency": profile["currency"],
        "multiplier": str(opened.multiplier),
        "status": profile["status"],
        "options_level": opened.profile["options_approved_level"],
        "daytrade_count": profile.get("daytrade_count"),
        "restrictions": _restrictions(account),
        "positions": _positions(manager),
        "orders": list(_open_orders(manager)),
        "configurations": account.configurations.document(),
        "watchlists": [
            {"name": watchlist.name, "symbols": [asset.symbol for asset in watchlist.assets]}
            for watchlist in account.watchlists.all()
        ],
        DERIVED: {"key_id": key_id, **_derived(account, now)},
    }


def account_summary(key_id: str, account: TradingAccount, now: int) -> dict[str, object]:
    """Returns what a list of accounts shows of each, as of `now`, in nanoseconds since 1970."""
    manager, profile = account.order_manager, account.terms.profile
    manager.advance(now)
    figures = get_account(Request(account, now, {}))
    return {
        "key_id": key_id,
        "environment": next(name for name, prefix in KEY_ID_PREFIXES.items() if key_id.startswith(prefix)),
        "status": profile["status"],
        "currency": profile["currency"],
        "equity": figures["equity"],
        "cash": figures["cash"],
        "buying_power": figures["buying_power"],
        "positions": len(manager.ledger.state.positions),
        "open_orders": len(manager.open_orders),
        "restrictions": _restrictions(account),
    }


def _restrictions(account: TradingAccount) -> list[str]:
    return [name for name in RESTRICTIONS if account.terms.profile[name]]


def _positions(manager: OrderManager) -> list[dict[str, object]]:
    positions = sorted(manager.ledger.state.positions.items())
    return [
        {
            "symbol": symbol,
            "qty": format_amount(position.quantity),
            "avg_entry_price": format_amount(position.average),
        }
        for symbol, position in positions
    ]


def _derived(account: TradingAccount, now: int) -> dict[str, object]:
    request = Request(account, now, {})
    figures = get_account(request)
    return {
        **{name: figures[name] for name in _FIGURES},
        "positions": [{name: position[name] for name in _FIGURES_OF_POSITION} for position in list_positions(request)],
        "orders": dict(Counter(order.status for order in account.order_manager.orders.values())),
    }


def _open_orders(manager: OrderManager) -> Iterator[dict[str, object]]:
    """Yields what is left of every open order, as POST /v2/orders would take it; a group is one order."""
    groups: set[str] = set()
    for order in manager.open_orders:
        if order.group is None:
            yield _body(order)
        elif order.group.id not in groups:
            groups.add(order.group.id)
            yield _body_of_group(order.group)


def _body_of_group(group: OrderGroup) -> dict[str, object]:
    """Once the entry is filled, both exits are an OCO, and a single one is an order of its own."""
    members = {role: member for role, member in group.members.items() if member.is_open}
    entry, profit, stop = members.get("entry"), members.get("take_profit"), members.get("stop_loss")
    exits = _exits(profit, stop)
    if entry is not None:
        return {**_body(entry), "order_class": entry.request.order_class, **exits}
    if profit is not None and stop is not None:
        body = {name: value for name, value in _body(profit).items() if name != "limit_price"}
        return {**body, "order_class": "oco", **exits}
    return _body(next(iter(members.values())))


def _exits(profit: BrokerOrder | None, stop: BrokerOrder | None) -> dict[str, object]:
    exits: dict[str, object] = {}
    if profit is not None:
        exits["take_profit"] = _prices(profit.request)
    if stop is not None:
        exits["stop_loss"] = _prices(stop.request)
    return exits


def _body(order: BrokerOrder) -> dict[str, object]:
    order_request = order.request
    body: dict[str, object] = {} if order_request.asset is None else {"symbol": order_request.asset.symbol}
    if order.left is None:
        left = (order_request.notional or ZERO) - order.filled_value
        body["notional"] = format_amount(left.quantize(CENT, ROUND_DOWN))
    else:
        body["qty"] = format_amount(order.left)
    body |= {"side": order_request.side, "type": order_request.type, "time_in_force": order_request.time_in_force}
    body |= _prices(order_request)
    if order_request.extended_hours:
        body["extended_hours"] = True
    if order_request.client_order_id is not None:
        body["client_order_id"] = order_request.client_order_id
    if order_request.legs:
        body |= {"order_class": "mleg", "legs": _legs(order_request)}
    return body


def _prices(order_request: OrderRequest) -> dict[str, object]:
    names = ("limit_price", "stop_price", "trail_price", "trail_percent")
    prices: dict[str, Decimal | None] = {name: getattr(order_request, name) for name in names}
    return {name: format_amount(price) for name, price in prices.items() if price is not None}


def _legs(order_request: OrderRequest) -> list[dict[str, object]]:
    return [
        {"symbol": leg.asset.symbol, "side": leg.side, "ratio_qty": format_amount(leg.ratio)}
        for leg in order_request.legs
    ]
