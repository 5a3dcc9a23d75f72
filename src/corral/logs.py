"""Log lines: one event each, without secrets, and safe from log injection.

The first safeguard is the choice of fields: no headers, bodies or query strings. The second one is here. Every
value becomes text, everything that looks like a secret is redacted, and control characters are escaped; only
then is the line composed. Redaction comes before escaping, because an escape's last letter (the n of a line
break) would hide the start of a secret.
"""

import asyncio
import atexit
import logging
import re
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from select import PIPE_BUF
from time import time_ns
from typing import Any, BinaryIO, Final, Literal

import orjson
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

REDACTED: Final = "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}redacted\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}"


class RequestLine:
    """The line that the edge will write about the current request. Every line before it has its id.

    `facts` is added by other modules, so that a successful request is a single line; None once it is written.
    """

    __slots__ = ("facts", "request_id")

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.facts: dict[str, object] | None = {}

    def take_facts(self) -> dict[str, object]:
        facts, self.facts = self.facts or {}, None
        return facts


_request_line: Final[ContextVar[RequestLine | None]] = ContextVar("request_line", default=None)

# Each alternative is bounded or starts only where a word starts: a hostile path of 8 KiB costs microseconds.
_SECRETS: Final = re.compile(
    r"""
      (?P<kept>                                      # the value of a header or field with a telling name
        (?i:authorization|cookie|apca-api-key-id|apca-api-secret-key|password|passwd|secret_key|api_key)
        (?: ["'\\]{0,2} \s{0,4} [:=] | ["'] \s{0,4} , ) \s{0,4} (?: b?["'] )?
      ) [^"'\\\r\n]+
    | (?P<bearer> (?i:bearer) \s{1,4} ) [\w.~+/=-]{8,}
    | [PA]K[A-Z0-9]{14,}                             # Alpaca key ids: PK paper, AK live; 20 or 26 characters seen
    | sandbox-secret-for-[A-Z0-9]+
    | corral_(?=[a-z_-]{0,64}[A-Z0-9])[\w-]{12,}     # our tokens; corral_app and the like are roles
    | \$argon2(?:id|i|d)\$[^\s"']+
    | (?<=://)[^\s:/@]{0,128}:\S{1,256}(?=@)         # user:password of a database address
    | (?<![\w+-])                                    # Alpaca secrets (40 or 44 characters), session ids, keys:
      (?=[a-z0-9_+-]*[A-Z])(?=[A-Z0-9_+-]*[a-z])     # a long run in both cases with a digit, which no uuid,
      (?=[A-Za-z_+-]*[0-9])[\w+-]{40,}               # hex digest, time or ordinary name is
    """,
    re.VERBOSE | re.ASCII,
)
_HARMLESS: Final = re.compile(r"[a-z0-9_./{}-]*|[A-Z]{1,9}").fullmatch  # most values: skips the search
_DIM, _RED, _GREEN, _YELLOW, _CYAN = "2", "31", "32", "33", "36"
_SERVER_ERROR: Final = 500
_STATUS_COLORS: Final = ((_SERVER_ERROR, _RED), (400, _YELLOW), (300, _CYAN), (0, _GREEN))
_LEVEL_COLORS: Final = {"warning": _YELLOW, "error": _RED, "critical": _RED}
_ALARMING: Final = frozenset({"error", "critical"})
_ID_IN_PATH: Final = re.compile(r"\{\w+_id\}")
# Other events below a warning are for collected logs: on a terminal they would hide the requests.
_ON_CONSOLE: Final = frozenset(
    {"request", "request_refused", "stopping", "ready_again", "credential_accepted", "valkey_back"}
)
_QUIET: Final = frozenset({"debug", "info"})
_INT64: Final = 2**63  # JSON numbers beyond it are not written; they become text
_TELLING_NAMES: Final = frozenset(
    {"authorization", "cookie", "set-cookie", "apca-api-key-id", "apca-api-secret-key"}
    | {"password", "passwd", "secret_key", "api_key", "secret", "token"}
)


