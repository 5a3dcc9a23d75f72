"""How amounts are written."""

from decimal import Decimal


def in_writing(amount: Decimal) -> str:
    """Answers every digit of an amount, without exponent and without trailing zeros, as Alpaca writes money."""
    return f"{amount.normalize():f}"
