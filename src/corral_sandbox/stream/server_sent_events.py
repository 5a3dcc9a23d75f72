"""Server-sent events: `/v2/events/trades` publishes trade updates, `/v2beta1/events/activities` account activities.

Without `since` or `since_id` a stream begins with the next event, otherwise with those from then on. With `until` or
`until_id` it ends there. A client that reads too slowly misses events, and a comment says how many.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from corral_sandbox.api.activities import Activity, activity_of, all_activities
from corral_sandbox.broker.initial_state import initial_transfers
from corral_sandbox.broker.ledger import Execution
from corral_sandbox.broker.order_manager import OrderEvent, OrderManager
from corral_sandbox.errors import ApiError
from corral_sandbox.http.requests import Request, Response
from corral_sandbox.market.time import Clock, parse_timestamp
from corral_sandbox.stream.messages import (
    activity_event_document,
    end_of_event_id,
    event_id,
    trade_event_document,
)

TRADE_EVENTS_PATH, ACTIVITY_EVENTS_PATH = "/v2/events/trades", "/v2beta1/events/activities"
_MAX_UNSENT = 10_000
_HEARTBEAT_SECONDS = 30.0
_FLUSH_SECONDS = 5.0
_LOOK_AT_THE_CLOCK_SECONDS = 0.05
_HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}


class _Event(NamedTuple):
    id: str
    at: int
    document: Callable[[], dict[str, object]]

    def to_bytes(self) -> bytes:
        return b"data: " + orjson.dumps(self.document()) + b"\n\n"


@dataclass(frozen=True, slots=True)
class _Range:
    """Which events a client asked for. Times are in nanoseconds since 1970; all ends are included."""

    since: int | None = None
    until: int | None = None
    since_id: str | None = None
    until_id: str | None = None

    @property
    def has_history(self) -> bool:
        return self.since is not None or self.since_id is not None

    def includes(self, event: _Event) -> bool:
        return (
            (self.since is None or event.at >= self.since)
            and (self.until is None or event.at <= self.until)
            and (self.since_id is None or event.id >= self.since_id)
            and (self.until_id is None or event.id <= self.until_id)
        )

    def ends_with(self, event: _Event) -> bool:
        """Whether nothing after an event is included."""
        return (self.until is not None and event.at > self.until) or (
            self.until_id is not None and event.id >= self.until_id
        )


def stream_trade_events(request: Request) -> Response:
    manager = request.account.order_manager
    account_id = str(manager.terms.profile["id"])
    manager.advance(request.now)

    def as_event(event: OrderEvent) -> _Event:
        identity = event_id(account_id, event.number, event.at)
        return _Event(identity, event.at, lambda: trade_event_document(account_id, event))

    stream = _Stream(_requested_range(request), request.clock)
    stream.send_history(map(as_event, manager.past_events()))

    def publish(event: OrderEvent) -> None:
        stream.publish(as_event(event))

    listeners = manager.on_event
    listeners.add(publish)
    stream.on_close = lambda: listeners.discard(publish)
    return Response(200, b"", dict(_HEADERS), stream)


def stream_activity_events(request: Request) -> Response:
    opened = request.account.order_manager
    stream = _Stream(_requested_range(request), request.clock)
    numbered = enumerate(all_activities(opened, request.now), 1)
    stream.send_history(_activity_event(opened, number, activity) for number, activity in numbered)

    def publish(manager: OrderManager, execution: Execution) -> None:
        """A test may have replaced the account, so the manager may be another one."""
        number = len(initial_transfers(manager.terms)) + manager.execution_count
        activity = activity_of(execution, str(manager.terms.profile["currency"]))
        stream.publish(_activity_event(manager, number, activity))

    listeners = opened.on_execution
    listeners.add(publish)
    stream.on_close = lambda: listeners.discard(publish)
    return Response(200, b"", dict(_HEADERS), stream)


def _activity_event(manager: OrderManager, number: int, activity: Activity) -> _Event:
    identity = event_id(str(manager.terms.profile["id"]), number, activity.at)
    return _Event(identity, activity.at, lambda: activity_event_document(manager, activity, number))


def _requested_range(request: Request) -> _Range:
    query = request.query()
    texts = {name: query[name] for name in ("since", "until", "since_id", "until_id") if query.get(name)}
    if "since" in texts and "since_id" in texts:
        raise _refusal("since and since_id cannot be used together")
    for end, start in (("until", "since"), ("until_id", "since_id")):
        if end in texts and start not in texts:
            raise _refusal(f"{start} is required if {end} is specified")
    until_id = texts.get("until_id")
    until = _moment("until", texts["until"]) if "until" in texts else None
    if until_id is not None:
        until = _end_of_id("until_id", until_id)
    if "since_id" in texts:
        _end_of_id("since_id", texts["since_id"])
    return _Range(
        since=_moment("since", texts["since"]) if "since" in texts else None,
        until=until,
        since_id=texts.get("since_id"),
        until_id=until_id,
    )


def _moment(name: str, text: str) -> int:
    try:
        return parse_timestamp(text)
    except ValueError:
        raise _refusal(f"invalid {name}: {text} is neither RFC 3339 nor YYYY-MM-DD") from None


def _end_of_id(name: str, text: str) -> int:
    try:
        return end_of_event_id(text)
    except ValueError:
        raise _refusal(f"invalid {name}: {text} is not a ULID") from None


def _refusal(message: str) -> ApiError:
    return ApiError(400, message, code=40010000)


class _Stream:
    """The events of one client. Whoever publishes never waits for it."""

    def __init__(self, requested: _Range, clock: Clock | None) -> None:
        self._requested = requested
        self._clock = clock
        self._unsent: deque[bytes] = deque()
        self._has_unsent = asyncio.Event()
        self._has_sent_all = asyncio.Event()
        self._has_ended = False
        self._dropped = 0
        self.on_close: Callable[[], None] | None = None

    def send_history(self, events: Iterable[_Event]) -> None:
        if not self._requested.has_history:
            return
        for event in events:
            self._has_ended = self._has_ended or self._requested.ends_with(event)
            if self._requested.includes(event):
                self._unsent.append(event.to_bytes())

    def publish(self, event: _Event) -> None:
        if self._has_ended:
            return
        self._has_ended = self._requested.ends_with(event)
        self._has_unsent.set()
        if not self._requested.includes(event):
            return
        if len(self._unsent) >= _MAX_UNSENT:
            self._dropped += 1
            return
        self._unsent.append(event.to_bytes())
        self._has_sent_all.clear()

    async def flush(self) -> None:
        """Returns when everything has been written. Raises TimeoutError if the client does not read."""
        async with asyncio.timeout(_FLUSH_SECONDS):
            await self._has_sent_all.wait()

    def close(self) -> None:
        self._has_sent_all.set()
        if self.on_close is not None:
            self.on_close()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            while self._unsent:
                yield self._unsent.popleft()
                last = loop.time()
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                yield f": you are reading too slowly, dropped {dropped} messages\n\n".encode()
            if self._is_over():
                return
            await self._wait()
            if loop.time() - last >= _HEARTBEAT_SECONDS:
                yield b":heartbeat\n\n"
                last = loop.time()

    def _is_over(self) -> bool:
        until = self._requested.until
        return self._has_ended or (until is not None and self._clock is not None and self._clock.now() >= until)

    async def _wait(self) -> None:
        if self._unsent or self._has_ended:
            return
        self._has_sent_all.set()
        self._has_unsent.clear()
        seconds = _HEARTBEAT_SECONDS if self._requested.until is None else _LOOK_AT_THE_CLOCK_SECONDS
        with suppress(TimeoutError):
            await asyncio.wait_for(self._has_unsent.wait(), seconds)
