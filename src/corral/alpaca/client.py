"""Corral's requests to Alpaca, and how the responses are read."""

import re
import time
from asyncio import to_thread
from collections.abc import AsyncGenerator, Callable, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeVar
from uuid import UUID

from corral.alpaca.activities import Activity, ActivityQuery, read_activities
from corral.alpaca.call_summary import CURRENT_SUMMARY
from corral.alpaca.calls import ApiRequest, Keys, RawAnswer
from corral.alpaca.environments import Environment, Hosts
from corral.alpaca.errors import AlpacaAuthError, AlpacaError, AlpacaServerError, NotAnAccount, ReadRefused, WrongShape
from corral.alpaca.fields import Fields, read_documents, read_object
from corral.alpaca.items import UnreadableItem, log_unreadable, log_wrong_shape
from corral.alpaca.models import AccountFacts, MarketClock, read_account, read_clock
from corral.alpaca.orders import Order, OrderQuery, read_order, read_orders
from corral.alpaca.portfolio_history import HistoryQuery, PortfolioHistory, read_portfolio_history
from corral.alpaca.positions import Position, read_positions
from corral.alpaca.rate_budget import BudgetLeft, Budgets
from corral.alpaca.requests import RequestRunner, send_once
from corral.alpaca.shared_answers import SharedAnswers
from corral.alpaca.shared_budgets import SharedBudgets
from corral.alpaca.transport import open_session
from corral.secret import Secret

if TYPE_CHECKING:
    from corral.valkey.client import Valkey

# Alpaca's observed messages for keys that it does not accept, by status. Sources:
#   401 unauthorized.   unknown, expired or regenerated keys, 2026 (dev.to/igorganapolsky, log of 2026-01-09);
#                       without the full stop in https://alpaca.markets/learn/how-to-fix-common-trading-api-errors-at-alpaca
#   401 request is not authorized   keys of the other environment (alpacahq/alpaca-py#519, alpaca-mcp-server#16)
#   401 access key verification failed …   2018 (alpacahq/alpaca-trade-api-python#40)
#   403 forbidden.      headers missing or misspelt (docs.alpaca.markets/docs/getting-started-with-trading-api,
#                       alpacahq/Alpaca-API#228)
_REFUSES_KEYS: Final[Mapping[int, frozenset[str]]] = {
    HTTPStatus.UNAUTHORIZED: frozenset(
        {
            "unauthorized.",
            "unauthorized",
            "request is not authorized",
            "access key verification failed : access key not found",
        }
    ),
    HTTPStatus.FORBIDDEN: frozenset({"forbidden."}),
}
_KEY_CODES: Final = "4011"  # 40110000: request is not authorized
_REFUSES_READS: Final = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY}
)
_CODE: Final = re.compile(r"[1-9]\d{7}", re.ASCII)


def refusal_of(answer: RawAnswer) -> AlpacaError:
    """Returns AlpacaAuthError or ReadRefused if the response is certainly Alpaca's own, otherwise AlpacaServerError."""
    fields = read_object(answer.body)
    code = _code_in(fields)
    if _refuses_keys(answer.status, fields, code):
        return AlpacaAuthError(status=answer.status, alpaca_request_id=answer.alpaca_request_id)
    if code is not None and answer.status in _REFUSES_READS:
        return ReadRefused(alpaca_code=code, status=answer.status, alpaca_request_id=answer.alpaca_request_id)
    return AlpacaServerError(status=answer.status, alpaca_request_id=answer.alpaca_request_id)


def _refuses_keys(status: int, fields: Fields, code: int | None) -> bool:
    if status == HTTPStatus.UNAUTHORIZED and code is not None:
        return str(code).startswith(_KEY_CODES)
    return fields.get("code") is None and fields.get("message") in _REFUSES_KEYS.get(status, ())


def _code_in(fields: Fields) -> int | None:
    """Alpaca's error code: usually the status and five more digits."""
    code = fields.get("code")
    return int(code) if isinstance(code, str) and _CODE.fullmatch(code) else None


