"""What Corral asks Alpaca, and what it makes of the answers."""

import time
from asyncio import to_thread
from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Final, TypeVar

from aiohttp import ClientSession

from corral.alpaca.activities import Activity, ActivityQuery, read_activities
from corral.alpaca.budget import BudgetLeft
from corral.alpaca.calling import Caller, Question
from corral.alpaca.connections import open_session
from corral.alpaca.environments import Environment, Hosts
from corral.alpaca.errors import NotAnAccount, WrongShape
from corral.alpaca.exchange import Keys, RawAnswer
from corral.alpaca.items import UnreadableItem
from corral.alpaca.market_clock import MarketClock, read_clock
from corral.alpaca.models import AccountFacts, read_account
from corral.alpaca.orders import Order, OrderQuery, read_orders
from corral.alpaca.portfolio_history import HistoryQuery, PortfolioHistory, read_portfolio_history
from corral.alpaca.positions import Position, read_positions
from corral.alpaca.refusals import refusal_of
from corral.alpaca.unreadable_log import log_unreadable, log_wrong_shape
from corral.secret import Secret

_READ_AT_ONCE_BYTES: Final = 64 * 1024  # which takes 2 ms; beyond that others would wait for it
_Read = TypeVar("_Read")
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class AccountAnswer:
    """`account` is an Account if it has a balance.

    `answered_at` is when Alpaca answered, in UTC; `latency_seconds` is the whole call, retries included.
    """

    account: AccountFacts
    answered_at: datetime
    latency_seconds: float
    alpaca_request_id: str | None


@asynccontextmanager
async def open_alpaca(
    hosts: Hosts, *, timeout_seconds: float = 8.0, max_body_bytes: int = 1024 * 1024
) -> AsyncGenerator["AlpacaClient"]:
    """Opens the pool of connections; one client serves the whole process, and every call ends in `timeout_seconds`."""
    async with open_session(connect_seconds=timeout_seconds / 4, proxy=hosts.proxy) as session:
        yield AlpacaClient(session, hosts, timeout_seconds=timeout_seconds, max_body_bytes=max_body_bytes)


