"""Pages of positions, orders, activities and history; simultaneous requests for the same page share a call."""

from asyncio import to_thread
from collections.abc import Callable
from functools import partial
from uuid import UUID

from corral.accounts.cache import Answer, Value
from corral.accounts.cursors import read_cursor, write_cursor
from corral.accounts.params import ActivitiesPageParams, HistoryParams, OrdersPageParams
from corral.accounts.reader import AccountReader
from corral.accounts.schemas import (
    ActivityList,
    ClockResponse,
    OrderList,
    OrderResponse,
    PortfolioHistoryResponse,
    PositionList,
    activity_list,
    clock_response,
    order_list,
    order_response,
    portfolio_history_response,
    position_list,
)
from corral.alpaca.paging import Place
from corral.alpaca.portfolio_history import HistoryQuery
from corral.credentials.reader import OpenCredential


async def read_positions(user_id: UUID, credential_id: UUID, accounts: AccountReader) -> Answer[PositionList]:
    return await positions_of(await accounts.open(user_id, credential_id), accounts)


async def positions_of(credential: OpenCredential, accounts: AccountReader) -> Answer[PositionList]:
    """Like `read_positions`, of a credential that was loaded for this request."""

    async def fetch() -> Answer[PositionList]:
        entries = await accounts.positions(credential)
        return await _answer(partial(position_list, entries))

    return await accounts.shared(credential, "positions", fetch)


async def read_orders(
    user_id: UUID, credential_id: UUID, params: OrdersPageParams, accounts: AccountReader
) -> Answer[OrderList]:
    query = params.query()
    place = read_cursor(params.cursor, (credential_id, query))
    credential = await accounts.open(user_id, credential_id)

    async def fetch() -> Answer[OrderList]:
        page = await accounts.orders(credential, query, place, limit=params.limit)
        return await _answer(partial(order_list, page.items, _cursor(page.goes_on, (credential_id, query))))

    return await accounts.shared(credential, (query, place, params.limit), fetch)


async def read_order(
    user_id: UUID, credential_id: UUID, order_id: UUID, accounts: AccountReader
) -> Answer[OrderResponse]:
    """Raises OrderNotFound."""
    credential = await accounts.open(user_id, credential_id)

    async def fetch() -> Answer[OrderResponse]:
        order = await accounts.order(credential, order_id)
        return await _answer(partial(order_response, order))

    return await accounts.shared(credential, ("order", order_id), fetch)


async def read_activities(
    user_id: UUID, credential_id: UUID, params: ActivitiesPageParams, accounts: AccountReader
) -> Answer[ActivityList]:
    query = params.query()
    place = read_cursor(params.cursor, (credential_id, query))
    credential = await accounts.open(user_id, credential_id)

    async def fetch() -> Answer[ActivityList]:
        page = await accounts.activities(credential, query, place, limit=params.limit)
        return await _answer(partial(activity_list, page.items, _cursor(page.goes_on, (credential_id, query))))

    return await accounts.shared(credential, (query, place, params.limit), fetch)


async def read_portfolio_history(
    user_id: UUID, credential_id: UUID, params: HistoryParams, accounts: AccountReader
) -> Answer[PortfolioHistoryResponse]:
    query = params.query()
    return await portfolio_history_of(await accounts.open(user_id, credential_id), query, accounts)


async def portfolio_history_of(
    credential: OpenCredential, query: HistoryQuery, accounts: AccountReader, *, keep_seconds: float | None = None
) -> Answer[PortfolioHistoryResponse]:
    """Like `read_portfolio_history`, of a credential that was loaded for this request.

    `keep_seconds` is how long the answer is cached, by default as long as others.
    """

    async def fetch() -> Answer[PortfolioHistoryResponse]:
        history = await accounts.portfolio_history(credential, query)
        return await _answer(partial(portfolio_history_response, history))

    question = query if keep_seconds is None else (query, keep_seconds)
    return await accounts.shared(credential, question, fetch, keep_seconds=keep_seconds)


async def read_clock(user_id: UUID, credential_id: UUID, accounts: AccountReader) -> Answer[ClockResponse]:
    credential = await accounts.open(user_id, credential_id)

    async def fetch() -> Answer[ClockResponse]:
        clock = await accounts.clock(credential)
        return await _answer(partial(clock_response, clock))

    return await accounts.shared(credential, "clock", fetch)


def _cursor(goes_on: Place | None, bound_to: tuple[object, ...]) -> str | None:
    return None if goes_on is None else write_cursor(goes_on, bound_to)


async def _answer(build: Callable[[], Value]) -> Answer[Value]:
    """Built and serialized in a thread, so that a long list does not block the event loop."""

    def built() -> Answer[Value]:
        answer = Answer(build())
        answer.json  # noqa: B018 - makes it, here
        return answer

    return await to_thread(built)
