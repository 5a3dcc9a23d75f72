"""The state in which an account opens: a pure function of the seed and its key id.

Of eight accounts one is a cash account, one has a margin loan, one is short a stock, and five hold part of their
deposit in shares. One account in four is restricted.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import NAMESPACE_URL, UUID, uuid5

from corral_sandbox.broker.ledger import AccountValue, Execution
from corral_sandbox.broker.orders import BrokerOrder, OrderRequest
from corral_sandbox.market.assets import find_asset
from corral_sandbox.market.mean_prices import MEAN_CENTS
from corral_sandbox.market.prices import price
from corral_sandbox.market.seeded_random import seeded_random
from corral_sandbox.market.time import parse_timestamp

KEY_ID_PREFIXES = {"paper": "PK", "live": "AK"}

_CHARACTERS = ("cash", "borrower", "short seller", *["investor"] * 5)
_INVESTED_PERCENT = {"cash": (10, 90), "borrower": (115, 150), "short seller": (30, 80), "investor": (10, 90)}
_RESTRICTIONS = ("trading_blocked", "account_blocked", "transfers_blocked", "trade_suspended_by_user")

_ACCOUNT_IDS = uuid5(NAMESPACE_URL, "urn:corral:sandbox:account")
_FIRST_DAY = datetime(2019, 1, 2, 14, 30, tzinfo=UTC)
_NANO = 1_000_000_000  # quantities are whole billionths of a share


@dataclass(frozen=True, slots=True)
class InitialHolding:
    """A quantity of shares, negative if short, bought at `paid` dollars each."""

    symbol: str
    quantity: Decimal
    paid: Decimal


@dataclass(frozen=True, slots=True, eq=False)
class AccountTerms:
    """`profile` has the fields of /v2/account that prices and orders do not change. `opened_at` is in nanoseconds since
    1970; the holdings were bought then, from the deposit.
    """

    seed: int
    opened_at: int
    deposit: Decimal
    profile: dict[str, object]
    multiplier: int
    cash: Decimal
    holdings: tuple[InitialHolding, ...]

    def is_funded_at(self, at: int) -> bool:
        """Whether the account had received its deposit. Its history begins there."""
        return at >= self.opened_at


def open_account(seed: int, key_id: str) -> AccountTerms:
    """Returns a new account. Its cash is what the purchases left of the deposit."""
    character = _CHARACTERS[seeded_random(len(_CHARACTERS), seed, key_id, "character")]
    multiplier = 1 if character == "cash" else (2, 2, 4)[seeded_random(3, seed, key_id, "multiplier")]
    deposit = 2_500_000 + 10_000 * seeded_random(2_250, seed, key_id, "deposit")
    holdings, spent = _buy(seed, key_id, character, deposit)
    profile = _profile(seed, key_id, multiplier)
    return AccountTerms(
        seed=seed,
        opened_at=parse_timestamp(str(profile["created_at"])),
        deposit=Decimal(deposit).scaleb(-2),
        profile=profile,
        multiplier=multiplier,
        cash=Decimal(deposit - spent).scaleb(-2),
        holdings=holdings,
    )


def initial_value_at(account: AccountTerms, at: int) -> AccountValue:
    """Returns the value at `at`, in nanoseconds since 1970, of an account without orders."""
    values = [holding.quantity * price(account.seed, holding.symbol, at) for holding in account.holdings]
    long = sum((value for value in values if value > 0), Decimal())
    short = sum((value for value in values if value < 0), Decimal())
    return AccountValue(account.cash, long, short)


def _buy(seed: int, key_id: str, character: str, deposit: int) -> tuple[tuple[InitialHolding, ...], int]:
    """Returns the holdings and their cost in cents."""
    symbols = sorted(MEAN_CENTS, key=lambda symbol: seeded_random(1 << 62, seed, key_id, "rank", symbol))
    low, high = _INVESTED_PERCENT[character]
    invested = deposit * (low + seeded_random(high - low + 1, seed, key_id, "invested")) // 100
    chosen = symbols[: 1 + seeded_random(5, seed, key_id, "symbols")]
    weights = [1 + seeded_random(4, seed, key_id, "weight", symbol) for symbol in chosen]
    lot = 1 if seeded_random(4, seed, key_id, "fractional") == 0 else _NANO

    purchases = [
        _purchase(seed, key_id, symbol, invested * weight // sum(weights), lot)
        for symbol, weight in zip(chosen, weights, strict=True)
    ]
    if character == "short seller":
        sold = deposit * (5 + seeded_random(20, seed, key_id, "sold short")) // 100
        purchases.append(_purchase(seed, key_id, symbols[-1], -sold, _NANO))
    return tuple(holding for holding, _ in purchases if holding.quantity), sum(cost for _, cost in purchases)


def _purchase(seed: int, key_id: str, symbol: str, amount: int, lot: int) -> tuple[InitialHolding, int]:
    """Returns what `amount` cents buy in whole lots (of billionths of a share), and the cost, rounded up to a cent."""
    paid = MEAN_CENTS[symbol] * (97 + seeded_random(7, seed, key_id, "paid", symbol)) // 100
    quantity = abs(amount) * _NANO // paid // lot * lot * (1 if amount > 0 else -1)
    return InitialHolding(symbol, Decimal(quantity).scaleb(-9), Decimal(paid).scaleb(-2)), -(-quantity * paid // _NANO)


def _profile(seed: int, key_id: str, multiplier: int) -> dict[str, object]:
    options_level = seeded_random(3 if multiplier == 1 else 4, seed, key_id, "options")
    restriction = seeded_random(16, seed, key_id, "restriction")
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
    """Returns nine digits, after PA3 for a paper account (a convention that Alpaca does not document)."""
    prefix = "PA3" if key_id.startswith(KEY_ID_PREFIXES["paper"]) else ""
    return f"{prefix}{seeded_random(10**9, seed, key_id, 'number'):09}"


def _created_at(seed: int, key_id: str) -> str:
    opened = _FIRST_DAY + timedelta(
        days=seeded_random(2_500, seed, key_id, "day"),
        microseconds=seeded_random(20_000_000_000, seed, key_id, "microsecond"),
    )
    return opened.isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class CashTransfer:
    """A deposit or, if negative, a withdrawal. `kind` is Alpaca's: CSD is a deposit, FEE a fee."""

    id: str
    kind: str
    at: int
    amount: Decimal


