"""Lists of any length as CSV files, written page by page: one page is in memory at a time.

A failure before the first byte is an ordinary error. A later failure ends the connection in the middle of the body, so
that a partial file can't be mistaken for a complete one.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from corral.accounts.csv_writer import csv_header, csv_rows
from corral.accounts.params import ActivitiesExportParams, ExportParams, OrdersExportParams, in_time_zone
from corral.accounts.reader import AccountReader
from corral.accounts.schemas import (
    NonTradeActivityResponse,
    OrderLegResponse,
    PositionResponse,
    TradeActivityResponse,
    activity_response,
    order_response,
    position_response,
)
from corral.alpaca.activities import MOST_ACTIVITIES, Activity
from corral.alpaca.items import UnreadableItem
from corral.alpaca.orders import MOST_ORDERS, Order
from corral.alpaca.paging import Page, Place
from corral.alpaca.positions import Position
from corral.credentials.problems import AccountRateLimited
from corral.credentials.reader import EXPORT, READ, OpenCredential, Purpose
from corral.errors import Problem
from corral.logs import get_logger

LONGEST_WAIT_SECONDS: Final = 600  # for the account's rate limit, from one page to the next
_UNREADABLE: Final = "unreadable"  # the last column
_OTHER_TIMES: Final = frozenset({"at", "transaction_time"})  # columns whose names do not end with _at
_log = get_logger()
_Item = TypeVar("_Item")

Authenticate = Callable[[], Awaitable[UUID]]
"""Returns the id of the current user. Raises a Problem if they may no longer read accounts."""


Sleep = Callable[[float], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A file's name and its bytes as they are written. Must be closed when the client has gone."""

    name: str
    chunks: AsyncGenerator[bytes]


@dataclass(frozen=True, slots=True)
class Table(Generic[_Item]):
    """What a file has for each item, usually one row."""

    columns: Sequence[str]
    rows: Callable[[_Item], Sequence[BaseModel]]
    cells: Callable[[UnreadableItem], Mapping[str, object]] = lambda item: item.cells

    def header(self, *before: str) -> bytes:
        return csv_header([*before, *self.columns, _UNREADABLE])

    def lines(self, entry: _Item | UnreadableItem, zone: ZoneInfo | None) -> Iterator[list[object]]:
        """The last cell has the names of the fields that cannot be read. `zone` is that of times; None for UTC."""
        if isinstance(entry, UnreadableItem):
            cells = self.cells(entry)
            yield [*(_in_zone(column, cells.get(column), zone) for column in self.columns), ", ".join(entry.faults)]
            return
        for row in self.rows(entry):
            yield [*(_in_zone(column, getattr(row, column, None), zone) for column in self.columns), ""]


@dataclass(frozen=True, slots=True)
class Exporter:
    """Writes files of one credential for one user, authenticated again for each page: a file can outlast a session.

    `sleep` is how it waits for the account's rate limit, in seconds.
    """

    accounts: AccountReader
    credential_id: UUID
    authenticate: Authenticate
    sleep: Sleep = asyncio.sleep

    async def positions(self, params: ExportParams) -> CsvFile:
        async def fetch(credential: OpenCredential, _: Place) -> Page[Position | UnreadableItem]:
            return Page(await self.accounts.positions(credential), goes_on=None)

        return await self._begin("positions", _Export(POSITIONS, fetch, params.zone))

    async def orders(self, params: OrdersExportParams) -> CsvFile:
        query = params.query()

        async def fetch(credential: OpenCredential, place: Place) -> Page[Order | UnreadableItem]:
            return await self.accounts.orders(credential, query, place, limit=MOST_ORDERS)

        return await self._begin("orders", _Export(ORDERS, fetch, params.zone, EXPORT))

    async def activities(self, params: ActivitiesExportParams) -> CsvFile:
        query = params.query()

        async def fetch(credential: OpenCredential, place: Place) -> Page[Activity | UnreadableItem]:
            return await self.accounts.activities(credential, query, place, limit=MOST_ACTIVITIES)

        return await self._begin("activities", _Export(ACTIVITIES, fetch, params.zone, EXPORT))

    async def _begin(self, name: str, export: "_Export[_Item]") -> CsvFile:
        """Requests the first page while the response can still be an error. Raises a Problem."""
        user_id = await self.authenticate()
        first = await export.fetch(await self.accounts.open(user_id, self.credential_id, export.purpose), Place())
        return CsvFile(f"{name}-{self.credential_id}.csv", self._written(export, first))

    async def _written(self, export: "_Export[_Item]", page: Page[_Item | UnreadableItem]) -> AsyncGenerator[bytes]:
        yield export.table.header() + await asyncio.to_thread(export.written, page)
        while page.goes_on is not None:
            try:
                page = await self._next_page(export, page.goes_on)
            except Problem as problem:
                _log.warning("export_cut_off", code=problem.code, credential_id=str(self.credential_id))
                raise
            yield await asyncio.to_thread(export.written, page)

    async def _next_page(self, export: "_Export[_Item]", place: Place) -> Page[_Item | UnreadableItem]:
        """Returns the next page, once the account's rate limit allows it. Raises a Problem."""
        waited = 0
        while True:
            user_id = await self.authenticate()
            try:
                credential = await self.accounts.open(user_id, self.credential_id, export.purpose)
                return await export.fetch(credential, place)
            except AccountRateLimited as limited:
                if waited >= LONGEST_WAIT_SECONDS or limited.retry_after is None:
                    raise
                pause = limited.retry_after
            await self.sleep(pause)
            waited += pause


@dataclass(frozen=True, slots=True)
class _Export(Generic[_Item]):
    table: Table[_Item]
    fetch: Callable[[OpenCredential, Place], Awaitable[Page[_Item | UnreadableItem]]]
    zone: ZoneInfo | None
    purpose: Purpose = READ

    def written(self, page: Page[_Item | UnreadableItem]) -> bytes:
        return csv_rows(line for entry in page.items for line in self.table.lines(entry, self.zone))


def _in_zone(column: str, value: object, zone: ZoneInfo | None) -> object:
    """Returns a time with the offset of the zone, and everything else unchanged."""
    is_time = column.endswith("_at") or column in _OTHER_TIMES
    return in_time_zone(value, zone) if zone is not None and is_time and isinstance(value, str) else value


def _order_rows(order: Order) -> list[BaseModel]:
    """Legs that Alpaca does not list beside their order get a row after it."""
    return [order_response(one) for one in (order, *order.legs)]


def _activity_cells(item: UnreadableItem) -> Mapping[str, object]:
    kind = TradeActivityResponse if item.cells.get("activity_type") == "FILL" else NonTradeActivityResponse
    return {**item.cells, "kind": kind.model_fields["kind"].default}


POSITIONS: Final[Table[Position]] = Table(
    [*PositionResponse.model_fields], lambda position: [position_response(position)]
)
ORDERS: Final[Table[Order]] = Table([*OrderLegResponse.model_fields], _order_rows)
ACTIVITIES: Final[Table[Activity]] = Table(
    [*(TradeActivityResponse.model_fields | NonTradeActivityResponse.model_fields)],
    lambda activity: [activity_response(activity)],
    _activity_cells,
)
