"""Merged lists have every item once and in order, wherever pages end and whichever accounts come, go or fail."""

import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corral.accounts.combined.cursors import LONGEST_CURSOR, read_progress, write_progress
from corral.accounts.combined.lists import read_merged
from corral.accounts.combined.merging import Merging, Progress, Source
from corral.accounts.reader import AccountReader
from corral.alpaca.errors import Fault
from corral.alpaca.items import UnreadableItem
from corral.alpaca.orders import OrderQuery
from corral.alpaca.paging import Ask, Direction, Listing, Place, mark
from corral.credentials.reader import OpenCredential
from corral.errors import InvalidRequest
from tests.accounts.merged_accounts import account, account_id, reader

LONGEST_PAGE = 5  # of the Alpaca in these tests
SLACK = 2  # seconds around a time, for which it returns items, too


@dataclass(frozen=True, slots=True)
class Item:
    id: str
    at: int | None  # seconds
    is_picked: bool = True

    @property
    def time(self) -> str | None:
        return None if self.at is None else _time(self.at)


def _time(at: int) -> str:
    return f"2026-11-24T{at // 3600:02}:{at // 60 % 60:02}:{at % 60:02}.000000000"


@dataclass
class Alpaca:
    """What each account holds, and which of them fail at the moment. `by_time` pages as for orders, else by id."""

    accounts: dict[UUID, list[Item]]
    direction: Direction = Direction.DESCENDING
    by_time: bool = False
    picks: Callable[[object], bool] | None = None
    failing: set[UUID] = field(default_factory=set[UUID])
    calls: int = 0

    @property
    def accounts_reader(self) -> AccountReader:
        return reader(self.failing.__contains__)

    def in_order(self, credential_id: UUID) -> list[Item]:
        """Items of the same time in the order of their ids; one without a time stays behind the one before it."""
        listed = self.accounts[credential_id]
        return listed[::-1] if self.direction is Direction.ASCENDING else listed


@dataclass(frozen=True, slots=True)
class Lists:
    alpaca: Alpaca

    @property
    def query(self) -> OrderQuery:
        return OrderQuery(direction=self.alpaca.direction)

    @property
    def accounts(self) -> AccountReader:
        return self.alpaca.accounts_reader

    @property
    def merging(self) -> Merging[Item]:
        return Merging(_time_of, self.alpaca.direction)

    def source(self, credential: OpenCredential) -> Source[Item]:
        listed = self.alpaca.in_order(credential.stored.id)
        tie = _time_of if self.alpaca.by_time else None
        listing: Listing[Item | UnreadableItem] = Listing(LONGEST_PAGE, tie, lambda _: True, self.alpaca.picks)
        return Source(listing, lambda near: self._ask(listed, near))

    def response(self, item: Item) -> Item:
        return item

    def _ask(self, listed: Sequence[Item], near: str | None) -> Ask[Item | UnreadableItem]:
        async def ask(wanted: int, beyond: str | None) -> Sequence[Item]:
            assert 1 <= wanted <= LONGEST_PAGE
            self.alpaca.calls += 1
            if beyond is not None:
                start = 1 + next(index for index, item in enumerate(listed) if item.id == beyond)
                return listed[start : start + wanted]
            return [item for item in listed if near is None or self._is_near(item, near)][:wanted]

        return ask

    def _is_near(self, item: Item, near: str) -> bool:
        if item.at is None:
            return True
        at = int(near[11:13]) * 3600 + int(near[14:16]) * 60 + int(near[17:19])
        return item.at <= at + SLACK if self.alpaca.direction is Direction.DESCENDING else item.at >= at - SLACK


def _time_of(item: Item | UnreadableItem) -> str | None:
    return None if isinstance(item, UnreadableItem) else item.time


@dataclass
class Reading:
    """All pages of a merged list, with the accounts that failed meanwhile."""

    alpaca: Alpaca
    pages: list[list[tuple[UUID, Item]]] = field(default_factory=list[list[tuple[UUID, Item]]])
    missed_at: dict[UUID, str | None] = field(default_factory=dict[UUID, "str | None"])
    progress: Progress | None = field(default_factory=Progress)

    async def turn(self, limit: int, failing: Iterable[UUID] = ()) -> None:
        """Reads the next page by the cursor of the last one."""
        assert self.progress is not None
        numbers = [account(_number(one)) for one in self.alpaca.accounts]
        cursor = write_progress(self.progress, "bond")
        assert len(cursor) <= LONGEST_CURSOR
        progress = read_progress(cursor, "bond", [one.sealed.id for one in numbers])
        self.alpaca.failing = {*failing}
        page, found = await read_merged(numbers, Lists(self.alpaca), progress, limit=limit)
        self.pages.append([(one.credential_id, one.entry) for one in page.entries if isinstance(one.entry, Item)])
        self.progress = page.goes_on
        for problem in found.problems:
            self.missed_at[problem.credential_id] = page.goes_on and page.goes_on.at

    async def turn_to_the_end(self, limit: int) -> None:
        while self.progress is not None:
            await self.turn(limit)

    @property
    def items(self) -> list[tuple[UUID, Item]]:
        return [item for page in self.pages for item in page]


