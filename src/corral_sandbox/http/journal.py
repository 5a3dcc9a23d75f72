"""The journal: what each key sent and got, so that a test can check what a program did.

It keeps the last requests of each key, and over all keys a bounded number of bytes. It keeps no header, and whatever
looks like a secret or a token of the sandbox is cut out of paths, queries and bodies.
"""

import re
from collections import deque

import orjson

from corral_sandbox.market.time import format_timestamp

REQUESTS_KEPT = 10_000  # of one key
BODY_KEPT = 65_536  # bytes of one body
BYTES_KEPT = 64 * 1_024 * 1_024  # over all keys
_KEY_IDS_KEPT = 10_000
_REQUEST_SIZE, _GONE_SIZE = 600, 150  # bytes of one request beside its bodies, and of one that was dropped
_MARK = "sandbox-"
_SECRET = re.compile(r"sandbox-(?:secret|token)-for-\w*")
_SECRET_BYTES = re.compile(_SECRET.pattern.encode())
_REMOVED = "[removed]"


class JournalEntry:
    """One request. Status and answer are None until it has been answered, and for one that was not."""

    __slots__ = ("answer", "at", "body", "journal", "method", "number", "path", "query", "size", "status")

    def __init__(self, journal: "_KeyJournal", at: int, *, method: str, path: str, query: str, body: bytes) -> None:
        self.journal: _KeyJournal | None = journal  # None once it was dropped
        self.number = journal.last_number
        self.at = at
        self.method = method
        self.path = path
        self.query = query
        self.body = body
        self.status: int | None = None
        self.answer = b""
        self.size = _REQUEST_SIZE + len(path) + len(query) + len(body)

    def document(self) -> dict[str, object]:
        return {
            "n": self.number,
            "at": format_timestamp(self.at),
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "body": _json_or_text(self.body),
            "status": self.status,
            "answer": _json_or_text(self.answer),
        }


class _KeyJournal:
    __slots__ = ("entries", "last_number")

    def __init__(self) -> None:
        self.entries: deque[JournalEntry] = deque()
        self.last_number = 0


class Journal:
    def __init__(self) -> None:
        self._by_key_id: dict[str, _KeyJournal] = {}
        self._oldest_first: deque[JournalEntry] = deque()
        self._size = 0

    def begin(
        self, key_id: str | None, at: int, *, method: str, path: str, query: str = "", body: bytes = b""
    ) -> JournalEntry | None:
        """Enters a request that has arrived at `at`, in nanoseconds since 1970; `finish` adds how it was answered.

        Returns None for one without a well-formed key id, which is not kept.
        """
        if key_id is None:
            return None
        journal = self._by_key_id.get(key_id)
        if journal is None:
            if len(self._by_key_id) >= _KEY_IDS_KEPT:
                return None
            journal = self._by_key_id[key_id] = _KeyJournal()
        journal.last_number += 1
        entry = JournalEntry(journal, at, method=method, path=_clean(path), query=_clean(query), body=_clean_body(body))
        if len(journal.entries) >= REQUESTS_KEPT:
            self._drop(journal.entries.popleft())
        journal.entries.append(entry)
        self._oldest_first.append(entry)
        self._grow(entry.size)
        return entry

    def finish(self, entry: JournalEntry | None, status: int | None, answer: bytes = b"") -> None:
        """Adds status and body of the answer; `status` is None if the connection was cut before it."""
        if entry is None:
            return
        entry.status = status
        if answer and entry.journal is not None:
            entry.answer = _clean_body(answer)
            entry.size += len(entry.answer)
            self._grow(len(entry.answer))

    def documents(self, key_id: str, after: int = 0) -> list[dict[str, object]]:
        """Returns the requests of a key with a number above `after`, in the order of their arrival."""
        journal = self._by_key_id.get(key_id)
        entries = journal.entries if journal else ()
        return [entry.document() for entry in entries if entry.number > after]

    def clear(self) -> None:
        """Begins anew; requests under way are forgotten."""
        for entry in self._oldest_first:
            entry.journal = None
        self._by_key_id.clear()
        self._oldest_first.clear()
        self._size = 0

    def _grow(self, size: int) -> None:
        self._size += size
        while self._size > BYTES_KEPT:
            entry = self._oldest_first.popleft()
            if entry.journal is not None:
                entry.journal.entries.popleft()  # the oldest of all is the oldest of its key
                self._drop(entry)
            self._size -= entry.size

    def _drop(self, entry: JournalEntry) -> None:
        """Frees what an entry holds. It stays in `_oldest_first` until its turn."""
        entry.journal = None
        entry.body = entry.answer = b""
        self._size -= entry.size - _GONE_SIZE
        entry.size = _GONE_SIZE


def _clean(text: str) -> str:
    return _SECRET.sub(_REMOVED, text) if _MARK in text else text


def _clean_body(body: bytes) -> bytes:
    if _MARK.encode() in body:
        body = _SECRET_BYTES.sub(_REMOVED.encode(), body)
    return body if len(body) <= BODY_KEPT else body[:BODY_KEPT]


def _json_or_text(body: bytes) -> object:
    """Returns JSON digit for digit, anything else as text, None for an empty body."""
    if not body:
        return None
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "replace")
    return orjson.Fragment(body)
