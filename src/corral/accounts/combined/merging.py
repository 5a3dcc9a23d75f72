"""Merges the lists of several accounts by time, page by page, so that nothing is given twice and nothing is lost.

A merged list stands at a time: that of the last item given. Each account continues behind its own last item. One
without such a place continues at that time: one that had nothing to give yet, one that was added, and one that failed
on an earlier page. What such an account had before is missed, and `Progress.skipped` names it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import merge
from typing import Final, Generic, Self, TypeVar
from uuid import UUID

from corral.alpaca.errors import RepeatedPage
from corral.alpaca.items import UnreadableItem
from corral.alpaca.paging import MOST_CALLS, Ask, Direction, Listed, Listing, Page, Place, mark, place_behind, read_page

Item = TypeVar("Item", bound=Listed)

# Of one account for one page. More than one is needed where many items lie close to the time at which it continues.
_MOST_CALLS_TO_JOIN: Final = 20


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a merged list has been given.

    `at` is the time of the last item, as `alpaca.fields.instant` writes it, and None at the start; `given` are the
    marks of the items given with exactly this time. `places` is where accounts continue; `ended` have no more.
    """

    at: str | None = None
    given: frozenset[bytes] = frozenset()
    places: Mapping[UUID, Place] = field(default_factory=dict[UUID, Place])
    ended: frozenset[UUID] = frozenset()
    skipped: frozenset[UUID] = frozenset()


@dataclass(frozen=True, slots=True)
class Source(Generic[Item]):
    """One account's list in one direction.

    `ask_from` returns how a page is asked for: from the start of the list for None, or from about a time on, as
    `Progress.at` has it. It may then return items from before this time, but it has to return all from behind it.
    """

    listing: Listing[Item | UnreadableItem]
    ask_from: Callable[[str | None], Ask[Item | UnreadableItem]]


TimeOf = Callable[[Item | UnreadableItem], str | None]
"""Returns the time by which an item is listed, in UTC; None if it is unknown."""


@dataclass(frozen=True, slots=True)
class MergedEntry(Generic[Item]):
    credential_id: UUID
    entry: Item | UnreadableItem


@dataclass(frozen=True, slots=True)
class MergedPage(Generic[Item]):
    """`goes_on` is None if no account that could be read has more. A page that is not the last may be short or empty,
    as that of one list (`paging.Page`).
    `taken` is how many of each account's items were passed.
    """

    entries: tuple[MergedEntry[Item], ...]
    goes_on: Progress | None
    taken: Mapping[UUID, int]


@dataclass(frozen=True, slots=True)
class _Stretch(Generic[Item]):
    """What one call found, and from where on. The page has the items that are not picked, too."""

    place: Place
    found: Sequence[Item | UnreadableItem]
    page: Page[Item | UnreadableItem]


@dataclass(frozen=True, slots=True)
class _Ahead(Generic[Item]):
    entry: Item | UnreadableItem
    key: str
    stretch: _Stretch[Item]
    index: int  # in the page of the stretch
    is_picked: bool


@dataclass(frozen=True, slots=True)
class ReadAhead(Generic[Item]):
    """The next items of one account: enough for a page, or all."""

    listing: Listing[Item | UnreadableItem]
    ahead: tuple[_Ahead[Item], ...]
    goes_on: Place | None

    def rest(self, taken: int) -> Self:
        """Returns what is left after so many items."""
        return replace(self, ahead=self.ahead[taken:])


