"""An account as a test wants it, and whether Alpaca could have such an account."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from corral_sandbox.broker.characters import Character, open_account_with_character
from corral_sandbox.broker.initial_state import (
    ACTIVE,
    RESTRICTIONS,
    AccountTerms,
    InitialHolding,
    cost_of,
    initial_value_at,
    open_plain_account,
)
from corral_sandbox.market.assets import Asset
from corral_sandbox.market.money import ZERO, format_amount
from corral_sandbox.market.option_contracts import SHARES_PER_CONTRACT, OptionContract, contract_of
from corral_sandbox.market.prices import Market, price
from corral_sandbox.market.time import close_before_today


class SeedError(Exception):
    """There is no such account at Alpaca; the text says why."""


@dataclass(frozen=True, slots=True)
class SeedPosition:
    """A quantity, negative if short; without a price it was bought at the price of the last close."""

    symbol: str
    quantity: Decimal
    paid: Decimal | None = None


@dataclass(frozen=True, slots=True)
class AccountSeed:
    """What a test wants; None leaves it as the character has it, or else a plain account."""

    character: Character | None = None
    cash: Decimal | None = None
    currency: str | None = None
    multiplier: int | None = None
    status: str | None = None
    options_level: int | None = None
    daytrade_count: int | None = None
    restrictions: tuple[str, ...] | None = None
    positions: tuple[SeedPosition, ...] | None = None


def seeded_account(market: Market, key_id: str, wanted: AccountSeed, now: int) -> AccountTerms:
    """Returns the terms of the wanted account. The deposit is what its cash and its positions cost.

    Raises SeedError if Alpaca could not have such an account at `now`, in nanoseconds since 1970.
    """
    opened = _opened(market, key_id, wanted.character)
    cash, holdings, deposit = opened.cash, opened.holdings, opened.deposit
    if wanted.positions is not None:
        holdings = tuple(_holding(market, index, position, now) for index, position in enumerate(wanted.positions))
        _check_distinct(holdings)
    if wanted.cash is not None or wanted.positions is not None:
        cash = opened.cash if wanted.cash is None else wanted.cash
        deposit = cash + cost_of(holdings)
    terms = replace(
        opened,
        cash=cash,
        holdings=holdings,
        deposit=deposit,
        multiplier=opened.multiplier if wanted.multiplier is None else wanted.multiplier,
        profile=_profile(opened.profile, wanted),
    )
    _check_identities(terms, now)
    return terms


def _opened(market: Market, key_id: str, character: Character | None) -> AccountTerms:
    if character is None:
        return open_plain_account(market, key_id)
    return open_account_with_character(market, key_id, character)


def _profile(opened: dict[str, object], wanted: AccountSeed) -> dict[str, object]:
    profile = dict(opened)
    if wanted.currency is not None:
        profile["currency"] = wanted.currency
    if wanted.status is not None:
        profile["status"] = wanted.status
        profile["crypto_status"] = ACTIVE if wanted.status == ACTIVE else "INACTIVE"
    if wanted.multiplier is not None:
        profile |= {"multiplier": str(wanted.multiplier), "shorting_enabled": wanted.multiplier > 1}
    if wanted.options_level is not None:
        profile["options_approved_level"] = profile["options_trading_level"] = wanted.options_level
    if wanted.restrictions is not None:
        profile |= {name: name in wanted.restrictions for name in RESTRICTIONS}
    if wanted.daytrade_count is not None:
        profile["daytrade_count"] = wanted.daytrade_count
    return profile


def _holding(market: Market, index: int, position: SeedPosition, now: int) -> InitialHolding:
    asset = market.assets.find(position.symbol)
    if asset is None:
        raise SeedError(
            f"positions.{index}.symbol: there is no {position.symbol} here; GET /v2/assets lists what is, and "
            "PUT /_prices with a symbol and its price lists a new one"
        )
    _check_holding(index, position.quantity, asset, now)
    paid = price(market, asset.symbol, close_before_today(now)) if position.paid is None else position.paid
    return InitialHolding(asset.symbol, position.quantity, paid, asset.multiplier)


def _check_holding(index: int, quantity: Decimal, asset: Asset, now: int) -> None:
    where = f"positions.{index}.qty"
    if not quantity:
        raise SeedError(f"{where}: 0 is no position; leave it out")
    if quantity % asset.quantity_increment:
        raise SeedError(f"{where}: {asset.symbol} is held in whole units only")
    if asset.contract is not None and not asset.is_active(now):
        raise SeedError(f"positions.{index}.symbol: {asset.symbol} has expired, or is not listed yet")
    if quantity > 0 or asset.contract is not None:
        return
    if not asset.shortable:
        raise SeedError(f"{where}: {asset.symbol} cannot be sold short")
    if quantity % 1:
        raise SeedError(f"{where}: fractions of a share cannot be sold short")


def _check_distinct(holdings: tuple[InitialHolding, ...]) -> None:
    symbols = [holding.symbol for holding in holdings]
    for index, symbol in enumerate(symbols):
        if symbol in symbols[:index]:
            raise SeedError(f"positions.{index}.symbol: {symbol} is there twice; an account has one position in each")


def _check_identities(terms: AccountTerms, now: int) -> None:
    cash = format_amount(terms.cash)
    if terms.multiplier == 1 and terms.cash < 0:
        raise SeedError(
            f"cash: {cash} is a margin loan, but with multiplier 1 buying_power = cash, which is never below 0; "
            "set multiplier 2 or 4"
        )
    if terms.multiplier == 1 and any(_is_short_share(holding) for holding in terms.holdings):
        raise SeedError(
            "positions: with multiplier 1 shorting_enabled is false and short_market_value = 0; set multiplier 2 or 4"
        )
    _check_equity(terms, now)
    _check_cover(terms, now)


def _check_equity(terms: AccountTerms, now: int) -> None:
    """Checks equity and last_equity, and the deposit that the history begins with."""
    for name, at in (("equity", now), ("last_equity", close_before_today(now))):
        value = initial_value_at(terms, at)
        if value.equity < 0:
            parts = (value.cash, value.long_market_value, value.short_market_value)
            terms_of_sum = " + ".join(map(format_amount, parts))
            raise SeedError(
                f"cash: {name} = cash + long_market_value + short_market_value = {terms_of_sum} = "
                f"{format_amount(value.equity)} is below 0; give more cash or other positions"
            )
    if terms.deposit < 0:
        raise SeedError(
            "cash: cash + what the positions cost = what was deposited = "
            f"{format_amount(terms.deposit)} is below 0; give more cash or other prices"
        )


def _check_cover(terms: AccountTerms, now: int) -> None:
    """A short call needs a hundred shares or a long call, a short put the money of its strike or a long put."""
    options = [
        (contract, holding.quantity)
        for holding in terms.holdings
        if (contract := contract_of(holding.symbol)) is not None
    ]
    shares = {holding.symbol: holding.quantity for holding in terms.holdings if holding.multiplier == 1}
    for underlying in {contract.underlying for contract, _ in options}:
        calls = _total(options, underlying, "call")
        if calls < 0 and -calls * SHARES_PER_CONTRACT > shares.get(underlying, ZERO):
            raise SeedError(
                f"positions: {format_amount(-calls)} short calls on {underlying} are uncovered, which Alpaca does not "
                f"allow; hold {format_amount(-calls * SHARES_PER_CONTRACT)} shares or as many long calls"
            )
    needed = sum((_cash_for_puts(options, name) for name in {contract.underlying for contract, _ in options}), ZERO)
    available = max(terms.cash, initial_value_at(terms, now).equity)
    if needed > available:
        raise SeedError(
            f"positions: short puts are uncovered, which Alpaca does not allow: their shares would cost "
            f"{format_amount(needed)}, and the account has {format_amount(available)}; give more cash or long puts"
        )


def _total(options: Iterable[tuple[OptionContract, Decimal]], underlying: str, kind: str) -> Decimal:
    found = (count for contract, count in options if contract.underlying == underlying and contract.type == kind)
    return sum(found, ZERO)


def _cash_for_puts(options: list[tuple[OptionContract, Decimal]], underlying: str) -> Decimal:
    """Returns what the short puts that no long put covers would cost, the highest strikes first."""
    uncovered = max(-_total(options, underlying, "put"), ZERO)
    strikes = sorted(
        ((contract.strike, -count) for contract, count in options if _is_short_put(contract, count, underlying)),
        reverse=True,
    )
    needed = ZERO
    for strike, count in strikes:
        taken = min(count, uncovered)
        needed, uncovered = needed + taken * strike * SHARES_PER_CONTRACT, uncovered - taken
    return needed


def _is_short_put(contract: OptionContract, count: Decimal, underlying: str) -> bool:
    return count < 0 and contract.type == "put" and contract.underlying == underlying


def _is_short_share(holding: InitialHolding) -> bool:
    return holding.quantity < 0 and holding.multiplier == 1
