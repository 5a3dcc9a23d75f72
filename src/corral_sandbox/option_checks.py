"""Which options an account may buy or write, by the level that it is approved for.

Level 1 writes calls that its shares cover and puts that its cash secures, level 2 buys, level 3 combines.
"""

from decimal import Decimal

from corral_sandbox.book import Book
from corral_sandbox.forbidden import Forbidden
from corral_sandbox.holds import held_quantity, power_left
from corral_sandbox.ledger import ZERO
from corral_sandbox.listing import Asset, find_asset
from corral_sandbox.money import in_writing
from corral_sandbox.option_contracts import SHARES_PER_CONTRACT, Contract
from corral_sandbox.orders import Order, Ticket
from corral_sandbox.quotes import quote
from corral_sandbox.settlement import quantity_of

_WRITES, _BUYS, _COMBINES = 1, 2, 3


def check_option_opening(book: Book, ticket: Ticket, contract: Contract, now: int, instead: Order | None) -> None:
    """Refuses what the level forbids, and what is written uncovered."""
    _check_level(book, _BUYS if ticket.side == "buy" else _WRITES)
    quantity = ticket.quantity or ZERO
    if ticket.side == "buy":
        return
    if contract.type == "call":
        _check_cover(book, contract, quantity, now, instead)
        return
    needed = quantity * SHARES_PER_CONTRACT * contract.strike
    power = max(min(power_left(book, ticket, now, instead), book.state.cash), ZERO)
    if needed > power:
        raise _insufficient(needed, power)


def check_strategy(book: Book, ticket: Ticket, now: int, instead: Order | None) -> None:
    """Refuses legs that close more than there is, and what could cost more than the account may lose."""
    _check_level(book, _COMBINES)
    quantity = ticket.quantity or ZERO
    for leg in ticket.legs:
        held = quantity_of(book.state, leg.asset.symbol)
        closes = held < 0 if leg.side == "buy" else held > 0
        if closes and quantity * leg.ratio > abs(held):
            wanted, there = in_writing(quantity * leg.ratio), in_writing(abs(held))
            raise Forbidden(f"insufficient qty available for order (requested: {wanted}, available: {there})")
    most = _greatest_loss(book, ticket)
    if most is None:
        raise Forbidden("account not eligible to trade uncovered option contracts")
    net = quote(book.account.seed, ticket, now) if ticket.limit_price is None else ticket.limit_price
    cost = max((most + net) * quantity * SHARES_PER_CONTRACT, ZERO)
    power = max(power_left(book, ticket, now, instead), ZERO)
    if cost > power:
        raise _insufficient(cost, power)


def _greatest_loss(book: Book, ticket: Ticket) -> Decimal | None:
    """Answers what the opened legs can cost at their expiry beside their price, per share, or None without end."""
    opened: list[tuple[Contract, Decimal]] = []
    for leg in ticket.legs:
        held, sign = quantity_of(book.state, leg.asset.symbol), 1 if leg.side == "buy" else -1
        if leg.asset.contract is not None and held * sign >= 0:
            opened.append((leg.asset.contract, leg.ratio * sign))
    if sum((ratio for contract, ratio in opened if contract.type == "call"), ZERO) < 0:
        return None
    prices = [ZERO, *(contract.strike for contract, _ in opened)]
    worst = min(sum((ratio * _pays(contract, share) for contract, ratio in opened), ZERO) for share in prices)
    return max(-worst, ZERO)


def _pays(contract: Contract, share: Decimal) -> Decimal:
    return max(share - contract.strike if contract.type == "call" else contract.strike - share, ZERO)


def _check_level(book: Book, needed: int) -> None:
    if int(str(book.account.profile["options_trading_level"])) < needed:
        raise Forbidden("account not eligible to trade this options strategy")


def _check_cover(book: Book, contract: Contract, quantity: Decimal, now: int, instead: Order | None) -> None:
    held = max(quantity_of(book.state, contract.underlying), ZERO)
    written = sum((order.left or ZERO for order in book.open_orders() if _writes_calls(order, contract, instead)), ZERO)
    free = held - held_quantity(book, contract.underlying, now, instead) - written * SHARES_PER_CONTRACT
    required, available = quantity * SHARES_PER_CONTRACT, max(free, ZERO)
    if required > available:
        share = find_asset(contract.underlying)
        raise Forbidden(
            "insufficient underlying qty available for covered call "
            f"(required: {in_writing(required)}, available: {in_writing(available)})",
            available_qty=in_writing(available),
            required_qty=in_writing(required),
            symbol=contract.symbol,
            underlying_asset_id=share.id if share else "",
        )


def _writes_calls(order: Order, contract: Contract, instead: Order | None) -> bool:
    asset = order.ticket.asset
    return order is not instead and order.ticket.side == "sell" and _is_call_on(asset, contract.underlying)


def _is_call_on(asset: Asset | None, underlying: str) -> bool:
    contract = asset.contract if asset else None
    return contract is not None and contract.type == "call" and contract.underlying == underlying


def _insufficient(cost: Decimal, power: Decimal) -> Forbidden:
    return Forbidden("insufficient options buying power", buying_power=in_writing(power), cost_basis=in_writing(cost))
