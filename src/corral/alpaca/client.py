"""The road to Alpaca: deadline, retries, budget and one log line around each call."""

import time
from asyncio import get_running_loop, timeout_at
from collections.abc import AsyncGenerator, Hashable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Final

import structlog
from aiohttp import ClientSession
from structlog.typing import FilteringBoundLogger
from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_after_attempt, stop_before_delay
from tenacity.wait import wait_random_exponential
from yarl import URL

from corral.alpaca.budget import Budgets
from corral.alpaca.connections import open_session
from corral.alpaca.environments import Environment, Hosts
from corral.alpaca.errors import (
    AlpacaError,
    CertificateRefused,
    ConnectionDropped,
    DeadlineExceeded,
    KeysRefused,
    NotAnAccount,
    RateLimited,
    Unreachable,
    UpstreamFailed,
)
from corral.alpaca.exchange import Keys, RawAnswer, ask
from corral.alpaca.models import Account, read_account, read_object
from corral.secret import Secret

MOST_ATTEMPTS: Final = 3
_PASSING: Final = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})
_BACKOFF: Final = wait_random_exponential(multiplier=0.2, max=1.0)  # full jitter
_log: FilteringBoundLogger = structlog.get_logger("corral.alpaca")


@dataclass(frozen=True, slots=True)
class AccountAnswer:
    """`answered_at` is when Alpaca answered, in UTC; `latency_seconds` is the whole call, retries included."""

    account: Account
    answered_at: datetime
    latency_seconds: float
    alpaca_request_id: str | None


@dataclass(slots=True)
class _Call:
    url: URL
    keys: Keys
    budget_key: Hashable
    give_up_at: float  # on the loop's clock
    attempts: int = 0


@asynccontextmanager
async def open_alpaca(
    hosts: Hosts, *, timeout_seconds: float = 8.0, max_body_bytes: int = 1024 * 1024
) -> AsyncGenerator["AlpacaClient"]:
    """Opens the pool of connections; one client serves the whole process, and every call ends in `timeout_seconds`."""
    async with open_session(connect_seconds=timeout_seconds / 4) as session:
        yield AlpacaClient(session, hosts, timeout_seconds=timeout_seconds, max_body_bytes=max_body_bytes)


class AlpacaClient:
    """Asks Alpaca. Knows no users: whoever calls has made sure that the keys may be used."""

    def __init__(self, session: ClientSession, hosts: Hosts, *, timeout_seconds: float, max_body_bytes: int) -> None:
        self._session = session
        self._hosts = hosts
        self._timeout_seconds = timeout_seconds
        self._max_body_bytes = max_body_bytes
        self._budgets = Budgets()

    async def fetch_account(
        self, environment: Environment, api_key: Secret, secret_key: Secret, *, budget_key: Hashable
    ) -> AccountAnswer:
        """Asks `GET /v2/account`, as https://docs.alpaca.markets/openapi/trading-api.json has it.

        `budget_key` names the account whose requests are counted. Raises AlpacaError: KeysRefused,
        NotAnAccount or WrongShape, UpstreamFailed, Unreachable, DeadlineExceeded, RateLimited.
        """
        started = time.perf_counter()
        answer = await self._get(environment, "/v2/account", Keys(api_key, secret_key), budget_key)
        account = _account_in(answer)
        return AccountAnswer(account, answer.answered_at, time.perf_counter() - started, answer.alpaca_request_id)

    def gentle_seconds(self, budget_key: Hashable) -> float:
        """How long to wait between calls that go on for ever, so that half of the budget is left to others."""
        return self._budgets.gentle_seconds(budget_key)

    async def _get(self, environment: Environment, path: str, keys: Keys, budget_key: Hashable) -> RawAnswer:
        """Answers with any status but 429. Only for reads: it asks again when the first answer got lost."""
        started = time.perf_counter()
        give_up_at = get_running_loop().time() + self._timeout_seconds
        call = _Call(_endpoint(self._hosts.trading(environment), path), keys, budget_key, give_up_at)
        outcome = await self._ask_in_time(call)
        if call.attempts:
            _log_outcome(environment, path, outcome, call.attempts, time.perf_counter() - started)
        if isinstance(outcome, AlpacaError):
            raise outcome
        return outcome

    async def _ask_in_time(self, call: _Call) -> RawAnswer | AlpacaError:
        try:
            async with timeout_at(call.give_up_at):
                outcome = await self._attempt(call)
                return await self._ask_again(call, outcome) if _may_pass(outcome) else outcome
        except TimeoutError:
            return DeadlineExceeded()

    async def _attempt(self, call: _Call) -> RawAnswer | AlpacaError:
        if wait := self._budgets.take(call.budget_key):
            return RateLimited(retry_after_seconds=wait, from_us=True)
        call.attempts += 1
        outcome = await ask(self._session, call.url, call.keys, max_body_bytes=self._max_body_bytes)
        if isinstance(outcome, RawAnswer):
            return self._charge(call.budget_key, outcome)
        if isinstance(outcome, Unreachable | KeysRefused):
            self._budgets.give_back(call.budget_key)
        return outcome

    def _charge(self, budget_key: Hashable, answer: RawAnswer) -> RawAnswer | RateLimited:
        self._budgets.learn(budget_key, answer.headers)
        if answer.status != HTTPStatus.TOO_MANY_REQUESTS:
            return answer
        return RateLimited(
            retry_after_seconds=self._budgets.hold(budget_key, answer.headers),
            from_us=False,
            status=answer.status,
            alpaca_request_id=answer.alpaca_request_id,
        )

    async def _ask_again(self, call: _Call, first: RawAnswer | AlpacaError) -> RawAnswer | AlpacaError:
        """Enters tenacity with the first outcome in hand, so that calls that go well never pay for it."""
        known = [first]

        async def next_outcome() -> RawAnswer | AlpacaError:
            return known.pop() if known else await self._attempt(call)

        retrying = AsyncRetrying(
            retry=retry_if_result(_may_pass),
            wait=_pause,
            stop=stop_after_attempt(MOST_ATTEMPTS) | stop_before_delay(call.give_up_at - get_running_loop().time()),
            retry_error_callback=_last_outcome,
        )
        return await retrying(next_outcome)


