"""The details of an account beyond cash and equity, labeled and in groups."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from corral.alpaca.environments import Environment
from corral.alpaca.models import Account
from corral.web.view.figures import format_decimal
from corral.web.view.times import format_day

# Labels by Alpaca's field names. Fields that Alpaca leaves out are not shown.
_AMOUNTS: Final[Mapping[str, Mapping[str, str]]] = {
    "Buying power": {
        "regt_buying_power": "Overnight (Reg T)",
        "daytrading_buying_power": "Day trading",
        "options_buying_power": "Options",
        "non_marginable_buying_power": "Non-marginable",
    },
    "Margin": {
        "initial_margin": "Initial",
        "maintenance_margin": "Maintenance",
        "last_maintenance_margin": "Maintenance at last close",
        "sma": "SMA",
    },
    "Positions and transfers": {
        "long_market_value": "Long market value",
        "short_market_value": "Short market value",
        "pending_transfer_in": "Pending deposits",
        "pending_transfer_out": "Pending withdrawals",
        "accrued_fees": "Accrued fees",
    },
}


@dataclass(frozen=True, slots=True)
class DetailAmount:
    """An amount in the account's currency; `key` is Alpaca's field name."""

    label: str
    key: str
    amount: str


@dataclass(frozen=True, slots=True)
class AccountDetails:
    """`amounts` by the title of their group, `facts` by their label."""

    amounts: Mapping[str, list[DetailAmount]]
    facts: Mapping[str, str]


def describe_account(account: Account, environment: Environment) -> AccountDetails:
    groups = {title: list(_amounts(account, labels)) for title, labels in _AMOUNTS.items()}
    amounts = {title: known for title, known in groups.items() if known}
    return AccountDetails(amounts, dict(_facts(account, environment)))


def detail_amounts(account: Account) -> dict[str, str]:
    """Returns the amounts of all groups by Alpaca's field names."""
    return {one.key: one.amount for labels in _AMOUNTS.values() for one in _amounts(account, labels)}


def _amounts(account: Account, labels: Mapping[str, str]) -> Iterator[DetailAmount]:
    for key, label in labels.items():
        amount: str | None = getattr(account, key)
        if amount is not None:
            yield DetailAmount(label, key, amount)


def _facts(account: Account, environment: Environment) -> Iterator[tuple[str, str]]:
    if account.account_number is not None:
        yield "Account number", account.account_number
    yield "Type", ", ".join([environment.value.capitalize(), *_leverage(account.multiplier)])
    yield "Currency", account.currency
    if account.status is not None:
        yield "Status", _humanize(account.status)
    if account.created_at is not None:
        yield "Opened", format_day(account.created_at[: len("YYYY-MM-DD")])
    if account.shorting_enabled is not None:
        yield "Short selling", "enabled" if account.shorting_enabled else "disabled"
    if account.options_trading_level is not None:
        yield "Options", _options(account.options_trading_level, account.options_approved_level)
    if account.crypto_status is not None:
        yield "Crypto", _humanize(account.crypto_status)


def _leverage(multiplier: str | None) -> Iterator[str]:
    if multiplier is not None:
        times = f"{format_decimal(multiplier)}\N{MULTIPLICATION SIGN}"
        yield f"margin {times}" if Decimal(multiplier) > 1 else "cash"


def _options(used: int, approved: int | None) -> str:
    level = f"level {used}" if used else "off"
    return level if approved is None or approved <= used else f"{level}, approved for level {approved}"


def _humanize(status: str) -> str:
    """`ACTION_REQUIRED` is `action required`."""
    return status.replace("_", " ").lower()
