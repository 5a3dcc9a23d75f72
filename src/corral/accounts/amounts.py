"""Exact arithmetic on Alpaca's decimal strings. Nothing is ever a float."""

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal, Inexact, InvalidOperation
from functools import reduce
from typing import Final

# A decimal of Alpaca's has at most 64 characters and three digits of exponent (alpaca/fields.py), so the
# longest sum reaches from the 1,063rd digit before the point to the 1,063rd behind it, and the longest sum of
# products twice as far. Were it ever to be longer, this raises; it does not round.
EXACT: Final = Context(prec=8_192, traps=[Inexact, InvalidOperation])

SIGNIFICANT_DIGITS: Final = 18  # of a quotient
_QUOTIENTS: Final = Context(prec=SIGNIFICANT_DIGITS, rounding=ROUND_HALF_EVEN)


def exact_sum(amounts: Iterable[str]) -> str:
    """Returns the sum without an exponent, with as many decimals as the amount with the most decimals."""
    return as_text(total(map(Decimal, amounts)))


def total(amounts: Iterable[Decimal]) -> Decimal:
    return reduce(EXACT.add, amounts, Decimal())


def as_text(amount: Decimal) -> str:
    """Returns all digits, without an exponent."""
    text = str(amount)  # seven times as fast as formatting
    return f"{amount:f}" if "E" in text else text


def difference(minuend: str, subtrahend: str) -> str:
    """Returns what is left of `minuend`, exactly, without an exponent."""
    return as_text(EXACT.subtract(Decimal(minuend), Decimal(subtrahend)))


def quotient(numerator: Decimal, denominator: Decimal) -> str | None:
    """Returns the quotient, rounded half to even to 18 significant digits; None for a division by zero."""
    if not denominator:
        return None
    return as_text(_QUOTIENTS.divide(numerator, denominator).normalize(_QUOTIENTS))
