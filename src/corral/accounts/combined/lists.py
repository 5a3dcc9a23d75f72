"""Orders and activities of all accounts, merged by time."""

from asyncio import to_thread
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Generic, Protocol, TypeVar, cast
from uuid import UUID
from zoneinfo import ZoneInfo

from corral.accounts.combined.cursors import read_progress, write_progress
from corral.accounts.combined.merging import MergedPage, Merging, Progress, ReadAhead, Source
from corral.accounts.combined.problems import ItemsSkipped
from corral.accounts.combined.reading import AccountProblem, AccountsRead, read_accounts
from corral.accounts.reader import AccountReader, alpaca_errors_as_problems
from corral.accounts.schemas import (
    NonTradeActivityResponse,
    OrderResponse,
    TradeActivityResponse,
    activity_response,
    order_response,
)
from corral.alpaca.activities import Activity, ActivityQuery, NonTradeActivity, TradeActivity, activity_listing
from corral.alpaca.fields import in_utc, instant
from corral.alpaca.items import UnreadableItem
from corral.alpaca.orders import Order, OrderQuery, order_listing, submitted_at_of
from corral.alpaca.paging import Ask, Direction, Listed
from corral.credentials.models import NamedCredential
from corral.credentials.reader import OpenCredential

Item = TypeVar("Item", bound=Listed)
Response = TypeVar("Response")
Response_co = TypeVar("Response_co", covariant=True)

_NEW_YORK: Final = ZoneInfo("America/New_York")
_ID_TIME: Final = "%Y%m%d%H%M%S%f"  # of an activity's id, in New York
_ID_DIGITS: Final = len("20220202135509981")
# How far around a time Alpaca is asked for the items at it: it is not documented how precisely it compares, and of an
# activity it compares the time of booking, which need not be the time by which it is listed.
_SLACK_OF_ORDERS: Final = timedelta(seconds=1)
_SLACK_OF_ACTIVITIES: Final = timedelta(days=1)
_BYTES_OF_AN_ITEM: Final = 1_500  # about, in memory


@dataclass(frozen=True, slots=True)
class AccountItem(Generic[Response]):
    """An order or activity, and whose it is."""

    credential_id: UUID
    nickname: str
    item: Response


AccountOrder = AccountItem[OrderResponse]
AccountActivity = AccountItem[TradeActivityResponse | NonTradeActivityResponse]


@dataclass(frozen=True, slots=True)
class CombinedPage(Generic[Response]):
    """A page of all accounts, by time. `unreadable` counts the items of the page that can't be read.

    `problems` also has the accounts of which items were skipped, because they could not be read for an earlier page.
    """

    items: tuple[AccountItem[Response], ...]
    unreadable: int
    next_cursor: str | None
    problems: tuple[AccountProblem, ...] = ()
    pending: tuple[NamedCredential, ...] = ()


class Lists(Protocol[Item, Response_co]):
    """The lists of one kind, one for each account."""

    @property
    def query(self) -> OrderQuery | ActivityQuery: ...

    @property
    def accounts(self) -> AccountReader: ...

    @property
    def merging(self) -> Merging[Item]: ...

    def source(self, credential: OpenCredential) -> Source[Item]: ...

    def response(self, item: Item) -> Response_co: ...


@dataclass(frozen=True, slots=True)
class OrderLists:
    query: OrderQuery
    accounts: AccountReader

    @property
    def merging(self) -> Merging[Order]:
        return Merging(_submitted_at, self.query.direction)

    def source(self, credential: OpenCredential) -> Source[Order]:
        def ask_from(near: str | None) -> Ask[Order | UnreadableItem]:
            query = _near(self.query, near, _SLACK_OF_ORDERS)
            return _shared(credential, query, self.accounts.orders_from(credential, query), self.accounts)

        return Source(order_listing(self.query), ask_from)

    def response(self, item: Order) -> OrderResponse:
        return order_response(item)


@dataclass(frozen=True, slots=True)
class ActivityLists:
    query: ActivityQuery
    accounts: AccountReader

    @property
    def merging(self) -> Merging[Activity]:
        return Merging(_booked_at, self.query.direction)

    def source(self, credential: OpenCredential) -> Source[Activity]:
        def ask_from(near: str | None) -> Ask[Activity | UnreadableItem]:
            query = _near(self.query, near, _SLACK_OF_ACTIVITIES)
            return _shared(credential, query, self.accounts.activities_from(credential, query), self.accounts)

        return Source(activity_listing(self.query), ask_from)

    def response(self, item: Activity) -> TradeActivityResponse | NonTradeActivityResponse:
        return activity_response(item)


async def read_page(
    user_id: UUID,
    credentials: Sequence[NamedCredential],
    lists: Lists[Item, Response],
    *,
    limit: int,
    cursor: str | None = None,
    bound_to: object = None,
    within_seconds: float | None = None,
) -> CombinedPage[Response]:
    """Reads a page of the lists of the user's credentials, which have to be loaded for this request.

    `bound_to` is what else the cursor is bound to, besides the user and the query. Waits `within_seconds` at most, or
    until the deadline of each call for None. Raises InvalidRequest for an invalid cursor.
    """
    bond = (user_id, lists.query, bound_to)
    by_id = {credential.sealed.id: credential for credential in credentials}
    progress = read_progress(cursor, bond, by_id)
    page, found = await read_merged(credentials, lists, progress, limit=limit, within_seconds=within_seconds)
    items = await to_thread(_items, page, lists, by_id)
    return CombinedPage(
        items=items,
        unreadable=len(page.entries) - len(items),
        next_cursor=None if page.goes_on is None else write_progress(page.goes_on, bond),
        problems=(*found.problems, *_skipped(progress, found)),
        pending=found.pending,
    )


