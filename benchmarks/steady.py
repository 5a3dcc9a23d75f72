"""Requests at a steady rate, whatever the earlier ones take: `python -m benchmarks.steady`, a `SteadyJob` in, a
`Comparison` out.

Two servers are asked in turns of a second, so that a machine whose speed changes changes it for both. A latency begins
when a request is due and not when it is sent: a server that keeps the clients waiting does not look faster for it.
"""

import asyncio
import gc
import selectors
import sys
import time
from collections import deque
from contextlib import suppress
from itertools import cycle
from typing import cast, final

import psutil
from pydantic import BaseModel

from benchmarks.load import Question, Request, answer_length, cpu_seconds

CONNECTIONS = 64  # to each server; a request that finds none free waits for one
_TURN_SECONDS = 1.0
_LAST_ANSWERS_SECONDS = 2.0


class Target(BaseModel):
    url: str
    questions: list[Question]


class SteadyJob(BaseModel):
    """The first turn of each is for warming up."""

    direct: Target
    through: Target
    server_pid: int
    per_second: float
    turns: int


class Latencies(BaseModel):
    """Milliseconds of the right answers with status 200. Everything else is an error, and so is what never came."""

    ms: list[float]
    errors: int

    def percentile(self, percent: int) -> float:
        ordered = sorted(self.ms) or [0.0]
        return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)]


class Comparison(BaseModel):
    """`server_cpu_us` is what the server behind `through` takes for an answer, in microseconds."""

    direct: Latencies
    through: Latencies
    server_cpu_us: float

    def added(self, percent: int) -> float:
        return self.through.percentile(percent) - self.direct.percentile(percent)

    @property
    def errors(self) -> int:
        return self.direct.errors + self.through.errors


async def carry_out(job: SteadyJob) -> Comparison:
    direct, through = await _connected(job.direct), await _connected(job.through)
    cpu = 0.0
    for turn in range(job.turns + 1):
        await direct.ask_for_a_turn(job.per_second, counts=turn > 0)
        before = cpu_seconds(psutil.Process(job.server_pid))
        await through.ask_for_a_turn(job.per_second, counts=turn > 0)
        cpu += (cpu_seconds(psutil.Process(job.server_pid)) - before) * (turn > 0)
    answers = len(through.latencies_ms)
    return Comparison(direct=direct.latencies, through=through.latencies, server_cpu_us=cpu / max(answers, 1) * 1e6)


async def _connected(target: Target) -> "_Crowd":
    host, _, port = target.url.removeprefix("http://").partition(":")
    crowd = _Crowd(target.questions)
    for _ in range(CONNECTIONS):
        await asyncio.get_running_loop().create_connection(lambda: _Connection(crowd), host, int(port))
    return crowd


@final
class _Crowd:
    """Programs that share some connections to one server."""

    def __init__(self, questions: list[Question]) -> None:
        self._requests = cycle([Request(question) for question in questions])
        self._waiting: deque[tuple[float, Request]] = deque()
        self._free: deque[_Connection] = deque()
        self._under_way = 0
        self._counts = False
        self.latencies_ms: list[float] = []
        self._errors = 0

    @property
    def latencies(self) -> Latencies:
        return Latencies(ms=self.latencies_ms, errors=self._errors)

    async def ask_for_a_turn(self, per_second: float, *, counts: bool) -> None:
        self._counts = counts
        began = time.perf_counter()
        for number in range(int(per_second * _TURN_SECONDS)):
            due = began + number / per_second
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            self._under_way += 1
            self._waiting.append((due, next(self._requests)))
            self._send_waiting()
        await self._wait_for_last_answers()

    def connect(self, connection: "_Connection") -> None:
        self._free.append(connection)

    def note(self, due: float, answer: bytes, request: Request, connection: "_Connection") -> None:
        self._under_way -= 1
        if not request.is_answered_by(answer):
            self._errors += self._counts
        elif self._counts:
            self.latencies_ms.append((time.perf_counter() - due) * 1000)
        self._free.append(connection)
        self._send_waiting()

    async def _wait_for_last_answers(self) -> None:
        ends_at = time.perf_counter() + _LAST_ANSWERS_SECONDS
        while self._under_way and time.perf_counter() < ends_at:
            await asyncio.sleep(0.005)
        self._errors += self._under_way * self._counts
        self._under_way = 0

    def _send_waiting(self) -> None:
        while self._waiting and self._free:
            self._free.popleft().ask(*self._waiting.popleft())


@final
class _Connection(asyncio.Protocol):
    __slots__ = ("_crowd", "_due", "_received", "_request", "_transport")

    def __init__(self, crowd: _Crowd) -> None:
        self._crowd = crowd
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)
        self._crowd.connect(self)

    def ask(self, due: float, request: Request) -> None:
        self._due, self._request = due, request
        self._transport.write(request.wire)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) >= answer_length(self._received):
            answer, self._received = self._received, b""
            self._crowd.note(self._due, answer, self._request, self)


async def main() -> None:
    job = SteadyJob.model_validate_json(sys.stdin.readline())
    work = asyncio.ensure_future(carry_out(job))
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), work.cancel)  # nothing more comes but the end
    with suppress(asyncio.CancelledError):
        print((await work).model_dump_json(), flush=True)


if __name__ == "__main__":
    gc.disable()
    # epoll and uvloop wake up at whole milliseconds, which is too coarse for differences of one.
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(main())
