"""The lots of a position, first in first out, from the account's activities.

Everything is computed exactly with fractions. Lots that activities do not explain are shown as such: a position that
was transferred in, or whose purchase is older than the activities that were read.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from typing import Final

from corral.accounts.activity_history import ActivityHistory, HistoryItem
from corral.accounts.combined.holders import symbol_key
from corral.alpaca.fields import instant, written_in_utc
from corral.web.display import current_display
from corral.web.view.times import EXCHANGE_ZONE

FILL: Final = "FILL"
_EXPIRATION: Final = "OPEXP"
_SPLITS: Final = frozenset({"SPLIT", "SSP"})
# What changes a position without a trade: Alpaca's types, with a signed quantity.
_TRANSFERS: Final = frozenset(
    {"ACATS", "ALLOC", "CFEE", "DTCS", "EXTRD", "FOPT", "JNL", "JNLS", "MA", "NC", "OCT", "OPASN", "OPCA", "OPCSH"}
    | {"OPEXC", "REO", "REORG", "SC", "SPIN", "SSO", "VOF"}
)
_TRADES: Final = frozenset({FILL, "OPTRD", _EXPIRATION})
_MORNING: Final = frozenset({*_SPLITS, "MA", "NC", "OPCA", "REO", "SC", "SPIN", "SSO"})  # before the first trade
_VOID: Final = "canceled"
_MOST_PLACES: Final = 64  # of a decimal of Alpaca
_ROUNDED_PLACES: Final = 9  # of a quotient that has no last decimal, such as a third after a split


@dataclass(frozen=True, slots=True)
class Movement:
    """A change of a position by `qty`, negative for what left it.

    `price` is that of one unit; None for a transfer, which has none. `scales` is a split: all lots change in
    proportion. `realizes` means that what it closes was sold, bought back or expired.
    """

    at: str
    qty: Fraction
    price: Fraction | None = None
    scales: bool = False
    realizes: bool = True


@dataclass(frozen=True, slots=True)
class Lot:
    """`opened_at` is None for what activities do not explain, `price` for what came in without a price."""

    opened_at: str | None
    qty: Fraction
    price: Fraction | None

    @property
    def cost(self) -> Fraction | None:
        """Without an option's multiplier; negative for a short lot."""
        return None if self.price is None else self.qty * self.price


@dataclass(frozen=True, slots=True)
class MatchedLots:
    """The lots that are left, oldest first, and what those that are closed have gained before fees.

    `unexplained` is the part of the position that activities do not explain: it is assumed to be the oldest. Negative
    for a long position if activities add up to more. `realized` is None if it is not certain; `closed` is the quantity
    that was closed by trades.
    """

    lots: tuple[Lot, ...]
    unexplained: Fraction
    realized: Fraction | None
    closed: Fraction

    @property
    def is_complete(self) -> bool:
        return not self.unexplained and all(lot.price is not None for lot in self.lots)


def movements_of(symbol: str, history: ActivityHistory) -> list[Movement]:
    """Returns what changed the position in `symbol`, oldest first."""
    wanted = symbol_key(symbol)
    items = [item for item in reversed(history.items) if item.symbol and symbol_key(item.symbol) == wanted]
    found = [movement for item in items if (movement := _movement(item)) is not None]
    return _joined_splits(sorted(found, key=lambda movement: movement.at))


def match_lots(movements: Sequence[Movement], held: Fraction, *, is_whole: bool = True) -> MatchedLots:
    """Matches each change against the oldest open lots. The quantities of the lots that are left sum to `held`.

    `is_whole` says whether the movements reach back to the first one.
    """
    unexplained = held - sum((movement.qty for movement in movements), Fraction())
    lots = deque([Lot(None, unexplained, None)] if unexplained else [])
    realized: Fraction | None = Fraction() if is_whole and not unexplained else None
    closed = Fraction()
    for movement in movements:
        if movement.scales and _scale(lots, movement):
            continue
        for lot in _close(lots, movement):
            if movement.realizes:
                closed += abs(lot.qty)
                realized = _plus(realized, lot, movement.price)
    return MatchedLots(tuple(lots), unexplained, realized if closed else None, closed)


def held_days(opened_at: str, now: datetime) -> int:
    """Days from the opening of a lot, in the chosen zone."""
    zone = current_display().zone
    opened = datetime.fromisoformat(opened_at[:19] + "+00:00").astimezone(zone).date()
    return (now.astimezone(zone).date() - opened).days


