"""How orders are described: words for Alpaca's codes, the roles and ratios of legs, net prices, and stop prices."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from corral.accounts.schemas import OrderLegResponse, OrderResponse
from corral.web.view.figures import MINUS
from corral.web.view.instruments import instrument_name, parse_option, underlying_of

_CLASS_NAMES: Final[Mapping[str, str]] = {"mleg": "multi-leg", "oco": "OCO", "oto": "OTO"}
_GROUP_CLASSES: Final = frozenset({"bracket", "oco", "oto"})
_TIME_IN_FORCE_NAMES: Final[Mapping[str, str]] = {
    "day": "Day",
    "gtc": "GTC",
    "gtd": "GTD",
    "opg": "At the open",
    "cls": "At the close",
    "ioc": "IOC",
    "fok": "FOK",
}
_TIME_IN_FORCE_MEANINGS: Final[Mapping[str, str]] = {
    "day": "Good for the day",
    "gtc": "Good until canceled",
    "gtd": "Good until a date",
    "opg": "Only in the opening auction",
    "cls": "Only in the closing auction",
    "ioc": "Immediate or cancel",
    "fok": "Fill or kill",
}
_FINAL_STATUSES: Final = frozenset({"filled", "canceled", "expired", "rejected", "replaced"})
# What the name of a status does not say.
_STATUS_MEANINGS: Final[Mapping[str, str]] = {
    "new": "At the exchange, not filled yet.",
    "accepted": "Received by Alpaca, not yet sent to the exchange.",
    "pending_new": "Sent to the exchange, not yet accepted there.",
    "held": "Waits until the order it belongs to is filled.",
    "pending_cancel": "Waiting to be canceled.",
    "pending_replace": "Waiting to be replaced.",
    "done_for_day": "Continues on the next trading day.",
    "calculated": "Done for the day; Alpaca is still settling it.",
    "stopped": "A fill is guaranteed, but has not happened yet.",
    "suspended": "Not eligible for trading at the moment.",
}


_BEST_PRICES: Final = frozenset({"high", "low"})


@dataclass(frozen=True, slots=True)
class PriceTerm:
    """A price that an order waits for: `limit`, `stop`, `trail` or the best price so far (`high`, `low`).

    A net price of a multi-leg order has its absolute value as `amount` and says `debit` or `credit`.
    """

    label: str
    amount: str
    is_percent: bool = False
    effect: Literal["debit", "credit", ""] = ""


def humanize(code: str | None) -> str:
    """Returns Alpaca's code as words: `partially_filled` is `Partially filled`."""
    words = (code or "").replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def side_name(order: OrderLegResponse) -> str:
    """Returns `Buy` or `Sell short`; for options whether they are opened or closed: `Buy to open`."""
    is_option = parse_option(order.symbol) is not None
    return humanize((order.position_intent if is_option else None) or order.side)


def order_kind(order: OrderLegResponse) -> str:
    """Returns side and type, `Buy limit`. A multi-leg order has no side, and its legs have no type."""
    words = f"{side_name(order)} {humanize(order.type).lower()}".strip()
    return words[:1].upper() + words[1:]


def order_class_name(order_class: str) -> str:
    return _CLASS_NAMES.get(order_class, order_class.replace("_", " "))


def order_tag(order: OrderLegResponse) -> str:
    """Returns what else the order is: `multi-leg`, `bracket`, or its role in one: `take profit`; "" if it is simple."""
    role = (order.group_role or "").replace("_", " ")
    if role in {"", "entry"}:
        return "" if order.order_class == "simple" else order_class_name(order.order_class)
    return f"{order_class_name(order.order_class)} {role}" if order.order_class == "oco" else role


def leg_role(order: OrderResponse, leg: OrderLegResponse) -> str:
    """Returns `Take profit` or `Stop loss`, as Alpaca says or as follows from the order type; otherwise `Leg`."""
    if leg.group_role:
        return humanize(leg.group_role)
    if order.order_class in _GROUP_CLASSES:
        return "Take profit" if leg.type == "limit" else "Stop loss"
    return "Leg"


