"""The workers: started, watched, started again when they end, and told to stop."""

import asyncio
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from corral.edge.accepting import ConnectionCounts
from corral.errors import OperatorError
from corral.logs import get_logger
from corral.workers.channel import Channel, Command, Report, WorkerOrder

# Generous: on a small machine all workers import at once, and to end one that is only slow would make it slower.
START_SECONDS: Final = 120.0
SILENT_SECONDS: Final = 60.0
_LOOKS: Final = 4  # within which it must be silent each time: after a pause of the whole machine one of them is long

_STEADY_SECONDS: Final = 30.0  # one that ended later than this after it began to serve is started again at once
_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 30.0
_MOST_FAILURES: Final = 10  # that are counted: by then the pause is the longest
_GONE_SECONDS: Final = 10.0  # from the end of its socket to the end of its process

_log = get_logger()


class WorkerFailed(OperatorError):  # noqa: N818 - a condition
    """A worker could not begin to serve. One line."""


@dataclass(slots=True)
class _Run:
    """One process of one worker, from its start to its end."""

    worker: int
    process: asyncio.subprocess.Process
    channel: Channel
    started_at: float
    serving_since: float | None = None
    is_leaving: bool = False
    reason: str | None = None

    def end(self) -> None:
        with suppress(ProcessLookupError):
            self.process.terminate()

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()


@final
class Crew:
    """`order_of` returns what a worker is told first; `inherited` are the descriptors that it names."""

    def __init__(self, workers: int, order_of: Callable[[int], WorkerOrder], inherited: list[int], counts: int) -> None:
        self._workers = workers
        self._order_of = order_of
        self._inherited = inherited
        self._counts = ConnectionCounts(counts, workers)
        self._runs: dict[int, _Run] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._has_begun = False
        self._command: Command | None = None
        self._stopping = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._url: asyncio.Future[str] = self._loop.create_future()

    async def start(self) -> str | None:
        """Returns the address once all serve; None if they were told to stop before. Raises WorkerFailed."""
        self._tasks = [asyncio.ensure_future(self._keep(worker)) for worker in range(1, self._workers + 1)]
        await self._any_of(self._url)
        return self._url.result() if self._url.done() else None

    async def serve(self) -> None:
        """Returns when they are told to stop."""
        await self._any_of()

    async def _any_of(self, *awaited: "asyncio.Future[str]") -> None:
        """Waits until they are told to stop, or for `awaited`. Raises what ends a task that keeps a worker."""
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            done, _ = await asyncio.wait((stopping, *awaited, *self._tasks), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
        for task in done & set(self._tasks):
            task.result()

    def tell(self, command: Command) -> None:
        """All of them. None is started again, and one that has only been started need not begin."""
        self._command = command
        self._stopping.set()
        for run in self._runs.values():
            run.channel.send(command)
            if run.serving_since is None:
                run.end()

    async def ended(self, *, within_seconds: float) -> None:
        """Returns when all have ended. They have to be told so before. Those that do not end in time are killed."""
        all_ended = asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await asyncio.wait_for(asyncio.shield(all_ended), within_seconds)
        except TimeoutError:
            for run in list(self._runs.values()):
                _log.error("worker_killed", worker=run.worker, pid=run.process.pid, reason="it did not end in time")
                run.kill()
            await all_ended

    async def abandon(self) -> None:
        """Ends what is left of them."""
        self.tell(Command(command="hurry"))
        await self.ended(within_seconds=_GONE_SECONDS)

    async def _keep(self, worker: int) -> None:
        """Runs one after the other."""
        failures = 0
        while not self._stopping.is_set():
            try:
                run = await self._run(worker)
                why, pid = _why(run), run.process.pid
            except OSError as error:  # such as too many processes, or a Python that is being replaced
                run, why, pid = None, f"worker {worker} cannot be started ({error.strerror})", None
            self._counts.note_absent(worker)
            if self._stopping.is_set():
                return
            if not self._has_begun:
                raise WorkerFailed(why)
            if run is not None and run.is_leaving and run.process.returncode == 0:
                _log.info("worker_left", worker=worker, pid=pid)
                continue
            since = None if run is None else run.serving_since
            was_steady = since is not None and self._loop.time() - since > _STEADY_SECONDS
            failures = 1 if was_steady else min(failures + 1, _MOST_FAILURES)
            pause = 0.0 if failures == 1 else min(_FIRST_PAUSE_SECONDS * 2 ** (failures - 2), _LONGEST_PAUSE_SECONDS)
            _log.error("worker_ended", worker=worker, pid=pid, reason=why, restart_in_seconds=pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def _run(self, worker: int) -> _Run:
        """Starts a worker and returns when its process has ended."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *worker_command(),
                str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[*self._inherited, theirs.fileno()],
                start_new_session=True,  # a terminal's Ctrl-C and hangup are for the supervisor
            )
        run = self._runs[worker] = _Run(worker, process, await Channel.open(ours), self._loop.time())
        try:
            run.channel.send(self._order_of(worker))
            if self._command is not None:
                run.channel.send(self._command)
            await self._follow(run)
            try:
                await asyncio.wait_for(process.wait(), _GONE_SECONDS)
            except TimeoutError:
                run.kill()
        finally:
            await run.channel.close()
            await process.wait()
            del self._runs[worker]
        return run

    async def _follow(self, run: _Run) -> None:
        """Returns when the worker has closed its end. One that hangs is killed."""
        looks = 0
        while True:
            try:
                line = await asyncio.wait_for(run.channel.receive(), SILENT_SECONDS / _LOOKS)
            except TimeoutError:
                looks += 1
            else:
                if not line:
                    return
                looks = 0
                self._note(run, Report.model_validate_json(line))
            if run.serving_since is None and self._loop.time() - run.started_at > START_SECONDS:
                self._kill_hung(run, f"did not begin to serve within {START_SECONDS:.0f} seconds")
            elif run.serving_since is not None and looks >= _LOOKS:
                self._kill_hung(run, f"did not answer for {SILENT_SECONDS:.0f} seconds")

    def _kill_hung(self, run: _Run, what: str) -> None:
        run.reason = run.reason or f"worker {run.worker} (process {run.process.pid}) {what}, and was killed"
        run.kill()

    def _note(self, run: _Run, report: Report) -> None:
        if report.state == "failed":
            run.reason = report.detail
        elif report.state == "leaving":
            run.is_leaving = True
        elif report.state == "serving":
            run.serving_since = self._loop.time()
            if not self._url.done() and all(
                worker in self._runs and self._runs[worker].serving_since for worker in range(1, self._workers + 1)
            ):
                self._has_begun = True
                self._url.set_result(report.detail)


def _why(run: _Run) -> str:
    """Returns a sentence without its full stop."""
    status = run.process.returncode or 0
    if run.reason is not None:
        return run.reason
    if status < 0:
        by = f"was ended by {signal.Signals(-status).name}"
        return f"worker {run.worker} {by}" + (": look for a lack of memory" if -status == signal.SIGKILL else "")
    return f"worker {run.worker} ended by itself with status {status}: its last lines in the log say why"


def worker_command() -> list[str]:
    """Returns how this Python runs the same Corral again, without modules of the folder that it is started in.

    Unless this one was started from there, as `python -m corral`.
    """
    is_module = Path(sys.argv[0]).name == "__main__.py"
    return [sys.executable, *([] if is_module else ["-P"]), "-m", "corral.workers"]
