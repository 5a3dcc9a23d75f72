"""One call to Alpaca, including its retries: exchange, deadline, budget and one log line."""

import re
import time
from asyncio import get_running_loop, timeout_at
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Final

import structlog
from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientHandlerType,
    ClientOSError,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ConnectionTimeoutError,
    ServerDisconnectedError,
)
from multidict import istr
from structlog.typing import FilteringBoundLogger
from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_after_attempt, stop_before_delay
from tenacity.wait import wait_random_exponential
from yarl import URL

from corral.alpaca.call_summary import CURRENT_SUMMARY
from corral.alpaca.calls import ApiRequest, Keys, RawAnswer
from corral.alpaca.environments import Environment, Hosts
from corral.alpaca.errors import (
    AlpacaAuthError,
    AlpacaError,
    AlpacaRateLimited,
    CertificateRefused,
    ConnectionDropped,
    DeadlineExceeded,
    Fault,
    Unreachable,
    WrongShape,
)
from corral.alpaca.rate_budget import Budgets
from corral.alpaca.shared_answers import SharedAnswers
from corral.alpaca.transport import HungUp, failure_of
from corral.logs import added_to_request_line

MOST_ATTEMPTS: Final = 3
_PASSING: Final = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})
_BACKOFF: Final = wait_random_exponential(multiplier=0.2, max=1.0)  # full jitter
_KEY_ID: Final = istr("APCA-API-KEY-ID")
_SECRET_KEY: Final = istr("APCA-API-SECRET-KEY")
_SENDABLE: Final = re.compile(r"[\x21-\x7e]{1,256}")
# Alpaca's ids are hexadecimal. Nothing else is written to the log, in particular no echoed key.
_REQUEST_ID: Final = re.compile(r"[0-9a-fA-F-]{8,64}")

_log: FilteringBoundLogger = structlog.get_logger("corral.alpaca")


@dataclass(slots=True)
class _Call:
    request: ApiRequest
    url: URL
    give_up_at: float  # on the loop's clock
    attempts: int = 0


class RequestRunner:
    """Sends requests over one connection pool, and counts them for each account and minute."""

    def __init__(
        self,
        session: ClientSession,
        hosts: Hosts,
        budgets: Budgets,
        answers: SharedAnswers | None,
        *,
        timeout_seconds: float,
    ) -> None:
        self._session = session
        self.answers = answers
        self._bases = {environment: hosts.trading(environment) for environment in Environment}
        self._timeout_seconds = timeout_seconds
        self.budgets = budgets

    async def get(self, request: ApiRequest) -> RawAnswer:
        """Returns a response of any status but 429. Only for reads, because it repeats the request after a failure."""
        ask = partial(self._get, request, give_up_at=get_running_loop().time() + self._timeout_seconds)
        return await (ask() if self.answers is None else self.answers.get(request, ask))

    async def _get(self, request: ApiRequest, *, give_up_at: float) -> RawAnswer:
        started = time.perf_counter()
        url = _address(self._bases[request.environment], request)
        call = _Call(request, url, give_up_at)
        outcome = await self._ask_in_time(call)
        if call.attempts:
            _log_outcome(request, outcome, call.attempts, time.perf_counter() - started)
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
        request = call.request
        if wait := await self.budgets.take(request.budget_key, leaving=request.leaving):
            return AlpacaRateLimited(retry_after_seconds=wait, from_us=True)
        call.attempts += 1
        outcome = await _exchange(self._session, call.url, request.keys, max_body_bytes=request.max_body_bytes)
        if isinstance(outcome, RawAnswer):
            return self._charge(request.budget_key, outcome)
        if isinstance(outcome, Unreachable | AlpacaAuthError):
            self.budgets.give_back(request.budget_key)
        return outcome

    def _charge(self, budget_key: Hashable, answer: RawAnswer) -> RawAnswer | AlpacaRateLimited:
        self.budgets.update(budget_key, answer.headers)
        if answer.status != HTTPStatus.TOO_MANY_REQUESTS:
            return answer
        return AlpacaRateLimited(
            retry_after_seconds=self.budgets.hold(budget_key, answer.headers),
            from_us=False,
            status=answer.status,
            alpaca_request_id=answer.alpaca_request_id,
        )

    async def _ask_again(self, call: _Call, first: RawAnswer | AlpacaError) -> RawAnswer | AlpacaError:
        """Starts tenacity with the first outcome, so that successful calls have no overhead."""
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


def _address(base: URL, request: ApiRequest) -> URL:
    """The host is that of the configured base URL; a request only adds the path and the encoded query."""
    url = _endpoint(base, request.path)
    return url.with_query(request.parameters) if request.parameters else url


@lru_cache(maxsize=64)
def _endpoint(base: URL, path: str) -> URL:
    return base.with_path(base.raw_path.rstrip("/") + path, encoded=True)