@lru_cache(maxsize=64)
def _endpoint(base: URL, path: str) -> URL:
    return base.with_path(base.raw_path.rstrip("/") + path, encoded=True)


def _account_in(answer: RawAnswer) -> Account:
    if answer.status != HTTPStatus.OK:
        raise _refusal(answer)
    with suppress(NotAnAccount):
        return read_account(answer.body)
    # A new one, because the frames of the reader's hold the body.
    raise NotAnAccount(status=answer.status, alpaca_request_id=answer.alpaca_request_id)


def _refusal(answer: RawAnswer) -> AlpacaError:
    is_refused = answer.status == HTTPStatus.UNAUTHORIZED or (
        answer.status == HTTPStatus.FORBIDDEN and not _is_business_refusal(answer.body)
    )
    kind = KeysRefused if is_refused else UpstreamFailed
    return kind(status=answer.status, alpaca_request_id=answer.alpaca_request_id)


def _is_business_refusal(body: bytes) -> bool:
    """Alpaca's edge refuses keys with a bare message, its business rules refuse with a code of 4031xxxx."""
    return str(read_object(body).get("code")).startswith("4031")


def _may_pass(outcome: RawAnswer | AlpacaError) -> bool:
    is_lost = isinstance(outcome, Unreachable | ConnectionDropped) and not isinstance(outcome, CertificateRefused)
    return is_lost or outcome.status in _PASSING


def _pause(state: RetryCallState) -> float:
    """No pause after a first hang-up: most likely the connection had idled for too long, and the next is fresh."""
    is_stale = state.attempt_number == 1 and isinstance(_last_outcome(state), ConnectionDropped)
    return 0.0 if is_stale else _BACKOFF(state)


def _last_outcome(state: RetryCallState) -> RawAnswer | AlpacaError:
    outcome = state.outcome
    assert outcome is not None  # noqa: S101 - tenacity asks after an attempt only
    return outcome.result()


def _log_outcome(
    environment: Environment, path: str, outcome: RawAnswer | AlpacaError, attempts: int, seconds: float
) -> None:
    """`X-Request-ID` is all that Alpaca's support can search for, and it cannot be looked up later."""
    _log.info(
        "alpaca_failed" if outcome.status is None else "alpaca_answered",
        environment=environment.value,
        path=path,
        status=outcome.status,
        failure=type(outcome).__name__ if isinstance(outcome, AlpacaError) else None,
        alpaca_request_id=outcome.alpaca_request_id,
        duration_ms=round(seconds * 1000, 1),
        attempts=attempts,
    )
