"""How prices, quantities, gains and shares of a whole are written on the page of an account.

They arrive as Alpaca's texts and are never a float on their way. Prices and quantities are shown with every
digit; gains are rounded to cents and shares to hundredths of a percent, half to even.
"""

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final, Literal

Trend = Literal["up", "down", "flat"]

_MINUS: Final = "\N{MINUS SIGN}"
_SYMBOLS: Final = {"USD": "$"}
_CENTS: Final = 2
_HUNDREDTH: Final = Decimal("0.01")
# Alpaca's decimals have at most 64 characters and three digits of exponent: nothing is cut by this precision.
_WIDE: Final = Context(prec=4_096, rounding=ROUND_HALF_EVEN)


def written_price(amount: str, currency: str) -> str:
    """`written_price("0.0001234", "USD")` is `$0.0001234`, and `150.5` is `$150.50`."""
    decimal = Decimal(amount)
    whole, _, fraction = f"{_WIDE.abs(decimal):,f}".partition(".")
    return _minus(decimal) + _in_currency(f"{whole}.{fraction.ljust(_CENTS, '0')}", currency)


def written_gain(amount: str, currency: str) -> str:
    """`written_gain("1136.7", "USD")` is `+$1,136.70`: a loss has its minus, and nothing has no sign."""
    rounded = _WIDE.quantize(Decimal(amount), _HUNDREDTH)
    return _sign(rounded) + _in_currency(f"{_WIDE.abs(rounded):,f}", currency)


def written_percent(factor: str) -> str:
    """`written_percent("0.11198297646")` is `+11.20%`."""
    rounded = _WIDE.quantize(_WIDE.scaleb(Decimal(factor), 2), _HUNDREDTH)
    return f"{_sign(rounded)}{_WIDE.abs(rounded):,f}%"


def written_weight(hundredths: int) -> str:
    """`written_weight(1234)` is `12.34%`."""
    return f"{hundredths // 100}.{hundredths % 100:02}%"


def written_quantity(amount: str) -> str:
    """`written_quantity("1200.5")` is `1,200.5`."""
    decimal = Decimal(amount)
    return f"{_minus(decimal)}{_WIDE.abs(decimal):,f}"


def trend(amount: str) -> Trend:
    decimal = Decimal(amount)
    return "up" if decimal > 0 else "down" if decimal < 0 else "flat"


def _sign(decimal: Decimal) -> str:
    return "+" if decimal > 0 else _minus(decimal)


def _minus(decimal: Decimal) -> str:
    return _MINUS if decimal < 0 else ""


def _in_currency(digits: str, currency: str) -> str:
    symbol = _SYMBOLS.get(currency)
    return f"{symbol}{digits}" if symbol else f"{digits} {currency}"
