"""What Alpaca says of an account beyond its equity and cash, in a trader's words and in groups for the page."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from corral.alpaca.environments import Environment
from corral.alpaca.models import Account
from corral.web.figures import written_quantity

# By the account's own field. What Alpaca does not say has no line.
_FIGURES: Final[Mapping[str, Mapping[str, str]]] = {
    "Buying power": {
        "regt_buying_power": "Overnight (Reg T)",
        "daytrading_buying_power": "Within the day",
        "options_buying_power": "Options",
        "non_marginable_buying_power": "Without margin",
    },
    "Margin": {
        "initial_margin": "Initial",
        "maintenance_margin": "Maintenance",
        "last_maintenance_margin": "At the last close",
        "sma": "SMA",
    },
    "Positions and transfers": {
        "long_market_value": "Long",
        "short_market_value": "Short",
        "pending_transfer_in": "Coming in",
        "pending_transfer_out": "Going out",
        "accrued_fees": "Fees to pay",
    },
}


@dataclass(frozen=True, slots=True)
class Figure:
    """An amount of money, in the account's currency; `key` is Alpaca's name for it."""

    label: str
    key: str
    amount: str


@dataclass(frozen=True, slots=True)
class Details:
    """`facts` are words by their labels."""

    figures: Mapping[str, list[Figure]]
    facts: Mapping[str, str]


def details_of(account: Account, environment: Environment) -> Details:
    groups = {title: list(_told(account, labels)) for title, labels in _FIGURES.items()}
    return Details({title: told for title, told in groups.items() if told}, dict(_facts(account, environment)))


def figures_of(account: Account) -> dict[str, str]:
    """Those of all groups, by Alpaca's names for them."""
    return {figure.key: figure.amount for labels in _FIGURES.values() for figure in _told(account, labels)}


def _told(account: Account, labels: Mapping[str, str]) -> Iterator[Figure]:
    for key, label in labels.items():
        amount: str | None = getattr(account, key)
        if amount is not None:
            yield Figure(label, key, amount)


def _facts(account: Account, environment: Environment) -> Iterator[tuple[str, str]]:
    if account.account_number is not None:
        yield "Number", account.account_number
    yield "Kind", ", ".join([environment.value.capitalize(), *_leverage(account.multiplier)])
    yield "Currency", account.currency
    if account.status is not None:
        yield "Status", _in_words(account.status)
    if account.created_at is not None:
        yield "Open since", account.created_at[: len("YYYY-MM-DD")]
    if account.shorting_enabled is not None:
        yield "Short selling", "allowed" if account.shorting_enabled else "not allowed"
    if account.options_trading_level is not None:
        yield "Options", _options(account.options_trading_level, account.options_approved_level)
    if account.crypto_status is not None:
        yield "Crypto", _in_words(account.crypto_status)


def _leverage(multiplier: str | None) -> Iterator[str]:
    if multiplier is not None:
        times = f"{written_quantity(multiplier)}\N{MULTIPLICATION SIGN}"
        yield f"margin {times}" if Decimal(multiplier) > 1 else "cash"


def _options(used: int, approved: int | None) -> str:
    level = f"level {used}" if used else "off"
    return level if approved is None or approved <= used else f"{level}, approved for {approved}"


def _in_words(status: str) -> str:
    """`ACTION_REQUIRED` is `action required`."""
    return status.replace("_", " ").lower()
