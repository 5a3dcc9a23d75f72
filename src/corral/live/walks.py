"""Looks through an account's orders over REST, one page at a time, for what the socket did not tell."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, final

from corral.alpaca.items import UnreadableItem, count_unreadable, readable
from corral.alpaca.orders import Order, OrderQuery, OrderStatusFilter
from corral.alpaca.paging import Page, Place
from corral.live.events import GAP, News
from corral.live.ledgers import OrderLedger, submitted_at

MOST_PAGES: Final = 10  # of 500 orders; what is older than those and still open is beyond reach
_SECOND: Final = "YYYY-MM-DDTHH:MM:SS"


@final
class OrderWalk:
    """The newest orders first, back to the oldest that may have changed.

    The first walk of all tells nothing: it takes in the newest page, and what is open beyond it. One that looks for
    corrections goes back to all orders of whose fills was told. `unreadable` counts the orders that were left out.
    """

    __slots__ = (
        "_goal", "_is_first", "_ledger", "_newest", "_oldest", "_pages", "is_done", "place", "query", "unreadable",
    )  # fmt: skip

    def __init__(self, ledger: OrderLedger, *, for_corrections: bool = False) -> None:
        self._goal = ledger.look_back_to()
        look_back_to = ledger.look_back_for_corrections_to() if for_corrections else self._goal
        self.query = OrderQuery(status=OrderStatusFilter.ALL, after=_a_second_before(look_back_to))
        self.place = Place()
        self.is_done = False
        self._is_first = look_back_to is None
        self._ledger = ledger
        self._newest = self._oldest = ""
        self._pages = 0
        self.unreadable = 0

    def take(self, page: Page[Order | UnreadableItem]) -> list[News]:
        """What is news on the page that was asked for."""
        orders = readable(page.items)
        self._pages += 1
        self.unreadable += count_unreadable(page.items)
        moments = [moment for moment in map(submitted_at, orders) if moment]
        self._newest = max([self._newest, *moments])
        self._oldest = min(moments, default=self._oldest)
        news = self._learn(orders)
        if page.goes_on is not None and self._pages < MOST_PAGES:
            self._turn(page.goes_on)
            return news
        self.is_done = True
        is_cut_off = page.goes_on is not None and not self._is_first and self._oldest > (self._goal or "")
        if not self.unreadable or is_cut_off:  # else the next walk comes by again: perhaps it can be read then
            self._ledger.raise_floor(self._newest or "0")
        return [*news, GAP] if is_cut_off else news

    def _learn(self, orders: Sequence[Order]) -> list[News]:
        if not self._is_first:
            return self._ledger.reconcile(orders)
        self._ledger.begin(orders)
        return []

    def _turn(self, place: Place) -> None:
        if self._is_first and self.query.status is OrderStatusFilter.ALL:
            self.query, self.place = OrderQuery(status=OrderStatusFilter.OPEN), Place()
        else:
            self.place = place


def _a_second_before(moment: str | None) -> str | None:
    """Alpaca leaves out what was submitted at the very moment that it is given."""
    if moment is None or len(moment) < len(_SECOND):
        return None
    second = datetime.fromisoformat(moment[: len(_SECOND)]) - timedelta(seconds=1)
    return f"{second.isoformat()}Z"
