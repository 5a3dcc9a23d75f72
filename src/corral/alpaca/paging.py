"""Pages through Alpaca's lists so that no item is lost or repeated.

Alpaca continues after an item with a given id. For orders, the documentation says: those submitted before the one
with this id. The orders of a group are submitted at the same time, so with an id from the middle of a group the rest
of it may be lost or not; that is not documented. Therefore the id is always that of the last item with another
timestamp, and items after it that were already returned are left out.

A filter that Alpaca does not have is applied here (`Listing.picks`). Then a page takes several calls, up to a limit.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import blake2b
from typing import Final, Generic, Protocol, TypeVar

from corral.alpaca.errors import RepeatedPage

MARK_BYTES: Final = 6  # two of 500 collide once in two billion times
MOST_CALLS: Final = 4  # for a page with items that Alpaca can't filter


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
    """A position in a list: after the item `beyond`, or at the start, without the items whose marks are in `given`.

    `milestone` is one of the earlier `beyond` ids, at growing distances, and must never appear again (Brent's
    cycle detection). `turns` counts the pages so far.
    """

    beyond: str | None = None
    given: frozenset[bytes] = frozenset()
    milestone: str | None = None
    turns: int = 0


@dataclass(frozen=True, slots=True)
class Page(Generic[AnyItem]):
    """`goes_on` is None on the last page.

    A page that is not the last may be empty: if the next one is the last, or if none of many items was picked.
    """

    items: Sequence[AnyItem]
    goes_on: Place | None


@dataclass(frozen=True, slots=True)
class Listing(Generic[AnyItem]):
    """One of Alpaca's lists, with at most `longest_page` items on a page.

    `tie` returns equal values for items that may have the same time, and None for an item whose time is unknown. It is
    None itself if an id alone defines where to continue.
    `is_within` applies the bounds that Alpaca does not accept together with an id. `picks` is a filter that Alpaca does
    not have.
    """

    longest_page: int
    tie: Callable[[AnyItem], object] | None
    is_within: Callable[[AnyItem], bool]
    picks: Callable[[AnyItem], bool] | None = None


async def read_filtered_page(listing: Listing[Item], ask: Ask[Item], place: Place, *, limit: int) -> Page[Item]:
    """Like `read_page`, with several calls for a listing that picks. Then a page may have fewer items than `limit`."""
    items: list[Item] = []
    for _ in range(MOST_CALLS if listing.picks else 1):
        page = await read_page(listing, ask, place, limit=limit - len(items))
        items += page.items
        if page.goes_on is None or len(items) == limit:
            return Page(items, page.goes_on)
        place = page.goes_on
    return Page(items, place)


async def read_page(listing: Listing[Item], ask: Ask[Item], place: Place, *, limit: int) -> Page[Item]:
    """Returns the next `limit` items from `place` on, by one call of `ask(how many, beyond which id)`.

    Raises RepeatedPage if Alpaca repeats items, and what `ask` raises.
    """
    wanted = listing.longest_page if listing.picks else min(listing.longest_page, len(place.given) + limit + 1)
    found = await ask(wanted, place.beyond)
    _refuse_repetition(found, place)
    within = [item for item in found if place.beyond is None or listing.is_within(item)]
    fresh = [item for item in within if mark(item.id) not in place.given]
    passed = _up_to_limit(fresh, listing, limit)
    items = [item for item in passed if listing.picks is None or listing.picks(item)]
    has_ended = len(found) < wanted or within[-1:] != list(found[-1:])
    if has_ended and len(passed) == len(fresh):
        return Page(items, None)
    if not passed:
        raise RepeatedPage
    return Page(items, place_behind(passed[-1], found, listing, place))


def mark(item_id: str) -> bytes:
    """A short hash of an item's id, for a cursor that contains many. Ids themselves may have the same prefix."""
    return blake2b(item_id.encode(), digest_size=MARK_BYTES).digest()


def _up_to_limit(fresh: Sequence[Item], listing: Listing[Item], limit: int) -> Sequence[Item]:
    """Returns the items up to the last one that fits on the page, including those that are not picked."""
    if listing.picks is None:
        return fresh[:limit]
    picked = [index for index, item in enumerate(fresh) if listing.picks(item)]
    return fresh if len(picked) < limit else fresh[: picked[limit - 1] + 1]


def _refuse_repetition(found: Sequence[Listed], place: Place) -> None:
    ids = {item.id for item in found}
    if len(ids) < len(found) or not ids.isdisjoint({place.beyond, place.milestone}):
        raise RepeatedPage


def place_behind(item: Item, found: Sequence[Item], listing: Listing[Item], place: Place) -> Place:
    """Returns where the list continues behind `item`, which is one of those that a call `found` from `place` on."""
    seen = found[: found.index(item) + 1]
    if listing.tie is None:
        return _turned(place, seen[-1].id, frozenset())
    ties = [listing.tie(item) for item in seen]
    # The next item may have the same time as the last one, or, if that is unknown, as the last one with a known time.
    last = next((tie for tie in reversed(ties) if tie is not None), None)
    whole = next((index for index in range(len(ties), 0, -1) if ties[index - 1] not in {last, None}), 0)
    # At the start of a list, new items may have been added before those already returned.
    still_given = place.given if place.beyond is None else place.given & {mark(item.id) for item in found}
    given = (still_given | {mark(item.id) for item in seen}) - {mark(item.id) for item in seen[:whole]}
    if len(given) >= listing.longest_page:  # all have the same time, so only the id can be used
        return _turned(place, seen[-1].id, frozenset())
    return _turned(place, seen[whole - 1].id, given) if whole else replace(place, given=given)


def _turned(place: Place, beyond: str, given: frozenset[bytes]) -> Place:
    turns = place.turns + 1
    is_milestone = turns & (turns - 1) == 0
    return Place(beyond, given, beyond if is_milestone else place.milestone, turns)