@dataclass(frozen=True, slots=True)
class Merging(Generic[Item]):
    """How lists of one kind are merged."""

    time_of: TimeOf[Item]
    direction: Direction

    async def read_ahead(
        self, source: Source[Item], credential_id: UUID, progress: Progress, *, limit: int
    ) -> ReadAhead[Item]:
        """Reads at least the account's next `limit` items. Raises RepeatedPage, and what the source raises."""
        place = progress.places.get(credential_id)
        joins_at = progress.at if place is None else None
        joins_at = None if joins_at == self._start else joins_at
        stretches: list[_Stretch[Item]] = []
        ahead: list[_Ahead[Item]] = []
        goes_on: Place | None = place or Place()
        most = MOST_CALLS if place else _MOST_CALLS_TO_JOIN
        while goes_on is not None and sum(one.is_picked for one in ahead) < limit and len(stretches) < most:
            stretch = await _find(source, goes_on, limit=limit, near=joins_at)
            stretches.append(stretch)
            found = self._ahead(stretches, source.listing, progress, joins=place is None)
            # Behind its place, an account has nothing that was given, whatever its times are.
            ahead = found if place else [one for one in found if not self._was_given(one, credential_id, progress)]
            goes_on = stretch.page.goes_on
        if goes_on is not None and not ahead:
            raise RepeatedPage
        return ReadAhead(source.listing, tuple(ahead), goes_on)

    def merge(self, read: Mapping[UUID, ReadAhead[Item]], progress: Progress, *, limit: int) -> MergedPage[Item]:
        """Returns the next `limit` items of the accounts that could be read.

        It ends early only behind the last item that is known of an account with more. Accounts that are neither `read`
        nor ended continue later at the time that is reached now.
        """
        taken = dict.fromkeys(read, 0)
        entries: list[MergedEntry[Item]] = []
        at, given = progress.at, {*progress.given}
        for key, credential_id, one in self._in_order(read):
            if len(entries) == limit:
                break
            if key != at:
                at, given = key, set[bytes]()
            if one.is_picked:
                entries.append(MergedEntry(credential_id, one.entry))
                given.add(_mark(credential_id, one.entry))
            taken[credential_id] += 1
            account = read[credential_id]
            if taken[credential_id] == len(account.ahead) and account.goes_on is not None:
                break
        left = {credential_id: _left(account, taken[credential_id]) for credential_id, account in read.items()}
        if all(place is None for place in left.values()):
            return MergedPage(tuple(entries), None, taken)
        return MergedPage(
            tuple(entries),
            Progress(
                at=at,
                given=frozenset(given),
                places={one: place for one, place in left.items() if place is not None and place.beyond is not None},
                ended=progress.ended | {one for one, place in left.items() if place is None},
                skipped=progress.skipped,
            ),
            taken,
        )

    def _in_order(self, read: Mapping[UUID, ReadAhead[Item]]) -> Iterable[tuple[str, UUID, _Ahead[Item]]]:
        """By time; items of the same time by account, so that the order of the accounts does not matter."""
        lists = [[(one.key, credential_id, one) for one in read[credential_id].ahead] for credential_id in sorted(read)]
        return merge(*lists, key=lambda item: item[0], reverse=self._descends)

    def _ahead(
        self,
        stretches: Sequence[_Stretch[Item]],
        listing: Listing[Item | UnreadableItem],
        progress: Progress,
        *,
        joins: bool,
    ) -> list[_Ahead[Item]]:
        """An item whose time is unknown has that of the one before it."""
        key = self._start if joins or progress.at is None else progress.at
        ahead: list[_Ahead[Item]] = []
        for stretch in stretches:
            for index, entry in enumerate(stretch.page.items):
                at = self.time_of(entry)
                key = key if at is None else self._later_in_list(key, at)
                ahead.append(_Ahead(entry, key, stretch, index, listing.picks is None or listing.picks(entry)))
        return ahead

    def _was_given(self, one: _Ahead[Item], credential_id: UUID, progress: Progress) -> bool:
        """Also whether it was missed: it is listed before the time at which the merged list stands."""
        if one.key == progress.at:
            return _mark(credential_id, one.entry) in progress.given
        return progress.at is not None and self._is_before(one.key, progress.at)

    @property
    def _descends(self) -> bool:
        return self.direction is Direction.DESCENDING

    @property
    def _start(self) -> str:
        """Is before every time in the list."""
        return "~" if self._descends else ""

    def _later_in_list(self, key: str, at: str) -> str:
        return min(key, at) if self._descends else max(key, at)

    def _is_before(self, key: str, at: str) -> bool:
        return key > at if self._descends else key < at


def _mark(credential_id: UUID, entry: Listed) -> bytes:
    return mark(f"{credential_id} {entry.id}")


async def _find(source: Source[Item], place: Place, *, limit: int, near: str | None) -> _Stretch[Item]:
    found: Sequence[Item | UnreadableItem] = ()

    async def ask(wanted: int, beyond: str | None) -> Sequence[Item | UnreadableItem]:
        nonlocal found
        found = await source.ask_from(near)(wanted, beyond)
        return found

    # What is not picked is read over here, so that the list also gets on where nothing is picked for long.
    most = source.listing.longest_page if source.listing.picks else limit
    page = await read_page(replace(source.listing, picks=None), ask, place, limit=most)
    return _Stretch(place, found, page)


def _left(account: ReadAhead[Item], taken: int) -> Place | None:
    """Returns the place in front of the account's next item; None if it has no more."""
    if taken == len(account.ahead):
        return account.goes_on
    following = account.ahead[taken]
    stretch = following.stretch
    if not following.index:
        return stretch.place
    return place_behind(stretch.page.items[following.index - 1], stretch.found, account.listing, stretch.place)
