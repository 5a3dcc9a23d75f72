"""Log lines: one event each, never a secret, never a line that a value could forge.

The first net is what is logged at all: fields chosen one by one, no headers, bodies or query strings.
The second net is here. Every value becomes text, whatever looks like a secret is cut out of it and
what could forge a line is escaped, and only then is the line put together. The cut comes before the
escaping because an escape's last letter (the n of a line break) would hide where a secret begins.
"""

import logging
import re
import sys
import traceback
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import BinaryIO, Final, Literal, cast

import orjson
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

REDACTED: Final = "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}redacted\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}"


class RequestLine:
    """The line that the edge will write about the request being served. Every line before it carries its id.

    `facts` is what others add to it, so that a request that went well is told in one line; None once it is written.
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
_HARMLESS: Final = re.compile(r"[a-z0-9_./{}-]*|[A-Z]{1,9}").fullmatch  # most values: spares them the search
_INT64: Final = 2**63  # JSON numbers beyond it are not written; they become text
_TELLING_NAMES: Final = frozenset(
    {"authorization", "cookie", "set-cookie", "apca-api-key-id", "apca-api-secret-key"}
    | {"password", "passwd", "secret_key", "api_key", "secret", "token"}
)


def configure_logging(log_format: Literal["console", "json"], stream: BinaryIO, *, lowest: int = logging.INFO) -> None:
    """Sends structlog's events from `lowest` and the standard library's records from WARNING to `stream`.

    "json" is for machines, one object a line. "console" is for people; below an event its traceback
    follows on lines that begin with `  |`, which no event's line does.
    """
    structlog.configure(
        processors=[_compose, _render_json if log_format == "json" else _render_console],
        wrapper_class=structlog.make_filtering_bound_logger(lowest),
        logger_factory=structlog.BytesLoggerFactory(cast("BinaryIO", _Unbroken(stream))),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Bridge(logging.WARNING)], level=logging.WARNING, force=True)
    logging.getLogger("uvicorn.access").disabled = True  # its lines hold query strings; the edge writes ours


def get_logger() -> FilteringBoundLogger:
    """Writes events: `log.info("credential stored", credential_id=…)`. Values are flat; others become text."""
    return structlog.get_logger()


def current_request_id() -> str | None:
    """The id of the request that this task serves, if it serves one."""
    line = _request_line.get()
    return line.request_id if line else None


def begin_request_line(request_id: str) -> RequestLine:
    """For this task and those that it starts."""
    line = RequestLine(request_id)
    _request_line.set(line)
    return line


def added_to_request_line(**facts: object) -> bool:
    """Whether the line of the request being served takes these facts: the first that are offered before it is written.

    Otherwise the caller writes a line of its own.
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
    line: EventDict = {
        "at": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "level": level,
        "event": _safe("event", event.pop("event")),
    }
    request_line = _request_line.get()
    if request_line is not None:
        line["request_id"] = request_line.request_id
    for name, value in event.items():
        line[name] = _safe(name, value)
    if raised:
        line["exception"] = _traceback_text(raised)
    return line


def _safe(name: str, value: object) -> object:
    if value is None or isinstance(value, float) or (isinstance(value, int) and -_INT64 <= value < _INT64):
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
    """The stack and what was raised, causes included; never the locals, which hold what people sent."""
    exception = raised if isinstance(raised, BaseException) else sys.exception()
    if exception is None:
        return "no exception"
    text = redact("".join(traceback.format_exception(exception)).strip())
    return "\n".join(map(_escape, text.split("\n")))


def _render_json(_logger: WrappedLogger, _level: str, event: EventDict) -> bytes:
    return orjson.dumps(event)


def _render_console(_logger: WrappedLogger, _level: str, event: EventDict) -> bytes:
    line = f"{event.pop('at')} {event.pop('level'):<8} {event.pop('event')}"
    trace = str(event.pop("exception", ""))
    fields = "".join(f"  {name}={value}" for name, value in event.items())
    continued = "".join(f"\n  | {part}" for part in trace.splitlines())
    return f"{line}{fields}{continued}".encode()


class _Unbroken:
    """A log that cannot be written, on a full disk or a terminal that was closed, must not stop what it tells of."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, line: bytes) -> None:
        with suppress(OSError):
            self._stream.write(line)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


class _Bridge(logging.Handler):
    """Takes the records of uvicorn, asyncio, aiohttp and asyncpg into the same lines."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - the standard handler would print the arguments, which may be secret
            message = "a log record that cannot be formatted"
        level = min(record.levelno // 10 * 10, logging.CRITICAL)
        raised = record.exc_info[1] if record.exc_info else None
        get_logger().log(level, message.strip(), logger=record.name, exc_info=raised)