def order_symbol(order: OrderLegResponse) -> str:
    """Returns the name of what is traded. A multi-leg order has no symbol of its own: `SPY, 4 legs`."""
    if order.symbol:
        return instrument_name(order.symbol, order.asset_class)
    legs = order.legs if isinstance(order, OrderResponse) else []
    underlyings = {underlying_of(leg.symbol) for leg in legs if leg.symbol}
    count = f"{len(legs)} leg{'' if len(legs) == 1 else 's'}"
    return f"{underlyings.pop()}, {count}" if len(underlyings) == 1 else count if legs else ""


def leg_ratio(leg: OrderLegResponse) -> str:
    """Returns the contracts of the leg in one of the order, with a plus sign if they are bought; "" if it has none."""
    sign = {"buy": "+", "sell": MINUS}.get((leg.side or "").partition("_")[0], "")
    ratio = f"{Decimal(leg.ratio_qty).normalize():f}" if leg.ratio_qty else ""
    return f"{sign}{ratio}" if ratio else ""


def price_terms(order: OrderLegResponse) -> list[PriceTerm]:
    """Returns the prices that the order waits, or waited, for. Alpaca keeps them after a fill."""
    terms = [
        _limit(order) if order.limit_price is not None else None,
        PriceTerm("stop", order.stop_price) if order.stop_price is not None else None,
        PriceTerm("trail", order.trail_price) if order.trail_price is not None else None,
        PriceTerm("trail", order.trail_percent, is_percent=True) if order.trail_percent is not None else None,
        PriceTerm(_best_price_name(order), order.hwm) if order.hwm is not None else None,
    ]
    return [term for term in terms if term is not None]


def row_prices(order: OrderLegResponse) -> list[PriceTerm]:
    """Returns what fits a row: the best price of a trailing stop is on the order's own page."""
    return [term for term in price_terms(order) if term.label not in _BEST_PRICES]


def fixed_prices(order: OrderLegResponse) -> list[PriceTerm]:
    """Returns the prices that only a replacement changes: not the stop price of a trailing stop, nor its best price."""
    changing = {"stop"} if order.type == "trailing_stop" else set[str]()
    return [term for term in row_prices(order) if term.label not in changing]


def average_price(order: OrderLegResponse) -> PriceTerm | None:
    """Returns the average price of the fills; None before the first one."""
    return None if order.filled_avg_price is None else _price("average", order, order.filled_avg_price)


def time_in_force_name(order: OrderLegResponse) -> str:
    return _TIME_IN_FORCE_NAMES.get(order.time_in_force or "", (order.time_in_force or "").upper())


def time_in_force_meaning(order: OrderLegResponse) -> str:
    return _TIME_IN_FORCE_MEANINGS.get(order.time_in_force or "", "")


def is_wholly_filled(order: OrderLegResponse) -> bool:
    return None not in {order.qty, order.filled_qty} and Decimal(order.qty or 0) == Decimal(order.filled_qty or 0) > 0


def is_open(order: OrderLegResponse) -> bool:
    """Whether it may still be filled. A status that Alpaca adds later counts as open."""
    return order.status not in _FINAL_STATUSES


def status_meaning(status: str) -> str:
    return _STATUS_MEANINGS.get(status, "")


def _limit(order: OrderLegResponse) -> PriceTerm:
    assert order.limit_price is not None  # noqa: S101 - as the caller has checked
    return _price("limit", order, order.limit_price)


def _price(label: str, order: OrderLegResponse, amount: str) -> PriceTerm:
    """Of a multi-leg order, which has no side, a positive price is paid and a negative one is received."""
    if order.order_class != "mleg" or order.symbol:
        return PriceTerm(label, amount)
    number = Decimal(amount)
    effect = "debit" if number > 0 else "credit" if number < 0 else ""
    return PriceTerm(label, amount.removeprefix("-"), effect=effect)


def _best_price_name(order: OrderLegResponse) -> str:
    return "low" if order.side == "buy" else "high"
