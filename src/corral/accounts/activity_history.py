"""The newest activities of an account, as far back as a bounded number of calls reaches.

Alpaca cannot filter activities by symbol, so all pages of positions of an account share one walk through them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final
from uuid import UUID

from pydantic import BaseModel

from corral.accounts.cache import Answer
from corral.accounts.reader import AccountReader
from corral.alpaca.activities import MOST_ACTIVITIES, Activity, ActivityQuery, TradeActivity
from corral.alpaca.items import UnreadableItem
from corral.alpaca.paging import Place
from corral.credentials.reader import OpenCredential, Purpose

MOST_PAGES: Final = 10
KEEP_SECONDS: Final = 300.0
_HISTORY: Final = Purpose("history", leaves=50)  # of 200, so that balances and orders are not held up
_QUERY: Final = ActivityQuery()


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """An activity without the fields that lots do not need; `qty` is negative for what was sold.

    `at` is the time of a trade, or the booking time of anything else, if Alpaca says it; `day` is its settlement date.
    """

    id: str
    activity_type: str
    at: str | None
    day: str | None
    symbol: str | None
    qty: str | None
    price: str | None
    net_amount: str | None
    currency: str | None
    status: str | None
    order_id: str | None


class ActivityHistory(BaseModel):
    """`items` are newest first. `is_whole` says whether they reach back to the first activity of the account.

    `unreadable` are the symbols of further activities that can't be read, or None for one without a symbol.
    """

    items: list[HistoryItem]
    unreadable: list[str | None]
    is_whole: bool


async def read_activity_history(user_id: UUID, credential_id: UUID, accounts: AccountReader) -> Answer[ActivityHistory]:
    """Returns the current activities: the newest page is new, older ones are shared for minutes. Raises a Problem."""
    return Answer(await _history(await accounts.open(user_id, credential_id, _HISTORY), accounts))


async def _history(credential: OpenCredential, accounts: AccountReader) -> ActivityHistory:
    newest = await _walked(credential, accounts, "newest activities", pages=1)
    if newest.is_whole:
        return newest
    older = await _walked(credential, accounts, "activities", pages=MOST_PAGES, keep_seconds=KEEP_SECONDS)
    joined = _join(newest, older)
    if joined is None:
        question = f"activities up to {newest.items[0].id}"
        older = await _walked(credential, accounts, question, pages=MOST_PAGES, keep_seconds=KEEP_SECONDS)
        joined = _join(newest, older)
    return joined or newest


async def _walked(
    credential: OpenCredential, accounts: AccountReader, question: str, *, pages: int, keep_seconds: float | None = None
) -> ActivityHistory:
    fetch = partial(_walk, credential, accounts, pages)
    return (await accounts.shared(credential, question, fetch, keep_seconds=keep_seconds)).value


async def _walk(credential: OpenCredential, accounts: AccountReader, pages: int) -> Answer[ActivityHistory]:
    items: list[HistoryItem] = []
    unreadable: list[str | None] = []
    place: Place | None = Place()
    while place is not None and pages:
        page = await accounts.activities(credential, _QUERY, place, limit=MOST_ACTIVITIES)
        items += [_item(entry) for entry in page.items if not isinstance(entry, UnreadableItem)]
        unreadable += _symbols_of_unreadable(page.items)
        place, pages = page.goes_on, pages - 1
    return Answer(ActivityHistory(items=items, unreadable=unreadable, is_whole=place is None))


def _join(newest: ActivityHistory, older: ActivityHistory) -> ActivityHistory | None:
    """Returns None if activities between them may be missing."""
    begins = older.items[0].id if older.items else None
    at = next((index for index, item in enumerate(newest.items) if item.id == begins), None)
    if at is None:
        return None
    unreadable = list(dict.fromkeys([*newest.unreadable, *older.unreadable]))
    return ActivityHistory(items=newest.items[:at] + older.items, unreadable=unreadable, is_whole=older.is_whole)


def _symbols_of_unreadable(entries: Sequence[Activity | UnreadableItem]) -> list[str | None]:
    symbols = [entry.cells.get("symbol") for entry in entries if isinstance(entry, UnreadableItem)]
    return [symbol if isinstance(symbol, str) else None for symbol in symbols]


def _item(activity: Activity) -> HistoryItem:
    if isinstance(activity, TradeActivity):
        qty = activity.qty if activity.side.startswith("buy") else _negated(activity.qty)
        return HistoryItem(
            activity.id, activity.activity_type, activity.transaction_time, None, activity.symbol, qty,
            activity.price, None, None, None, activity.order_id,
        )  # fmt: skip
    return HistoryItem(
        activity.id, activity.activity_type, activity.created_at, activity.date, activity.symbol, activity.qty,
        activity.price, activity.net_amount, activity.currency, activity.status, None,
    )  # fmt: skip


def _negated(amount: str) -> str:
    return amount.removeprefix("-") if amount.startswith("-") else f"-{amount}"
