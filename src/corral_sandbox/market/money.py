"""Amounts of money and quantities: exact decimals, and how they are written.

An execution moves quantity times price, digit for digit. Only averages and ratios are rounded, to `PLACES` decimals,
because most of them have no end.
"""

from decimal import Context, Decimal

ZERO, ONE = Decimal(), Decimal(1)
CENT, BILLIONTH = Decimal("0.01"), Decimal("0.000000001")
EXACT = Context(prec=80)  # computes without rounding, except where a function says so
PLACES = 12


def average(value: Decimal, quantity: Decimal) -> Decimal:
    """Returns the price of one, to `PLACES` decimals."""
    return EXACT.quantize(EXACT.divide(value, quantity), Decimal(1).scaleb(-PLACES)) if quantity else ZERO


def format_amount(amount: Decimal) -> str:
    """Returns every digit, without exponent and without trailing zeros, as Alpaca writes money."""
    return f"{amount.normalize():f}"


def format_optional_amount(amount: Decimal | None) -> str | None:
    return None if amount is None else format_amount(amount)
