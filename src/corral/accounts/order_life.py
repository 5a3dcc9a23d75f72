"""One order and its fills, as the page of the order shows them."""

import asyncio
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from pydantic import BaseModel

from corral.accounts.cache import Answer
from corral.accounts.reader import AccountReader
from corral.accounts.schemas import OrderResponse, TradeActivityResponse, order_response
from corral.alpaca.activities import MOST_ACTIVITIES, Activity, ActivityQuery, TradeActivity
from corral.alpaca.items import UnreadableItem
from corral.alpaca.orders import Order
from corral.alpaca.paging import Direction, Page, Place
from corral.credentials.reader import OpenCredential
from corral.errors import Problem

MOST_FILL_PAGES: Final = 2  # of 100 fills; the list of activities has the rest
_MULTI_LEG: Final = "mleg"


class OrderFills(BaseModel):
    """`fills` are those of the order and of the legs of a multi-leg one, by time. `is_whole`: there are no more.

    `unreadable` are the ids of further ones that can't be read. `problem` says why none could be loaded.
    """

    fills: list[TradeActivityResponse] = []
    is_whole: bool = True
    unreadable: list[str] = []
    problem: str | None = None


class OrderLife(BaseModel):
    order: OrderResponse
    filled: OrderFills


async def read_order_life(
    user_id: UUID, credential_id: UUID, order_id: UUID, accounts: AccountReader
) -> Answer[OrderLife]:
    """Raises OrderNotFound. Without its fills, an order is shown nevertheless."""
    credential = await accounts.open(user_id, credential_id)

    async def fetch() -> Answer[OrderLife]:
        order = await accounts.order(credential, order_id)
        return Answer(OrderLife(order=order_response(order), filled=await _read_fills(credential, order, accounts)))

    return await accounts.shared(credential, ("order life", order_id), fetch)


async def _read_fills(credential: OpenCredential, order: Order, accounts: AccountReader) -> OrderFills:
    """The fills of a multi-leg order belong to its legs. Those of a bracket's legs are on the pages of the legs."""
    legs = order.legs if order.order_class == _MULTI_LEG else ()
    reads = [_read_fills_of(credential, order_id, accounts) for order_id in (order.id, *(leg.id for leg in legs))]
    try:
        read = await asyncio.gather(*reads)
    except Problem as problem:
        return OrderFills(problem=problem.detail)
    return _joined(read)


async def _read_fills_of(credential: OpenCredential, order_id: str, accounts: AccountReader) -> OrderFills:
    query = ActivityQuery(types=("FILL",), order_id=order_id, direction=Direction.ASCENDING)
    read = OrderFills()
    page: Page[Activity | UnreadableItem] = Page((), Place())
    for _ in range(MOST_FILL_PAGES):
        if page.goes_on is None:
            break
        page = await accounts.activities(credential, query, page.goes_on, limit=MOST_ACTIVITIES)
        trades = [entry for entry in page.items if isinstance(entry, TradeActivity)]
        read.fills += [TradeActivityResponse.model_validate(trade) for trade in trades]
        read.unreadable += [entry.id for entry in page.items if _is_unreadable_fill(entry)]
    read.is_whole = page.goes_on is None
    return read


def _is_unreadable_fill(entry: Activity | UnreadableItem) -> bool:
    return isinstance(entry, UnreadableItem) and entry.cells.get("activity_type") == "FILL"


def _joined(read: Sequence[OrderFills]) -> OrderFills:
    fills = {fill.id: fill for one in read for fill in one.fills}
    return OrderFills(
        fills=sorted(fills.values(), key=lambda fill: fill.transaction_time),
        is_whole=all(one.is_whole for one in read),
        unreadable=sorted({activity_id for one in read for activity_id in one.unreadable}),
    )
