"""Lists of any length as files, written page by page: one page is in memory at a time.

What goes wrong before the first byte is told like everywhere. What goes wrong later ends the connection
in the middle of the body, so that no part can be taken for the whole.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import StreamingResponse

from corral.accounts.asking import OpenAccount, open_account
from corral.accounts.csv_text import csv_header, csv_rows
from corral.accounts.pages import page_of_activities, page_of_orders, page_of_positions
from corral.accounts.questions import ActivitiesQuestion, OrdersQuestion
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
from corral.alpaca.errors import AlpacaError, RateLimited
from corral.alpaca.items import UnreadableItem
from corral.alpaca.orders import MOST_ORDERS, Order
from corral.alpaca.paging import Page, Place
from corral.alpaca.positions import Position
from corral.credentials.problems import problem_of
from corral.errors import Problem
from corral.identity.current_user import get_accounts_reader
from corral.identity.models import AuthUser
from corral.logs import get_logger

LEFT_TO_OTHERS: Final = 50  # of the 200 calls of an account's minute: nobody should notice that somebody exports
_LONGEST_WAIT_SECONDS: Final = 600  # for the account's budget, from one page to the next
_UNREADABLE: Final = "unreadable"  # the last column
_log = get_logger()
_Item = TypeVar("_Item")


class CsvResponse(StreamingResponse):
    """It ends with its client: what it is written from is cancelled when the client has gone."""

    media_type = "text/csv"


@dataclass(frozen=True, slots=True)
class _Export(Generic[_Item]):
    columns: Sequence[str]
    rows: Callable[[_Item], Sequence[BaseModel]]
    turn: Callable[[OpenAccount, Place], Awaitable[Page[_Item | UnreadableItem]]]
    cells: Callable[[UnreadableItem], Mapping[str, object]] = lambda item: item.cells

    @property
    def header(self) -> bytes:
        return csv_header([*self.columns, _UNREADABLE])

    def written(self, page: Page[_Item | UnreadableItem]) -> bytes:
        return csv_rows(row for entry in page.items for row in self._rows(entry))

    def _rows(self, entry: _Item | UnreadableItem) -> Iterator[list[object]]:
        """One row as a rule, which ends with the names of the fields that cannot be read."""
        if isinstance(entry, UnreadableItem):
            yield [*map(self.cells(entry).get, self.columns), ", ".join(entry.faults)]
            return
        for row in self.rows(entry):
            yield [*(getattr(row, column, None) for column in self.columns), ""]


async def export_positions(user: AuthUser, credential_id: UUID, request: Request) -> CsvResponse:
    async def turn(account: OpenAccount, _: Place) -> Page[Position | UnreadableItem]:
        return await page_of_positions(account)

    columns = [*PositionResponse.model_fields]
    export = _Export(columns, lambda position: [position_response(position)], turn)
    return await _begin(export, "positions", user, credential_id, request)


async def export_orders(user: AuthUser, credential_id: UUID, asked: OrdersQuestion, request: Request) -> CsvResponse:
    query = asked.query()

    async def turn(account: OpenAccount, place: Place) -> Page[Order | UnreadableItem]:
        return await page_of_orders(account, query, place, limit=MOST_ORDERS, leaving=LEFT_TO_OTHERS)

    export = _Export([*OrderLegResponse.model_fields], _order_rows, turn)
    return await _begin(export, "orders", user, credential_id, request)


async def export_activities(
    user: AuthUser, credential_id: UUID, asked: ActivitiesQuestion, request: Request
) -> CsvResponse:
    query = asked.query()

    async def turn(account: OpenAccount, place: Place) -> Page[Activity | UnreadableItem]:
        return await page_of_activities(account, query, place, limit=MOST_ACTIVITIES, leaving=LEFT_TO_OTHERS)

    columns = [*(TradeActivityResponse.model_fields | NonTradeActivityResponse.model_fields)]
    export = _Export(columns, lambda activity: [activity_response(activity)], turn, _activity_cells)
    return await _begin(export, "activities", user, credential_id, request)


def _order_rows(order: Order) -> list[BaseModel]:
    """Legs that Alpaca does not list beside their order get a row after it."""
    return [order_response(one) for one in (order, *order.legs)]


def _activity_cells(item: UnreadableItem) -> Mapping[str, object]:
    kind = TradeActivityResponse if item.cells.get("activity_type") == "FILL" else NonTradeActivityResponse
    return {**item.cells, "kind": kind.model_fields["kind"].default}


async def _begin(
    export: _Export[_Item], name: str, user: AuthUser, credential_id: UUID, request: Request
) -> CsvResponse:
    """Asks for the first page, as long as a problem can still be told. Raises it."""
    account = await open_account(user, credential_id, request)
    try:
        first = await export.turn(account, Place())
    except AlpacaError as error:
        raise problem_of(error) from error
    headers = {"content-disposition": f'attachment; filename="{name}-{credential_id}.csv"'}
    chunks = _written(export, first, credential_id, request)
    return CsvResponse(chunks, headers=headers, media_type="text/csv; charset=utf-8; header=present")  # RFC 4180, 3


async def _written(
    export: _Export[_Item], page: Page[_Item | UnreadableItem], credential_id: UUID, request: Request
) -> AsyncGenerator[bytes]:
    yield export.header + await asyncio.to_thread(export.written, page)
    while page.goes_on is not None:
        try:
            page = await _turn_patiently(export, page.goes_on, credential_id, request)
        except Problem as problem:
            _log.warning("export_cut_off", code=problem.code, credential_id=str(credential_id))
            raise
        yield await asyncio.to_thread(export.written, page)


async def _turn_patiently(
    export: _Export[_Item], place: Place, credential_id: UUID, request: Request
) -> Page[_Item | UnreadableItem]:
    """The next page, when the account's budget allows it. Raises a Problem.

    A long file outlasts sessions: before each call it is asked anew who this is and what they may.
    """
    waited = 0
    while True:
        account = await open_account(await get_accounts_reader(request), credential_id, request)
        try:
            return await export.turn(account, place)
        except AlpacaError as error:
            if not isinstance(error, RateLimited) or waited >= _LONGEST_WAIT_SECONDS:
                raise problem_of(error) from error
            pause = error.retry_after_seconds
        await asyncio.sleep(pause)
        waited += pause
