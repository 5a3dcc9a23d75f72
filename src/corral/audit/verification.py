"""Verifies chains with the keyring: which entry is the first that was changed, is missing or out of order.

A chain alone cannot tell that its end was cut off. Heads that were published before can: see `corral.audit.heads`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, cast, final
from uuid import UUID

import orjson

from corral.audit import queries
from corral.audit.chain import EMPTY, follows, read_text
from corral.audit.heads import PublishedHead, PublishedHeads
from corral.audit.models import Action, Head, Link
from corral.audit.reading import EXPORT_FORMAT
from corral.database.connection import Connection
from corral.errors import OperatorError
from corral.vault import Vault

LINES_PER_STEP: Final = 1_000
_LINE: Final = re.compile(rb'\{"mac":"([0-9a-f]{64})","entry":(\{.*\})\}\n?')


class NotAnExport(OperatorError):  # noqa: N818 - a condition
    """The file is not an export of an audit trail. One line."""


@dataclass(frozen=True, slots=True)
class ChainReport:
    """`problem` is about the first entry that is wrong; None for a chain without a fault.

    `anchored_to` is the number of its last published head, 0 for none. Entries after it could have been cut off.
    `restored` says which entries are gone because a backup was restored, if heads that were published before show it.
    """

    user_id: UUID
    entries: int
    problem: str | None
    anchored_to: int
    restored: str | None = None

    @property
    def is_anchored(self) -> bool:
        return self.anchored_to >= self.entries


@final
class ChainCheck:
    """Is given the entries of one owner in the order in which they are found, and then the head."""

    __slots__ = ("_head", "_missing", "_problem", "_published", "_restored", "_user_id", "_vault", "restored_at")

    def __init__(self, vault: Vault, user_id: UUID, published: Mapping[int, PublishedHead]) -> None:
        self._vault = vault
        self._user_id = user_id
        self._published = dict(published)
        self._restored: str | None = None
        self.restored_at: datetime | None = None  # the last time, according to the chain
        self._head = EMPTY
        self._problem: str | None = None
        self._missing: int | None = None

    def add(self, link: Link) -> None:
        if self._problem is not None:
            if link.seq == self._missing:
                self._problem, self._missing = f"entry {link.seq} is out of order: it comes later", None
            return
        self._problem = self._fault(link)
        if self._problem is None:
            self._head = Head(link.seq, link.mac)

    def finish(self, head: Head | None, restored_at: datetime | None = None) -> ChainReport:
        """`head` is what the database, or the first line of the file, calls the last entry.

        `restored_at` is when a backup was restored last, according to any chain of the database: then a person who was
        added after it was made may be missing altogether.
        """
        if head is None and restored_at is not None and not self._head.seq:
            self._forget_published(1, restored_at)
        last = self._head.seq
        latest = max(self._published, default=0)
        problem = self._problem or self._fault_of_end(head or EMPTY, latest)
        return ChainReport(self._user_id, last, problem, min(latest, last), self._restored)

    def _fault(self, link: Link) -> str | None:
        expected = self._head.seq + 1
        if link.seq > expected:
            self._missing = expected
            return f"{_numbers(expected, link.seq - 1)} missing"
        if link.seq < expected:
            return f"entry {link.seq} is there twice"
        if not follows(self._vault, self._user_id, self._head.mac, link):
            return self._named_change(link)
        if Action.INSTALLATION_RESTORED in link.body:
            self._note_restore(link)
        published = self._published.get(link.seq)
        if published is not None and published.mac != link.mac:
            return f"entry {link.seq} is not the one whose head was published"
        return None

    def _note_restore(self, link: Link) -> None:
        """The entry is genuine. What was published before of this number and later ones is of the former chain."""
        entry = read_text(link.body)
        if entry.action == Action.INSTALLATION_RESTORED:
            self.restored_at = entry.at
            self._forget_published(link.seq, entry.at)

    def _forget_published(self, first: int, restored_at: datetime) -> None:
        gone = [
            seq
            for seq, head in self._published.items()
            if seq >= first and head.published_at is not None and head.published_at < restored_at
        ]
        if gone:
            moment = f"{restored_at:%Y-%m-%d %H:%M} UTC"
            self._restored = f"a backup was restored at {moment}; {_numbers(first, max(gone))} gone since"
        for seq in gone:
            del self._published[seq]

    def _named_change(self, link: Link) -> str:
        try:
            told = read_text(link.body)
        except (ValueError, KeyError, TypeError, AttributeError):
            return f"entry {link.seq} was changed"
        if told.user_id != self._user_id:
            return f"entry {link.seq} is from another person's trail"
        if told.seq != link.seq:
            return f"entry {link.seq} is out of order: entry {told.seq} is in its place"
        if link.seq == 1:
            return "entry 1 was changed, or is of another keyring"
        return f"entry {link.seq} was changed"

    def _fault_of_end(self, head: Head, latest: int) -> str | None:
        last = self._head.seq
        if head.seq > last:
            return f"{_numbers(last + 1, head.seq)} missing at the end"
        if latest > last:
            return f"{_numbers(last + 1, latest)} missing at the end: a later head was published"
        if head != self._head:
            return f"the head was changed: it says that entry {head.seq} is the last one"
        return None


async def verify_chains(
    connection: Connection, vault: Vault, published: PublishedHeads, advance: Callable[[int], object]
) -> list[ChainReport]:
    """Verifies all chains of the database, as its owner. `advance` is told how many entries were read."""
    ends = await queries.load_ends(connection)
    checks: dict[UUID, ChainCheck] = {
        user_id: ChainCheck(vault, user_id, published.get(user_id, {})) for user_id in {*ends, *published}
    }
    async with aclosing(queries.read_all(connection)) as chunks:
        async for chunk in chunks:
            for user_id, seq, body, mac in chunk:
                checks[user_id].add(Link(seq, body, mac))
            advance(len(chunk))
    restored_at = max((check.restored_at for check in checks.values() if check.restored_at), default=None)
    return [check.finish(ends.get(user_id), restored_at) for user_id, check in checks.items()]


@final
class ExportCheck:
    """Verifies an export: `read` it to its end, then `finish`. Raises NotAnExport, and OSError."""

    __slots__ = ("_check", "_head", "_path", "size", "user_id")

    def __init__(self, path: Path, vault: Vault, published: PublishedHeads) -> None:
        self._path = path
        with path.open("rb") as file:
            self.user_id, self._head = _header(file, path)
        self.size = path.stat().st_size  # in bytes
        self._check = ChainCheck(vault, self.user_id, published.get(self.user_id, {}))

    def read(self) -> Iterator[int]:
        """Yields, from time to time, how many bytes more were read."""
        with self._path.open("rb") as file:
            read = len(file.readline())
            for number, line in enumerate(file, 2):
                self._check.add(_link(line, self._path, number))
                read += len(line)
                if not number % LINES_PER_STEP:
                    yield read
                    read = 0
            yield read

    def finish(self) -> ChainReport:
        return self._check.finish(self._head)


def _header(file: BinaryIO, path: Path) -> tuple[UUID, Head]:
    try:
        members = cast("dict[str, Any]", orjson.loads(file.readline(10_000)))
        export_format = members["corral_audit_export"]
        found = UUID(members["user_id"]), Head(int(members["last_seq"]), bytes.fromhex(members["last_mac"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise NotAnExport(f"{path} is not an export of an audit trail: its first line is another one") from None
    if export_format != EXPORT_FORMAT:
        raise NotAnExport(f"{path} was exported by a newer release of Corral: verify it with that one")
    return found


def _link(line: bytes, path: Path, number: int) -> Link:
    refusal = NotAnExport(f"line {number} of {path} is not an entry: the file was cut off or changed")
    found = _LINE.fullmatch(line)
    if found is None:
        raise refusal
    try:
        return Link(int(orjson.loads(found[2])["seq"]), found[2].decode(), bytes.fromhex(found[1].decode()))
    except (ValueError, KeyError, TypeError):
        raise refusal from None


def _numbers(first: int, last: int) -> str:
    return f"entry {first} is" if first == last else f"entries {first} to {last} are"
