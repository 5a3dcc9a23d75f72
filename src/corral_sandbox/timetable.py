"""Lets happen in time what is due in the accounts that have open orders; the others cost nothing."""

import asyncio
from decimal import localcontext
from heapq import heappop, heappush
from itertools import count

from corral_sandbox.book import Book
from corral_sandbox.clock import Clock
from corral_sandbox.ledger import EXACT


class Timetable:
    """Books by when something is next due in them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: list[tuple[int, int, Book]] = []
        self._soonest: dict[Book, int] = {}
        self._numbers = count()
        self._soonest_changed = asyncio.Event()

    def enter(self, book: Book) -> None:
        """To be called whenever something new is due in a book. What is due later than its soonest can wait."""
        due = book.next_due
        if due is None or due >= self._soonest.get(book, due + 1):
            return
        if not self._entries or due < self._entries[0][0]:
            self._soonest_changed.set()
        self._soonest[book] = due
        heappush(self._entries, (due, next(self._numbers), book))

    async def keep(self) -> None:
        """Runs until it is cancelled."""
        while True:
            self._soonest_changed.clear()
            self._advance()
            if not self._entries:
                await self._soonest_changed.wait()
            else:
                await self._sleep_until(self._entries[0][0])

    def _advance(self) -> None:
        now = self._clock.now()
        while self._entries and self._entries[0][0] <= now:
            due, _, book = heappop(self._entries)
            if self._soonest.get(book) != due:
                continue
            del self._soonest[book]
            with localcontext(EXACT):
                book.advance(now)
            self.enter(book)

    async def _sleep_until(self, due: int) -> None:
        """Until then, or until something is due sooner."""
        ends = [
            asyncio.ensure_future(self._clock.sleep_until(due)),
            asyncio.ensure_future(self._soonest_changed.wait()),
        ]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
