"""What an order must be, whoever places it. Each rule refuses with 422 and Alpaca's code."""

from decimal import Decimal

from corral_sandbox.answers import Refused
from corral_sandbox.listing import Asset
from corral_sandbox.market import SECOND
from corral_sandbox.money import in_writing
from corral_sandbox.orders import Ticket
from corral_sandbox.parameters import Invalid
from corral_sandbox.trading_calendar import new_york_time, session_on

_TIMES_IN_FORCE = {
    "us_equity": {"day", "gtc", "opg", "cls", "ioc", "fok"},
    "us_option": {"day", "gtc"},
    "crypto": {"gtc", "ioc"},
}
_TYPES = {
    "us_equity": {"market", "limit", "stop", "stop_limit", "trailing_stop"},
    "us_option": {"market", "limit", "stop", "stop_limit"},
    "crypto": {"market", "limit", "stop_limit"},
}
_PRICES = {
    "market": set[str](),
    "limit": {"limit_price"},
    "stop": {"stop_price"},
    "stop_limit": {"limit_price", "stop_price"},
    "trailing_stop": set[str](),
}
_ONE = Decimal(1)
_CENT, _SUB_CENT = Decimal("0.01"), Decimal("0.0001")
_MINUTES = 60 * SECOND


class Unprocessable(Refused):
    """The order is well formed, and still none."""

    def __init__(self, message: str) -> None:
        super().__init__(422, message, code=42210000)


def check_rules(ticket: Ticket, now: int) -> None:
    if (ticket.quantity is None) == (ticket.notional is None):
        raise Invalid(
            "qty or notional is required" if ticket.quantity is None else "only one of qty or notional is accepted"
        )
    _check_prices(ticket)
    if ticket.legs:
        _check_strategy(ticket)
        return
    asset = ticket.asset
    if asset is None:
        raise Invalid("symbol is required")
    _check_asset(ticket, asset, now)
    _check_quantity(ticket, asset)
    _check_class(ticket, asset)
    if ticket.time_in_force in {"opg", "cls"}:
        _check_auction(ticket, now)


def check_increment(name: str, price: Decimal | None, asset: Asset) -> None:
    if price is None:
        return
    increment = asset.price_increment
    if asset.asset_class == "us_equity":
        increment = _CENT if price >= _ONE else _SUB_CENT
    if price % increment:
        raise Unprocessable(f"invalid {name} {price}. sub-penny increment does not fulfill minimum pricing criteria")


def _check_prices(ticket: Ticket) -> None:
    needed = _PRICES[ticket.type]
    for name in ("limit_price", "stop_price"):
        given = getattr(ticket, name) is not None
        if name in needed and not given and not (name == "limit_price" and ticket.order_class == "oco"):
            raise Invalid(
                f"{ticket.type} orders require {'a ' if name == 'limit_price' else ''}{name.replace('_', ' ')}"
            )
        if given and name not in needed:
            raise Invalid(f"{ticket.type} orders must not have {name.replace('_', ' ')}")
    trails = [ticket.trail_price, ticket.trail_percent]
    if (ticket.type == "trailing_stop") != (sum(trail is not None for trail in trails) == 1):
        raise Invalid("trailing stop orders must specify one of trail_price or trail_percent")


def _check_asset(ticket: Ticket, asset: Asset, now: int) -> None:
    if not asset.tradable or not asset.is_active(now):
        raise Unprocessable(f"asset {asset.symbol} is not active")
    if ticket.type not in _TYPES[asset.asset_class]:
        raise Unprocessable(f"invalid order type for {asset.asset_class} order")
    if ticket.time_in_force not in _TIMES_IN_FORCE[asset.asset_class]:
        raise Unprocessable(f"invalid {asset.asset_class} time_in_force")
    if ticket.limit_price is not None and ticket.limit_price <= 0:
        raise Invalid("limit_price must be > 0")
    for name in ("limit_price", "stop_price"):
        check_increment(name, getattr(ticket, name), asset)
    if ticket.extended_hours and (ticket.type != "limit" or ticket.time_in_force not in {"day", "gtc"}):
        raise Unprocessable("extended hours order must be DAY or GTC limit orders")
    if ticket.extended_hours and asset.asset_class != "us_equity":
        raise Unprocessable(f"extended hours is not allowed for {asset.asset_class}")


