"""The data folder, and the locks in it that let several Corral processes share one.

The locks are flocks: the kernel drops them when their process ends, however it ends. Their files
stay; to remove one would let two processes lock two files of the same name.
"""

import fcntl
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from corral.database.embedded_errors import DataFolderInUse, EmbeddedPostgresError

_PATIENCE = 60.0  # seconds; longer than a start with crash recovery or a stop should ever take


def opened_data_folder(data_dir: Path) -> Path:
    """The folder's absolute path; it is made when missing, and left exactly as it is when not.

    Root makes it 0711: the database's user must be able to pass to its own folder in it.
    """
    folder = data_dir.resolve()
    for part in (*reversed(folder.parents), folder):
        try:
            part.mkdir(mode=0o700)
        except FileExistsError:
            continue
        part.chmod(0o711 if os.geteuid() == 0 else 0o700)
    return folder


@contextmanager
def exclusive_serve_lock(data_dir: Path) -> Generator[None]:
    """Held by `corral serve`: at most one on a data folder. Does not wait: raises `DataFolderInUse`."""
    try:
        lock = FolderLock(opened_data_folder(data_dir) / "serve.lock")
    except OSError as error:
        raise EmbeddedPostgresError(f"{data_dir} cannot be used: {error}.") from error
    with lock:
        if not lock.try_exclusive():
            holder = lock.note()
            raise DataFolderInUse(
                f"Another corral serve{f' (process {holder})' if holder else ''} is running on {data_dir}:"
                " stop it first, or use another --data-dir."
            )
        lock.leave_note(str(os.getpid()))
        yield


class FolderLock:
    """One lock file, open while this object is in use as a context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def try_exclusive(self) -> bool:
        """A shared lock that this object held is lost when the answer is False."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def wait_exclusive(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not self.try_exclusive():
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"Another Corral process has been starting or stopping the database for over {_PATIENCE:.0f} s"
                    f" (it holds {self._path}): check its output, stop it and try again."
                )
            time.sleep(0.02)

    def share(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_SH)

    def note(self) -> str:
        return os.pread(self._file, 32, 0).decode(errors="replace").strip()

    def leave_note(self, text: str) -> None:
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, text.encode(), 0)

    def close(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)  # explicitly: a process forked a moment ago may still hold a copy
        os.close(self._file)
