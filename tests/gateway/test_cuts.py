"""Answers to orders that are cut, late or nonsense: sent once, and called failed or done only where that is certain."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import NAMESPACE_URL, uuid5

import asyncpg
import orjson
import pytest
from aiohttp import ClientSession

from corral.alpaca import forwarding
from tests.alpaca.upstream import Visit
from tests.conftest import Service, StartService
from tests.gateway.conftest import LIMIT_ORDER, Json, key_headers
from tests.grants.conftest import GrantOwner

Script = Callable[[Visit, bytes], Awaitable[None]]  # what is sent, given the body that a good answer would have

_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_FOREVER = 3600.0
_TIMEOUT = 4.0  # of which a quarter is for the connection


def _head(status: str = "200 OK", *lines: str, length: int | None = None) -> bytes:
    kind = "" if any(line.startswith("Content-Type") for line in lines) else "Content-Type: application/json\r\n"
    ending = "" if length is None else f"Content-Length: {length}\r\n"
    return (f"HTTP/1.1 {status}\r\n{kind}{ending}" + "".join(f"{line}\r\n" for line in lines) + "\r\n").encode()


def _whole(body: bytes, status: str = "200 OK", *lines: str) -> bytes:
    return _head(status, *lines, length=len(body)) + body


def _chunk(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


_TO_THE_END = _head("200 OK", "Connection: close")
_CHUNKED = _head("200 OK", "Transfer-Encoding: chunked")


def sends(*parts: bytes | Callable[[bytes], bytes], then: str = "stay") -> Script:
    async def script(visit: Visit, body: bytes) -> None:
        for part in parts:
            await visit.send(part if isinstance(part, bytes) else part(body))
        if then == "close":
            visit.hang_up()
        elif then == "reset":
            visit.reset()
        elif then == "silence":
            await asyncio.sleep(_FOREVER)

    return script


async def _byte_by_byte(visit: Visit, body: bytes) -> None:
    for byte in _whole(body):
        await visit.send(bytes([byte]))
        await asyncio.sleep(0)


async def _head_that_never_ends(visit: Visit, _: bytes) -> None:
    await visit.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await visit.send(b"X-Slow: 1\r\n")
        await asyncio.sleep(_TIMEOUT / 10)


# Nobody can tell from these whether the order was taken.
UNCLEAR: dict[str, Script] = {
    "cut after the request": sends(then="close"),
    "reset after the request": sends(then="reset"),
    "silence": sends(then="silence"),
    "cut in the first line": sends(b"HTTP/1.1 20", then="close"),
    "cut in the head": sends(b"HTTP/1.1 200 OK\r\nContent-Le", then="close"),
    "silence in the head": _head_that_never_ends,
    "cut after the head": sends(_head(length=500), then="close"),
    "cut in the body": sends(lambda body: _whole(body)[:-20], then="close"),
    "reset in the body": sends(lambda body: _whole(body)[:-20], then="reset"),
    "silence in the body": sends(lambda body: _whole(body)[:-20], then="silence"),
    "cut in a chunk": sends(_CHUNKED, lambda body: _chunk(body)[:-20], then="close"),
    "cut between chunks": sends(_CHUNKED, _chunk, then="close"),
    "cut in a body without a length": sends(_TO_THE_END, lambda body: body[:-20], then="close"),
    "a body without a length": sends(_TO_THE_END, lambda body: body, then="close"),
    "an empty body": sends(_whole(b"")),
    "an empty page": sends(_whole(b"", "200 OK", "Content-Type: text/html")),
    "half a document": sends(lambda body: _whole(body[:-20])),
    "a document twice": sends(lambda body: _whole(body * 2)),
    "another document": sends(_whole(b'{"message": "ok"}')),
    "a list": sends(_whole(b"[]")),
    "too much": sends(lambda body: _whole(body + b" " * 9 * 1024 * 1024)),
    "compressed": sends(lambda body: _whole(body, "200 OK", "Content-Encoding: gzip")),
    "two lengths": sends(lambda body: _whole(body, "200 OK", "Content-Length: 5")),
    "a length and chunks": sends(lambda body: _head("200 OK", "Transfer-Encoding: chunked", length=5) + _chunk(body)),
    "bytes behind it": sends(lambda body: _whole(body) + b"more"),
    "garbage": sends(b"\x00\xff\x00garbage\r\n\r\n", then="close"),
    "another protocol": sends(b"SSH-2.0-OpenSSH_9.6\r\n", then="close"),
    "a TLS alert": sends(b"\x15\x03\x01\x00\x02\x02\x46", then="close"),
    "continue, and then cut": sends(b"HTTP/1.1 100 Continue\r\n\r\n", then="close"),
    "continue, and then silence": sends(b"HTTP/1.1 100 Continue\r\n\r\n", then="silence"),
    "another protocol is switched to": sends(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"),
    **{
        status: sends(lambda body, status=status: _whole(body, status, "Location: /v2/orders"))
        for status in ("300 Choices", "301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent")
    },
    "304 Not Modified": sends(b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    **{
        status: sends(lambda _, status=status: _whole(b'{"code": 1, "message": "x"}', status, "Retry-After: 1"))
        for status in ("408 Timeout", "500 Error", "502 Bad", "503 Unavailable", "504 Timeout", "520 Unknown", "599 X")
    },
    "a page of a proxy": sends(_whole(b"<html>", "403 Forbidden", "Content-Type: text/html")),
    "a page of a proxy that limits": sends(_whole(b"<html>", "429 Too Many", "Content-Type: text/html")),
}  # fmt: skip

# Alpaca's own yes and no, however they arrive, and their status.
CLEAR: dict[str, tuple[Script, int]] = {
    "at once": (sends(_whole), 200),
    "byte by byte": (_byte_by_byte, 200),
    "in chunks": (sends(_CHUNKED, lambda body: _chunk(body[:9]), lambda body: _chunk(body[9:]), b"0\r\n\r\n"), 200),
    "and then closed": (sends(_whole, then="close"), 200),
    "after a hint": (sends(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", _whole), 200),
    "after going on": (sends(b"HTTP/1.1 100 Continue\r\n\r\n", _whole), 200),
    "with another's answer behind it": (sends(_whole, _whole(b'{"id": "00000000-0000-0000-0000-000000000000"}')), 200),
    **{
        status: (sends(_whole(b'{"code": 1, "message": "no"}', status)), int(status[:3]))
        for status in ("400 Bad", "403 Forbidden", "404 Not Found", "409 Conflict", "418 Teapot", "422 Unprocessable")
    },
}  # fmt: skip


# An answer to a cancel is no order, so that any document is Alpaca's.
CLEAR_OF_A_CANCEL = {"an empty body", "half a document", "a document twice", "another document", "a list"}
Change = Callable[[ClientSession, str], Awaitable[tuple[int, Json]]]


@dataclass
class Broker:
    """Answers each order as the table says: by its ID, which begins with the name of a line and says if it is found."""

    is_deaf: bool = False
    asked: Counter[str] = field(default_factory=Counter[str])
    scripts: dict[str, Script] = field(
        default_factory=lambda: (
            {_key(name): script for name, script in UNCLEAR.items()}
            | {_key(name): script for name, (script, _) in CLEAR.items()}
        )
    )
    tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    server: asyncio.Server = field(init=False)
    url: str = field(init=False)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self.tasks.add(task)
        try:
            while not writer.is_closing() and not self.is_deaf:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                content = await reader.readexactly(int(length[1])) if length else b""
                await self._answer(Visit(head, 0, reader, writer), content)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client is gone, or the test is over
        finally:
            self.tasks.discard(task)
            writer.close()

    async def _answer(self, visit: Visit, content: bytes) -> None:
        method, target, _ = visit.head.decode().split(" ", 2)
        name = orjson.loads(content)["client_order_id"] if content else target.rpartition("=")[2].rpartition("/")[2]
        self.asked[f"{method} {name}"] += 1
        body = orjson.dumps({"id": str(uuid5(NAMESPACE_URL, name)), "client_order_id": name, "status": "new"})
        if method != "GET":
            await self.scripts[name.removesuffix("_found")](visit, body)
        elif name.endswith("_found"):
            await visit.send(_whole(body))
        else:
            await visit.send(_whole(b'{"code": 40410000, "message": "order not found"}', "404 Not Found"))


def _key(name: str) -> str:
    """An order's ID, also one that a path may have."""
    return str(uuid5(NAMESPACE_URL, name))