def _may_pass(outcome: RawAnswer | AlpacaError) -> bool:
    is_lost = isinstance(outcome, Unreachable | ConnectionDropped) and not isinstance(outcome, CertificateRefused)
    return is_lost or outcome.status in _PASSING


def _pause(state: RetryCallState) -> float:
    """No pause after the first dropped connection, which most likely was idle for too long. The next one is new."""
    is_stale = state.attempt_number == 1 and isinstance(_last_outcome(state), ConnectionDropped)
    return 0.0 if is_stale else _BACKOFF(state)


def _last_outcome(state: RetryCallState) -> RawAnswer | AlpacaError:
    outcome = state.outcome
    assert outcome is not None  # noqa: S101 - tenacity asks after an attempt only
    return outcome.result()


def _log_outcome(request: ApiRequest, outcome: RawAnswer | AlpacaError, attempts: int, seconds: float) -> None:
    """Logs `X-Request-ID`, because Alpaca's support needs it and it cannot be looked up later.

    The path has no query, which may reveal what a user trades. A successful call is added to the
    line of the request that it was made for, if possible, and a poll's to the summary of its account.
    """
    milliseconds = round(seconds * 1000, 1)
    is_well = isinstance(outcome, RawAnswer) and outcome.status == HTTPStatus.OK
    summary = CURRENT_SUMMARY.get()
    is_no_news = summary is not None and summary.note(
        request.environment,
        request.path,
        is_well=is_well,
        milliseconds=milliseconds,
        alpaca_request_id=outcome.alpaca_request_id,
    )
    if (
        is_well
        and attempts == 1
        and (
            is_no_news
            or added_to_request_line(
                environment=request.environment.value,
                alpaca_ms=milliseconds,
                alpaca_request_id=outcome.alpaca_request_id,
            )
        )
    ):
        return
    _log.info(
        "alpaca_failed" if outcome.status is None else "alpaca_answered",
        environment=request.environment.value,
        path=request.path,
        status=outcome.status,
        failure=type(outcome).__name__ if isinstance(outcome, AlpacaError) else None,
        alpaca_request_id=outcome.alpaca_request_id,
        duration_ms=milliseconds,
        attempts=attempts,
        **({"fault": outcome.fault.value} if isinstance(outcome, WrongShape) else {}),
    )


async def send_once(request: ClientRequest, send: ClientHandlerType) -> ClientResponse:
    """Keeps aiohttp from silently sending a request twice, which it does after one of these errors.

    Retries are made by the client: counted, bounded and charged to the account's budget.
    """
    try:
        return await send(request)
    except (ClientConnectorError, ConnectionTimeoutError):
        raise
    except (ServerDisconnectedError, ClientOSError) as error:
        raise HungUp from error


async def _exchange(session: ClientSession, url: URL, keys: Keys, *, max_body_bytes: int) -> RawAnswer | AlpacaError:
    """Sends one GET and reads at most `max_body_bytes` of the answer; the caller sets the deadline."""
    headers = key_headers(keys)
    if headers is None:
        return AlpacaAuthError()
    try:
        response = await session.get(url, headers=headers, allow_redirects=False)
        try:
            return await _read(response, max_body_bytes)
        finally:
            response.release()  # back into the pool, or closed if the body is incomplete
    except ClientError as error:
        return failure_of(error)


def key_headers(keys: Keys) -> dict[str, str] | None:
    """The only place where keys are put on a request. None for values that could end a header or its line."""
    headers: dict[str, str] = {_KEY_ID: keys.api_key.reveal(), _SECRET_KEY: keys.secret_key.reveal()}
    return headers if all(map(_SENDABLE.fullmatch, headers.values())) else None


async def _read(response: ClientResponse, max_body_bytes: int) -> RawAnswer | WrongShape:
    answered_at = datetime.now(UTC)
    status, headers = response.status, response.headers
    request_id = _request_id(headers.get("X-Request-ID"))
    body = await _bounded_body(response, max_body_bytes)
    if body is None and status == HTTPStatus.OK:
        return WrongShape(Fault.TOO_LONG, status=status, alpaca_request_id=request_id)
    return RawAnswer(status, headers, body or b"", answered_at, request_id)


async def _bounded_body(response: ClientResponse, max_body_bytes: int) -> bytes | None:
    """Returns None for a body that is too large or compressed. It is never decompressed, as it may be a zip bomb."""
    announced = response.content_length or 0
    if announced > max_body_bytes or response.headers.get("Content-Encoding", "identity") != "identity":
        return None
    body = await response.content.readany()  # nearly always the whole body
    if response.content.at_eof():
        return body if len(body) <= max_body_bytes else None
    return await _rest_of_body(response, bytearray(body), max_body_bytes)


async def _rest_of_body(response: ClientResponse, body: bytearray, max_body_bytes: int) -> bytes | None:
    while len(body) <= max_body_bytes:
        if not (chunk := await response.content.readany()):
            return bytes(body)
        body += chunk
    return None


def _request_id(text: str | None) -> str | None:
    return text if text is not None and _REQUEST_ID.fullmatch(text) else None
