"""What the process that watches an account tells all that have subscriptions to it, and how that is written."""

from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Any, Final, cast

from corral.stream.events import GAP, Described, Description, Kind, LogPosition, StreamEvent
from corral.stream.subscriptions import Part


@dataclass(frozen=True, slots=True)
class Trouble:
    """A problem has begun, or is over."""

    part: Part
    problem: Described
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class SocketFrame:
    content: bytes
    is_text: bool


@dataclass(frozen=True, slots=True)
class Liveness:
    """Whether all frames of the account's socket from now on are passed on."""

    is_live: bool


@dataclass(frozen=True, slots=True)
class FramesMissed:
    """Those who listen to frames have missed something that cannot be told."""


@dataclass(frozen=True, slots=True)
class Handover:
    """The first entry under a new number. `after` is the last one before it, and all of those up to it still count.

    None means that something may be missing: whoever follows has a gap.
    """

    after: LogPosition | None


@dataclass(frozen=True, slots=True)
class Scanned:
    """The first scan of the orders is done: the snapshot says now which ones there are, told or not."""


@dataclass(frozen=True, slots=True)
class Release:
    """The account is not watched any more. Whoever has subscriptions to it takes over."""


News = StreamEvent | Trouble | SocketFrame | Liveness | FramesMissed | Handover | Scanned | Release

_EVENT: Final = "event"
_PROBLEM: Final = "problem"
_FRAME: Final = "frame"
_LIVE: Final = "live"
_MISSED: Final = "missed"
_HANDOVER: Final = "handover"
_SCANNED: Final = "scanned"
_RELEASE: Final = "release"


def written(news: News) -> list[Any]:  # noqa: PLR0911 - one for each kind
    """Returns it in JSON's types."""
    match news:
        case StreamEvent():
            return [_EVENT, news.kind.value, news.body.decode(), news.about, news.is_last, news.is_state]
        case Trouble(part, problem, is_over):
            return [_PROBLEM, part, problem.code, problem.title, problem.detail, is_over]
        case SocketFrame(content, is_text):
            return [_FRAME, b64encode(content).decode(), is_text]
        case Liveness(is_live):
            return [_LIVE, is_live]
        case FramesMissed():
            return [_MISSED]
        case Handover(after):
            return [_HANDOVER, None if after is None else after.entry_id]
        case Scanned():
            return [_SCANNED]
        case Release():
            return [_RELEASE]


def read(values: list[Any]) -> News:  # noqa: PLR0911 - one for each kind
    """Reads what `written` returned, for values that were sealed by this installation.

    Raises ValueError for what another release has written and this one does not know.
    """
    kind, *rest = values
    match kind:
        case "event":
            kind_of_event, body, about, is_last, is_state = rest
            event = StreamEvent(Kind(kind_of_event), body.encode(), about, is_last, is_state)
            return GAP if event == GAP else event
        case "problem":
            part, code, title, detail, is_over = rest
            return Trouble(cast("Part", part), Description(code, title, detail), is_over)
        case "frame":
            return SocketFrame(b64decode(rest[0]), rest[1])
        case "live":
            return Liveness(rest[0])
        case "missed":
            return FramesMissed()
        case "handover":
            return Handover(None if rest[0] is None else LogPosition.of(rest[0]))
        case "scanned":
            return Scanned()
        case "release":
            return Release()
        case _:
            raise ValueError(kind)
