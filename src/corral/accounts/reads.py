"""What an account holds, did and was worth: answers as JSON, shared among those who ask the same at once."""

from asyncio import to_thread
from collections.abc import Callable
from functools import partial
from uuid import UUID

from pydantic import BaseModel
from starlette.requests import Request

from corral.accounts.asking import OpenAccount, answer_shared
from corral.accounts.cursors import read_cursor, write_cursor
from corral.accounts.pages import page_of_activities, page_of_orders, page_of_positions
from corral.accounts.questions import ActivitiesPageQuestion, HistoryQuestion, OrdersPageQuestion
from corral.accounts.schemas import (
    activity_list,
    clock_response,
    order_list,
    portfolio_history_response,
    position_list,
)
from corral.alpaca.paging import Place
from corral.identity.models import AuthUser


async def answer_positions(user: AuthUser, credential_id: UUID, request: Request) -> bytes:
    async def answer(account: OpenAccount) -> bytes:
        page = await page_of_positions(account)
        return await _json(lambda: position_list(page.items))

    return await answer_shared(user, credential_id, request, "positions", answer)


async def answer_orders(user: AuthUser, credential_id: UUID, asked: OrdersPageQuestion, request: Request) -> bytes:
    query = asked.query()
    place = read_cursor(asked.cursor, (credential_id, query))

    async def answer(account: OpenAccount) -> bytes:
        page = await page_of_orders(account, query, place, limit=asked.limit)
        return await _json(partial(order_list, page.items, _cursor(page.goes_on, (credential_id, query))))

    return await answer_shared(user, credential_id, request, (query, place, asked.limit), answer)


async def answer_activities(
    user: AuthUser, credential_id: UUID, asked: ActivitiesPageQuestion, request: Request
) -> bytes:
    query = asked.query()
    place = read_cursor(asked.cursor, (credential_id, query))

    async def answer(account: OpenAccount) -> bytes:
        page = await page_of_activities(account, query, place, limit=asked.limit)
        return await _json(partial(activity_list, page.items, _cursor(page.goes_on, (credential_id, query))))

    return await answer_shared(user, credential_id, request, (query, place, asked.limit), answer)


async def answer_portfolio_history(
    user: AuthUser, credential_id: UUID, asked: HistoryQuestion, request: Request
) -> bytes:
    query = asked.query()

    async def answer(account: OpenAccount) -> bytes:
        history = await account.ask(partial(account.alpaca.fetch_portfolio_history, query=query))
        return await _json(lambda: portfolio_history_response(history))

    return await answer_shared(user, credential_id, request, query, answer)


async def answer_clock(user: AuthUser, credential_id: UUID, request: Request) -> bytes:
    async def answer(account: OpenAccount) -> bytes:
        clock = await account.ask_anonymously(account.alpaca.fetch_clock)
        return await _json(lambda: clock_response(clock))

    return await answer_shared(user, credential_id, request, "clock", answer)


def _cursor(goes_on: Place | None, bound_to: tuple[object, ...]) -> str | None:
    return None if goes_on is None else write_cursor(goes_on, bound_to)


async def _json(build: Callable[[], BaseModel]) -> bytes:
    """By a thread, so that nobody else waits while a long list is written."""
    return await to_thread(lambda: build().model_dump_json().encode())
