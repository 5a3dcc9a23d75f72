"""Options on listed shares: which contracts there are.

A contract expires with the last session of a week. Monthly contracts, of a month's third week, are listed a year
ahead, others eight weeks. Strikes are a grid from three to seven fifths of the share's mean price.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Literal
from uuid import UUID

from corral_sandbox.market.mean_prices import MEAN_CENTS
from corral_sandbox.market.time import close_before, session_on

OptionType = Literal["call", "put"]

SHARES_PER_CONTRACT = 100

_OCC_SYMBOL = re.compile(r"([A-Z]{1,5})(\d{6})([CP])(\d{8})")
_TYPES: dict[str, OptionType] = {"C": "call", "P": "put"}
_LETTERS = {kind: letter for letter, kind in _TYPES.items()}
_UNDERLYING = {symbol.replace(".", ""): symbol for symbol in MEAN_CENTS}
_GRID = (
    (25_00, 1_00),
    (100_00, 2_50),
    (250_00, 5_00),
)  # upper bound of the mean price, and the step between strikes, in cents
_WIDEST_STEP = 10_00
_LISTED_ONE_DAYS, _MONTHLY_LISTED_ONE_DAYS = 56, 364
_ONE_DAY = timedelta(days=1)
_FRIDAY = 4
_CUSTOM_UUID = (8 << 76) | (2 << 62)  # version and variant of RFC 9562, section 5.8


@dataclass(frozen=True, slots=True)
class OptionContract:
    """An American option for a hundred shares. `strike` is in dollars and cents."""

    underlying: str
    expires_on: date
    type: OptionType
    strike: Decimal

    @property
    def root(self) -> str:
        return root_of(self.underlying)

    @property
    def symbol(self) -> str:
        """The symbol of the Options Clearing Corporation: root, yymmdd, C or P, thousandths of a dollar."""
        mills = int(self.strike.scaleb(3))
        return f"{root_of(self.underlying)}{_yymmdd(self.expires_on)}{_LETTERS[self.type]}{mills:08}"

    @property
    def id(self) -> str:
        """Encodes the contract's terms, so that `contract_of_id` can decode them."""
        root = int.from_bytes(self.root.encode().rjust(6, b"\0"), "big")
        terms = (self.expires_on.toordinal() << 28) | ((self.type == "call") << 27) | int(self.strike.scaleb(3))
        return str(UUID(int=root << 80 | _CUSTOM_UUID | terms))

    @property
    def expires_at(self) -> int:
        """The close of its last session, in nanoseconds since 1970."""
        return close_before(self.expires_on + _ONE_DAY)

    def is_listed(self, on: date) -> bool:
        return self.expires_on - timedelta(days=_listed_days(self.expires_on)) <= on <= self.expires_on


def is_occ_symbol(symbol: str) -> bool:
    """Whether it has the form of an option's symbol; there need not be such an option."""
    return _OCC_SYMBOL.fullmatch(symbol) is not None


@lru_cache(maxsize=4_096)
def contract_of(symbol: str) -> OptionContract | None:
    """Returns the contract of an OCC symbol, None if it is never listed."""
    parts = _OCC_SYMBOL.fullmatch(symbol)
    if parts is None or parts[1] not in _UNDERLYING:
        return None
    underlying, strike = _UNDERLYING[parts[1]], Decimal(parts[4]).scaleb(-3).quantize(Decimal("0.01"))
    try:
        expires_on = date.fromisoformat(f"20{parts[2]}")
    except ValueError:
        return None
    contract = OptionContract(underlying, expires_on, _TYPES[parts[3]], strike)
    exists = contract.symbol == symbol and _is_expiry(expires_on) and strike in strikes_of(underlying)
    return contract if exists else None


def contract_of_id(contract_id: UUID) -> OptionContract | None:
    """Returns the contract that an id encodes, None if there is none."""
    terms = contract_id.int & ((1 << 62) - 1)
    ordinal, mills = terms >> 28, terms & ((1 << 27) - 1)
    if not date(2000, 1, 1).toordinal() <= ordinal <= date(2099, 12, 31).toordinal():
        return None
    root = (contract_id.int >> 80).to_bytes(6, "big").lstrip(b"\0").decode("ascii", "replace")
    letter = "C" if terms >> 27 & 1 else "P"
    contract = contract_of(f"{root}{date.fromordinal(ordinal):%y%m%d}{letter}{mills:08}")
    return contract if contract is not None and contract.id == str(contract_id) else None


def root_of(underlying: str) -> str:
    return underlying.replace(".", "")


@lru_cache(maxsize=1_024)
def _yymmdd(day: date) -> str:
    return f"{day:%y%m%d}"


def expiries_on(day: date) -> Iterator[date]:
    """Yields the expiries that are listed on a day, earliest first; the day itself may be one."""
    expiries = expiries_between(day, day + timedelta(days=_MONTHLY_LISTED_ONE_DAYS))
    return (expiry for expiry in expiries if (expiry - day).days <= _listed_days(expiry))


def expiries_between(first: date, last: date) -> Iterator[date]:
    days = (first + number * _ONE_DAY for number in range((last - first).days + 1))
    return filter(_is_expiry, days)


@lru_cache(maxsize=64)
def strikes_of(underlying: str) -> tuple[Decimal, ...]:
    mean = MEAN_CENTS[underlying]
    step = next((step for below, step in _GRID if mean < below), _WIDEST_STEP)
    lowest, highest = -(-mean * 3 // 5 // step), mean * 7 // 5 // step
    return tuple(Decimal(number * step).scaleb(-2) for number in range(lowest, highest + 1))


def _listed_days(expiry: date) -> int:
    friday = expiry + (_FRIDAY - expiry.weekday()) * _ONE_DAY
    is_monthly = 15 <= friday.day <= 21  # noqa: PLR2004 - where a month's third Friday falls
    return _MONTHLY_LISTED_ONE_DAYS if is_monthly else _LISTED_ONE_DAYS


@lru_cache(maxsize=4_096)
def _is_expiry(day: date) -> bool:
    """Whether it is the last session of its week."""
    if session_on(day) is None:
        return False
    return all(session_on(day + ahead * _ONE_DAY) is None for ahead in range(1, _FRIDAY - day.weekday() + 1))