def _number(credential_id: UUID) -> int:
    return (credential_id.int >> 100) - 1


def _accounts(times: Iterable[Sequence[int | None]]) -> dict[UUID, list[Item]]:
    """The newest first. Ids are those of one account: others may have the same."""
    held: dict[UUID, list[Item]] = {}
    for number, of_account in enumerate(times):
        listed: list[int | None] = [*sorted((at for at in of_account if at is not None), reverse=True)]
        for index, at in enumerate(of_account):
            if at is None:
                listed.insert(min(index, len(listed)), None)
        held[account_id(number)] = [Item(str(index), at) for index, at in enumerate(listed)]
    return held


_TIMES = st.lists(st.lists(st.integers(0, 30), max_size=14), max_size=4)
_SOME_UNKNOWN = st.lists(st.lists(st.none() | st.integers(0, 30), max_size=14), max_size=4)
BY_TIME = "by time"  # as orders are; activities are by the id alone
_PAGING = st.sampled_from([BY_TIME, "by id"])
_LIMITS = st.lists(st.integers(1, 8), min_size=1, max_size=5)


@settings(max_examples=80)
@given(_SOME_UNKNOWN, _LIMITS, st.sampled_from(Direction), _PAGING)
async def test_pages_have_every_item_once_and_in_order(
    times: list[list[int | None]], limits: list[int], direction: Direction, paging: str
) -> None:
    alpaca = Alpaca(_accounts(times), direction, by_time=paging == BY_TIME)
    reading = Reading(alpaca)
    while reading.progress is not None:
        limit = limits[len(reading.pages) % len(limits)]
        await reading.turn(limit)
        assert len(reading.pages[-1]) <= limit
        assert reading.progress is None or len(reading.pages[-1]) == min(limit, LONGEST_PAGE) or reading.pages[-1]
    for credential_id in alpaca.accounts:
        assert [item for one, item in reading.items if one == credential_id] == alpaca.in_order(credential_id)
    known = [item.at for _, item in reading.items if item.at is not None]
    assert known == sorted(known, reverse=direction is Direction.DESCENDING)


@settings(max_examples=80)
@given(_TIMES, _LIMITS, st.sampled_from(Direction), _PAGING, st.data())
async def test_an_account_that_fails_goes_on_where_the_list_stands(
    times: list[list[int]], limits: list[int], direction: Direction, paging: str, data: st.DataObject
) -> None:
    """It misses only what was listed before, nothing comes twice, and it stays named."""
    alpaca = Alpaca(_accounts(times), direction, by_time=paging == BY_TIME)
    reading = Reading(alpaca)
    while reading.progress is not None:
        failing = data.draw(st.sets(st.sampled_from([*alpaca.accounts]))) if alpaca.accounts else set[UUID]()
        await reading.turn(limits[len(reading.pages) % len(limits)], failing)
        assert reading.progress is None or {*failing} <= reading.progress.skipped | reading.progress.ended
    ids = [(one, item.id) for one, item in reading.items]
    assert len(ids) == len({*ids})
    known = [item.at for _, item in reading.items if item.at is not None]
    assert known == sorted(known, reverse=direction is Direction.DESCENDING)
    for credential_id, held in alpaca.accounts.items():
        missed = [item for item in held if (credential_id, item.id) not in ids]
        if credential_id not in reading.missed_at:
            assert not missed
        elif (at := reading.missed_at[credential_id]) is not None:
            assert all(_is_before(item, at, direction) for item in missed)


def _is_before(item: Item, at: str, direction: Direction) -> bool:
    assert item.time is not None
    return item.time > at if direction is Direction.DESCENDING else item.time < at


@settings(max_examples=40)
@given(_TIMES.filter(any), st.integers(1, 8), st.lists(st.integers(0, 30), max_size=8), _PAGING)
async def test_an_account_that_is_added_joins_where_the_list_stands_and_one_that_is_removed_is_left_out(
    times: list[list[int]], limit: int, of_new: list[int], paging: str
) -> None:
    alpaca = Alpaca(_accounts(times), by_time=paging == BY_TIME)
    reading = Reading(alpaca)
    await reading.turn(limit)
    removed, new = next(iter(alpaca.accounts)), account_id(9)
    at = reading.progress and reading.progress.at
    del alpaca.accounts[removed]
    alpaca.accounts[new] = [Item(f"new-{n}", time) for n, time in enumerate(sorted(of_new, reverse=True))]
    await reading.turn_to_the_end(limit)
    assert all(one != removed for page in reading.pages[1:] for one, _ in page)
    if at is not None:
        later = [item for item in alpaca.accounts[new] if item.time and item.time <= at]
        assert [item for one, item in reading.items if one == new] == later
    for credential_id in alpaca.accounts.keys() - {new}:
        assert [item for one, item in reading.items if one == credential_id] == alpaca.in_order(credential_id)


