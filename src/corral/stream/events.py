"""The events of a stream, and how they are written as server-sent events (WHATWG HTML §9.2)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple
from uuid import UUID

import orjson

from corral.errors import Problem

_LONGEST_SEQUENCE: Final = 15


class Kind(StrEnum):
    ACCOUNT_DATA = "account-data"
    ORDER = "order"
    POSITION = "position"
    PROBLEM = "problem"
    HEARTBEAT = "heartbeat"
    GAP = "gap"


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """An event for any receiver: a kind, and a JSON object without Corral's ids."""

    kind: Kind
    body: bytes


GAP: Final = StreamEvent(Kind.GAP, b"{}")
HEARTBEAT: Final = StreamEvent(Kind.HEARTBEAT, b"{}")


def problem_event(problem: Problem, *, resolved: bool = False) -> StreamEvent:
    """`resolved` says that the problem sent earlier with this code is over."""
    body = {"code": problem.code, "title": problem.title, "detail": problem.detail, "resolved": resolved}
    return StreamEvent(Kind.PROBLEM, orjson.dumps(body))


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


def event_id_of(epoch: str, sequence: int) -> str:
    return f"{epoch}-{sequence}"


def sequence_in(event_id: str, epoch: str) -> int | None:
    """Returns the sequence number in an id of this epoch; None for another epoch or an invalid id."""
    its_epoch, _, digits = event_id.rpartition("-")
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= _LONGEST_SEQUENCE
    return int(digits) if is_number and its_epoch == epoch else None
