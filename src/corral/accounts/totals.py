"""Sums over accounts. Paper money and real money are never added together, and neither are currencies."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation
from functools import reduce
from typing import Final

from corral.accounts.overview_schemas import CurrencySums, EnvironmentTotals
from corral.alpaca.environments import Environment

# A decimal of Alpaca's has at most 64 characters and three digits of exponent (alpaca/reading.py), so the
# longest sum reaches from the 1,063rd digit before the point to the 1,063rd behind it. Were it ever to be
# longer, this raises; it does not round.
_EXACT: Final = Context(prec=4_096, traps=[Inexact, InvalidOperation])


@dataclass(frozen=True, slots=True)
class Standing:
    """One account's part: money as Alpaca wrote it, or nothing where it is not known."""

    environment: Environment
    money: "Money | None"


@dataclass(frozen=True, slots=True)
class Money:
    currency: str
    balance: str
    equity: str
    buying_power: str


def totals_of(standings: Iterable[Standing]) -> list[EnvironmentTotals]:
    """One for each environment in which there is an account, whether or not any of its accounts answered."""
    by_environment: dict[Environment, list[Money | None]] = {}
    for standing in standings:
        by_environment.setdefault(standing.environment, []).append(standing.money)
    return [_totals(environment, by_environment[environment]) for environment in sorted(by_environment)]


def exact_sum(amounts: Iterable[str]) -> str:
    """Written out in full, without an exponent, with as many decimals as the amount that has most."""
    return f"{reduce(_EXACT.add, map(Decimal, amounts), Decimal()):f}"


def _totals(environment: Environment, accounts: Sequence[Money | None]) -> EnvironmentTotals:
    known = [money for money in accounts if money is not None]
    return EnvironmentTotals(
        account_type=environment,
        accounts=len(known),
        missing=len(accounts) - len(known),
        by_currency=_by_currency(known),
    )


def _by_currency(known: Iterable[Money]) -> list[CurrencySums]:
    by_currency: dict[str, list[Money]] = {}
    for money in known:
        by_currency.setdefault(money.currency, []).append(money)
    return [_sums(currency, by_currency[currency]) for currency in sorted(by_currency)]


def _sums(currency: str, accounts: Sequence[Money]) -> CurrencySums:
    return CurrencySums(
        currency=currency,
        accounts=len(accounts),
        balance=exact_sum(money.balance for money in accounts),
        equity=exact_sum(money.equity for money in accounts),
        buying_power=exact_sum(money.buying_power for money in accounts),
    )