def initial_transfers(account: AccountTerms) -> list[CashTransfer]:
    """Returns the deposit and, as a fee, the amount by which the purchases were rounded up."""
    spent = sum((holding.quantity * holding.paid for holding in account.holdings), Decimal())
    rounding = account.cash - (account.deposit - spent)
    transfers = [_transfer(account, "CSD", account.deposit)]
    return [*transfers, _transfer(account, "FEE", rounding)] if rounding else transfers


def initial_trades(account: AccountTerms) -> list[tuple[BrokerOrder, Execution]]:
    """Returns the filled order of each holding. Their numbers come before those of all later orders."""
    first = -len(account.holdings)
    return [_trade(account, holding, first + index) for index, holding in enumerate(account.holdings)]


def _trade(account: AccountTerms, holding: InitialHolding, number: int) -> tuple[BrokerOrder, Execution]:
    at, quantity = account.opened_at, abs(holding.quantity)
    order_request = OrderRequest(
        side="buy" if holding.quantity > 0 else "sell",
        type="market",
        time_in_force="day",
        asset=find_asset(holding.symbol),
        quantity=quantity,
    )
    order = BrokerOrder(
        id=_id(account, f"order/{holding.symbol}"),
        number=number,
        client_order_id=_id(account, f"client/{holding.symbol}"),
        request=order_request,
        status="filled",
        submitted_at=at,
        ready_at=at,
        updated_at=at,
    )
    order.take(quantity, holding.paid, at)
    execution = Execution(
        id=_id(account, f"execution/{holding.symbol}"),
        at=at,
        order_id=order.id,
        symbol=holding.symbol,
        quantity=holding.quantity,
        price=holding.paid,
        cumulative=quantity,
        left=Decimal(),
    )
    return order, execution


def _transfer(account: AccountTerms, kind: str, amount: Decimal) -> CashTransfer:
    return CashTransfer(_id(account, kind), kind, account.opened_at, amount)


def _id(account: AccountTerms, what: str) -> str:
    return str(uuid5(UUID(str(account.profile["id"])), f"opening/{what}"))
