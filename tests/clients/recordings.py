"""What a client sent, as it is kept: one line of JSON for each request and each WebSocket.

An id that the sandbox gave is written as where it came from: `{{3/id}}` is the `id` in the answer to the request with
number 3. `{{random}}` stands for what a client draws at random.
"""

import json
import re
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from importlib import import_module
from pathlib import Path
from typing import Any, Self, cast
from urllib.parse import quote
from uuid import uuid4

from aiohttp import ClientSession

from corral_sandbox import Sandbox, serve_sandbox

msgpack: Any = import_module("msgpack")  # without types

TUESDAY_TEN = datetime.fromisoformat("2026-11-24T10:00-05:00")
PRICES = {"AAPL": 270, "BTC/USD": 60_000}
FOLDER = Path(__file__).parent / "recordings"
_PLACE = re.compile(r"\{\{(?:random|(\d+)((?:/[^/{}]+)+))\}\}")
_RANDOM = re.compile(r"\b[0-9a-f]{32}\b")
_GIVEN = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-|\d{17}::")  # ids of orders and such, and of activities
_TOKENS = {"next_page_token"}

Json = Any


@dataclass(slots=True)
class Exchange:
    """A request, and the status and the document that it got. `path` has the query; `body` is text."""

    method: str
    path: str
    headers: dict[str, str]
    body: str = ""
    status: int = 0
    answer: Json = None

    def finish(self, status: int, answer: bytes) -> None:
        self.status = status
        self.answer = _as_json(answer.decode())

    def line(self, known: dict[str, str]) -> dict[str, Json]:
        body = {"body": _as_json(_with_places(self.body, known))} if self.body else {}
        path = _with_places(self.path, known)
        return {"method": self.method, "path": path, "headers": self.headers, **body, "status": self.status}


@dataclass(slots=True)
class Message:
    """One message on a WebSocket. `form` is text, or binary with JSON or MessagePack in it."""

    form: str
    content: Json

    @classmethod
    def of_text(cls, text: str) -> Self:
        return cls("text", json.loads(text))

    @classmethod
    def of_bytes(cls, content: bytes) -> Self:
        if content[:1] == b"{":
            return cls("binary", json.loads(content))
        return cls("msgpack", msgpack.unpackb(content))

    def masked(self, mask: Callable[[str], str]) -> Self:
        self.content = json.loads(mask(json.dumps(self.content)))
        return self

    def to_frame(self) -> str | bytes:
        if self.form == "msgpack":
            return cast("bytes", msgpack.packb(self.content))
        text = json.dumps(self.content)
        return text if self.form == "text" else text.encode()


@dataclass(slots=True)
class Socket:
    path: str
    headers: dict[str, str]
    sent: list[Message] = field(default_factory=list[Message])

    def line(self) -> dict[str, Json]:
        return {
            "socket": self.path,
            "headers": self.headers,
            "sent": [{message.form: message.content} for message in self.sent],
        }


@asynccontextmanager
async def still_sandbox() -> AsyncGenerator[Sandbox]:
    """The one against which recordings are made and replayed: time and prices stand still, and so do its answers."""
    async with (
        serve_sandbox(port=0, seed=7, rate_limit_per_minute=0, start=TUESDAY_TEN, speed=0) as sandbox,
        ClientSession() as http,
        http.put(f"{sandbox.url}/_prices", json=PRICES) as answer,
    ):
        assert answer.status < HTTPStatus.BAD_REQUEST
        yield sandbox


def lines_of(recorded: list[Exchange | Socket]) -> list[dict[str, Json]]:
    """Returns what is kept of a run: requests in order, with the places of ids instead of the ids, and then sockets,
    which a client may open in any order.
    """
    known: dict[str, str] = {}
    requests: list[dict[str, Json]] = []
    for number, exchange in enumerate(each for each in recorded if isinstance(each, Exchange)):
        requests.append(exchange.line(known))
        for pointer, given in _given(exchange.answer):
            known.setdefault(given, f"{{{{{number}{pointer}}}}}")
            known.setdefault(quote(given, safe=""), f"{{{{{number}{pointer}}}}}")
    sockets = [each.line() for each in recorded if isinstance(each, Socket)]
    return requests + sorted(sockets, key=lambda line: line["socket"])


def filled_in(text: str, answers: Sequence[Json]) -> str:
    """Replaces the places by what is there in `answers`, and what is random by something new."""

    def found(place: re.Match[str]) -> str:
        if place[1] is None:
            return uuid4().hex
        value = answers[int(place[1])]
        for name in place[2][1:].split("/"):
            value = value[int(name) if isinstance(value, list) else name]
        return str(value)

    return _PLACE.sub(found, text)


def read(name: str) -> list[dict[str, Json]]:
    return [json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text("utf-8").splitlines()]


def write(name: str, lines: list[dict[str, Json]]) -> None:
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (FOLDER / f"{name}.jsonl").write_text(text, "utf-8")


def _with_places(text: str, known: dict[str, str]) -> str:
    for given in sorted(known, key=len, reverse=True):
        if given in text:
            text = text.replace(given, known[given])
    return _RANDOM.sub("{{random}}", text)


def _given(answer: Json, pointer: str = "") -> Iterator[tuple[str, str]]:
    """Yields the pointer and the text of every id and every token of a page."""
    if isinstance(answer, dict):
        for name, value in cast("dict[str, Json]", answer).items():
            if isinstance(value, str):
                if _GIVEN.match(value) or name in _TOKENS:
                    yield f"{pointer}/{name}", value
            else:
                yield from _given(value, f"{pointer}/{name}")
    elif isinstance(answer, list):
        for index, value in enumerate(cast("list[Json]", answer)):
            yield from _given(value, f"{pointer}/{index}")


def _as_json(text: str) -> Json:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
