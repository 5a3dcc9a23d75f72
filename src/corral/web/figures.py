"""Figures as a page without JavaScript shows them; with it, the browser writes them anew as its reader is used to.

They come as Alpaca's texts and are never a float on their way; only what is shown is rounded, half to even:
money, and what came to it or went, to the currency's smallest coin; shares to the hundredth of a percent. Prices and
quantities keep every digit but zeros at the end. What is rounded to nothing has no sign and no colour.
`static/scripts/figures.js` has the same rules.
"""

from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final, Literal

from corral.edge.field_types import in_utc

MINUS: Final = "\N{MINUS SIGN}"  # as wide as a plus, and not lost at the end of a line
Direction = Literal[" up", " down", ""]

_SYMBOLS: Final = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}
# Currencies without hundredths, or with thousandths, by ISO 4217.
_PLACES: Final = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI"), 0),
    **dict.fromkeys(("VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3),
}
_USUAL_PLACES: Final = 2
# Alpaca's decimals have at most 64 characters and three digits of exponent: nothing is cut by this precision.
_WIDE: Final = Context(prec=4_096, rounding=ROUND_HALF_EVEN)


def written_money(amount: str, currency: str) -> str:
    """`23140.2` in USD is `$23,140.20`, in another currency `23,140.20 EUR`; a minus stands before all of it."""
    rounded = _rounded(Decimal(amount), _places_of(currency))
    return _minus(rounded) + _in_currency(_digits(rounded), currency)


def written_gain(amount: str, currency: str) -> str:
    """`1136.7` in USD is `+$1,136.70`: a loss has its minus, and nothing has no sign."""
    rounded = _rounded(Decimal(amount), _places_of(currency))
    return _sign(rounded) + _in_currency(_digits(rounded), currency)


def written_change(equity: str, before: str, currency: str) -> str:
    """What came to `before` or went, and its share of that: `+$12.10 (+0.40%)`."""
    difference = _WIDE.subtract(Decimal(equity), Decimal(before))
    gain = written_gain(str(difference), currency)
    if Decimal(before) <= 0:
        return gain
    return f"{gain} ({written_percent(str(_WIDE.divide(difference, Decimal(before))))})"


def written_price(amount: str, currency: str) -> str:
    """`0.0001234` in USD is `$0.0001234`, and `150.5` is `$150.50`."""
    decimal = Decimal(amount)
    whole, fraction = _parts(decimal)
    fraction = fraction.ljust(_places_of(currency), "0")
    return _minus(decimal) + _in_currency(f"{whole}.{fraction}" if fraction else whole, currency)


def written_quantity(amount: str) -> str:
    """`1200.50` is `1,200.5`."""
    decimal = Decimal(amount)
    whole, fraction = _parts(decimal)
    return _minus(decimal) + (f"{whole}.{fraction}" if fraction else whole)


def written_percent(factor: str) -> str:
    """`0.11198297646` is `+11.20%`."""
    rounded = _as_percent(factor)
    return f"{_sign(rounded)}{_digits(rounded)}%"


def written_weight(hundredths: int) -> str:
    """`1234` hundredths of a percent are `12.34%`."""
    return f"{hundredths // 100}.{hundredths % 100:02}%"


def quote_currency(symbol: str | None, currency: str) -> str:
    """In what a price of `symbol` is: of a pair like ETH/BTC it is BTC, of everything else the account's currency."""
    _, slash, quote = (symbol or "").partition("/")
    return quote if slash and quote else currency


def direction(amount: str, currency: str, before: str = "0") -> Direction:
    """A class for the style of money, with the space before it. The sign says the same."""
    return _direction(_rounded(_WIDE.subtract(Decimal(amount), Decimal(before)), _places_of(currency)))


def percent_direction(factor: str) -> Direction:
    return _direction(_as_percent(factor))


def written_moment(moment: datetime | str) -> str:
    """In UTC, because the reader's time zone is not known here."""
    when = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return f"{in_utc(when):%Y-%m-%d %H:%M:%S} UTC"


def _direction(shown: Decimal) -> Direction:
    return " up" if shown > 0 else " down" if shown < 0 else ""


def _as_percent(factor: str) -> Decimal:
    return _rounded(_WIDE.scaleb(Decimal(factor), 2), 2)


def _places_of(currency: str) -> int:
    return _PLACES.get(currency, _USUAL_PLACES)


def _rounded(decimal: Decimal, places: int) -> Decimal:
    return _WIDE.quantize(decimal, Decimal(1).scaleb(-places))


def _parts(decimal: Decimal) -> tuple[str, str]:
    whole, _, fraction = _digits(decimal).partition(".")
    return whole, fraction.rstrip("0")


def _digits(decimal: Decimal) -> str:
    return f"{_WIDE.abs(decimal):,f}"


def _sign(decimal: Decimal) -> str:
    return "+" if decimal > 0 else _minus(decimal)


def _minus(decimal: Decimal) -> str:
    return MINUS if decimal < 0 else ""


def _in_currency(digits: str, currency: str) -> str:
    symbol = _SYMBOLS.get(currency)
    return f"{symbol}{digits}" if symbol else f"{digits} {currency}"