def format_held(days: int) -> str:
    """`today`, `12 days`, `5 months`, `2 years`."""
    if days <= 0:
        return "today"
    for length, unit in ((730, "year"), (61, "month")):
        if days >= length:
            return f"{days * 12 // 365 if unit == 'month' else days // 365} {unit}s"
    return f"{days} day{'s' if days != 1 else ''}"


def decimal_text(number: Fraction) -> str:
    """The number without an exponent; one without a last decimal is rounded half to even."""
    exact = (places for places in range(_MOST_PLACES) if not 10**places % number.denominator)
    places = next(exact, _ROUNDED_PLACES)
    whole = round(number * 10**places)
    digits = f"{abs(whole):0{places + 1}d}"
    return ("-" if whole < 0 else "") + (f"{digits[:-places]}.{digits[-places:]}" if places else digits)


def _movement(item: HistoryItem) -> Movement | None:
    """Returns None for what does not change the position, such as a dividend."""
    kind = item.activity_type
    if kind not in _TRADES | _TRANSFERS | _SPLITS or item.status == _VOID or item.qty is None:
        return None
    qty, at = Fraction(item.qty), _effective_at(item)
    if not qty or at is None:
        return None
    return Movement(at, qty, _price(item, qty), scales=kind in _SPLITS, realizes=kind in _TRADES)


def _price(item: HistoryItem, qty: Fraction) -> Fraction | None:
    if item.activity_type == _EXPIRATION:
        return Fraction()
    if item.activity_type not in _TRADES:
        return None
    # Alpaca's example of an exercise has another price than the money that was paid.
    if item.activity_type != FILL and item.net_amount and Fraction(item.net_amount):
        return -Fraction(item.net_amount) / qty
    return None if item.price is None else Fraction(item.price)


def _effective_at(item: HistoryItem) -> str | None:
    """A sort key in UTC. An activity that was booked on a later day counts on its own."""
    if item.day is None:
        return item.at and instant(item.at)
    day = date.fromisoformat(item.day)
    if item.activity_type in _MORNING:
        return _start_of(day)
    ends = _start_of(day + timedelta(days=1))
    booked = instant(item.at) if item.at else ends
    return booked if _start_of(day) <= booked < ends else ends


def _start_of(day: date) -> str:
    return instant(written_in_utc(datetime.combine(day, time(), EXCHANGE_ZONE).astimezone(UTC)))


def _joined_splits(movements: Iterable[Movement]) -> list[Movement]:
    """Alpaca may book a split as the old shares out and the new ones in."""
    joined: list[Movement] = []
    for movement in movements:
        last = joined[-1] if joined else None
        if last is not None and last.scales and movement.scales and last.at == movement.at:
            joined[-1] = Movement(last.at, last.qty + movement.qty, scales=True, realizes=False)
        else:
            joined.append(movement)
    return joined


def _scale(lots: deque[Lot], split: Movement) -> bool:
    """Applies a split to all lots; returns False if there is nothing that could have been split."""
    held = sum((lot.qty for lot in lots), Fraction())
    factor = (held + split.qty) / held if held else Fraction()
    if factor <= 0:
        return False
    scaled = [Lot(lot.opened_at, lot.qty * factor, lot.price and lot.price / factor) for lot in lots]
    lots.clear()
    lots.extend(scaled)
    return True


def _close(lots: deque[Lot], movement: Movement) -> list[Lot]:
    """Closes the oldest lots of the other side, and opens one with what is left. Returns the closed parts."""
    left, closed = movement.qty, list[Lot]()
    while left and lots and (lots[0].qty < 0) != (left < 0):
        oldest = lots.popleft()
        taken = oldest.qty if abs(oldest.qty) <= abs(left) else -left
        closed.append(Lot(oldest.opened_at, taken, oldest.price))
        left += taken
        if oldest.qty != taken:
            lots.appendleft(Lot(oldest.opened_at, oldest.qty - taken, oldest.price))
    if left:
        lots.append(Lot(movement.at, left, movement.price))
    return closed


def _plus(realized: Fraction | None, closed: Lot, price: Fraction | None) -> Fraction | None:
    if realized is None or closed.price is None or price is None:
        return None
    return realized + closed.qty * (price - closed.price)
