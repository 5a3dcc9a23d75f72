"""Looks through an account's orders over REST, one page at a time, for what the socket did not tell."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, final

from corral.alpaca.orders import MOST_ORDERS, Order, OrderQuery, OrderStatusFilter
from corral.live.events import GAP, News
from corral.live.ledgers import OrderLedger, submitted_at

MOST_PAGES: Final = 10  # 5,000 orders; what is older than those and still open is beyond reach


@final
class OrderWalk:
    """The newest orders first, back to the oldest that may have changed. The first walk of all tells nothing."""

    __slots__ = ("_beyond", "_is_first", "_ledger", "_newest", "_pages", "_query", "is_done")

    def __init__(self, ledger: OrderLedger) -> None:
        look_back_to = ledger.look_back_to()
        self._ledger = ledger
        self._is_first = look_back_to is None
        self._query = OrderQuery(status=OrderStatusFilter.ALL, after=_a_second_before(look_back_to))
        self._beyond: str | None = None
        self._newest = ""
        self._pages = 0
        self.is_done = False

    @property
    def question(self) -> tuple[OrderQuery, str | None]:
        """Which orders, and beyond which."""
        return self._query, self._beyond

    def take(self, page: Sequence[Order]) -> list[News]:
        """What is news in the answer to that question."""
        self._pages += 1
        if page:
            self._newest = max(self._newest, submitted_at(page[0]))
            self._beyond = page[-1].id
        news = self._learn(page)
        has_more = len(page) == MOST_ORDERS
        if has_more and self._pages < MOST_PAGES and self._reaches_on(page[-1]):
            return news
        self.is_done = True
        self._ledger.raise_floor(self._newest or "0")
        is_cut_off = has_more and self._pages == MOST_PAGES and not self._is_first
        return [*news, GAP] if is_cut_off else news

    def _learn(self, page: Sequence[Order]) -> list[News]:
        if not self._is_first:
            return self._ledger.reconcile(page)
        self._ledger.begin(page)
        return []

    def _reaches_on(self, last: Order) -> bool:
        """Whether older orders may have news. Of the first walk's later pages only those that are open matter."""
        if self._is_first:
            self._query = OrderQuery(status=OrderStatusFilter.OPEN)
            return True
        return self._query.after is None or submitted_at(last) > self._query.after


def _a_second_before(moment: str | None) -> str | None:
    """Alpaca leaves out what was submitted at the very moment that it is given."""
    if not moment or len(moment) < len(_SECOND):
        return None
    second = datetime.fromisoformat(moment[: len(_SECOND)]) - timedelta(seconds=1)
    return f"{second.isoformat()}Z"


_SECOND: Final = "YYYY-MM-DDTHH:MM:SS"
