"""Published heads: the last entry of each chain, written where whoever rewrites the database does not reach.

A chain by itself cannot show that its last entries were cut off, or that an old copy took its place. A head that was
published before can. The file has one JSON object a line, `{"user_id", "seq", "mac", "published_at"}`; the log has the
same as `audit_head`, so that a log that is kept elsewhere is a second copy.
"""

import asyncio
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, final
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

    __slots__ = ("_database", "_is_failing", "_path", "_published", "_since")

    def __init__(self, database: Database, path: Path) -> None:
        self._database = database
        self._path = path
        self._published: dict[UUID, Head] | None = None  # the last one of each
        self._since = _BEGINNING
        self._is_failing = False

    async def publish(self, now: datetime) -> None:
        """`now` is the database's time. Raises DatabaseUnavailable and Overloaded."""
        moved = await queries.load_heads_since(self._database, self._since)
        try:
            published = self._published = self._published or await asyncio.to_thread(_last_heads, self._path)
            new = {user_id: head for user_id, head in moved.items() if head != published.get(user_id)}
            if new:
                await asyncio.to_thread(_append, self._path, new)
        except OSError as error:
            self._report(error)
            return
        self._report(None)
        for user_id, head in new.items():
            published[user_id] = head
            _log.info("audit_head", user_id=str(user_id), seq=head.seq, mac=head.mac.hex())
        self._since = now - _OVERLAP

    def _report(self, error: OSError | None) -> None:
        """Once when it begins."""
        if error is not None and not self._is_failing:
            _log.error("audit_heads_unpublished", path=str(self._path), reason=error.strerror)
        self._is_failing = error is not None


def load_heads(path: Path) -> PublishedHeads:
    """Reads a file of heads, or a JSON log. Other lines are passed over. Raises OSError."""
    heads: dict[UUID, dict[int, PublishedHead]] = {}
    with path.open("rb") as file:
        for user_id, head, published_at in _heads_of(file):
            heads.setdefault(user_id, {})[head.seq] = PublishedHead(head.mac, published_at)
    return heads


def _last_heads(path: Path) -> dict[UUID, Head]:
    """Makes the file, so that it is there to be copied, even if no head has moved yet."""
    try:
        with path.open("rb") as file:
            return {user_id: head for user_id, head, _ in _heads_of(file)}
    except FileNotFoundError:
        _append(path, {})
        return {}


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


def _append(path: Path, heads: Mapping[UUID, Head]) -> None:
    moment = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    lines = [
        orjson.dumps({"user_id": str(user_id), "seq": head.seq, "mac": head.mac.hex(), "published_at": moment})
        for user_id, head in heads.items()
    ]
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(b"\n".join([*lines, b""]))
        file.flush()
        os.fsync(file.fileno())