def configure_logging(
    log_format: Literal["console", "json"],
    stream: BinaryIO,
    *,
    lowest: int = logging.INFO,
    has_colors: bool = False,
    worker: int | None = None,
) -> None:
    """Sends structlog's events from `lowest` and the standard library's records from WARNING to `stream`.

    With `worker`, each line has its number: several processes write to one stream.

    "json" is for programs, one object a line. "console" is for people: requests, and what is at
    least a warning, in local time. A traceback follows its event on lines that begin with `  |`, which no event's
    line does.
    """
    lines = _LineLogger(_Unbroken(stream, is_shared=worker is not None))
    render: _Render = _render_json if log_format == "json" else _Console(has_colors=has_colors)
    structlog.configure(
        processors=[_compose, render],
        wrapper_class=structlog.make_filtering_bound_logger(lowest),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=True,
    )
    request_line_output.worker = worker
    request_line_output.render, request_line_output.lines = render, lines if lowest <= logging.INFO else None
    logging.basicConfig(handlers=[_Bridge(logging.WARNING)], level=logging.WARNING, force=True)
    logging.getLogger("uvicorn.access").disabled = True  # its lines contain query strings; the edge writes its own


def get_logger() -> FilteringBoundLogger:
    """Writes events: `log.info("credential stored", credential_id=…)`. Values are flat; others become text."""
    return structlog.get_logger()


def write_request_line(line: RequestLine, **fields: object) -> None:
    """Writes the line about a completed request. It bypasses structlog, because it is the most frequent event."""
    if request_line_output.lines is not None:
        line_of_facts = fields | line.take_facts()
        event = _composed("info", "request", line.request_id, line_of_facts)
        request_line_output.lines.msg(request_line_output.render(None, "info", event))


def current_request_id() -> str | None:
    """Returns the id of the request that this task serves, if any."""
    line = _request_line.get()
    return line.request_id if line else None


def begin_request_line(request_id: str) -> RequestLine:
    """For this task and those that it starts."""
    line = RequestLine(request_id)
    _request_line.set(line)
    return line


def added_to_request_line(**facts: object) -> bool:
    """Adds facts to the line of the current request. Only the first ones are accepted, before the line is written.

    Returns whether they were; otherwise the caller writes a line of its own.
    """
    line = _request_line.get()
    if line is None or line.facts is None or line.facts:
        return False
    line.facts = facts
    return True


def redact(text: str) -> str:
    """`text` with everything that looks like a secret replaced by `REDACTED`."""
    return _SECRETS.sub(_mask, text)


def _mask(found: re.Match[str]) -> str:
    return (found["kept"] or found["bearer"] or "") + REDACTED


def _compose(_logger: WrappedLogger, level: str, event: EventDict) -> EventDict:
    raised = event.pop("exc_info", None)
    request_line = _request_line.get()
    line = _composed(level, event.pop("event"), request_line.request_id if request_line else None, event)
    if raised:
        line["exception"] = _traceback_text(raised)
    return line


class _Now:
    """Formats the time in UTC, with microseconds. The part before the point is formatted once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def __call__(self) -> str:
        second, nanoseconds = divmod(time_ns(), 1_000_000_000)
        if second != self._second:
            self._second, self._text = second, f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"
        return f"{self._text}.{nanoseconds // 1_000:06}Z"


_now: Final = _Now()


def _composed(level: str, name: object, request_id: str | None, fields: Mapping[str, object]) -> EventDict:
    line: EventDict = {
        "at": _now(),
        "level": level,
        "event": _safe("event", name),
    }
    if request_line_output.worker is not None:
        line["worker"] = request_line_output.worker
    if request_id is not None:
        line["request_id"] = request_id
    for field, value in fields.items():
        line[field] = _safe(field, value)
    return line


def _safe(name: str, value: object) -> object:
    if type(value) is not str and (
        value is None or isinstance(value, float) or (isinstance(value, int) and -_INT64 <= value < _INT64)
    ):
        return value
    if name in _TELLING_NAMES:
        return REDACTED
    text = value if isinstance(value, str) else str(value)
    if _HARMLESS(text) and "corral_" not in text:
        return text
    return _escape(redact(text))


def _escape(text: str) -> str:
    """Control characters, line and direction marks and lone surrogates are written out, as Python would."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def _traceback_text(raised: object) -> str:
    """Returns the stack and the exceptions, including causes; never the locals, which contain what users sent."""
    exception = raised if isinstance(raised, BaseException) else sys.exception()
    if exception is None:
        return "no exception"
    text = redact("".join(traceback.format_exception(exception)).strip())
    return "\n".join(map(_escape, text.split("\n")))


def _render_json(_logger: WrappedLogger, _level: str, event: EventDict) -> bytes:
    return orjson.dumps(event)


