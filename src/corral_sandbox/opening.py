"""The state in which an account opens: a pure function of the seed and its key id.

Of eight accounts one is a cash account, one owes its broker a margin loan, one is short of something,
and five hold a part of their deposit in shares. One in four has some restriction on it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import NAMESPACE_URL, uuid5

from corral_sandbox.draws import draw
from corral_sandbox.keys import PREFIXES
from corral_sandbox.mean_prices import LISTED
from corral_sandbox.moments import as_moment

_CHARACTERS = ("cash", "borrower", "short seller", *["investor"] * 5)
_INVESTED_PERCENT = {"cash": (10, 90), "borrower": (115, 150), "short seller": (30, 80), "investor": (10, 90)}
_RESTRICTIONS = ("trading_blocked", "account_blocked", "transfers_blocked", "trade_suspended_by_user")

_ACCOUNT_IDS = uuid5(NAMESPACE_URL, "urn:corral:sandbox:account")
_FIRST_DAY = datetime(2019, 1, 2, 14, 30, tzinfo=UTC)
_NANO = 1_000_000_000  # shares are bought down to a billionth


@dataclass(frozen=True, slots=True)
class Holding:
    """Shares of one symbol, fewer than none when sold short, for which `paid` dollars each were paid."""

    symbol: str
    quantity: Decimal
    paid: Decimal


@dataclass(frozen=True, slots=True, eq=False)
class Account:
    """`profile` has the fields of the account page that never change, as JSON. `opened_at` is in nanoseconds
    since 1970; with the deposit of that day the holdings were bought.
    """

    seed: int
    opened_at: int
    deposit: Decimal
    profile: dict[str, object]
    multiplier: int
    cash: Decimal
    holdings: tuple[Holding, ...]


def open_account(seed: int, key_id: str) -> Account:
    """Answers the account as it opens. Its cash is what the purchases have left of a deposit of whole dollars."""
    character = _CHARACTERS[draw(len(_CHARACTERS), seed, key_id, "character")]
    multiplier = 1 if character == "cash" else (2, 2, 4)[draw(3, seed, key_id, "multiplier")]
    deposit = 2_500_000 + 10_000 * draw(2_250, seed, key_id, "deposit")
    holdings, spent = _buy(seed, key_id, character, deposit)
    profile = _profile(seed, key_id, multiplier)
    return Account(
        seed=seed,
        opened_at=as_moment(str(profile["created_at"])),
        deposit=Decimal(deposit).scaleb(-2),
        profile=profile,
        multiplier=multiplier,
        cash=Decimal(deposit - spent).scaleb(-2),
        holdings=holdings,
    )


def _buy(seed: int, key_id: str, character: str, deposit: int) -> tuple[tuple[Holding, ...], int]:
    """Answers the holdings and what they have cost; money is in cents."""
    symbols = sorted(LISTED, key=lambda symbol: draw(1 << 62, seed, key_id, "rank", symbol))
    low, high = _INVESTED_PERCENT[character]
    invested = deposit * (low + draw(high - low + 1, seed, key_id, "invested")) // 100
    chosen = symbols[: 1 + draw(5, seed, key_id, "symbols")]
    weights = [1 + draw(4, seed, key_id, "weight", symbol) for symbol in chosen]
    lot = 1 if draw(4, seed, key_id, "fractional") == 0 else _NANO

    purchases = [
        _purchase(seed, key_id, symbol, invested * weight // sum(weights), lot)
        for symbol, weight in zip(chosen, weights, strict=True)
    ]
    if character == "short seller":
        sold = deposit * (5 + draw(20, seed, key_id, "sold short")) // 100
        purchases.append(_purchase(seed, key_id, symbols[-1], -sold, _NANO))
    return tuple(holding for holding, _ in purchases if holding.quantity), sum(cost for _, cost in purchases)


def _purchase(seed: int, key_id: str, symbol: str, amount: int, lot: int) -> tuple[Holding, int]:
    """Answers what `amount` cents buy in whole lots (of billionths of a share), and the cost rounded up to a cent."""
    paid = LISTED[symbol] * (97 + draw(7, seed, key_id, "paid", symbol)) // 100
    quantity = abs(amount) * _NANO // paid // lot * lot * (1 if amount > 0 else -1)
    return Holding(symbol, Decimal(quantity).scaleb(-9), Decimal(paid).scaleb(-2)), -(-quantity * paid // _NANO)


def _profile(seed: int, key_id: str, multiplier: int) -> dict[str, object]:
    options_level = draw(3 if multiplier == 1 else 4, seed, key_id, "options")
    restriction = draw(16, seed, key_id, "restriction")
    return {
        "id": str(uuid5(_ACCOUNT_IDS, f"{seed}/{key_id}")),
        "admin_configurations": {},
        "user_configurations": None,
        "account_number": _account_number(seed, key_id),
        "status": "ACTIVE",
        "crypto_status": "ACTIVE",
        "options_approved_level": options_level,
        "options_trading_level": options_level,
        "currency": "USD",
        "accrued_fees": "0",
        "multiplier": str(multiplier),
        "shorting_enabled": multiplier > 1,
        **{name: restriction == index for index, name in enumerate(_RESTRICTIONS)},
        "created_at": _created_at(seed, key_id),
        "crypto_tier": 1,
        "intraday_adjustments": "0",
        "pending_reg_taf_fees": "0",
    }


def _account_number(seed: int, key_id: str) -> str:
    """Nine digits, with which the number of a paper account starts with PA3 (a convention, not documented)."""
    return f"{'PA3' if key_id.startswith(PREFIXES['paper']) else ''}{draw(10**9, seed, key_id, 'number'):09}"


def _created_at(seed: int, key_id: str) -> str:
    opened = _FIRST_DAY + timedelta(
        days=draw(2_500, seed, key_id, "day"),
        microseconds=draw(20_000_000_000, seed, key_id, "microsecond"),
    )
    return opened.isoformat(timespec="microseconds").replace("+00:00", "Z")
