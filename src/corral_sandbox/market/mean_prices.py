"""The mean prices around which the prices of listed assets swing."""

# Mean price in cents by symbol. Accounts open with these; another entry would change every account.
MEAN_CENTS = {
    "AAPL": 244_00,
    "AMZN": 219_00,
    "BRK.B": 487_00,
    "F": 12_40,
    "GLD": 371_00,
    "JPM": 298_00,
    "KO": 69_50,
    "MSFT": 468_00,
    "NVDA": 178_00,
    "PLTR": 141_00,
    "SPY": 642_00,
    "TSLA": 391_00,
    "XOM": 114_00,
}

# Assets that no account opens with: the mean price in units of its last decimal, and the number of decimals.
_OTHERS = {
    "GME": (23_50, 2),
    "NAK": (8_200, 4),
    "TWTR": (53_70, 2),
    "BTC/USD": (91_250_00, 2),
    "DOGE/USD": (15_820, 5),
    "ETH/USD": (3_040_00, 2),
    "LTC/USD": (86_40, 2),
    "SOL/USD": (138_25, 2),
}

MEAN_PRICES: dict[str, tuple[int, int]] = {symbol: (cents, 2) for symbol, cents in MEAN_CENTS.items()} | _OTHERS