class _Console:
    """Renders events for a person at a terminal: one short line each, and one for each request.

    Only codes of our own color it: `_compose` has escaped all others.
    """

    def __init__(self, *, has_colors: bool) -> None:
        self._has_colors = has_colors

    def __call__(self, _logger: WrappedLogger, level: str, event: EventDict) -> bytes:
        name = str(event.pop("event"))
        if level in _QUIET and name not in _ON_CONSOLE:
            raise structlog.DropEvent
        trace = str(event.pop("exception", ""))
        at = datetime.fromisoformat(str(event.pop("at"))).astimezone()
        text = self._request(event) if name == "request" else self._event(name, level, event)
        continued = "".join(f"\n  | {part}" for part in trace.splitlines())
        return f"{self._colored(_DIM, f'{at:%H:%M:%S}')} {text}{continued}".encode()

    def _request(self, event: EventDict) -> str:
        """Returns status, method, path, milliseconds, and the first eight characters of the user's id."""
        status, user_id = event["status"] or 0, event["user_id"]
        color = next(color for least, color in _STATUS_COLORS if status >= least)
        path = _ID_IN_PATH.sub("{id}", str(event["path"]))
        line = f"{self._colored(color, f'{status:03}')} {event['method']} {path} {event['duration_ms']:.0f} ms"
        who = f" {self._colored(_DIM, str(user_id)[:8])}" if user_id else ""
        reference = f" reference={event['request_id']}" if status >= _SERVER_ERROR else ""
        return line + who + reference

    def _event(self, name: str, level: str, event: EventDict) -> str:
        request_id = event.pop("request_id", None)
        reference = f"  reference={request_id}" if request_id and level in _ALARMING else ""
        fields = "".join(f"  {field}={value}" for field, value in event.items() if field != "level")
        color = _LEVEL_COLORS.get(level)
        shown = self._colored(color, level) if color else level
        return f"{shown} {name.replace('_', ' ')}{fields}{reference}"

    def _colored(self, color: str, text: str) -> str:
        return f"\x1b[{color}m{text}\x1b[0m" if self._has_colors else text


class _Unbroken:
    """A log that cannot be written (full disk, closed terminal) must not stop the program.

    The lines of one pass of the event loop are written together: under load a system call for each would cost more
    than composing them.
    """

    def __init__(self, stream: BinaryIO, *, is_shared: bool) -> None:
        self._stream = stream
        self._is_shared = is_shared
        self._lines: deque[bytes] = deque()
        self._flushed_by: asyncio.AbstractEventLoop | None = None  # it will, unless it ends before
        atexit.register(self.flush)

    def write(self, line: bytes) -> None:
        self._lines.append(line)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
            return
        if self._flushed_by is not loop:
            self._flushed_by = loop
            loop.call_soon(self.flush)

    def flush(self) -> None:
        self._flushed_by = None
        lines: list[bytes] = []
        while self._lines:
            lines.append(self._lines.popleft())
        with suppress(OSError, ValueError):  # ValueError: it is closed
            for whole_lines in _in_writes(lines) if self._is_shared else [b"".join(lines)]:
                self._stream.write(whole_lines)
                self._stream.flush()


def _in_writes(lines: list[bytes]) -> Iterator[bytes]:
    """Joins lines to what the kernel writes to a pipe in one piece, because other processes may write to it too.

    A longer line, such as one with a traceback, is written by itself. Linux cuts it only while the pipe is full.
    """
    together, size = list[bytes](), 0
    for line in lines:
        if together and size + len(line) > PIPE_BUF:
            yield b"".join(together)
            together, size = [], 0
        together.append(line)
        size += len(line)
    if together:
        yield b"".join(together)


class _LineLogger:
    """structlog's last step, in place of its BytesLogger, which flushes after each line."""

    def __init__(self, stream: _Unbroken) -> None:
        self._stream = stream

    def msg(self, line: bytes) -> None:
        self._stream.write(line + b"\n")

    debug = info = warning = error = critical = exception = log = msg


class _Bridge(logging.Handler):
    """Writes the records of uvicorn, asyncio, aiohttp and asyncpg to the same log."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - the standard handler would print the arguments, which may be secret
            message = "a log record that cannot be formatted"
        level = min(record.levelno // 10 * 10, logging.CRITICAL)
        raised = record.exc_info[1] if record.exc_info else None
        get_logger().log(level, message.strip(), logger=record.name, exc_info=raised)


_Render = Callable[[Any, str, EventDict], bytes]


class RequestLineOutput:
    """Where request lines go: nowhere until logging is configured, or if it is for warnings only.

    `worker` is this process's number, if it is one of several.
    """

    render: _Render = staticmethod(_render_json)
    lines: _LineLogger | None = None
    worker: int | None = None


request_line_output: Final = RequestLineOutput()