_READ_AT_ONCE_BYTES: Final = 64 * 1024  # parsing takes 2 ms; more would block the event loop
_Read = TypeVar("_Read")
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class AccountAnswer:
    """`account` is an Account if it has a balance.

    `answered_at` is the time of the response in UTC; `latency_seconds` is that of the whole call, retries included.
    """

    account: AccountFacts
    answered_at: datetime
    latency_seconds: float
    alpaca_request_id: str | None


@asynccontextmanager
async def open_alpaca(
    hosts: Hosts,
    *,
    timeout_seconds: float = 8.0,
    max_body_bytes: int = 1024 * 1024,
    valkey: "Valkey | None" = None,
) -> AsyncGenerator["AlpacaClient"]:
    """Opens the pool of connections; one client serves the whole process, and every call ends in `timeout_seconds`.

    With `valkey`, requests are counted together with those of the other processes, and answers are shared with them.
    """
    async with open_session(send_once, connect_seconds=timeout_seconds / 4, proxy=hosts.proxy) as session:
        requests = RequestRunner(
            session,
            hosts,
            Budgets() if valkey is None else SharedBudgets(valkey),
            None if valkey is None else SharedAnswers(valkey),
            timeout_seconds=timeout_seconds,
        )
        yield AlpacaClient(requests, max_body_bytes=max_body_bytes)


