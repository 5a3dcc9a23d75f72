"""The names of coins: Alpaca writes BTCUSD in positions and BTC/USD in orders."""

from collections.abc import Iterable
from typing import Final

from corral.accounts.schemas import PositionResponse

COIN: Final = "crypto"
_QUOTES: Final = ("USDT", "USDC", "USDG", "USD", "BTC", "ETH", "EUR")  # what coins are priced in, the longest first


def pair_names(positions: Iterable[PositionResponse]) -> dict[str, str]:
    """Returns `BTC/USD` by `BTCUSD`, for the coins among the positions."""
    pairs: dict[str, str] = {}
    for position in positions:
        symbol = position.symbol
        if "/" in symbol:
            pairs[symbol.replace("/", "")] = symbol
        elif position.asset_class == COIN and symbol not in pairs:
            pairs[symbol] = _with_slash(symbol)
    return pairs


def _with_slash(symbol: str) -> str:
    quote = next((quote for quote in _QUOTES if symbol.endswith(quote) and symbol != quote), "")
    return f"{symbol.removesuffix(quote)}/{quote}" if quote else symbol
