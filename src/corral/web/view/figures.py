"""Formats numbers for pages without JavaScript; with it, the browser formats them again in the reader's locale.

Amounts are Alpaca's decimal strings and never floats. They are rounded half to even, and only for display: money and
gains to the currency's smallest unit, percentages to two decimals. Prices and quantities keep every digit except
trailing zeros. What rounds to zero has no sign and no color. `static/scripts/figures.js` has the same rules.

Where the device hides amounts, money, gains and quantities are `MASK`. Prices and percentages are shown.
"""

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final, Literal

from markupsafe import Markup, escape
from pydantic import BaseModel

from corral.web.display import MASK, current_display

MINUS: Final = "\N{MINUS SIGN}"  # as wide as a plus sign, and never a line break
Direction = Literal[" up", " down", ""]

_SYMBOLS: Final = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}
# Currencies with a number of decimals other than two (ISO 4217).
_PLACES: Final = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI"), 0),
    **dict.fromkeys(("VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3),
}
_DEFAULT_PLACES: Final = 2
_LONGEST_LARGE: Final = 16
_FACTOR_PLACES: Final = 8
# Alpaca's decimals have at most 64 characters and an exponent of three digits, so this precision loses nothing.
_EXACT: Final = Context(prec=4_096, rounding=ROUND_HALF_EVEN)
_DECIMAL: Final = re.compile(r"-?[\d.]+", re.ASCII)
_LONGEST_DECIMAL: Final = 18
_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*")
_ACCESSIBLE_MASK: Final = Markup(
    '<span class="mask" aria-hidden="true">{}</span><span class="visually-hidden">hidden</span>'
).format(MASK)


def format_money(amount: str, currency: str) -> str:
    """`23140.2` is `$23,140.20` in USD and `23,140.20 CHF` in CHF; a minus sign comes first."""
    if current_display().hides_amounts:
        return MASK
    rounded = _rounded(Decimal(amount), _places_of(currency))
    return _minus(rounded) + _in_currency(_digits(rounded), currency)


def format_gain(amount: str, currency: str) -> str:
    """`1136.7` is `+$1,136.70` in USD. A loss has a minus sign, and zero has none."""
    if current_display().hides_amounts:
        return MASK
    rounded = _rounded(Decimal(amount), _places_of(currency))
    return _sign(rounded) + _in_currency(_digits(rounded), currency)


def format_change(equity: str, before: str, currency: str) -> str:
    """The difference to `before`, in money and percent: `+$12.10 (+0.40%)`."""
    difference = _EXACT.subtract(Decimal(equity), Decimal(before))
    gain = format_gain(str(difference), currency)
    if Decimal(before) <= 0:
        return gain
    return f"{gain} ({format_percent(str(_EXACT.divide(difference, Decimal(before))))})"


def format_price(amount: str, currency: str) -> str:
    """`0.0001234` is `$0.0001234` in USD, and `150.5` is `$150.50`."""
    decimal = Decimal(amount)
    whole, fraction = _parts(decimal)
    fraction = fraction.ljust(_places_of(currency), "0")
    return _minus(decimal) + _in_currency(f"{whole}.{fraction}" if fraction else whole, currency)


def format_amount(amount: str, currency: str) -> str:
    """Money with every digit, like the value that an order is for: `150.505` is `$150.505`."""
    return MASK if current_display().hides_amounts else format_price(amount, currency)


def format_quantity(amount: str) -> str:
    """How much of something is held or traded: `1200.50` is `1,200.5`. Times its price it is an amount."""
    return MASK if current_display().hides_amounts else format_decimal(amount)


def format_decimal(amount: str) -> str:
    """A number that is no amount, like a margin multiplier: `1200.50` is `1,200.5`."""
    decimal = Decimal(amount)
    whole, fraction = _parts(decimal)
    return _minus(decimal) + (f"{whole}.{fraction}" if fraction else whole)


def format_percent(factor: str) -> str:
    """`0.11198297646` is `+11.20%`."""
    rounded = _as_percent(factor)
    return f"{_sign(rounded)}{_digits(rounded)}%"


def format_weight(hundredths: int) -> str:
    """`1234` (hundredths of a percent) is `12.34%`."""
    return f"{hundredths // 100}.{hundredths % 100:02}%"


def format_ordinal(number: int) -> str:
    """`3` is `3rd`, `12` is `12th`."""
    is_teen = number % 100 // 10 == 1
    suffix = "th" if is_teen else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def long_class(text: str) -> str:
    """The CSS class, with a leading space, for a number that is too long for the larger sizes: from trillions on."""
    return " long" if len(text) > _LONGEST_LARGE else ""


def quote_currency(symbol: str | None, currency: str) -> str:
    """The currency of a price: BTC for a pair like ETH/BTC, otherwise the account's currency."""
    _, slash, quote = (symbol or "").partition("/")
    return quote if slash and quote else currency


def has_long_numbers(item: BaseModel) -> bool:
    """Whether a decimal of an order or activity is too long for a line on a phone."""
    decimals = (value for _, value in item if isinstance(value, str) and _DECIMAL.fullmatch(value))
    return any(len(value) > _LONGEST_DECIMAL for value in decimals)


def direction(amount: str, currency: str, before: str = "0") -> Direction:
    """The CSS class for a gain or a loss, with a leading space. The sign in the text says the same."""
    return _direction(_rounded(_EXACT.subtract(Decimal(amount), Decimal(before)), _places_of(currency)))


def percent_direction(factor: str) -> Direction:
    return _direction(_as_percent(factor))


def mask_numbers(text: str | bool) -> str:  # noqa: FBT001 - a field of an activity, as Alpaca has it
    """Free text of Alpaca, whose numbers may be amounts: `TAF fee for 1572 shares`."""
    return _NUMBER.sub(MASK, str(text)) if current_display().hides_amounts else str(text)


def accessible(text: str) -> Markup:
    """The text with masks that screen readers read as "hidden"."""
    return escape(text).replace(MASK, _ACCESSIBLE_MASK)


def money_data(amount: str, currency: str) -> Markup:
    """The same as `macros.money`, for pages with hundreds of figures, within an element that has the currency."""
    text = accessible(format_money(amount, currency))
    # Escaped by hand, because Markup.format takes ten times as long.
    return Markup(f'<data class="money" value="{escape(amount)}">{text}</data>')  # noqa: S704


def gain_data(amount: str, currency: str) -> Markup:
    """The same as `account_macros.gain`."""
    text, sign = accessible(format_gain(amount, currency)), direction(amount, currency)
    return Markup(f'<data class="gain{sign}" value="{escape(amount)}">{text}</data>')  # noqa: S704 - escaped


def percent_data(factor: str) -> Markup:
    """The same as `account_macros.percent`, with as many digits as scripts compute."""
    text, sign = format_percent(factor), percent_direction(factor)
    value = f"{_rounded(Decimal(factor), _FACTOR_PLACES).normalize():f}"
    return Markup(f'<data class="percent{sign}" value="{value}">{text}</data>')  # noqa: S704 - a number


def spoken(text: str) -> str:
    """The same for a label or a title."""
    return text.replace(MASK, "hidden")


def unless_masked(text: str, then: str) -> str:
    """The text and what follows it, or nothing of it where the amount is hidden."""
    return "" if MASK in text else text + then


def _direction(rounded: Decimal) -> Direction:
    return " up" if rounded > 0 else " down" if rounded < 0 else ""


def _as_percent(factor: str) -> Decimal:
    return _rounded(_EXACT.scaleb(Decimal(factor), 2), 2)


def _places_of(currency: str) -> int:
    return _PLACES.get(currency, _DEFAULT_PLACES)


def _rounded(decimal: Decimal, places: int) -> Decimal:
    return _EXACT.quantize(decimal, Decimal(1).scaleb(-places))


def _parts(decimal: Decimal) -> tuple[str, str]:
    whole, _, fraction = _digits(decimal).partition(".")
    return whole, fraction.rstrip("0")


def _digits(decimal: Decimal) -> str:
    return f"{_EXACT.abs(decimal):,f}"


def _sign(decimal: Decimal) -> str:
    return "+" if decimal > 0 else _minus(decimal)


def _minus(decimal: Decimal) -> str:
    return MINUS if decimal < 0 else ""


def _in_currency(digits: str, currency: str) -> str:
    symbol = _SYMBOLS.get(currency)
    return f"{symbol}{digits}" if symbol else f"{digits} {currency}"