class AlpacaClient:
    """Asks Alpaca. Knows no users: whoever calls has made sure that the keys may be used."""

    def __init__(self, session: ClientSession, hosts: Hosts, *, timeout_seconds: float, max_body_bytes: int) -> None:
        self._caller = Caller(session, hosts, timeout_seconds=timeout_seconds)
        self._max_body_bytes = max_body_bytes

    def budget_left(self, budget_key: Hashable) -> BudgetLeft | None:
        """What is left of the account's minute; None where nothing was asked within it."""
        return self._caller.budgets.left(budget_key)

    async def fetch_account(
        self, environment: Environment, api_key: Secret, secret_key: Secret, *, budget_key: Hashable, leaving: int = 0
    ) -> AccountAnswer:
        """Asks `GET /v2/account`, as https://docs.alpaca.markets/openapi/trading-api.json has it.

        `budget_key` names the account whose requests are counted. Raises AlpacaError: KeysRefused,
        ReadRefused, NotAnAccount or WrongShape, UpstreamFailed, Unreachable, DeadlineExceeded, RateLimited; the last
        also if fewer than `leaving` requests would be left for others.
        """
        started = time.perf_counter()
        keys = Keys(api_key, secret_key)
        question = Question(
            environment, "/v2/account", keys, budget_key, leaving=leaving, max_body_bytes=self._max_body_bytes
        )
        answer, account = await self._fetch(question, read_account)
        return AccountAnswer(account, answer.answered_at, time.perf_counter() - started, answer.alpaca_request_id)

    def gentle_seconds(self, budget_key: Hashable) -> float:
        """How long to wait between calls that go on for ever, so that half of the budget is left to others."""
        return self._caller.budgets.gentle_seconds(budget_key)

    async def fetch_positions(
        self, environment: Environment, api_key: Secret, secret_key: Secret, *, budget_key: Hashable
    ) -> tuple[Position | UnreadableItem, ...]:
        """Asks `GET /v2/positions`: all of them, in one answer. Raises AlpacaError."""
        question = Question(environment, "/v2/positions", Keys(api_key, secret_key), budget_key)
        return await self._fetch_items(question, read_positions)

    async def fetch_orders(
        self,
        environment: Environment,
        api_key: Secret,
        secret_key: Secret,
        *,
        budget_key: Hashable,
        query: OrderQuery,
        limit: int,
        beyond: str | None = None,
        leaving: int = 0,
    ) -> tuple[Order | UnreadableItem, ...]:
        """Asks `GET /v2/orders` for at most `limit` orders, 1 to 500, from behind the one with the id `beyond`.

        Raises AlpacaError; RateLimited also if fewer than `leaving` requests would be left for others.
        """
        parameters = query.parameters(limit=limit, beyond=beyond)
        keys = Keys(api_key, secret_key)
        question = Question(environment, "/v2/orders", keys, budget_key, parameters, leaving)
        return await self._fetch_items(question, read_orders)

    async def fetch_activities(
        self,
        environment: Environment,
        api_key: Secret,
        secret_key: Secret,
        *,
        budget_key: Hashable,
        query: ActivityQuery,
        limit: int,
        beyond: str | None = None,
        leaving: int = 0,
    ) -> tuple[Activity | UnreadableItem, ...]:
        """Asks `GET /v2/account/activities` for at most `limit`, 1 to 100, from behind the one called `beyond`.

        Raises AlpacaError; RateLimited as `fetch_orders` does.
        """
        parameters = query.parameters(limit=limit, beyond=beyond)
        keys = Keys(api_key, secret_key)
        question = Question(environment, "/v2/account/activities", keys, budget_key, parameters, leaving)
        return await self._fetch_items(question, read_activities)

    async def fetch_portfolio_history(
        self,
        environment: Environment,
        api_key: Secret,
        secret_key: Secret,
        *,
        budget_key: Hashable,
        query: HistoryQuery,
    ) -> PortfolioHistory:
        """Asks `GET /v2/account/portfolio/history`. Raises AlpacaError."""
        keys = Keys(api_key, secret_key)
        question = Question(environment, "/v2/account/portfolio/history", keys, budget_key, query.parameters())
        answer, history = await self._fetch(question, read_portfolio_history)
        log_unreadable(environment, question.path, answer, history.entries)
        return history

    async def fetch_clock(
        self, environment: Environment, api_key: Secret, secret_key: Secret, *, budget_key: Hashable
    ) -> MarketClock:
        """Asks `GET /v2/clock`. Raises AlpacaError."""
        question = Question(environment, "/v2/clock", Keys(api_key, secret_key), budget_key)
        _, clock = await self._fetch(question, read_clock)
        return clock

    async def _fetch_items(
        self, question: Question, read: Callable[[bytes], tuple[_Item | UnreadableItem, ...]]
    ) -> tuple[_Item | UnreadableItem, ...]:
        answer, entries = await self._fetch(question, read)
        log_unreadable(question.environment, question.path, answer, entries)
        return entries

    async def _fetch(self, question: Question, read: Callable[[bytes], _Read]) -> tuple[RawAnswer, _Read]:
        answer = await self._caller.get(question)
        if answer.status != HTTPStatus.OK:
            raise refusal_of(answer)
        found = await _read_off_the_loop(read, answer.body)
        if not isinstance(found, WrongShape):
            return answer, found
        # A new one, because the frames of the reader's hold the body.
        kind = NotAnAccount if isinstance(found, NotAnAccount) else WrongShape
        wrong = kind(found.fault, found.field, status=answer.status, alpaca_request_id=answer.alpaca_request_id)
        log_wrong_shape(question.environment, question.path, wrong)
        raise wrong


async def _read_off_the_loop(read: Callable[[bytes], _Read], body: bytes) -> _Read | WrongShape:
    """A long answer is read by a thread, so that nobody else waits for it."""
    if len(body) <= _READ_AT_ONCE_BYTES:
        return _read_or_fault(read, body)
    return await to_thread(_read_or_fault, read, body)


def _read_or_fault(read: Callable[[bytes], _Read], body: bytes) -> _Read | WrongShape:
    try:
        return read(body)
    except WrongShape as wrong:
        return wrong
