"""The clients, in a process of their own: `python -m benchmarks.load`, a `Job` in, a `Report` out.

Each client sends its next request when the answer to the last one is complete, over one connection.
They read no more of HTTP than where an answer ends, so that they take little of the machine's cores.
"""

import asyncio
import gc
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from itertools import cycle
from typing import cast, final

import orjson
import psutil
import uvloop
from pydantic import BaseModel

_LENGTH = b"\r\ncontent-length: "  # in lower case: servers write it either way
_SAMPLE_EVERY = 50
_FIELDS = {
    *("account_type", "balance", "equity", "buying_power", "currency"),
    *("trading_blocked", "account_blocked", "pattern_day_trader", "daytrade_count", "last_updated"),
}


class Question(BaseModel):
    """`expected` is a piece of text that only the right answer has. A page is asked for with a session's cookie,
    Alpaca's API with key headers. With a body it is a POST.
    """

    path: str
    token: str = ""
    cookie: str = ""
    headers: dict[str, str] = {}
    body: str = ""
    expected: str


class Window(BaseModel, frozen=True):
    """Seconds. Answers count from the end of the warm-up on."""

    warm_up: float
    measured: float


class Job(BaseModel):
    """With a window the questions are asked in turn, again and again; without one, each of them once."""

    url: str
    server_pid: int
    clients: int
    questions: list[Question]
    window: Window | None = None
    fresh_within_seconds: float | None = None  # how old `last_updated` may be; None for an answer without


class Report(BaseModel):
    """`answers` are right ones with status 200; everything else is an error. Latencies in milliseconds."""

    answers: int
    errors: int
    seconds: float
    p50_ms: float
    p99_ms: float
    server_cpu_seconds: float
    load_cpu_seconds: float

    @property
    def per_second(self) -> float:
        return self.answers / self.seconds

    @property
    def server_cpu_us(self) -> float:
        """Microseconds of the server's CPU time for one answer."""
        return self.server_cpu_seconds / max(self.answers, 1) * 1e6


async def carry_out(job: Job) -> Report:
    tally = _Tally(_supply(job))
    clients = await _connect(job, tally)
    if job.window is None:
        before = _Moment(job.server_pid)
        await asyncio.gather(*(client.is_done for client in clients))
    else:
        await asyncio.sleep(job.window.warm_up)
        tally.begin_anew()
        before = _Moment(job.server_pid)
        await asyncio.sleep(job.window.measured)
        tally.is_over = True
    return _report(tally, before, _Moment(job.server_pid), job.fresh_within_seconds)


async def _connect(job: Job, tally: "_Tally") -> list["_Client"]:
    """Each begins to ask as soon as it is connected."""
    host, _, port = job.url.removeprefix("http://").partition(":")
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(lambda: _Client(tally), host, int(port)))[1] for _ in range(job.clients)]


def _supply(job: Job) -> Iterator["Request"]:
    requests = [Request(question) for question in job.questions]
    return iter(cycle(requests) if job.window is not None else requests)


class Request:
    """A question as it is sent."""

    __slots__ = ("expected", "wire")

    def __init__(self, question: Question) -> None:
        self.expected = question.expected.encode()
        headers = {"Host": "corral", **_credential(question), "Accept": "application/json", "User-Agent": "benchmark"}
        if question.body:
            headers["Content-Length"] = str(len(question.body.encode()))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.wire = (
            f"{'POST' if question.body else 'GET'} {question.path} HTTP/1.1\r\n{lines}\r\n{question.body}".encode()
        )

    def is_answered_by(self, answer: bytes) -> bool:
        return answer.startswith(b"HTTP/1.1 200 ") and self.expected in answer


def _credential(question: Question) -> dict[str, str]:
    if question.headers:
        return question.headers
    return {"Cookie": question.cookie} if question.cookie else {"Authorization": f"Bearer {question.token}"}