def _check_quantity(ticket: Ticket, asset: Asset) -> None:
    if not asset.fractionable and is_fractional(ticket):
        raise Refused(403, f'asset "{asset.symbol}" is not fractionable', code=40310000)
    if ticket.notional is not None:
        if ticket.notional < _ONE:
            raise Refused(403, "minimal amount of notional is 1", code=40310000)
        if ticket.notional % _CENT:
            raise Unprocessable("notional value must be limited to 2 decimal places")
    elif ticket.quantity is not None and ticket.quantity < asset.minimum_quantity:
        raise Refused(403, f"minimal qty is {in_writing(asset.minimum_quantity)}", code=40310000)
    if asset.asset_class == "us_equity" and is_fractional(ticket):
        _check_fraction(ticket)


def _check_fraction(ticket: Ticket) -> None:
    if ticket.time_in_force != "day":
        raise Unprocessable("fractional orders must be DAY orders")
    if ticket.order_class:
        raise Unprocessable("fractional orders must be simple orders")
    if ticket.type == "trailing_stop":
        raise Unprocessable("fractional orders must be market, limit, stop or stop_limit orders")


def is_fractional(ticket: Ticket) -> bool:
    return ticket.quantity is None or ticket.quantity % 1 != 0


def _check_class(ticket: Ticket, asset: Asset) -> None:
    exits = [ticket.take_profit, ticket.stop_loss]
    given = sum(part is not None for part in exits)
    if not ticket.order_class:
        if given:
            raise Unprocessable("simple orders must not have take_profit or stop_loss")
        return
    if asset.asset_class != "us_equity":
        raise Unprocessable(f"complex orders not supported for {asset.asset_class}")
    if ticket.time_in_force not in {"day", "gtc"} or ticket.extended_hours:
        raise Unprocessable("complex orders must be DAY or GTC, without extended hours")
    if ticket.order_class == "oto":
        if given != 1:
            raise Invalid("oto orders require either take_profit or stop_loss")
    elif given != len(exits):
        raise Invalid(f"{ticket.order_class} orders require take_profit.limit_price and stop_loss.stop_price")
    if ticket.order_class == "oco" and ticket.type != "limit":
        raise Invalid("oco orders must be limit orders")
    _check_exits(ticket, asset)


def _check_exits(ticket: Ticket, asset: Asset) -> None:
    """The profit is taken on the far side of the stop, seen from the entry."""
    stop = ticket.stop_loss
    check_increment("take_profit.limit_price", ticket.take_profit, asset)
    if stop is None:
        return
    check_increment("stop_loss.stop_price", stop.stop_price, asset)
    check_increment("stop_loss.limit_price", stop.limit_price, asset)
    is_exit_by_sale = (ticket.side == "sell") == (ticket.order_class == "oco")
    if ticket.take_profit is not None and (ticket.take_profit > stop.stop_price) != is_exit_by_sale:
        where = ">" if is_exit_by_sale else "<"
        raise Unprocessable(f"take_profit.limit_price must be {where} stop_loss.stop_price")


def _check_strategy(ticket: Ticket) -> None:
    if ticket.type not in {"market", "limit"} or ticket.time_in_force != "day":
        raise Unprocessable("mleg orders must be DAY market or limit orders")
    if ticket.quantity is None or ticket.quantity % 1:
        raise Unprocessable("mleg orders require a whole qty")
    if any(leg.asset.asset_class != "us_option" for leg in ticket.legs):
        raise Unprocessable("mleg orders must have options as legs")
    if len({leg.asset.symbol for leg in ticket.legs}) != len(ticket.legs):
        raise Unprocessable("mleg orders must have legs of different contracts")
    if any(leg.ratio % 1 for leg in ticket.legs):
        raise Unprocessable("ratio_qty must be whole")


def _check_auction(ticket: Ticket, now: int) -> None:
    """Orders for the open are taken from 19:00 to 09:28, those for the close until 15:50, or from 19:00 on."""
    if ticket.type not in {"market", "limit"}:
        raise Unprocessable(f"{ticket.time_in_force} orders must be market or limit orders")
    moment = new_york_time(now)
    session = session_on(moment.date())
    if session is None or moment.hour >= 19:  # noqa: PLR2004 - 7 pm
        return
    last = session.opens if ticket.time_in_force == "opg" else session.closes
    minutes = 2 if ticket.time_in_force == "opg" else 10
    if (last - moment).total_seconds() < minutes * 60:
        raise Unprocessable(f"{ticket.time_in_force} orders are not accepted at this time")