@pytest.fixture
async def broker() -> AsyncGenerator[Broker]:
    broker = Broker()
    broker.server = await asyncio.start_server(broker.accept, "127.0.0.1", 0, backlog=512)
    broker.url = f"http://127.0.0.1:{broker.server.sockets[0].getsockname()[1]}"
    yield broker
    broker.server.close()
    for task in (tasks := list(broker.tasks)):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def through(
    start_service: StartService, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Service]:
    """A Corral on the same data that finds the broker at Alpaca's addresses."""
    monkeypatch.setattr(forwarding, "WHOLE_ANSWER_SECONDS", _TIMEOUT)
    elsewhere = {"alpaca_live_url": f"{broker.url}/live", "alpaca_data_url": f"{broker.url}/data"}
    async with start_service(alpaca_paper_url=broker.url, **elsewhere, upstream_timeout_seconds=_TIMEOUT) as other:
        yield other


@asynccontextmanager
async def _program(carol: GrantOwner, through: Service) -> AsyncGenerator[ClientSession]:
    grant = await carol.grant(access="trade")
    async with ClientSession(through.url, headers=key_headers(grant)) as client:
        yield client


async def _place(client: ClientSession, order_id: str) -> tuple[int, Json]:
    async with client.post("/alpaca/v2/orders", json={**LIMIT_ORDER, "client_order_id": order_id}) as answer:
        return answer.status, await answer.json()


async def _replace(client: ClientSession, order_id: str) -> tuple[int, Json]:
    body = {"qty": "2", "client_order_id": order_id}
    async with client.patch(f"/alpaca/v2/orders/{_key('replaced')}", json=body) as answer:
        return answer.status, await answer.json()