class AlpacaClient:
    """Sends requests to Alpaca. Knows no users: callers must have checked that the keys may be used."""

    def __init__(self, requests: RequestRunner, *, max_body_bytes: int) -> None:
        self._requests = requests
        self._max_body_bytes = max_body_bytes

    @property
    def budgets(self) -> Budgets:
        """The requests of all accounts' minutes, for callers that ask Alpaca by themselves."""
        return self._requests.budgets

    @property
    def answers(self) -> SharedAnswers | None:
        """What this process shares with others of Alpaca's answers, if it does."""
        return self._requests.answers

    def budget_left(self, budget_key: Hashable) -> BudgetLeft | None:
        """Returns the requests left in this minute; None if there was no request within it."""
        return self._requests.budgets.left(budget_key)

    async def fetch_account(
        self, environment: Environment, api_key: Secret, secret_key: Secret, *, budget_key: Hashable, leaving: int = 0
    ) -> AccountAnswer:
        """Requests `GET /v2/account`, as documented in https://docs.alpaca.markets/openapi/trading-api.json.

        `budget_key` names the account whose requests are counted. Raises AlpacaError: AlpacaAuthError,
        ReadRefused, NotAnAccount or WrongShape, AlpacaServerError, Unreachable, DeadlineExceeded,
        AlpacaRateLimited; the last one also if fewer than `leaving` requests would be left for other callers.
        """
        started = time.perf_counter()
        keys = Keys(api_key, secret_key)
        request = ApiRequest(
            environment, "/v2/account", keys, budget_key, leaving=leaving, max_body_bytes=self._max_body_bytes
        )
        answer, account = await self._fetch(request, read_account)
        return AccountAnswer(account, answer.answered_at, time.perf_counter() - started, answer.alpaca_request_id)

    def polite_seconds(self, budget_key: Hashable) -> float:
        """Returns the pause in seconds between periodic calls that leaves half of the budget to other callers."""
        return self._requests.budgets.polite_seconds(budget_key)

    async def fetch_positions(
        self, environment: Environment, api_key: Secret, secret_key: Secret, *, budget_key: Hashable, leaving: int = 0
    ) -> tuple[Position | UnreadableItem, ...]:
        """Requests `GET /v2/positions`: all of them, in one response. Raises AlpacaError."""
        request = ApiRequest(environment, "/v2/positions", Keys(api_key, secret_key), budget_key, leaving=leaving)
        return await self._fetch_items(request, read_positions)

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
        """Requests `GET /v2/orders`: at most `limit` orders (1 to 500) after the one with the id `beyond`.

        Raises AlpacaError; AlpacaRateLimited also if fewer than `leaving` requests would be left for other callers.
        """
        parameters = query.parameters(limit=limit, beyond=beyond)
        keys = Keys(api_key, secret_key)
        request = ApiRequest(environment, "/v2/orders", keys, budget_key, parameters, leaving)
        return await self._fetch_items(request, read_orders)

    async def fetch_order(
        self,
        environment: Environment,
        api_key: Secret,
        secret_key: Secret,
        *,
        budget_key: Hashable,
        order_id: UUID,
        leaving: int = 0,
    ) -> Order:
        """Requests `GET /v2/orders/{id}` with the legs. Raises AlpacaError: ReadRefused with status 404 without one."""
        keys = Keys(api_key, secret_key)
        request = ApiRequest(environment, f"/v2/orders/{order_id}", keys, budget_key, {"nested": "true"}, leaving)
        _, order = await self._fetch(request, lambda body: read_order(read_object(body)))
        return order

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
        """Requests `GET /v2/account/activities`: at most `limit` (1 to 100) after the one with the id `beyond`.

        Raises AlpacaError; AlpacaRateLimited as `fetch_orders` does.
        """
        parameters = query.parameters(limit=limit, beyond=beyond)
        keys = Keys(api_key, secret_key)
        request = ApiRequest(environment, "/v2/account/activities", keys, budget_key, parameters, leaving)
        return await self._fetch_items(request, read_activities)

    async def fetch_portfolio_history(
        self,
        environment: Environment,
        api_key: Secret,
        secret_key: Secret,
        *,
        budget_key: Hashable,
        query: HistoryQuery,
        leaving: int = 0,
    ) -> PortfolioHistory:
        """Requests `GET /v2/account/portfolio/history`. Raises AlpacaError."""
        keys = Keys(api_key, secret_key)
        request = ApiRequest(
            environment, "/v2/account/portfolio/history", keys, budget_key, query.parameters(), leaving
        )
        answer, history = await self._fetch(request, read_portfolio_history)
        log_unreadable(environment, request.path, answer, history.entries)
        return history

    async def fetch_documents(
        self,
        environment: Environment,
        api_key: Secret,
        secret_key: Secret,
        *,
        budget_key: Hashable,
        path: str,
        parameters: Mapping[str, str],
        leaving: int = 0,
    ) -> Sequence[Fields]:
        """Requests a list, or one object as a list of one, to be passed on as Alpaca wrote it. Raises AlpacaError."""
        request = ApiRequest(environment, path, Keys(api_key, secret_key), budget_key, parameters, leaving)
        _, documents = await self._fetch(request, read_documents)
        return documents

    async def fetch_clock(
        self, environment: Environment, api_key: Secret, secret_key: Secret, *, budget_key: Hashable, leaving: int = 0
    ) -> MarketClock:
        """Requests `GET /v2/clock`. Raises AlpacaError."""
        request = ApiRequest(environment, "/v2/clock", Keys(api_key, secret_key), budget_key, leaving=leaving)
        _, clock = await self._fetch(request, read_clock)
        return clock

    async def _fetch_items(
        self, request: ApiRequest, read: Callable[[bytes], tuple[_Item | UnreadableItem, ...]]
    ) -> tuple[_Item | UnreadableItem, ...]:
        answer, entries = await self._fetch(request, read)
        log_unreadable(request.environment, request.path, answer, entries)
        return entries

    async def _fetch(self, request: ApiRequest, read: Callable[[bytes], _Read]) -> tuple[RawAnswer, _Read]:
        answer = await self._requests.get(request)
        if answer.status != HTTPStatus.OK:
            raise refusal_of(answer)
        found = await _read_off_the_loop(read, answer.body)
        if not isinstance(found, WrongShape):
            return answer, found
        # A new exception, because the traceback of the original one refers to the body.
        kind = NotAnAccount if isinstance(found, NotAnAccount) else WrongShape
        wrong = kind(found.fault, found.field, status=answer.status, alpaca_request_id=answer.alpaca_request_id)
        log_wrong_shape(request.environment, request.path, wrong)
        if (summary := CURRENT_SUMMARY.get()) is not None:
            summary.note_unusable(request.path)
        raise wrong


async def _read_off_the_loop(read: Callable[[bytes], _Read], body: bytes) -> _Read | WrongShape:
    """Parses a long response in a thread, so that it does not block the event loop."""
    if len(body) <= _READ_AT_ONCE_BYTES:
        return _read_or_fault(read, body)
    return await to_thread(_read_or_fault, read, body)


def _read_or_fault(read: Callable[[bytes], _Read], body: bytes) -> _Read | WrongShape:
    try:
        return read(body)
    except WrongShape as wrong:
        return wrong
