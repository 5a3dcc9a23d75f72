"""Accounts with a character: cash, holdings, margin and restrictions that follow from the market and the key id.

Of eight accounts one is a cash account, one has a margin loan, one is short a stock, and five hold part of their
deposit in shares. One account in four is restricted.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal, get_args

from corral_sandbox.broker.initial_state import RESTRICTIONS, AccountTerms, InitialHolding, account_profile
from corral_sandbox.market.mean_prices import MEAN_CENTS
from corral_sandbox.market.prices import Market
from corral_sandbox.market.seeded_random import seeded_random
from corral_sandbox.market.time import to_nanoseconds

Character = Literal["any", "investor", "cash_account", "margin_borrower", "short_seller", "restricted"]
"""`any` is the one that follows from the key id. The others have no restriction, except an investor who is
`restricted`.
"""

CHARACTERS: tuple[Character, ...] = get_args(Character)

_DRAWN = ("cash_account", "margin_borrower", "short_seller", *["investor"] * 5)
_INVESTED_PERCENT = {
    "cash_account": (10, 90),
    "margin_borrower": (115, 150),
    "short_seller": (30, 80),
    "investor": (10, 90),
    "restricted": (10, 90),
}
_RESTRICTED_ONE_IN = 4
# Another one would change every account.
_SHARES = ("AAPL", "AMZN", "BRK.B", "F", "GLD", "JPM", "KO", "MSFT", "NVDA", "PLTR", "SPY", "TSLA", "XOM")

_FIRST_DAY = datetime(2019, 1, 2, 14, 30, tzinfo=UTC)
_NANO = 1_000_000_000  # quantities are whole billionths of a share


def open_account_with_character(market: Market, key_id: str, character: Character = "any") -> AccountTerms:
    """Returns a new account. Its cash is what the purchases left of the deposit."""
    kind = _DRAWN[seeded_random(len(_DRAWN), market.seed, key_id, "character")] if character == "any" else character
    multiplier = 1 if kind == "cash_account" else (2, 2, 4)[seeded_random(3, market.seed, key_id, "multiplier")]
    deposit = 2_500_000 + 10_000 * seeded_random(2_250, market.seed, key_id, "deposit")
    holdings, spent = _buy(market, key_id, kind, deposit)
    created_at = _created_at(market, key_id)
    return AccountTerms(
        market=market,
        opened_at=to_nanoseconds(created_at),
        deposit=Decimal(deposit).scaleb(-2),
        profile=account_profile(
            market,
            key_id,
            created_at=created_at,
            multiplier=multiplier,
            options_level=seeded_random(3 if multiplier == 1 else 4, market.seed, key_id, "options"),
            restrictions=_restrictions(market, key_id, character),
        ),
        multiplier=multiplier,
        cash=Decimal(deposit - spent).scaleb(-2),
        holdings=holdings,
    )


def _restrictions(market: Market, key_id: str, character: Character) -> tuple[str, ...]:
    drawn = seeded_random(len(RESTRICTIONS) * _RESTRICTED_ONE_IN, market.seed, key_id, "restriction")
    if character == "restricted":
        return (RESTRICTIONS[drawn % len(RESTRICTIONS)],)
    return RESTRICTIONS[drawn : drawn + 1] if character == "any" else ()


def _buy(market: Market, key_id: str, kind: str, deposit: int) -> tuple[tuple[InitialHolding, ...], int]:
    """Returns the holdings and their cost in cents."""
    symbols = sorted(_SHARES, key=lambda symbol: seeded_random(1 << 62, market.seed, key_id, "rank", symbol))
    low, high = _INVESTED_PERCENT[kind]
    invested = deposit * (low + seeded_random(high - low + 1, market.seed, key_id, "invested")) // 100
    chosen = symbols[: 1 + seeded_random(5, market.seed, key_id, "symbols")]
    weights = [1 + seeded_random(4, market.seed, key_id, "weight", symbol) for symbol in chosen]
    lot = 1 if seeded_random(4, market.seed, key_id, "fractional") == 0 else _NANO

    purchases = [
        _purchase(market, key_id, symbol, invested * weight // sum(weights), lot)
        for symbol, weight in zip(chosen, weights, strict=True)
    ]
    if kind == "short_seller":
        sold = deposit * (5 + seeded_random(20, market.seed, key_id, "sold short")) // 100
        purchases.append(_purchase(market, key_id, symbols[-1], -sold, _NANO))
    return tuple(holding for holding, _ in purchases if holding.quantity), sum(cost for _, cost in purchases)


def _purchase(market: Market, key_id: str, symbol: str, amount: int, lot: int) -> tuple[InitialHolding, int]:
    """Returns what `amount` cents buy in whole lots (of billionths of a share), and the cost, rounded up to a cent."""
    paid = MEAN_CENTS[symbol] * (97 + seeded_random(7, market.seed, key_id, "paid", symbol)) // 100
    quantity = abs(amount) * _NANO // paid // lot * lot * (1 if amount > 0 else -1)
    return InitialHolding(symbol, Decimal(quantity).scaleb(-9), Decimal(paid).scaleb(-2)), -(-quantity * paid // _NANO)


def _created_at(market: Market, key_id: str) -> datetime:
    return _FIRST_DAY + timedelta(
        days=seeded_random(2_500, market.seed, key_id, "day"),
        microseconds=seeded_random(20_000_000_000, market.seed, key_id, "microsecond"),
    )
