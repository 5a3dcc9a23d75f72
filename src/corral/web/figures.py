"""Figures as a page without JavaScript shows them; with it, the browser writes them anew as its reader is used to.

Money comes and stays as an exact decimal: only what is shown is rounded, to the hundredth, half to even.
"""

from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

MINUS: Final = "\N{MINUS SIGN}"  # as wide as a plus, and not lost at the end of a line

_CENT: Final = Decimal("0.01")
_WIDE: Final = Context(prec=4_096, rounding=ROUND_HALF_EVEN)
_SHARE: Final = Context(prec=40)
_SYMBOLS: Final = {"USD": "$"}


def written_money(amount: str, currency: str) -> str:
    """`23140.2` in USD is `$23,140.20`, in another currency `23,140.20 EUR`; a minus stands before all of it."""
    return _written(Decimal(amount), currency, plus="")


def written_change(equity: str, before: str, currency: str) -> str:
    """What came to `before` or went, and its share of that: `+$12.10 (+0.40 %)`."""
    difference = _WIDE.subtract(Decimal(equity), Decimal(before))
    written = _written(difference, currency, plus="+")
    if Decimal(before) <= 0:
        return written
    share = _WIDE.quantize(_SHARE.divide(_WIDE.multiply(difference, Decimal(100)), Decimal(before)), _CENT)
    return f"{written} ({_sign(share, '+')}{abs(share):,f} %)"


def direction(equity: str, before: str) -> str:
    """A class for the style: ` up`, ` down` or nothing. The sign says the same."""
    difference = _WIDE.subtract(Decimal(equity), Decimal(before))
    return "" if not difference else " up" if difference > 0 else " down"


def written_moment(moment: datetime | str) -> str:
    """In UTC, for nobody knows here where the reader is."""
    when = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _written(amount: Decimal, currency: str, *, plus: str) -> str:
    rounded = _WIDE.quantize(amount, _CENT)
    digits = f"{abs(rounded):,f}"
    symbol = _SYMBOLS.get(currency)
    return _sign(rounded, plus) + (f"{symbol}{digits}" if symbol else f"{digits} {currency}")


def _sign(amount: Decimal, plus: str) -> str:
    if not amount:
        return ""
    return MINUS if amount < 0 else plus
