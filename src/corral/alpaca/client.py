"""What Corral asks Alpaca, and what it makes of the answers."""

import time
from asyncio import to_thread
from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import asynccontextmanager, suppress
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
from corral.alpaca.errors import AlpacaError, KeysRefused, NotAnAccount, UpstreamFailed, WrongShape
from corral.alpaca.exchange import Keys, RawAnswer
from corral.alpaca.market_clock import MarketClock, read_clock
from corral.alpaca.models import Account, read_account
from corral.alpaca.orders import Order, OrderQuery, read_orders
from corral.alpaca.portfolio_history import HistoryQuery, PortfolioHistory, read_portfolio_history
from corral.alpaca.positions import Position, read_positions
from corral.alpaca.reading import read_object
from corral.secret import Secret

_READ_AT_ONCE_BYTES: Final = 64 * 1024  # which takes 2 ms; beyond that others would wait for it
_Read = TypeVar("_Read")


@dataclass(frozen=True, slots=True)
class AccountAnswer:
    """`answered_at` is when Alpaca answered, in UTC; `latency_seconds` is the whole call, retries included."""

    account: Account
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
        NotAnAccount or WrongShape, UpstreamFailed, Unreachable, DeadlineExceeded, RateLimited; the last
        also if fewer than `leaving` requests would be left for others.
        """
        started = time.perf_counter()
        keys = Keys(api_key, secret_key)
        question = Question(
            environment, "/v2/account", keys, budget_key, leaving=leaving, max_body_bytes=self._max_body_bytes
        )
        answer = await self._caller.get(question)
        account = _account_in(answer)
        return AccountAnswer(account, answer.answered_at, time.perf_counter() - started, answer.alpaca_request_id)

    def gentle_seconds(self, budget_key: Hashable) -> float:
        """How long to wait between calls that go on for ever, so that half of the budget is left to others."""
        return self._caller.budgets.gentle_seconds(budget_key)

    async def fetch_positions(
        self, environment: Environment, api_key: Secret, secret_key: Secret, *, budget_key: Hashable
    ) -> tuple[Position, ...]:
        """Asks `GET /v2/positions`: all of them, in one answer. Raises AlpacaError."""
        question = Question(environment, "/v2/positions", Keys(api_key, secret_key), budget_key)
        return await self._fetch(question, read_positions)

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
    ) -> tuple[Order, ...]:
        """Asks `GET /v2/orders` for at most `limit` orders, 1 to 500, from behind the one with the id `beyond`.

        Raises AlpacaError; RateLimited also if fewer than `leaving` requests would be left for others.
        """
        parameters = query.parameters(limit=limit, beyond=beyond)
        keys = Keys(api_key, secret_key)
        return await self._fetch(
            Question(environment, "/v2/orders", keys, budget_key, parameters, leaving), read_orders
        )

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
    ) -> tuple[Activity, ...]:
        """Asks `GET /v2/account/activities` for at most `limit`, 1 to 100, from behind the one called `beyond`.

        Raises AlpacaError; RateLimited as `fetch_orders` does.
        """
        parameters = query.parameters(limit=limit, beyond=beyond)
        keys = Keys(api_key, secret_key)
        question = Question(environment, "/v2/account/activities", keys, budget_key, parameters, leaving)
        return await self._fetch(question, read_activities)

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
        return await self._fetch(question, read_portfolio_history)

    async def fetch_clock(
        self, environment: Environment, api_key: Secret, secret_key: Secret, *, budget_key: Hashable
    ) -> MarketClock:
        """Asks `GET /v2/clock`. Raises AlpacaError."""
        question = Question(environment, "/v2/clock", Keys(api_key, secret_key), budget_key)
        return await self._fetch(question, read_clock)

    async def _fetch(self, question: Question, read: Callable[[bytes], _Read]) -> _Read:
        answer = await self._caller.get(question)
        if answer.status != HTTPStatus.OK:
            raise _refusal(answer)
        found = await _read_off_the_loop(read, answer.body)
        if found is None:
            raise WrongShape(status=answer.status, alpaca_request_id=answer.alpaca_request_id)
        return found


def _account_in(answer: RawAnswer) -> Account:
    if answer.status != HTTPStatus.OK:
        raise _refusal(answer)
    with suppress(NotAnAccount):
        return read_account(answer.body)
    # A new one, because the frames of the reader's hold the body.
    raise NotAnAccount(status=answer.status, alpaca_request_id=answer.alpaca_request_id)


async def _read_off_the_loop(read: Callable[[bytes], _Read], body: bytes) -> _Read | None:
    """None for what has another shape. A long answer is read by a thread, so that nobody else waits for it."""
    if len(body) <= _READ_AT_ONCE_BYTES:
        return _read_or_none(read, body)
    return await to_thread(_read_or_none, read, body)


def _read_or_none(read: Callable[[bytes], _Read], body: bytes) -> _Read | None:
    with suppress(WrongShape):
        return read(body)
    return None


def _refusal(answer: RawAnswer) -> AlpacaError:
    is_refused = answer.status == HTTPStatus.UNAUTHORIZED or (
        answer.status == HTTPStatus.FORBIDDEN and not _is_business_refusal(answer.body)
    )
    kind = KeysRefused if is_refused else UpstreamFailed
    return kind(status=answer.status, alpaca_request_id=answer.alpaca_request_id)


def _is_business_refusal(body: bytes) -> bool:
    """Alpaca's edge refuses keys with a bare message, its business rules refuse with a code of 4031xxxx."""
    return str(read_object(body).get("code")).startswith("4031")