async def test_a_filter_that_alpaca_does_not_have_leaves_nothing_out() -> None:
    held = {
        account_id(number): [Item(f"{number}-{n}", 3_000 - n, is_picked=n % (7 + number) == 0) for n in range(100)]
        for number in range(3)
    }
    alpaca = Alpaca(held, picks=lambda item: isinstance(item, Item) and item.is_picked)
    reading = Reading(alpaca)
    await reading.turn_to_the_end(4)
    expected = sorted(item.id for items in held.values() for item in items if item.is_picked)
    assert sorted(item.id for _, item in reading.items) == expected


async def test_items_of_one_moment_that_fill_many_pages_come_once() -> None:
    alpaca = Alpaca(_accounts([[5] * 12, [5] * 3, [6, 5, 4]]), by_time=True)
    reading = Reading(alpaca)
    await reading.turn_to_the_end(2)
    assert len(reading.items) == len({(one, item.id) for one, item in reading.items}) == 18


async def test_an_account_with_nothing_to_give_yet_is_not_lost() -> None:
    alpaca = Alpaca(_accounts([list(range(20, 30)), [1]]))
    reading = Reading(alpaca)
    await reading.turn(2)
    assert reading.progress
    assert account_id(1) not in reading.progress.places
    await reading.turn_to_the_end(2)
    assert reading.items[-1] == (account_id(1), Item("0", 1))


async def test_one_call_for_each_account_and_page_is_enough() -> None:
    alpaca = Alpaca(_accounts([list(range(0, 30, 2)), list(range(1, 30, 2))]))
    reading = Reading(alpaca)
    while reading.progress is not None:
        before = alpaca.calls
        await reading.turn(4)
        assert alpaca.calls - before <= 2


def _long_progress(accounts: int) -> Progress:
    order_id = "20220202135509981::2d7be4ff-d1f3-43e9-856a-0f5cf5c5{:04}"
    places = {
        account_id(n): Place(order_id.format(n), frozenset(mark(f"{n}-{m}") for m in range(9)), order_id.format(n), n)
        for n in range(accounts)
    }
    given_now = frozenset(mark(str(n)) for n in range(500))
    return Progress(_time(9), given_now, places, frozenset(), frozenset({account_id(1)}))


@pytest.mark.parametrize("accounts", [1, 30, 100, 200])
def test_a_cursor_fits_into_a_request_line_for_any_number_of_accounts(accounts: int) -> None:
    """Places are what is given up: an account without one goes on at the time of the last item."""
    progress = _long_progress(accounts)
    text = write_progress(progress, "bond")
    assert len(text) <= LONGEST_CURSOR
    read = read_progress(text, "bond", [account_id(n) for n in range(accounts)])
    assert (read.at, read.given, read.skipped) == (progress.at, progress.given, progress.skipped & {*progress.places})
    assert read.places.items() <= progress.places.items()


def test_a_cursor_of_thirty_accounts_has_all_their_places() -> None:
    progress = _long_progress(30)
    small = Progress(progress.at, frozenset(), {one: Place(place.beyond) for one, place in progress.places.items()})
    read = read_progress(write_progress(small, "bond"), "bond", small.places)
    assert read == small


@pytest.mark.parametrize(
    "text", ["", "A", "AA", "é", "Ag", "a" * (LONGEST_CURSOR + 1), write_progress(Progress(), "x")]
)
def test_a_forged_or_foreign_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        read_progress(text, "bond", [])


@given(st.binary(max_size=60))
def test_any_text_is_a_cursor_or_is_refused(data: bytes) -> None:
    whole = write_progress(Progress(_time(3)), "bond")
    head = urlsafe_b64decode(whole + "=" * (-len(whole) % 4))[:9]
    for content in (data, zlib.compress(data)):
        with pytest.raises(InvalidRequest):
            read_progress(urlsafe_b64encode(head + content).decode().rstrip("="), "bond", [])


def test_an_unreadable_item_without_a_time_has_that_of_the_one_before_it() -> None:
    assert _time_of(UnreadableItem("1", {}, {"qty": Fault.NOT_A_NUMBER})) is None
