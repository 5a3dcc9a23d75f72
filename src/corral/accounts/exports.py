"""Lists of any length as CSV files, written page by page: one page is in memory at a time.

A failure before the first byte is an ordinary error. A later failure ends the connection in the middle of the body, so
that a partial file can't be mistaken for a complete one.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel

from corral.accounts.csv_writer import csv_header, csv_rows
from corral.accounts.params import ActivitiesParams, OrdersParams
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

_LONGEST_WAIT_SECONDS: Final = 600  # for the account's rate limit, from one page to the next
_UNREADABLE: Final = "unreadable"  # the last column
_log = get_logger()
_Item = TypeVar("_Item")

Authenticate = Callable[[], Awaitable[UUID]]
"""Returns the id of the current user. Raises a Problem if they may no longer read accounts."""


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A file's name and its bytes as they are written. Must be closed when the client has gone."""

    name: str
    chunks: AsyncGenerator[bytes]


@dataclass(frozen=True, slots=True)
class Exporter:
    """Writes files of one credential for one user, authenticated again for each page: a file can outlast a session.

    `sleep` is how it waits for the account's rate limit, in seconds.
    """

    accounts: AccountReader
    credential_id: UUID
    authenticate: Authenticate
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep

    async def positions(self) -> CsvFile:
        async def fetch(credential: OpenCredential, _: Place) -> Page[Position | UnreadableItem]:
            return Page(await self.accounts.positions(credential), goes_on=None)

        columns = [*PositionResponse.model_fields]
        return await self._begin("positions", _Export(columns, lambda position: [position_response(position)], fetch))

    async def orders(self, params: OrdersParams) -> CsvFile:
        query = params.query()

        async def fetch(credential: OpenCredential, place: Place) -> Page[Order | UnreadableItem]:
            return await self.accounts.orders(credential, query, place, limit=MOST_ORDERS)

        return await self._begin(
            "orders", _Export([*OrderLegResponse.model_fields], _order_rows, fetch, purpose=EXPORT)
        )

    async def activities(self, params: ActivitiesParams) -> CsvFile:
        query = params.query()

        async def fetch(credential: OpenCredential, place: Place) -> Page[Activity | UnreadableItem]:
            return await self.accounts.activities(credential, query, place, limit=MOST_ACTIVITIES)

        columns = [*(TradeActivityResponse.model_fields | NonTradeActivityResponse.model_fields)]
        rows = _Export(columns, lambda activity: [activity_response(activity)], fetch, _activity_cells, EXPORT)
        return await self._begin("activities", rows)

    async def _begin(self, name: str, export: "_Export[_Item]") -> CsvFile:
        """Requests the first page while the response can still be an error. Raises a Problem."""
        user_id = await self.authenticate()
        first = await export.fetch(await self.accounts.open(user_id, self.credential_id, export.purpose), Place())
        return CsvFile(f"{name}-{self.credential_id}.csv", self._written(export, first))

    async def _written(self, export: "_Export[_Item]", page: Page[_Item | UnreadableItem]) -> AsyncGenerator[bytes]:
        yield export.header + await asyncio.to_thread(export.written, page)
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
                if waited >= _LONGEST_WAIT_SECONDS or limited.retry_after is None:
                    raise
                pause = limited.retry_after
            await self.sleep(pause)
            waited += pause


@dataclass(frozen=True, slots=True)
class _Export(Generic[_Item]):
    columns: Sequence[str]
    rows: Callable[[_Item], Sequence[BaseModel]]
    fetch: Callable[[OpenCredential, Place], Awaitable[Page[_Item | UnreadableItem]]]
    cells: Callable[[UnreadableItem], Mapping[str, object]] = lambda item: item.cells
    purpose: Purpose = READ

    @property
    def header(self) -> bytes:
        return csv_header([*self.columns, _UNREADABLE])

    def written(self, page: Page[_Item | UnreadableItem]) -> bytes:
        return csv_rows(row for entry in page.items for row in self._rows(entry))

    def _rows(self, entry: _Item | UnreadableItem) -> Iterator[list[object]]:
        """Usually one row; its last cell has the names of the fields that cannot be read."""
        if isinstance(entry, UnreadableItem):
            yield [*map(self.cells(entry).get, self.columns), ", ".join(entry.faults)]
            return
        for row in self.rows(entry):
            yield [*(getattr(row, column, None) for column in self.columns), ""]


def _order_rows(order: Order) -> list[BaseModel]:
    """Legs that Alpaca does not list beside their order get a row after it."""
    return [order_response(one) for one in (order, *order.legs)]


def _activity_cells(item: UnreadableItem) -> Mapping[str, object]:
    kind = TradeActivityResponse if item.cells.get("activity_type") == "FILL" else NonTradeActivityResponse
    return {**item.cells, "kind": kind.model_fields["kind"].default}
