"""The newest activities of an account, page by page, with older pages kept for a while."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from corral.accounts.activity_history import MOST_PAGES, ActivityHistory, read_activity_history
from corral.accounts.cache import Answer
from corral.alpaca.activities import TradeActivity
from corral.alpaca.paging import Page, Place

if TYPE_CHECKING:
    from corral.accounts.reader import AccountReader


class Listing:
    """In place of an AccountReader: `count` fills, newest first. Answers with `keep_seconds` are kept for good."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.pages = 0
        self._kept: dict[str, Answer[ActivityHistory]] = {}

    async def open(self, *_: object) -> None:
        return None

    async def shared(
        self,
        _: object,
        question: str,
        fetch: Callable[[], Awaitable[Answer[ActivityHistory]]],
        *,
        keep_seconds: float | None,
    ) -> Answer[ActivityHistory]:
        if keep_seconds is None:
            return await fetch()
        if question not in self._kept:
            self._kept[question] = await fetch()
        return self._kept[question]

    async def activities(self, _: object, __: object, place: Place, *, limit: int) -> Page[TradeActivity]:
        self.pages += 1
        start = int(place.beyond) if place.beyond else self.count
        numbers = range(start - 1, max(start - 1 - limit, -1), -1)
        return Page([_fill(number) for number in numbers], Place(str(numbers[-1])) if numbers[-1] else None)

    async def read(self) -> ActivityHistory:
        return (await read_activity_history(uuid4(), uuid4(), cast("AccountReader", self))).value


def _fill(number: int) -> TradeActivity:
    blank: dict[str, Any] = dict.fromkeys(("type", "cum_qty", "leaves_qty", "order_id", "order_status"))
    return TradeActivity(
        **blank, id=str(number), activity_type="FILL", transaction_time="2026-11-24T15:00:00Z", side="sell",
        symbol="AAPL", qty="1", price="2",
    )  # fmt: skip


async def test_a_short_history_is_one_page() -> None:
    listing = Listing(40)
    history = await listing.read()
    assert (len(history.items), history.is_whole, listing.pages) == (40, True, 1)
    assert {item.qty for item in history.items} == {"-1"}


async def test_new_activities_are_joined_to_the_pages_that_are_kept() -> None:
    listing = Listing(250)
    assert [item.id for item in (await listing.read()).items] == [str(number) for number in range(249, -1, -1)]
    listing.count, listing.pages = 255, 0
    history = await listing.read()
    assert [item.id for item in history.items] == [str(number) for number in range(254, -1, -1)]
    assert (history.is_whole, listing.pages) == (True, 1)


async def test_older_pages_are_read_again_when_they_no_longer_meet_the_newest() -> None:
    listing = Listing(250)
    await listing.read()
    listing.count = 600
    assert len((await listing.read()).items) == 600


async def test_a_long_history_ends_after_a_number_of_pages_and_says_so() -> None:
    listing = Listing(5_000)
    history = await listing.read()
    assert (len(history.items), history.is_whole) == (100 * MOST_PAGES, False)
    assert listing.pages == 1 + MOST_PAGES
