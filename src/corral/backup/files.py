"""Files that are there completely or not at all, readable for their owner only, and never in the place of another."""

import errno
import io
import os
import secrets
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

from corral.backup.problems import FileUnusable
from corral.database.embedded.cluster import sync_folder

# Of file systems without hard links, such as those of many USB sticks.
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


def refuse_taken(path: Path) -> None:
    """Raises FileUnusable, before any work is done, if nothing can be written there."""
    if os.path.lexists(path):
        what = "is a folder: name a file in it" if path.is_dir() else "exists already: choose another name, or move it"
        raise FileUnusable(f"{path} {what}")
    if not path.parent.is_dir():
        raise FileUnusable(f"{path} cannot be written: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise _unwritable(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


@contextmanager
def new_file(path: Path) -> Generator[BinaryIO]:
    """Yields a file that gets its name when the block succeeds and all of it is on the disk. Raises FileUnusable."""
    refuse_taken(path)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with _Draft.open(draft, path) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _publish(draft, path)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


@contextmanager
def opened_file(path: Path) -> Generator[BinaryIO]:
    """Opens a regular file. Raises FileUnusable."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise FileUnusable(f"{path} cannot be read: {_reason(error)}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileUnusable(f"{path} is not a regular file: name the file of the backup")
    with os.fdopen(descriptor, "rb") as file:
        yield file


class _Draft(io.FileIO):
    """What cannot be written is a complaint about this file, also where other errors are those of the database."""

    def __init__(self, descriptor: int, path: Path) -> None:
        super().__init__(descriptor, "wb")
        self._path = path

    @classmethod
    @contextmanager
    def open(cls, draft: Path, path: Path) -> Generator[BinaryIO]:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        file = io.BufferedWriter(cls(descriptor, path), 1024 * 1024)
        try:
            yield file
        finally:
            with suppress(FileUnusable):  # what is still in the buffer, of a file that will not be
                file.close()

    def write(self, content: Any, /) -> int:  # noqa: ANN401 - any buffer
        try:
            return super().write(content)
        except OSError as error:
            raise _unwritable(self._path, error) from None


def _publish(draft: Path, path: Path) -> None:
    try:
        os.link(draft, path)  # unlike a rename, this never replaces
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        refuse_taken(path)
        draft.rename(path)
    sync_folder(path.parent)


def _unwritable(path: Path, error: OSError) -> FileUnusable:
    return FileUnusable(f"{path} cannot be written: {_reason(error)}")


def _reason(error: OSError) -> str:
    return (error.strerror or "unknown error").lower()
