"""Names of instruments: `SPY $600 Call, Dec 18` for an option contract, `BTC/USD` for a pair of coins."""

import re
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final, Literal

from corral.web.view.figures import format_price
from corral.web.view.times import EXCHANGE_ZONE

CRYPTO: Final = frozenset({"crypto", "crypto_perp"})  # Alpaca's asset classes of coins
SHARES_PER_CONTRACT: Final = 100

# An OCC symbol: a root of up to six characters (padded with blanks by some), the expiration as YYMMDD, C or P, and the
# strike price in thousandths of a dollar. The last 15 characters have fixed places, so digits in a root do no harm.
_OCC_SYMBOL: Final = re.compile(
    r"(?P<root>(?=.{1,6}\d{6}[CP])[A-Z][A-Z./]*\d?) *(?P<expires>\d{6})(?P<right>[CP])(?P<strike>\d{8}) *", re.ASCII
)
_STRIKE_PLACES: Final = -3
# Option roots with a name other than that of their underlying.
_UNDERLYING_OF: Final = {
    "SPXW": "SPX",
    "NDXP": "NDX",
    "RUTW": "RUT",
    "VIXW": "VIX",
    "XSPW": "XSP",
    "DJXW": "DJX",
    "BRKA": "BRK.A",
    "BRKB": "BRK.B",
    "BFA": "BF.A",
    "BFB": "BF.B",
}
_QUOTES: Final = ("USDT", "USDC", "USD", "BTC")  # what coins are priced in at Alpaca


@dataclass(frozen=True, slots=True)
class OptionSymbol:
    """What an OCC symbol says. `root` is usually the underlying's symbol; after a split or a merger it ends in a digit.

    `strike` is in dollars per share.
    """

    root: str
    expiration: date
    right: Literal["Call", "Put"]
    strike: Decimal

    @property
    def underlying(self) -> str:
        """The symbol that the contract is listed under: `TSLA` for `TSLA1`, `SPX` for `SPXW`, `BRK.B` for `BRKB`."""
        root = self.root.rstrip("0123456789")
        return _UNDERLYING_OF.get(root, root.replace("/", "."))

    @property
    def multiplier(self) -> int | None:
        """Shares per contract. None for adjusted contracts, whose symbol does not say what they deliver."""
        return None if self.root[-1].isdigit() else SHARES_PER_CONTRACT


def parse_option(symbol: str | None) -> OptionSymbol | None:
    """Returns None for a symbol that is not one of an option, or whose date or strike price does not exist."""
    found = _OCC_SYMBOL.fullmatch(symbol or "")
    if found is None:
        return None
    try:
        expiration = datetime.strptime(f"20{found['expires']}", "%Y%m%d").date()  # noqa: DTZ007 - a day only
    except ValueError:
        return None
    strike = Decimal(found["strike"]).scaleb(_STRIKE_PLACES)
    right = "Call" if found["right"] == "C" else "Put"
    return OptionSymbol(found["root"], expiration, right, strike) if strike else None


def instrument_name(symbol: str | None, asset_class: str | None = None, *, today: date | None = None) -> str:
    """Returns `SPY $600 Call, Dec 18` for an option, with the year unless it is that of `today` (in New York).

    Coins (by `asset_class`) are pairs, `BTC/USD`. Every other symbol is its own name; it is "" for None.
    """
    contract = parse_option(symbol)
    if contract is not None:
        return _option_name(contract, today or exchange_today())
    return coin_pair(symbol or "") if asset_class in CRYPTO else symbol or ""


def underlying_of(symbol: str | None) -> str:
    """Returns what an option is listed under, and any other symbol as it is."""
    contract = parse_option(symbol)
    return contract.underlying if contract else symbol or ""


def coin_pair(symbol: str) -> str:
    """Returns `BTC/USD` for `BTCUSD`, as Alpaca writes a pair in positions. Unknown quote currencies change nothing."""
    quote = next((quote for quote in _QUOTES if symbol.endswith(quote) and symbol != quote), None)
    return symbol if "/" in symbol or quote is None else f"{symbol.removesuffix(quote)}/{quote}"


def days_to_expiry(contract: OptionSymbol, today: date | None = None) -> int:
    """Returns calendar days until the day of expiration, counted in New York; negative after it."""
    return (contract.expiration - (today or exchange_today())).days


def format_expiry(symbol: str | None, today: date | None = None) -> str:
    """Returns `24 days`, `expires today` or `expired` for an option, and "" for anything else."""
    contract = parse_option(symbol)
    if contract is None:
        return ""
    days = days_to_expiry(contract, today)
    if days <= 0:
        return "expired" if days else "expires today"
    return f"{days} day{'s' if days != 1 else ''}"


def exchange_today() -> date:
    """The day in New York."""
    return datetime.now(EXCHANGE_ZONE).date()


def _option_name(contract: OptionSymbol, today: date) -> str:
    expiration = contract.expiration
    year = "" if expiration.year == today.year else f", {expiration.year}"
    return f"{contract.root} {_strike(contract.strike)} {contract.right}, {expiration:%b} {expiration.day}{year}"


def _strike(strike: Decimal) -> str:
    """`$600`, `$602.50`, `$2.375`: without cents where there are none, as brokers write it."""
    return format_price(str(strike), "USD").removesuffix(".00")
