"""Published heads: the last entry of each chain, written where whoever rewrites the database does not reach.

A chain by itself cannot show that its last entries were cut off, or that an old copy took its place. A head that was
published before can. The file has one JSON object a line, `{"user_id", "seq", "mac", "published_at"}`; the log has the
same as `audit_head`, so that a log that is kept elsewhere is a second copy.
"""

import asyncio
import fcntl
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Final, final
from uuid import UUID

import orjson

from corral.audit import queries
from corral.audit.models import Head
from corral.database.connection import Database
from corral.logs import get_logger

HEADS_FILE: Final = "audit-heads.jsonl"
# A commit may follow the moment that it writes by this much, and would be missed otherwise.
_OVERLAP: Final = timedelta(seconds=30)
_BEGINNING: Final = datetime(2000, 1, 1, tzinfo=UTC)
_PATIENCE_SECONDS: Final = 5.0

_log = get_logger()


@dataclass(frozen=True, slots=True)
class PublishedHead:
    """`published_at` is None where the line does not say when."""

    mac: bytes
    published_at: datetime | None


PublishedHeads = Mapping[UUID, Mapping[int, PublishedHead]]
"""By owner and number. Of several with the same number, from before and after a restore, the last one."""


@final
class HeadPublisher:
    """Publishes each head that has moved, when it is asked to."""

    __slots__ = ("_database", "_file", "_is_failing", "_path", "_since")

    def __init__(self, database: Database, path: Path) -> None:
        self._database = database
        self._path = path
        self._file = _HeadsFile(path)
        self._since = _BEGINNING
        self._is_failing = False

    async def publish(self, now: datetime) -> None:
        """`now` is the database's time. Raises DatabaseUnavailable and Overloaded."""
        moved = await queries.load_heads_since(self._database, self._since)
        try:
            new = await asyncio.to_thread(self._file.add, moved)
        except OSError as error:
            self._report(error)
            return
        self._report(None)
        for user_id, head in new.items():
            _log.info("audit_head", user_id=str(user_id), seq=head.seq, mac=head.mac.hex())
        self._since = now - _OVERLAP

    def _report(self, error: OSError | None) -> None:
        """Once when it begins."""
        if error is not None and not self._is_failing:
            _log.error("audit_heads_unpublished", path=str(self._path), reason=error.strerror)
        self._is_failing = error is not None


@final
class _HeadsFile:
    """Several workers publish to one file: each reads what others have added, before it adds what is still missing."""

    __slots__ = ("_last", "_path", "_read_to")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last: dict[UUID, Head] = {}
        self._read_to = 0

    def add(self, heads: Mapping[UUID, Head]) -> dict[UUID, Head]:
        """Returns those that were not there, and are now. Raises OSError. It blocks.

        Makes the file, so that it is there to be copied, even if no head has moved yet.
        """
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        with os.fdopen(os.open(self._path, flags, 0o600), "r+b") as file:
            _lock(file.fileno())
            self._read(file)
            new = {user_id: head for user_id, head in heads.items() if head != self._last.get(user_id)}
            if new:
                file.write(_lines_of(new))
                file.flush()
                os.fsync(file.fileno())
                self._read_to = file.tell()
        self._last |= new
        return new

    def _read(self, file: IO[bytes]) -> None:
        """Goes to the end."""
        if file.seek(0, os.SEEK_END) < self._read_to:  # it was replaced
            self._read_to = 0
        file.seek(self._read_to)
        self._last |= {user_id: head for user_id, head, _ in _heads_of(file)}
        self._read_to = file.seek(0, os.SEEK_END)


def _lock(descriptor: int) -> None:
    """Until the file is closed. A process that was stopped while it had the lock must not stop all others."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def load_heads(path: Path) -> PublishedHeads:
    """Reads a file of heads, or a JSON log. Other lines are passed over. Raises OSError."""
    heads: dict[UUID, dict[int, PublishedHead]] = {}
    with path.open("rb") as file:
        for user_id, head, published_at in _heads_of(file):
            heads.setdefault(user_id, {})[head.seq] = PublishedHead(head.mac, published_at)
    return heads


def _heads_of(lines: Iterable[bytes]) -> Iterable[tuple[UUID, Head, datetime | None]]:
    for line in lines:
        try:
            members = orjson.loads(line)
            head = Head(int(members["seq"]), bytes.fromhex(members["mac"]))
            yield UUID(members["user_id"]), head, _moment(members.get("published_at", members.get("at")))
        except (ValueError, KeyError, TypeError, AttributeError):  # another line of the log, or half a line
            continue


def _moment(text: object) -> datetime | None:
    """Returns the time of a line of the file, or of the log."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _lines_of(heads: Mapping[UUID, Head]) -> bytes:
    moment = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    lines = [
        orjson.dumps({"user_id": str(user_id), "seq": head.seq, "mac": head.mac.hex(), "published_at": moment})
        for user_id, head in heads.items()
    ]
    return b"\n".join([*lines, b""])
