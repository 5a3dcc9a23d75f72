"""Lists that Alpaca gives out page by page, turned so that nothing is lost and nothing comes twice.

Alpaca goes on behind an item that is named by its id. For orders it says: those that were submitted
before the one with this id. Orders of one group are submitted in the same moment, so whoever names one
in the middle of a group may lose the rest of it, or not; that is not said. Hence the item that is named
here is always the last one of another moment, and what was given already of what follows it is left out.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import blake2b
from typing import Final, Generic, Protocol, TypeVar

from corral.alpaca.errors import RepeatedPage

MARK_BYTES: Final = 6  # two of 500 are alike once in two billion times


class Direction(StrEnum):
    """By time: newest or oldest first."""

    DESCENDING = "desc"
    ASCENDING = "asc"


class Listed(Protocol):
    @property
    def id(self) -> str: ...


Item = TypeVar("Item", bound=Listed)
AnyItem = TypeVar("AnyItem")
Ask = Callable[[int, str | None], Awaitable[Sequence[Item]]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a list goes on: behind the item `beyond`, or from its start, but for those with the marks in `given`.

    `milestone` is one of the items named before, farther and farther apart, and must never be met again
    (Brent's way to find a cycle). `turns` counts the pages up to here.
    """

    beyond: str | None = None
    given: frozenset[bytes] = frozenset()
    milestone: str | None = None
    turns: int = 0


@dataclass(frozen=True, slots=True)
class Page(Generic[AnyItem]):
    """`goes_on` is None on the last page. A page that is not the last may be empty, if the next one is the last."""

    items: Sequence[AnyItem]
    goes_on: Place | None


@dataclass(frozen=True, slots=True)
class Listing(Generic[AnyItem]):
    """A list of Alpaca's: at most `longest_page` items on a page.

    `tie` is alike for items that might share a moment, None for an item of an unknown moment, and None itself where
    an id alone says where to go on.
    `is_within` tells what belongs to the list, for bounds that Alpaca does not take together with an id.
    """

    longest_page: int
    tie: Callable[[AnyItem], object] | None
    is_within: Callable[[AnyItem], bool]


async def read_page(listing: Listing[Item], ask: Ask[Item], place: Place, *, limit: int) -> Page[Item]:
    """The next `limit` items from `place` on, by one call of `ask(how many, beyond which id)`.

    Raises RepeatedPage if Alpaca gives again what it gave, and what `ask` raises.
    """
    wanted = min(listing.longest_page, len(place.given) + limit + 1)
    found = await ask(wanted, place.beyond)
    _refuse_repetition(found, place)
    within = [item for item in found if place.beyond is None or listing.is_within(item)]
    fresh = [item for item in within if mark(item.id) not in place.given]
    items = fresh[:limit]
    has_ended = len(found) < wanted or within[-1:] != list(found[-1:])
    if has_ended and len(items) == len(fresh):
        return Page(items, None)
    if not items:
        raise RepeatedPage
    seen = found[: found.index(items[-1]) + 1]
    return Page(items, _behind(seen, found, listing, place))


def mark(item_id: str) -> bytes:
    """A short mark of an item, for a cursor that has to remember many. Ids themselves may begin alike."""
    return blake2b(item_id.encode(), digest_size=MARK_BYTES).digest()


def _refuse_repetition(found: Sequence[Listed], place: Place) -> None:
    ids = {item.id for item in found}
    if len(ids) < len(found) or not ids.isdisjoint({place.beyond, place.milestone}):
        raise RepeatedPage


def _behind(seen: Sequence[Item], found: Sequence[Item], listing: Listing[Item], place: Place) -> Place:
    if listing.tie is None:
        return _turned(place, seen[-1].id, frozenset())
    ties = [listing.tie(item) for item in seen]
    # What comes next may share the moment of the last one, or, if that is not known, of the last one that is.
    last = next((tie for tie in reversed(ties) if tie is not None), None)
    whole = next((index for index in range(len(ties), 0, -1) if ties[index - 1] not in {last, None}), 0)
    # From the start of a list, new items may have come in before those that were given.
    still_given = place.given if place.beyond is None else place.given & {mark(item.id) for item in found}
    given = (still_given | {mark(item.id) for item in seen}) - {mark(item.id) for item in seen[:whole]}
    if len(given) >= listing.longest_page:  # of one moment: nothing is left but to trust the id
        return _turned(place, seen[-1].id, frozenset())
    return _turned(place, seen[whole - 1].id, given) if whole else replace(place, given=given)


def _turned(place: Place, beyond: str, given: frozenset[bytes]) -> Place:
    turns = place.turns + 1
    is_milestone = turns & (turns - 1) == 0
    return Place(beyond, given, beyond if is_milestone else place.milestone, turns)
