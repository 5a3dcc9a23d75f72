"""Passes Alpaca's answer on: its status, its type and its bytes, unless they contain a key."""

from asyncio import get_running_loop
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

from corral.alpaca.calls import Keys
from corral.alpaca.errors import DeadlineExceeded
from corral.alpaca.forwarding import AnswerBroken, ForwardedAnswer
from corral.alpaca.leaks import LeakDetector
from corral.edge.problems import Headers
from corral.gateway.problems import AnswerLate, AnswerUnusable
from corral.logs import get_logger

MOST_HELD_BYTES: Final = 256 * 1024
_SENT_TOGETHER_BYTES: Final = 64 * 1024
_NO_CONTENT: Final = 204
_EVENTS: Final = "text/event-stream"
_EVENT_HEADERS: Final = [
    (b"content-type", _EVENTS.encode()),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would otherwise keep events back
    (b"connection", b"close"),  # no request follows
]

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_log = get_logger()


class AnswerCut(AnswerUnusable):
    """The answer had begun when its rest turned out to be unusable: the server closes the connection."""


def prepared_detector(keys: Keys) -> LeakDetector:
    """To be made just before Alpaca is asked: the detector gets ready while the answer is awaited."""
    detector = LeakDetector(*keys)
    get_running_loop().call_soon(detector.prepare)
    return detector


async def read_whole(answer: ForwardedAnswer, detector: LeakDetector, *, most: int) -> bytes | None:
    """Returns the body; None if it has more than `most` bytes, or a key. Raises AnswerBroken."""
    body = bytearray()
    while part := await answer.next_part():
        body += part
        if detector.finds_in(part):
            _log.error("alpaca_key_in_answer")
            return None
        if len(body) > most:
            return None
    return bytes(body)


async def pass_on(answer: ForwardedAnswer, detector: LeakDetector, send: Send, headers: Callable[[], Headers]) -> None:
    """Sends the answer in parts, holding at most 256 KiB of it.

    An answer of up to 256 KiB is sent when all of it is there and known to have no key. A longer one is cut off where a
    key begins. Raises AnswerUnusable and AnswerLate if nothing has been sent, and AnswerCut otherwise.
    """
    refuse_unusable(answer)
    relay = _Relay(answer, detector, send, headers)
    try:
        await relay.run()
    except AnswerBroken as broken:
        if relay.has_begun:
            raise AnswerCut from None
        raise AnswerLate if isinstance(broken.reason, DeadlineExceeded) else AnswerUnusable from None


async def pass_events_on(answer: ForwardedAnswer, detector: LeakDetector, send: Send, headers: Headers) -> None:
    """Sends a stream of events line by line, so that nothing is sent in which a key may have begun.

    Raises AnswerUnusable if it is none, and AnswerCut if it breaks off or has a key.
    """
    if answer.headers.get("Content-Encoding", "identity") != "identity" or _essence(answer.headers) != _EVENTS:
        raise AnswerUnusable
    await send({"type": "http.response.start", "status": answer.status, "headers": [*_EVENT_HEADERS, *headers]})
    held = bytearray()
    try:
        while part := await answer.next_part():
            if detector.finds_in(part):
                _log.error("alpaca_key_in_answer")
                raise AnswerCut
            held += part
            lines = held.rfind(b"\n") + 1
            if lines:
                await send({"type": "http.response.body", "body": bytes(held[:lines]), "more_body": True})
                del held[:lines]
            if len(held) > MOST_HELD_BYTES:
                raise AnswerCut
    except AnswerBroken:
        raise AnswerCut from None
    await send({"type": "http.response.body", "body": bytes(held)})


def refuse_unusable(answer: ForwardedAnswer) -> None:
    """Raises AnswerUnusable for what no client of Alpaca expects: a redirect, a compressed body, a page."""
    if not 200 <= answer.status < 300 and not 400 <= answer.status < 600:  # noqa: PLR2004 - classes of statuses
        raise AnswerUnusable
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        raise AnswerUnusable
    if answer.status != _NO_CONTENT and media_type(answer.headers) is None:
        raise AnswerUnusable


def media_type(headers: Mapping[str, str]) -> bytes | None:
    """Returns the type of a body that may be passed on: JSON, or a picture (logos of companies)."""
    essence = _essence(headers)
    if essence == "application/json":
        return b"application/json"
    if essence in {"image/png", "image/jpeg", "image/webp", "image/gif"}:
        return essence.encode()
    return None


def _essence(headers: Mapping[str, str]) -> str:
    return headers.get("Content-Type", "application/json").partition(";")[0].strip().lower()


class _Relay:
    """One answer on its way. The last bytes are held back, because a key may have begun in them."""

    def __init__(
        self, answer: ForwardedAnswer, detector: LeakDetector, send: Send, headers: Callable[[], Headers]
    ) -> None:
        self._answer = answer
        self._detector = detector
        self._send = send
        self._headers = headers
        self._held = bytearray()
        self.has_begun = False

    async def run(self) -> None:
        while part := await self._answer.next_part():
            if self._detector.finds_in(part):
                _log.error("alpaca_key_in_answer")
                raise AnswerCut if self.has_begun else AnswerUnusable
            self._held += part
            limit = _SENT_TOGETHER_BYTES if self.has_begun else MOST_HELD_BYTES
            if len(self._held) > limit:
                await self._send_held(keeping=self._detector.overlap)
        await self._end()

    async def _send_held(self, *, keeping: int) -> None:
        if not self.has_begun:
            await self._begin([])
        ready = bytes(self._held[:-keeping])
        del self._held[:-keeping]
        await self._send({"type": "http.response.body", "body": ready, "more_body": True})

    async def _end(self) -> None:
        if not self.has_begun:
            length: Headers = (
                [] if self._answer.status == _NO_CONTENT else [(b"content-length", b"%d" % len(self._held))]
            )
            await self._begin(length)
        await self._send({"type": "http.response.body", "body": bytes(self._held)})

    async def _begin(self, length: Headers) -> None:
        self.has_begun = True
        kind: Headers = []
        if self._answer.status != _NO_CONTENT:
            kind.append((b"content-type", media_type(self._answer.headers) or b"application/json"))
        headers = [*kind, *length, *self._headers()]
        await self._send({"type": "http.response.start", "status": self._answer.status, "headers": headers})


async def send_whole(send: Send, status: int, headers: Headers, body: bytes) -> None:
    length: Headers = [] if status == _NO_CONTENT else [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *length]})
    await send({"type": "http.response.body", "body": body})
