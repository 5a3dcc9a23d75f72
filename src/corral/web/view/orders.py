"""How orders are named in the list: order classes, the roles of legs, and the symbol of a multi-leg order."""

import re
from collections.abc import Mapping
from typing import Final

from corral.accounts.schemas import OrderLegResponse, OrderResponse

_CLASS_NAMES: Final[Mapping[str, str]] = {"mleg": "multi-leg", "oco": "OCO", "oto": "OTO"}
_GROUP_CLASSES: Final = frozenset({"bracket", "oco", "oto"})
# An option's symbol (OCC): its underlying symbol, the expiration date, call or put, and the strike price.
_OPTION_SYMBOL: Final = re.compile(r"([A-Z.]{1,6})\d{6}[CP]\d{8}", re.ASCII)


def order_class_name(order_class: str) -> str:
    return _CLASS_NAMES.get(order_class, order_class)


def order_symbol(order: OrderLegResponse) -> str:
    """A multi-leg order has no symbol of its own: `SPY, 4 legs`."""
    if order.symbol:
        return order.symbol
    legs = order.legs if isinstance(order, OrderResponse) else []
    symbols = {_underlying(leg.symbol) for leg in legs if leg.symbol}
    count = f"{len(legs)} leg{'' if len(legs) == 1 else 's'}"
    return f"{symbols.pop()}, {count}" if len(symbols) == 1 else count if legs else ""


def leg_role(order: OrderResponse, leg: OrderLegResponse) -> str:
    """`take profit` or `stop loss`, as Alpaca says or as follows from the order type; otherwise `leg`."""
    if leg.group_role:
        return leg.group_role.replace("_", " ")
    if order.order_class in _GROUP_CLASSES:
        return "take profit" if leg.type == "limit" else "stop loss"
    return "leg"


def _underlying(symbol: str) -> str:
    option = _OPTION_SYMBOL.fullmatch(symbol)
    return option.group(1) if option else symbol
