"""The events of a stream, and how they are written as server-sent events (WHATWG HTML §9.2)."""

import re
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Final, NamedTuple, Self
from uuid import UUID

import orjson

from corral.errors import Problem

_TIME_LETTERS: Final = 16
_TIME: Final = re.compile(f"[0-9a-f]{{{_TIME_LETTERS}}}")
_LONGEST_SEQUENCE: Final = 15
MOST_PLACES: Final = 200  # in an event's id, which has at most 4 KB then
_NAME_BYTES: Final = 4
_NUMBER_BYTES: Final = 7
_SEQUENCE_BYTES: Final = 4
_PLACE_BYTES: Final = _NAME_BYTES + _NUMBER_BYTES + _SEQUENCE_BYTES
PLACE_LETTERS: Final = _PLACE_BYTES * 8 // 6  # of base64, which needs no padding here
_PLACES: Final = re.compile("[A-Za-z0-9_-]*")


class Kind(StrEnum):
    ACCOUNT_DATA = "account-data"
    ORDER = "order"
    POSITION = "position"
    PROBLEM = "problem"
    HEARTBEAT = "heartbeat"
    GAP = "gap"


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """An event for any receiver: a kind, and a JSON object without Corral's ids.

    `about` is the order or the asset that it is about; `is_last` says that this one is over or gone. `is_state` says
    that an order was so when Corral began to look, and not that something has happened to it.
    """

    kind: Kind
    body: bytes
    about: str = ""
    is_last: bool = False
    is_state: bool = False


GAP: Final = StreamEvent(Kind.GAP, b"{}")
HEARTBEAT: Final = StreamEvent(Kind.HEARTBEAT, b"{}")


class Description(NamedTuple):
    """What a Problem says of itself, as another process wrote it down."""

    code: str
    title: str
    detail: str


Described = Problem | Description


def problem_event(problem: Described, *, resolved: bool = False) -> StreamEvent:
    """`resolved` says that the problem sent earlier with this code is over."""
    body = {"code": problem.code, "title": problem.title, "detail": problem.detail, "resolved": resolved}
    return StreamEvent(Kind.PROBLEM, orjson.dumps(body))


class LogPosition(NamedTuple):
    """A place in the log of an account: the number of the lease under which it was written, and one counted from 1.

    Positions that follow one another under one number differ by 1, so that a missing entry is noticed.
    """

    number: int
    sequence: int

    @property
    def entry_id(self) -> str:
        return f"{self.number}-{self.sequence}"

    @classmethod
    def of(cls, entry_id: bytes | str) -> Self:
        text = entry_id.decode() if isinstance(entry_id, bytes) else entry_id
        number, _, sequence = text.partition("-")
        return cls(int(number), int(sequence))


def name_in_places(credential_id: UUID) -> bytes:
    """Returns what stands for a credential in an event's id. Nothing follows from a wrong one but a gap."""
    return blake2b(credential_id.bytes, digest_size=_NAME_BYTES).digest()


def place_of(credential_id: UUID, position: LogPosition) -> str:
    """Returns PLACE_LETTERS letters that say how far a client has received the events of a credential.

    Empty for a position that no lease of Corral's has.
    """
    if position.number.bit_length() > _NUMBER_BYTES * 8 or position.sequence.bit_length() > _SEQUENCE_BYTES * 8:
        return ""
    number, sequence = position.number.to_bytes(_NUMBER_BYTES), position.sequence.to_bytes(_SEQUENCE_BYTES)
    return urlsafe_b64encode(name_in_places(credential_id) + number + sequence).decode()


def joined(places: Iterable[str]) -> str:
    """Returns the places for an id, but for those that it has no room for."""
    return "".join(list(filter(None, places))[:MOST_PLACES])


def places_in(event_id: str) -> dict[bytes, LogPosition]:
    """Returns the positions in an event's id, by `name_in_places`; none for an id without, or an invalid one."""
    _, _, letters = event_id.partition(".")
    if len(letters) % PLACE_LETTERS or len(letters) > MOST_PLACES * PLACE_LETTERS or not _PLACES.fullmatch(letters):
        return {}
    content = urlsafe_b64decode(letters)
    found: dict[bytes, LogPosition] = {}
    for start in range(0, len(content), _PLACE_BYTES):
        name = content[start : start + _NAME_BYTES]
        number = content[start + _NAME_BYTES : start + _PLACE_BYTES - _SEQUENCE_BYTES]
        sequence = content[start + _PLACE_BYTES - _SEQUENCE_BYTES : start + _PLACE_BYTES]
        found[name] = LogPosition(int.from_bytes(number), int.from_bytes(sequence))
    return found


class Frame(NamedTuple):
    """An event to be sent, to the streams whose selections include it.

    `credential_id`, if any, must still be subscribed to at that time, unless the frame says that it no longer is:
    then it `is_final`.
    """

    kind: Kind
    credential_id: UUID | None
    text: bytes
    is_final: bool = False


def event_text(event: StreamEvent, *, credential_id: UUID | None, sequence: int, event_id: str | None = None) -> bytes:
    """JSON escapes line breaks, so `data` is one line, which can neither end an event nor begin another.

    Without an `event_id`, a client that reconnects resumes from the last event that had one.
    """
    whose = b'"%b"' % str(credential_id).encode() if credential_id else b"null"
    rest = b"," + event.body[1:] if len(event.body) > len(b"{}") else b"}"
    head = b"id: %b\n" % event_id.encode() if event_id else b""
    kind = event.kind.value.encode()
    return b'%bevent: %b\ndata: {"credential_id":%b,"sequence":%d%b\n\n' % (head, kind, whose, sequence, rest)


def retry_text(milliseconds: int) -> bytes:
    """How long a client waits before it reconnects."""
    return b"retry: %d\n\n" % milliseconds


def new_epoch() -> str:
    """Returns what identifies the numbers of one hub: when it began, and what no other has."""
    return f"{time.time_ns() // 1000:0{_TIME_LETTERS}x}{secrets.token_hex(8)}"


def begun_at(event_id: str) -> datetime | None:
    """Returns when the numbers in an event's id began: the event is later. None if it does not say so."""
    letters = event_id[:_TIME_LETTERS]
    if not _TIME.fullmatch(letters):
        return None
    return moment_of(int(letters, 16))


def moment_of(microseconds: int) -> datetime | None:
    """Returns the moment so long after 1970; None if it is beyond all years, as in an id that nobody here has made."""
    try:
        return datetime.fromtimestamp(microseconds / 1e6, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def event_id_of(epoch: str, sequence: int, places: str = "") -> str:
    """`places` are those of `place_of`, for all accounts whose log says what the client has received."""
    return f"{epoch}-{sequence}.{places}" if places else f"{epoch}-{sequence}"


def sequence_in(event_id: str, epoch: str) -> int | None:
    """Returns the sequence number in an id of this epoch; None for another epoch or an invalid id."""
    own, _, _ = event_id.partition(".")
    its_epoch, _, digits = own.rpartition("-")
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= _LONGEST_SEQUENCE
    return int(digits) if is_number and its_epoch == epoch else None