async def read_merged(
    credentials: Sequence[NamedCredential],
    lists: Lists[Item, Response],
    progress: Progress,
    *,
    limit: int,
    within_seconds: float | None = None,
) -> tuple[MergedPage[Item], AccountsRead[ReadAhead[Item]]]:
    """Returns the next page from `progress` on, and how reading each account went."""

    async def read(credential: OpenCredential) -> ReadAhead[Item]:
        with alpaca_errors_as_problems():
            return await lists.merging.read_ahead(lists.source(credential), credential.stored.id, progress, limit=limit)

    going = [credential for credential in credentials if credential.sealed.id not in progress.ended]
    found = await read_accounts(going, read, lists.accounts, within_seconds=within_seconds)
    ahead = {each.credential_id: each.value for each in found.reads}
    page = await to_thread(lists.merging.merge, ahead, progress, limit=limit)
    if page.goes_on is not None:
        failed = {one.credential_id for one in found.problems} | {one.sealed.id for one in found.pending}
        page = replace(page, goes_on=replace(page.goes_on, skipped=progress.skipped | failed))
    return page, found


def _items(
    page: MergedPage[Item], lists: Lists[Item, Response], by_id: Mapping[UUID, NamedCredential]
) -> tuple[AccountItem[Response], ...]:
    return tuple(
        AccountItem(one.credential_id, by_id[one.credential_id].nickname, lists.response(cast("Item", one.entry)))
        for one in page.entries
        if not isinstance(one.entry, UnreadableItem)
    )


def _skipped(progress: Progress, found: AccountsRead[ReadAhead[Item]]) -> Iterable[AccountProblem]:
    """The accounts that can be read again."""
    again = (one.credential for one in found.reads if one.credential_id in progress.skipped)
    return (AccountProblem(credential, ItemsSkipped()) for credential in again)


@dataclass(frozen=True, slots=True)
class _Found(Generic[Item]):
    """What one call found, as the cache keeps it."""

    entries: Sequence[Item | UnreadableItem]

    @property
    def size(self) -> int:
        return len(self.entries) * _BYTES_OF_AN_ITEM


def _shared(
    credential: OpenCredential,
    query: OrderQuery | ActivityQuery,
    ask: Ask[Item | UnreadableItem],
    accounts: AccountReader,
) -> Ask[Item | UnreadableItem]:
    """Simultaneous readers of the same part of a list share a call."""

    async def shared(wanted: int, beyond: str | None) -> Sequence[Item | UnreadableItem]:
        async def fetch() -> _Found[Item]:
            return _Found(await ask(wanted, beyond))

        return (await accounts.shared(credential, ("found", query, wanted, beyond), fetch)).entries

    return shared


Query = TypeVar("Query", OrderQuery, ActivityQuery)


def _near(query: Query, near: str | None, slack: timedelta) -> Query:
    """Returns the query for what is behind about this time, for an account that continues without a place."""
    if near is None:
        return query
    second = datetime.fromisoformat(near[: len("YYYY-MM-DDTHH:MM:SS")])
    try:
        if query.direction is Direction.DESCENDING:
            until = f"{(second + slack).isoformat()}Z"
            return replace(query, until=until if query.until is None else min(until, query.until, key=instant))
        after = f"{(second - slack).isoformat()}Z"
        return replace(query, after=after if query.after is None else max(after, query.after, key=instant))
    except OverflowError:  # at the first or the last day that a calendar has
        return query


def _submitted_at(order: Order | UnreadableItem) -> str | None:
    at = submitted_at_of(order)
    return at and instant(at)


def _booked_at(activity: Activity | UnreadableItem) -> str | None:
    """The time of a fill or of booking, or that in the id, or the start of the day in New York."""
    at, day = _times(activity)
    if at:
        return instant(at)
    return _time_in_id(activity.id) or (_in_new_york(datetime.fromisoformat(day)) if day else None)


def _times(activity: Activity | UnreadableItem) -> tuple[str | None, str | None]:
    if isinstance(activity, TradeActivity):
        return activity.transaction_time, None
    if isinstance(activity, NonTradeActivity):
        return activity.created_at, activity.date
    at = activity.cells.get("transaction_time") or activity.cells.get("created_at")
    return cast("str | None", at), cast("str | None", activity.cells.get("date"))


def _time_in_id(activity_id: str) -> str | None:
    digits = activity_id.partition("::")[0]
    if len(digits) != _ID_DIGITS or not digits.isdecimal():
        return None
    try:
        return _in_new_york(datetime.strptime(digits, _ID_TIME))  # noqa: DTZ007 - the zone is added
    except ValueError:
        return None


def _in_new_york(local: datetime) -> str | None:
    try:
        text = in_utc(local.replace(tzinfo=_NEW_YORK).isoformat(timespec="milliseconds"))
    except OverflowError:
        return None
    return text and instant(text)
