"""Programs that are forked from one in which everything is imported: to import it anew takes each a second.

A forked program is the real one from its first line on, with arguments, settings and standard streams of its own.
Whatever else a program can get from its start makes it a true start: another variable than a setting, another user, a
terminal, a shell. Tests of what only a true start has (its memory, its environment as the kernel shows it, signals
while it starts) ask for the fixture `executed`. test_forking.py compares both ways. `make coverage` measures a forked
program from the fork on, and what it imports in the process from which it is forked.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

_TEXT: Final = Path(__file__).with_name("template.py").read_text(encoding="utf-8")
_WITHOUT_SETTINGS: Final = {"PATH", "HOME", "PYTHONPATH"}
_UNKNOWN: Final = 255  # the status of a program whose template was ended


class ForkedProcess:
    """What tests use of asyncio's `Process`."""

    def __init__(self, pid: int, report: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._has_ended = asyncio.Event()
        self._loop.add_reader(report, self._note_end)

    def _note_end(self) -> None:
        self._loop.remove_reader(self._report)
        with self._report:
            self.returncode = int(self._report.recv(16) or _UNKNOWN)
        self._has_ended.set()

    async def wait(self) -> int:
        await self._has_ended.wait()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with suppress(ProcessLookupError):  # it has ended, which is not reported yet
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Template:
    """The process from which the programs of this one are forked. It starts with the first of them."""

    def __init__(self) -> None:
        self.is_used = sys.platform == "linux"
        self._environment: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._starting = threading.Lock()

    async def fork(
        self, arguments: Sequence[str], env: Mapping[str, str], streams: tuple[int, int, int]
    ) -> ForkedProcess | None:
        """Returns None where the program has to be started truly."""
        # Only `corral.cli` reads the settings, and when it runs; anything else may be read while modules are imported.
        inherited = {name: value for name, value in env.items() if not name.startswith("CORRAL_")}
        expected = {*_WITHOUT_SETTINGS, *(name for name in os.environ if name.startswith("COVERAGE_"))}
        if not self.is_used or inherited.keys() != expected:
            return None
        control = await asyncio.to_thread(self._started, inherited)
        if control is None or inherited != self._environment:
            return None
        report, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        report.setblocking(False)
        with theirs:
            request = json.dumps({"arguments": arguments, "environment": env}).encode()
            socket.send_fds(control, [request], [*streams, theirs.fileno()])
        return ForkedProcess(int(await asyncio.get_running_loop().sock_recv(report, 16)), report)

    def _started(self, environment: dict[str, str]) -> socket.socket | None:
        with self._starting:
            if self._process is None:
                self._environment = environment
                self._start()
        return self._control

    def _start(self) -> None:
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _TEXT, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=self._environment,
                cwd="/",
                pass_fds=[theirs.fileno()],
            )
        if control.recv(16) == b"ready":
            self._control = control
        else:
            control.close()  # it cannot even be imported, which the true start will tell

    def end(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.wait()


template: Final = Template()
