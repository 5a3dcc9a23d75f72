"""The picture of an allocation: a ring, drawn on the server, so that it needs no script."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import cos, pi, sin
from typing import Final

from corral.web.holdings import WHOLE, Holding

MOST_SLICES: Final = 8  # with the others as one of them: more colours nobody tells apart
_RADIUS: Final = 80  # of the middle of the ring, in a square of 200
_GAP: Final = 40  # between two slices
_SMALLEST_LABELLED: Final = 700  # a name does not fit on less than 7 %
_LONGEST_LABEL: Final = 5


@dataclass(frozen=True, slots=True)
class Slice:
    """`begins` and `weight` are in hundredths of a percent of the way round; `drawn` leaves a gap to the next one.

    `x` and `y` are the middle of it in a square of 200.
    """

    label: str
    tone: int
    begins: int
    weight: int
    drawn: int
    x: str
    y: str

    @property
    def is_labelled(self) -> bool:
        return self.weight >= _SMALLEST_LABELLED and len(self.label) <= _LONGEST_LABEL


def slices_of(holdings: Sequence[Holding]) -> list[Slice]:
    """The largest positions first, then all others as one. They go round exactly once, if anything has a value."""
    begins = 0
    slices: list[Slice] = []
    for tone, (label, weight) in enumerate(_parts(holdings)):
        x, y = _place((begins + weight / 2) / WHOLE)
        drawn = weight - _GAP if WHOLE > weight > 2 * _GAP else weight
        slices.append(Slice(label, tone, begins, weight, drawn, x, y))
        begins += weight
    return slices


def tones_of(holdings: Sequence[Holding]) -> dict[str, int]:
    """By asset id, the tone in which a position is drawn; those that are drawn as one have the last."""
    ranked = _ranked(holdings)
    whole = MOST_SLICES if len(ranked) <= MOST_SLICES else MOST_SLICES - 1
    return {row.position.asset_id: min(rank, whole) for rank, (row, _) in enumerate(ranked)}


def _parts(holdings: Sequence[Holding]) -> Iterator[tuple[str, int]]:
    ranked = _ranked(holdings)
    shown = ranked if len(ranked) <= MOST_SLICES else ranked[: MOST_SLICES - 1]
    yield from ((row.position.symbol, weight) for row, weight in shown)
    if others := ranked[len(shown) :]:
        yield f"{len(others)} others", sum(weight for _, weight in others)


def _ranked(holdings: Sequence[Holding]) -> list[tuple[Holding, int]]:
    seen = [(row, row.weight) for row in holdings if row.weight]
    return sorted(seen, key=lambda pair: (-pair[1], pair[0].position.symbol))


def _place(turn: float) -> tuple[str, str]:
    """A point of the ring, clockwise from the top."""
    return f"{100 + _RADIUS * sin(2 * pi * turn):.1f}", f"{100 - _RADIUS * cos(2 * pi * turn):.1f}"