async def _cancel(client: ClientSession, order_id: str) -> tuple[int, bytes]:
    async with client.delete(f"/alpaca/v2/orders/{order_id}") as answer:
        return answer.status, await answer.read()


async def _fates(owner: asyncpg.Connection, carol: GrantOwner, number: int) -> Counter[tuple[str, str]]:
    """What the audit trail says of each change in the end; waits until all of them are concluded."""
    async with asyncio.timeout(30):
        while True:
            rows = await owner.fetch("SELECT body FROM corral.audit_entries WHERE user_id = $1", carol.user_id)
            entries = [orjson.loads(row["body"]) for row in rows]
            begun = {entry["seq"]: _order_in(entry) for entry in entries if entry["result"] == "begun"}
            fates = {entry["concludes"]: entry["result"] for entry in entries if "concludes" in entry}
            if begun.keys() == fates.keys() and len(begun) == number:
                return Counter((begun[seq], result) for seq, result in fates.items())
            await asyncio.sleep(0.05)


def _order_in(entry: Json) -> str:
    return entry["details"]["client_order_id"] if "details" in entry else entry["object_id"]


@pytest.mark.parametrize(("change", "method"), [(_place, "POST"), (_replace, "PATCH")], ids=["new", "replaced"])
async def test_an_order_whose_answer_is_unclear_is_looked_for_and_never_sent_again(
    change: Change, method: str, broker: Broker, through: Service, carol: GrantOwner, owner: asyncpg.Connection
) -> None:
    names = [_key(name) + found for name in UNCLEAR for found in ("", _FOUND)]
    async with _program(carol, through) as client:
        answers = await asyncio.gather(*(change(client, name) for name in names))
    wrong: list[object] = []
    for name, (status, told) in zip(names, answers, strict=True):
        right = (200, name) if name.endswith(_FOUND) else (500, name)
        looked_for = _ORDER_IN_MESSAGE.search(told.get("message", ""))
        if (status, looked_for[1] if looked_for else told.get("client_order_id")) != right:
            wrong.append((_named(name), status, told))
    assert wrong == []
    assert broker.asked == Counter(f"{sent} {name}" for name in names for sent in (method, "GET"))
    fates = Counter((name, "done" if name.endswith(_FOUND) else "unknown") for name in names)
    assert await _fates(owner, carol, len(names)) == fates


_FOUND = "_found"
_ORDER_IN_MESSAGE = re.compile(r"look for client_order_id (\S+) before")


def _named(order_id: str) -> str:
    by_key = {_key(name): name for name in (*UNCLEAR, *CLEAR)}
    return by_key[order_id.removesuffix(_FOUND)] + order_id[36:]


async def test_a_cancel_whose_answer_is_unclear_is_sent_once_and_called_unknown(
    broker: Broker, through: Service, carol: GrantOwner, owner: asyncpg.Connection
) -> None:
    names = [_key(name) for name in UNCLEAR if name not in CLEAR_OF_A_CANCEL]
    async with _program(carol, through) as client:
        answers = await asyncio.gather(*(_cancel(client, name) for name in names))
    told = {_named(name): status for name, (status, _) in zip(names, answers, strict=True)}
    assert told == dict.fromkeys(told, 500)
    assert broker.asked == Counter(f"DELETE {name}" for name in names)
    assert await _fates(owner, carol, len(names)) == Counter((name, "unknown") for name in names)


async def test_alpacas_own_yes_and_no_are_passed_on(
    broker: Broker, through: Service, carol: GrantOwner, owner: asyncpg.Connection
) -> None:
    names = [_key(name) for name in CLEAR]
    async with _program(carol, through) as client:
        for _ in range(2):  # also on connections that an answer of the first round was on
            await asyncio.gather(*(_place(client, name) for name in names))
        answers = await asyncio.gather(*(_place(client, name) for name in names))
    told = {_named(name): (status, answer) for name, (status, answer) in zip(names, answers, strict=True)}
    assert {name: status for name, (status, _) in told.items()} == {name: status for name, (_, status) in CLEAR.items()}
    for name, (status, answer) in told.items():
        assert answer["client_order_id" if status == 200 else "message"] == (_key(name) if status == 200 else "no")
    fates = Counter({(_key(name), "done" if status == 200 else "refused"): 3 for name, (_, status) in CLEAR.items()})
    assert await _fates(owner, carol, 3 * len(names)) == fates


async def test_a_connection_that_is_reset_at_once_is_unclear_and_one_that_is_refused_is_not(
    broker: Broker, through: Service, carol: GrantOwner, owner: asyncpg.Connection
) -> None:
    broker.is_deaf = True
    async with _program(carol, through) as client:
        assert (await _place(client, _key("deaf")))[0] == 500
        broker.server.close()
        assert (await _place(client, _key("refused")))[0] == 503
    assert broker.asked == Counter()
    assert await _fates(owner, carol, 2) == Counter([(_key("deaf"), "unknown"), (_key("refused"), "failed")])
