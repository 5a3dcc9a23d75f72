"""One PostgreSQL cluster in the data folder: created completely or not at all, started, stopped.

Superuser logins are never possible: roles and database are created in single-user mode before the
server first listens, and pg_hba.conf allows two roles, one database and one system user.
"""

import os
import shutil
import signal
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import psutil

from corral.database.embedded import files
from corral.database.embedded.errors import EmbeddedPostgresError
from corral.database.embedded.os_user import OsUser

PORT = 5432  # only part of the socket's file name: the server listens on no network address
_MAJOR = "18"
_SOCKET_PATH_LIMIT = 107  # bytes; sun_path has 108 with its final zero (unix(7))
_START_SECONDS = 60  # with crash recovery


@dataclass(frozen=True, slots=True)
class Cluster:
    """`user` runs it, `client` (a user's name) may connect to it, `programs` is PostgreSQL's bin folder."""

    data_dir: Path
    user: OsUser
    client: str
    programs: Path

    @property
    def folder(self) -> Path:
        return self.data_dir / "postgres"

    @property
    def _mark(self) -> str:
        """The cluster's name in process titles, and in its socket's folder if that is outside the data folder."""
        return f"corral-{sha256(os.fsencode(self.data_dir)).hexdigest()[:12]}"

    def listening_in(self) -> Path | None:
        """Returns the socket's folder of the running server once it accepts queries; None if no server responds."""
        deadline = time.monotonic() + _START_SECONDS
        while (status := self._status()) and _answers(status[0]):
            if status[1] == "ready":
                return status[0]
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(f"PostgreSQL has been {status[1]} for {_START_SECONDS} s: {self._why()}.")
            time.sleep(0.05)
        return None

    def start(self) -> Path:
        """Starts the server and returns its socket's folder once it accepts queries. Only if none is running."""
        if not self.folder.is_dir() or not any(self.folder.iterdir()):
            self._create()
        self._refuse_unfit()
        socket_dir = self._socket_dir()
        if _answers(socket_dir):
            raise EmbeddedPostgresError(
                f"A PostgreSQL that this process cannot see (in another container?) is using {self.folder}:"
                " stop it first."
            )
        for file, text in files.settings(socket_dir, PORT, self.client, self._mark).items():
            self.user.write(self.folder / file, text)
        # Certainly stale: no process of this cluster is left, and the socket is dead. Their pids may now be
        # those of other processes, which would prevent the start. (Shared memory still guards the cluster.)
        for stale in (self.folder / "postmaster.pid", _socket_file(socket_dir).with_suffix(f".{PORT}.lock")):
            stale.unlink(missing_ok=True)
        self._log.unlink(missing_ok=True)
        self._start_server()
        return socket_dir

    def _start_server(self) -> None:
        # Without pg_ctl, which builds a shell command from the folder's name, with any characters in it.
        script = '"$1" -D "$2" </dev/null >"$3" 2>&1 & echo $!'
        started = self.user.run("/bin/sh", "-c", script, "sh", self.programs / "postgres", self.folder, self._log)
        deadline = time.monotonic() + _START_SECONDS
        while (status := self._status()) is None or status[1] != "ready":
            if not _is_alive(int(started.stdout)) or time.monotonic() > deadline:
                raise EmbeddedPostgresError(f"PostgreSQL did not start: {_with_way_out(self._why())}.")
            time.sleep(0.01)

    def stop(self) -> None:
        """Stops the server (fast mode: transactions roll back) and all processes left behind by a kill -9."""
        self._end(self._postmasters(), signal.SIGINT, patience=30)
        self._end(self._postmasters(), signal.SIGQUIT, patience=10)  # the next start recovers as after a crash
        self._end(self._processes(), signal.SIGKILL, patience=10)
        if left := [process.pid for process in self._processes()]:
            raise EmbeddedPostgresError(f"PostgreSQL does not stop (processes {left}): stop it by hand and try again.")

    def _create(self) -> None:
        """Creates it in a temporary folder that is renamed when complete: a kill -9 leaves no partial cluster."""
        unfinished = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=self.data_dir))
        self.user.take(unfinished)
        self._make(self.programs / "initdb", "-D", unfinished, *files.INITDB_OPTIONS)
        single_user = ("--single", "-D", unfinished, "-c", "exit_on_error=on", "template1")
        self._make(self.programs / "postgres", *single_user, stdin=files.BOOTSTRAP)
        unfinished.rename(self.folder)
        sync_folder(self.data_dir)

    def _make(self, *command: str | Path, stdin: str = "") -> None:
        made = self.user.run(*command, stdin=stdin)
        if made.returncode:
            raise EmbeddedPostgresError(f"The database could not be created: {error_line(made.stderr)}.")

    def _refuse_unfit(self) -> None:
        if self.folder.stat().st_uid != self.user.uid:
            raise EmbeddedPostgresError(
                f"{self.folder} belongs to the user id {self.folder.stat().st_uid}, not to {self.user.name}:"
                " run Corral as the user who created it."
            )
        try:
            version = (self.folder / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            raise EmbeddedPostgresError(
                f"{self.folder} contains files but no PostgreSQL cluster: move it elsewhere."
            ) from None
        if version != _MAJOR:
            raise EmbeddedPostgresError(
                f"{self.folder} was created by PostgreSQL {version}, but this release of Corral comes with {_MAJOR}:"
                " run the release that created it, or restore one of its backups with `corral restore FILE --replace`."
            )

    def _socket_dir(self) -> Path:
        """Below the data folder, unless that makes the socket's path too long for the kernel."""
        folder = self.data_dir / "run"
        if len(os.fsencode(_socket_file(folder))) > _SOCKET_PATH_LIMIT:
            folder = Path(tempfile.gettempdir()).resolve() / f"{self._mark}-{self.user.uid}"
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.lstat().st_uid == os.geteuid():
            self.user.take(folder)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != self.user.uid or found.st_mode & 0o077:
            raise EmbeddedPostgresError(f"{folder} is not a private folder of {self.user.name}: remove it.")
        if barred := self.user.first_barred(folder):
            raise EmbeddedPostgresError(
                f"{self.user.name} cannot enter {barred} to reach its socket: set another TMPDIR."
            )
        return folder

    def _status(self) -> tuple[Path, str] | None:
        """Returns the socket's folder and the server's state (lines 5 and 8 of postmaster.pid)."""
        try:
            lines = (self.folder / "postmaster.pid").read_text().splitlines()
            return Path(lines[4]), lines[7].strip()
        except (FileNotFoundError, IndexError):
            return None

    def _processes(self) -> list[psutil.Process]:
        """Returns this cluster's processes: run by its user, with PostgreSQL's process title and the cluster's name."""
        return [process for process, title in self._user_processes() if self._is_ours(title)]

    def _postmasters(self) -> list[psutil.Process]:
        return [process for process, title in self._user_processes() if self._is_postmaster(title)]

    def _user_processes(self) -> Iterator[tuple[psutil.Process, list[str]]]:
        for process in psutil.process_iter():
            try:
                if process.uids().real == self.user.uid:
                    yield process, process.cmdline()
            except psutil.Error:  # it has just ended, or is a zombie
                continue

    def _is_postmaster(self, title: list[str]) -> bool:
        return title[1:3] == ["-D", str(self.folder)] and Path(title[0]).name == "postgres"

    def _is_ours(self, title: list[str]) -> bool:
        return self._is_postmaster(title) or " ".join(title).startswith(f"postgres: {self._mark}: ")

    def _end(self, processes: list[psutil.Process], how: signal.Signals, patience: float) -> None:
        for process in processes:
            try:
                process.send_signal(how)
            except psutil.NoSuchProcess:
                continue
        deadline = time.monotonic() + patience
        while processes and time.monotonic() < deadline and self._processes():
            time.sleep(0.01)

    @property
    def _log(self) -> Path:
        """PostgreSQL's output before its log files in `log/` are open."""
        return self.folder / "start.log"

    def _why(self) -> str:
        logs = [self._log, *sorted(self.folder.glob("log/*.log"), key=lambda log: log.stat().st_mtime, reverse=True)]
        texts = [log.read_text(errors="replace") for log in logs[:2] if log.exists()]
        return f"{error_line(*texts)} (log: {self.folder / 'log'})"


def _with_way_out(why: str) -> str:
    """Adds what to do where PostgreSQL's message does not say it. (The version has been checked before.)"""
    if any(words in why for words in ("pg_control", "control file", "incompatible with server")):
        return f"{why}; its control file is damaged: run `corral restore FILE --replace` with your backup"
    if "shared memory segment" in why:
        return f"{why}; /dev/shm is missing or full: a container needs one of 64 MB"
    if "No space left on device" in why:
        return f"{why}; its disk is full: free some space"
    return why


def error_line(*texts: str) -> str:
    """Returns the last line of the first text with an error, otherwise the last line of all."""
    lines = [[line.strip() for line in text.splitlines() if line.strip()] for text in texts]
    failures = [
        [line for line in text if any(word in line for word in ("PANIC:", "FATAL:", "error:"))] for text in lines
    ]
    for text in (*failures, *lines):
        if text:
            return text[-1]
    return "it gave no reason"


def remove_unfinished(data_dir: Path) -> None:
    """Removes what a kill -9 left. (An orphaned initdb may still write there; then the next start removes the rest.)"""
    for folder in data_dir.glob("postgres*.new-*"):
        shutil.rmtree(folder, ignore_errors=True)


def _socket_file(socket_dir: Path) -> Path:
    return socket_dir / f".s.PGSQL.{PORT}"


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # a container's first process may not reap children
    except psutil.NoSuchProcess:
        return False


def _answers(socket_dir: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        try:
            client.connect(os.fspath(_socket_file(socket_dir)))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except (BlockingIOError, TimeoutError):  # it listens, and is busy
            return True
    return True


def sync_folder(folder: Path) -> None:
    """Makes a rename in the folder survive a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
