"""`/_clock`: GET the sandbox's time, PUT `{"at", "speed"}`; POST `/_clock/advance` moves it on.

An advance lets everything happen on its way, at exactly the times at which it is due. Advances and requests that
change something come one at a time: each waits until those before it are over.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import orjson
from aiohttp import web

from corral_sandbox.api.calendar import clock_document
from corral_sandbox.broker.accounts import OrderScheduler
from corral_sandbox.control.routes import refuse_rest
from corral_sandbox.errors import ApiError, MethodNotAllowedError
from corral_sandbox.http.forms import Form, FormError, flag, moment, number, read_form, whole_number
from corral_sandbox.http.requests import Document, Response, read_json_object
from corral_sandbox.market.time import (
    DAY,
    FASTEST,
    SECOND,
    Clock,
    ClockTurnedBackError,
    format_timestamp,
    new_york_time,
    sessions_from,
    to_nanoseconds,
)

LONGEST_ADVANCE = 366 * DAY
_FIRST_YEAR, _LAST_YEAR = 1970, 2100
_RANGE = f"the clock goes from {_FIRST_YEAR} to {_LAST_YEAR}"
_LAST_MOMENT = to_nanoseconds(datetime(_LAST_YEAR, 12, 31, tzinfo=UTC))
_STEP = DAY  # of a long advance: sockets are written to, and progress is told, after each


def _seconds(value: object) -> float:
    return float(_positive(value))


def _time_to_come(value: object) -> object:
    return value if value in ("open", "close") else moment(value)


_positive = number(above=0, highest=10**11, decimal_places=9)


@dataclass(frozen=True, slots=True, kw_only=True)
class _ClockForm:
    at: Annotated[datetime | None, moment] = None
    speed: Annotated[int | None, whole_number(0, FASTEST)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _AdvanceForm:
    seconds: Annotated[float | None, _seconds] = None
    to: Annotated[Literal["open", "close"] | datetime | None, _time_to_come] = None
    if_at: Annotated[datetime | None, moment] = None
    progress: Annotated[bool, flag] = False


@dataclass(frozen=True, slots=True)
class ClockState:
    """`at` and the next open and close are in New York; `moved_by` is in seconds, and 0 for a clock that only tells."""

    at: datetime
    speed: int
    is_open: bool
    next_open: datetime
    next_close: datetime
    moved_by: float = 0


class SandboxClock:
    """Sets and moves the sandbox's time. `flush` waits until every event has been written to its socket."""

    def __init__(self, clock: Clock, scheduler: OrderScheduler, flush: Callable[[], Awaitable[None]]) -> None:
        self._clock = clock
        self._scheduler = scheduler
        self._flush = flush

    async def get(self) -> ClockState:
        await self._clock.turn()
        return self._state()

    async def set(self, *, at: datetime | None = None, speed: int | None = None) -> ClockState:
        """Raises ValueError for a time before the latest change, and for one that is more than a year ahead."""
        if speed is not None and not 0 <= speed <= FASTEST:
            raise ValueError(f"speed must be from 0 to {FASTEST}")
        async with self._clock.advances:
            before, target = self._clock.now(), None if at is None else _moment(at)
            if target is not None:
                async for _ in self._move(target):
                    pass
            self._clock.set(at=target, speed=speed)
            return self._state(before)

    async def advance(
        self, *, seconds: float | None = None, to: Literal["open", "close"] | datetime | None = None,
        if_at: datetime | None = None,
    ) -> ClockState:  # fmt: skip
        """Moves the clock on by `seconds`, to the next open or close, or to another time later than now.

        Raises ValueError for anything else and for more than a year, and ClockMovedError if it is not at `if_at`,
        because somebody moved it.
        """
        return [state async for state in self.advance_in_steps(seconds=seconds, to=to, if_at=if_at)][-1]

    async def advance_in_steps(
        self, *, seconds: float | None = None, to: Literal["open", "close"] | datetime | None = None,
        if_at: datetime | None = None,
    ) -> AsyncGenerator[ClockState]:  # fmt: skip
        """The same, and yields after each day of the sandbox, and at the end."""
        if (seconds is None) == (to is None):
            raise ValueError("give either seconds or to")
        async with self._clock.advances:
            before = self._clock.now()
            if if_at is not None and _moment(if_at) != before // 1_000 * 1_000:
                raise ClockMovedError(f"the clock is at {format_timestamp(before)}")
            if seconds is not None and not seconds * SECOND <= _LAST_MOMENT - before:
                raise ValueError(_RANGE)
            target = before + round((seconds or 0) * SECOND) if to is None else _target(to, before)
            if target <= before:
                raise ValueError(f"the clock is at {format_timestamp(before)} already: an advance goes to a later time")
            async for _ in self._move(target):
                yield self._state(before)
            yield self._state(before)

    def reset(self) -> None:
        self._clock.reset()

    async def _move(self, target: int) -> AsyncGenerator[None]:
        """Yields between the steps of a long way, and does nothing for a time that has passed."""
        now = self._clock.now()
        if target - now > LONGEST_ADVANCE:
            raise ValueError(
                "an advance of more than a year is refused: advance several times, or start the sandbox at another time"
            )
        if target > now and self._scheduler.is_idle:
            self._clock.set(at=target)
            await self._flush()
            return
        while target - now > _STEP:
            now += _STEP
            await self._advance_to(now)
            yield
        if target > now:
            await self._advance_to(target)

    async def _advance_to(self, target: int) -> None:
        self._scheduler.advance_to(target)
        self._clock.set(at=max(target, self._clock.now()))
        await self._flush()

    def _state(self, before: int | None = None) -> ClockState:
        now = self._clock.now()
        document = clock_document(now)
        opens, closes = (datetime.fromisoformat(str(document[name])) for name in ("next_open", "next_close"))
        moved = 0 if before is None else now - before
        return ClockState(
            at=new_york_time(now).replace(microsecond=now % SECOND // 1_000),
            speed=self._clock.speed,
            is_open=bool(document["is_open"]),
            next_open=opens,
            next_close=closes,
            moved_by=moved // SECOND if moved % SECOND == 0 else moved / SECOND,
        )


class BlockingClock:
    """The same for a program without an event loop; the sandbox runs in a thread with `loop`."""

    def __init__(self, clock: SandboxClock, loop: asyncio.AbstractEventLoop) -> None:
        self._clock = clock
        self._loop = loop
        self._process = os.getpid()

    def get(self) -> ClockState:
        return self._run(self._clock.get())

    def set(self, *, at: datetime | None = None, speed: int | None = None) -> ClockState:
        return self._run(self._clock.set(at=at, speed=speed))

    def advance(
        self, *, seconds: float | None = None, to: Literal["open", "close"] | datetime | None = None,
        if_at: datetime | None = None,
    ) -> ClockState:  # fmt: skip
        return self._run(self._clock.advance(seconds=seconds, to=to, if_at=if_at))

    def _run(self, work: Coroutine[Any, Any, ClockState]) -> ClockState:
        if os.getpid() != self._process:  # a fork has no other threads, so nothing would ever answer
            work.close()
            raise RuntimeError("a forked process cannot use this clock: ask the sandbox over HTTP, at /_clock")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


class ClockMovedError(Exception):
    """The clock is not where the caller believed it to be."""


class ClockControl:
    def __init__(self, clock: SandboxClock) -> None:
        self._clock = clock

    async def handle(self, request: web.BaseRequest, rest: str) -> Document | Response | web.StreamResponse:
        try:
            if rest == "/advance":
                return await self._advance(request)
            refuse_rest(rest)
            if request.method == "GET":
                return _document(await self._clock.get())
            if request.method == "PUT":
                form = _read(_ClockForm, await request.read())
                return _document(await self._clock.set(at=form.at, speed=form.speed))
        except ClockMovedError as moved:
            raise ApiError(409, str(moved), clock=_document(await self._clock.get())) from None
        except (ClockTurnedBackError, ValueError) as refused:
            raise ApiError(400, str(refused)) from None
        raise MethodNotAllowedError(["GET", "PUT"])

    async def _advance(self, request: web.BaseRequest) -> Document | web.StreamResponse:
        if request.method != "POST":
            raise MethodNotAllowedError(["POST"])
        form = _read(_AdvanceForm, await request.read())
        steps = self._clock.advance_in_steps(seconds=form.seconds, to=form.to, if_at=form.if_at)
        if not form.progress:
            return [_document(state) async for state in steps][-1]
        async with aclosing(steps):  # a client that goes away ends the advance, and others need not wait for it
            first = await anext(steps)  # what is refused is refused before the status is sent
            response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
            await response.prepare(request)
            await response.write(orjson.dumps(_document(first)) + b"\n")
            async for state in steps:
                await response.write(orjson.dumps(_document(state)) + b"\n")
        return response


def _document(state: ClockState) -> dict[str, object]:
    return {
        "at": state.at.isoformat(timespec="microseconds"),
        "speed": state.speed,
        "is_open": state.is_open,
        "next_open": state.next_open.isoformat(),
        "next_close": state.next_close.isoformat(),
        "moved_by": state.moved_by,
    }


def _read(form: Callable[..., Form], body: bytes) -> Form:
    document = read_json_object(body or b"{}")
    if document is None:
        raise ApiError(400, 'the body must be a JSON object, such as {"speed": 0}')
    try:
        return read_form(form, document)
    except FormError as rejected:
        raise ApiError(400, str(rejected)) from None


def _moment(at: datetime) -> int:
    if at.tzinfo is None:
        raise ValueError(f"{at.isoformat()} needs a time zone, as in {at.isoformat()}-05:00")
    if not _FIRST_YEAR <= at.year <= _LAST_YEAR:
        raise ValueError(_RANGE)
    return to_nanoseconds(at)


def _target(to: Literal["open", "close"] | datetime, now: int) -> int:
    """The next open or close is the first one strictly later."""
    if isinstance(to, datetime):
        return _moment(to)
    moment = new_york_time(now)
    times = ((session.opens if to == "open" else session.closes) for session in sessions_from(moment.date()))
    return next(at for at in map(to_nanoseconds, times) if at > now)
