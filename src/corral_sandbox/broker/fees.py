"""The fee of a trade in coins, paid out of what the trade credits: coins of a purchase, dollars of a sale."""

from decimal import ROUND_HALF_UP, Decimal

from corral_sandbox.broker.ledger import COIN_FEE, Execution
from corral_sandbox.market.money import BILLIONTH, CENT, EXACT, ZERO

_RATE = Decimal("0.0025")  # 25 basis points, Alpaca's lowest tier


def coin_fee(trade: Execution, fee_id: str) -> Execution | None:
    """Returns the fee of a trade in coins, None if it rounds to nothing.

    Coins are rounded to a billionth, dollars to a cent.
    """
    if trade.quantity > 0:
        coins = EXACT.multiply(trade.quantity, _RATE).quantize(BILLIONTH, ROUND_HALF_UP)
        fee = _fee(trade, fee_id, symbol=trade.symbol, quantity=-coins, price=trade.price)
        return fee if coins else None
    dollars = EXACT.multiply(trade.cash, _RATE).quantize(CENT, ROUND_HALF_UP)
    return _fee(trade, fee_id, dollars=dollars) if dollars else None


def _fee(
    trade: Execution,
    fee_id: str,
    *,
    symbol: str = "",
    quantity: Decimal = ZERO,
    price: Decimal = ZERO,
    dollars: Decimal = ZERO,
) -> Execution:
    return Execution(
        id=fee_id,
        at=trade.at,
        order_id="",
        symbol=symbol,
        quantity=quantity,
        price=price,
        cumulative=ZERO,
        left=ZERO,
        kind=COIN_FEE,
        fee=dollars,
    )