@final
class _Tally:
    """What all clients have seen since the warm-up."""

    def __init__(self, supply: Iterator[Request]) -> None:
        self.supply = supply
        self.is_over = False
        self.latencies: list[float] = []
        self.samples: list[tuple[float, bytes]] = []
        self.errors = 0
        self.lost_clients = 0

    def begin_anew(self) -> None:
        self.latencies.clear()
        self.samples.clear()
        self.errors = 0

    def note(self, started: float, answer: bytes, request: Request) -> None:
        if not request.is_answered_by(answer):
            self.errors += 1
            return
        self.latencies.append(time.perf_counter() - started)
        if len(self.latencies) % _SAMPLE_EVERY == 1:
            self.samples.append((time.time(), answer))


@final
class _Client(asyncio.Protocol):
    __slots__ = ("_received", "_request", "_started", "_tally", "_transport", "is_done")

    def __init__(self, tally: _Tally) -> None:
        self._tally = tally
        self._received = b""
        self.is_done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's own is none by inheritance
        self._ask()

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        if len(received) < answer_length(received):
            self._received = received
            return
        self._received = b""
        if not self._tally.is_over:
            self._tally.note(self._started, received, self._request)
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """A server that hangs up, be it during the warm-up, has not answered. The client is not replaced."""
        if not self.is_done.done():
            self.is_done.set_result(None)
            self._tally.lost_clients += not self._tally.is_over

    def _ask(self) -> None:
        request = next(self._tally.supply, None)
        if request is None:
            self.is_done.set_result(None)
            self._transport.close()
            return
        self._request = request
        self._started = time.perf_counter()
        self._transport.write(request.wire)


def answer_length(received: bytes) -> float:
    """How long the whole answer is, as far as that is known already."""
    head_ends = received.find(b"\r\n\r\n")
    if head_ends < 0:
        return float("inf")
    head = received[: head_ends + 2].lower()
    at = head.index(_LENGTH) + len(_LENGTH)
    return head_ends + 4 + int(head[at : head.index(b"\r", at)])


class _Moment:
    """The clock, and the CPU time that the server and we have used until now."""

    def __init__(self, server_pid: int) -> None:
        self.at = time.perf_counter()
        server = psutil.Process(server_pid)
        self.server_cpu = sum(map(cpu_seconds, [server, *server.children(recursive=True)]))
        self.load_cpu = cpu_seconds(psutil.Process())


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _report(tally: _Tally, before: _Moment, after: _Moment, fresh_within_seconds: float | None) -> Report:
    wrong = 0
    if fresh_within_seconds is not None:  # a wrong sample stands for all that were not looked at
        wrong = min(_count_wrong(tally.samples, fresh_within_seconds) * _SAMPLE_EVERY, len(tally.latencies))
    ordered = sorted(tally.latencies) or [0.0]
    return Report(
        answers=len(tally.latencies) - wrong,
        errors=tally.errors + tally.lost_clients + wrong,
        seconds=after.at - before.at,
        p50_ms=ordered[len(ordered) // 2] * 1000,
        p99_ms=ordered[len(ordered) * 99 // 100] * 1000,
        server_cpu_seconds=after.server_cpu - before.server_cpu,
        load_cpu_seconds=after.load_cpu - before.load_cpu,
    )


def _count_wrong(samples: Iterable[tuple[float, bytes]], fresh_within_seconds: float) -> int:
    """Samples are read as a client would read them: whole, and no older than the variant may be."""
    wrong = 0
    for received_at, answer in samples:
        body = orjson.loads(answer.partition(b"\r\n\r\n")[2])
        age = received_at - datetime.fromisoformat(body["last_updated"]).timestamp()
        wrong += set(body) != _FIELDS or not -0.1 < age < fresh_within_seconds
    return wrong


async def main() -> None:
    job = Job.model_validate_json(sys.stdin.readline())
    work = asyncio.ensure_future(carry_out(job))
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), work.cancel)  # nothing more comes but the end
    with suppress(asyncio.CancelledError):
        print((await work).model_dump_json(), flush=True)


if __name__ == "__main__":
    gc.disable()
    uvloop.run(main())
