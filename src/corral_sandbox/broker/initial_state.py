"""The state in which an account opens, and the history that led to it: deposit, orders and executions."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from uuid import NAMESPACE_URL, UUID, uuid5

from corral_sandbox.broker.ledger import AccountValue, Execution
from corral_sandbox.broker.orders import BrokerOrder, OrderRequest
from corral_sandbox.market.prices import Market, price
from corral_sandbox.market.seeded_random import seeded_random
from corral_sandbox.market.time import to_nanoseconds

KEY_ID_PREFIXES = {"paper": "PK", "live": "AK"}
RESTRICTIONS = ("trading_blocked", "account_blocked", "transfers_blocked", "trade_suspended_by_user")
ACTIVE = "ACTIVE"

_ACCOUNT_IDS = uuid5(NAMESPACE_URL, "urn:corral:sandbox:account")

PLAIN_CASH = Decimal(100_000)
PLAIN_MULTIPLIER = 4
PLAIN_OPTIONS_LEVEL = 3
# Before anything that a test looks at: Alpaca's own market data begin in 2016.
PLAIN_CREATED_AT = datetime(2016, 1, 4, 14, 30, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class InitialHolding:
    """A quantity, negative if short, bought at `paid` dollars each. `multiplier` is 100 for an option on shares."""

    symbol: str
    quantity: Decimal
    paid: Decimal
    multiplier: int = 1

    @property
    def cost(self) -> Decimal:
        return self.quantity * self.paid * self.multiplier


@dataclass(frozen=True, slots=True, eq=False)
class AccountTerms:
    """`profile` has the fields of /v2/account that prices and orders do not change. `opened_at` is in nanoseconds since
    1970; the holdings were bought then, from the deposit.
    """

    market: Market
    opened_at: int
    deposit: Decimal
    profile: dict[str, object]
    multiplier: int
    cash: Decimal
    holdings: tuple[InitialHolding, ...]

    @property
    def holds_options(self) -> bool:
        """Whether its holdings change without an order: options expire."""
        return any(holding.multiplier > 1 for holding in self.holdings)

    def is_funded_at(self, at: int) -> bool:
        """Whether the account had received its deposit. Its history begins there."""
        return at >= self.opened_at


def open_plain_account(market: Market, key_id: str) -> AccountTerms:
    """Returns the account that every key opens: cash only, and nothing forbidden. Only its id and number differ."""
    return AccountTerms(
        market=market,
        opened_at=to_nanoseconds(PLAIN_CREATED_AT),
        deposit=PLAIN_CASH,
        profile=account_profile(market, key_id, created_at=PLAIN_CREATED_AT),
        multiplier=PLAIN_MULTIPLIER,
        cash=PLAIN_CASH,
        holdings=(),
    )


def initial_value_at(account: AccountTerms, at: int) -> AccountValue:
    """Returns the value at `at`, in nanoseconds since 1970, of an account without orders."""
    long = short = Decimal()
    for holding in account.holdings:
        value = holding.quantity * holding.multiplier * price(account.market, holding.symbol, at)
        long, short = (long + value, short) if value > 0 else (long, short + value)
    return AccountValue(account.cash, long, short)


def account_profile(
    market: Market,
    key_id: str,
    *,
    created_at: datetime,
    multiplier: int = PLAIN_MULTIPLIER,
    options_level: int = PLAIN_OPTIONS_LEVEL,
    restrictions: Collection[str] = (),
) -> dict[str, object]:
    return {
        "id": str(uuid5(_ACCOUNT_IDS, f"{market.seed}/{key_id}")),
        "admin_configurations": {},
        "user_configurations": None,
        "account_number": _account_number(market, key_id),
        "status": ACTIVE,
        "crypto_status": ACTIVE,
        "options_approved_level": options_level,
        "options_trading_level": options_level,
        "currency": "USD",
        "accrued_fees": "0",
        "multiplier": str(multiplier),
        "shorting_enabled": multiplier > 1,
        **{name: name in restrictions for name in RESTRICTIONS},
        "created_at": created_at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "crypto_tier": 1,
        "intraday_adjustments": "0",
        "pending_reg_taf_fees": "0",
    }


def _account_number(market: Market, key_id: str) -> str:
    """Returns nine digits, after PA3 for a paper account (a convention that Alpaca does not document)."""
    prefix = "PA3" if key_id.startswith(KEY_ID_PREFIXES["paper"]) else ""
    return f"{prefix}{seeded_random(10**9, market.seed, key_id, 'number'):09}"


@dataclass(frozen=True, slots=True)
class CashTransfer:
    """A deposit or, if negative, a withdrawal. `kind` is Alpaca's: CSD is a deposit, FEE a fee."""

    id: str
    kind: str
    at: int
    amount: Decimal


def initial_transfers(account: AccountTerms) -> list[CashTransfer]:
    """Returns the deposit and, as a fee, the amount by which the purchases were rounded up."""
    rounding = account.cash - (account.deposit - cost_of(account.holdings))
    transfers = [("CSD", account.deposit), ("FEE", rounding)]
    return [_transfer(account, kind, amount) for kind, amount in transfers if amount]


def cost_of(holdings: Iterable[InitialHolding]) -> Decimal:
    """Returns what they cost together, in dollars; what was sold short brought money in."""
    return sum((holding.cost for holding in holdings), Decimal())


def initial_trades(account: AccountTerms) -> list[tuple[BrokerOrder, Execution]]:
    """Returns the filled order of each holding. Their numbers come before those of all later orders."""
    first = -len(account.holdings)
    return [_trade(account, holding, first + index) for index, holding in enumerate(account.holdings)]


def _trade(account: AccountTerms, holding: InitialHolding, number: int) -> tuple[BrokerOrder, Execution]:
    at, quantity, asset = account.opened_at, abs(holding.quantity), account.market.assets.find(holding.symbol)
    order_request = OrderRequest(
        side="buy" if holding.quantity > 0 else "sell",
        type="market",
        time_in_force="gtc" if asset is not None and asset.asset_class == "crypto" else "day",
        asset=asset,
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
        multiplier=holding.multiplier,
    )
    return order, execution


def _transfer(account: AccountTerms, kind: str, amount: Decimal) -> CashTransfer:
    return CashTransfer(_id(account, kind), kind, account.opened_at, amount)


def _id(account: AccountTerms, what: str) -> str:
    return str(uuid5(UUID(str(account.profile["id"])), f"opening/{what}"))
