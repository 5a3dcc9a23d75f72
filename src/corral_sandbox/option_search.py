"""Which option contracts a client looks for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from corral_sandbox.mean_prices import LISTED
from corral_sandbox.option_contracts import (
    Contract,
    OptionType,
    expiries_between,
    expiries_on,
    root_of,
    strikes_of,
)
from corral_sandbox.parameters import as_choice, as_date, as_flag, as_list, as_number
from corral_sandbox.trading_calendar import new_york_time

_YEAR, _DAY = timedelta(days=365), timedelta(days=1)
_SATURDAY = 5
_TYPES: tuple[OptionType, ...] = ("call", "put")


@dataclass(frozen=True, slots=True)
class OptionSearch:
    """Strikes are from `lowest` to `highest` dollars."""

    underlyings: list[str]
    expiries: list[date]
    types: list[OptionType]
    lowest: Decimal
    highest: Decimal

    def contracts(self) -> Iterator[Contract]:
        """Answers in the order of the contracts' symbols."""
        for underlying in sorted(self.underlyings, key=root_of):
            strikes = [strike for strike in strikes_of(underlying) if self.lowest <= strike <= self.highest]
            for expiry in self.expiries:
                for kind in self.types:
                    yield from (Contract(underlying, expiry, kind, strike) for strike in strikes)


def read_option_search(query: Mapping[str, str], now: int) -> OptionSearch:
    """Every contract here is American and in the Penny Program: who asks for others finds none."""
    style = as_choice("style", query.get("style", "american"), "american", "european")
    is_penny = as_flag("ppind", query.get("ppind", "true"))
    return OptionSearch(
        underlyings=_underlyings(query) if style == "american" and is_penny else [],
        expiries=_expiries(query, now),
        types=[kind for kind in _TYPES if as_choice("type", query.get("type", kind), *_TYPES) == kind],
        lowest=as_number("strike_price_gte", query.get("strike_price_gte", "0")),
        highest=as_number("strike_price_lte", query.get("strike_price_lte", "1000000")),
    )


def _underlyings(query: Mapping[str, str]) -> list[str]:
    wanted = as_list(query["underlying_symbols"]) if "underlying_symbols" in query else LISTED
    return [name for name in LISTED if name in wanted and query.get("root_symbol", root_of(name)) == root_of(name)]


def _expiries(query: Mapping[str, str], now: int) -> list[date]:
    """Contracts are inactive for a year after they have expired, and then forgotten."""
    today = new_york_time(now).date()
    asked = {name: as_date(name, query[name]) for name in _EXPIRY_FILTERS if name in query}
    usual_last = date.max
    if as_choice("status", query.get("status", "active"), "active", "inactive") == "active":
        expiries = [day for day in expiries_on(today) if _closes_after(day, now)]
        if not asked:
            usual_last = _weekend_after(expiries[0])
    else:
        expiries = [day for day in expiries_between(today - _YEAR, today) if not _closes_after(day, now)]
    first = asked.get("expiration_date", asked.get("expiration_date_gte", date.min))
    last = asked.get("expiration_date", asked.get("expiration_date_lte", usual_last))
    return [day for day in expiries if first <= day <= last]


def _weekend_after(expiry: date) -> date:
    """Of the soonest expiry, not of today: from Friday's close on nothing else expires before this weekend."""
    return expiry + (_SATURDAY - expiry.weekday()) % 7 * _DAY


_EXPIRY_FILTERS = ("expiration_date", "expiration_date_gte", "expiration_date_lte")


def _closes_after(day: date, now: int) -> bool:
    return Contract(next(iter(LISTED)), day, "call", Decimal()).expires_at > now
