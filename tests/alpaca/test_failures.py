"""Every way in which an upstream can fail: which error it becomes, how long it takes, and that no key shows in it."""

import asyncio
import gzip
import json
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import psutil
import pytest

from corral.alpaca.calls import LARGEST_ANSWER_BYTES
from corral.alpaca.environments import Environment
from corral.alpaca.errors import (
    AlpacaAuthError,
    AlpacaError,
    AlpacaRateLimited,
    AlpacaServerError,
    ConnectionDropped,
    DeadlineExceeded,
    NotAnAccount,
    ReadRefused,
    WrongShape,
)
from corral.alpaca.requests import MOST_ATTEMPTS
from corral.secret import Secret
from tests.alpaca.upstream import (
    ACCOUNT,
    DEADLINE,
    KEY_ID,
    REQUEST_ID,
    SECRET_KEY,
    Visit,
    account,
    answer,
    client_of,
    fetch,
    opened,
    raw,
    upstream,
)

BODY = json.dumps(ACCOUNT).encode()
HEAD = f"HTTP/1.1 200 OK\r\nContent-Length: {len(BODY)}\r\n\r\n"
CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
MEBIBYTE = b" " * 1024 * 1024

Script = Callable[[Visit], Awaitable[None]]


async def silence(visit: Visit) -> None:
    await asyncio.sleep(30)


async def drip(visit: Visit) -> None:
    for byte in (HEAD.encode() + BODY)[:600]:
        await visit.send(bytes([byte]))
        await asyncio.sleep(0.02)


async def drip_body(visit: Visit) -> None:
    await visit.send(HEAD.encode())
    for byte in BODY:
        await visit.send(bytes([byte]))
        await asyncio.sleep(0.02)


async def endless_interim_answers(visit: Visit) -> None:
    while True:
        await visit.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await asyncio.sleep(0.02)


async def reset(visit: Visit) -> None:
    visit.reset()


async def hang_up(visit: Visit) -> None:
    visit.hang_up()


async def half_a_head(visit: Visit) -> None:
    await visit.send(b"HTTP/1.1 200 OK\r\nContent-Le")
    visit.hang_up()


async def half_a_body(visit: Visit) -> None:
    await visit.send(HEAD.encode() + BODY[: len(BODY) // 2])
    visit.hang_up()


async def half_a_body_and_reset(visit: Visit) -> None:
    await visit.send(HEAD.encode() + BODY[: len(BODY) // 2])
    await asyncio.sleep(0.02)
    visit.reset()


async def half_a_chunk(visit: Visit) -> None:
    await visit.send(CHUNKED.encode() + b"1000\r\n" + BODY)
    visit.hang_up()


async def no_length_and_half_a_body(visit: Visit) -> None:
    await visit.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + BODY[: len(BODY) // 2])
    visit.hang_up()


async def flood(visit: Visit) -> None:
    await visit.send(CHUNKED.encode())
    for _ in range(50):
        await visit.send(b"100000\r\n" + MEBIBYTE + b"\r\n")
    await visit.send(b"0\r\n\r\n")


async def announced_flood(visit: Visit) -> None:
    await visit.send(f"HTTP/1.1 200 OK\r\nContent-Length: {50 * len(MEBIBYTE)}\r\n\r\n".encode())
    for _ in range(50):
        await visit.send(MEBIBYTE)


async def announced_and_never_sent(visit: Visit) -> None:
    await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n{")
    await asyncio.sleep(30)


async def echo(visit: Visit) -> None:
    """Sends the keys back wherever it can."""
    lines = f"X-Request-ID: {SECRET_KEY}\r\nWWW-Authenticate: {KEY_ID}\r\nSet-Cookie: k={SECRET_KEY}\r\n"
    body = visit.head
    await visit.send(f"HTTP/1.1 400 {SECRET_KEY}\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body)


async def echo_in_a_200(visit: Visit) -> None:
    await visit.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(visit.head)}\r\n\r\n".encode() + visit.head)


FAILURES: list[tuple[str, Script, type[AlpacaError], int | None]] = [
    ("silence", silence, DeadlineExceeded, None),
    ("drip", drip, DeadlineExceeded, None),
    ("drip body", drip_body, DeadlineExceeded, None),
    ("endless 103", endless_interim_answers, DeadlineExceeded, None),
    ("reset", reset, ConnectionDropped, None),
    ("hang up", hang_up, ConnectionDropped, None),
    ("half a head", half_a_head, ConnectionDropped, None),
    ("half a body", half_a_body, ConnectionDropped, None),
    ("half a body, reset", half_a_body_and_reset, ConnectionDropped, None),
    ("half a chunk", half_a_chunk, ConnectionDropped, None),
    ("half a body without a length", no_length_and_half_a_body, NotAnAccount, 200),
    ("garbage", raw("SSH-2.0-OpenSSH_9.2p1\r\n\r\n"), AlpacaServerError, None),
    ("garbage for a chunk", raw(CHUNKED, b"zzzz\r\n" + BODY), AlpacaServerError, None),
    ("two lengths", raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"), AlpacaServerError, None),
    ("huge header", raw(f"HTTP/1.1 200 OK\r\nX-Big: {'x' * 2_000_000}\r\n\r\n"), AlpacaServerError, None),
    ("many headers", raw("HTTP/1.1 200 OK\r\n" + "X-Many: x\r\n" * 5_000 + "\r\n"), AlpacaServerError, None),
    ("flood", flood, WrongShape, 200),
    ("announced flood", announced_flood, WrongShape, 200),
    ("announced flood that never comes", announced_and_never_sent, WrongShape, 200),
    ("gzip", answer(gzip.compress(BODY), headers={"Content-Encoding": "gzip"}), WrongShape, 200),
    ("gzip bomb", answer(gzip.compress(MEBIBYTE * 50), headers={"Content-Encoding": "gzip"}), WrongShape, 200),
    ("unknown encoding", answer(BODY, headers={"Content-Encoding": "zz"}), WrongShape, 200),
    ("html", answer(b"<html>maintenance</html>", headers={"Content-Type": "text/html"}), NotAnAccount, 200),
    ("empty", answer(b""), NotAnAccount, 200),
    ("array", answer(b"[]"), NotAnAccount, 200),
    ("empty object", answer(b"{}"), NotAnAccount, 200),
    ("no cash", answer(account(cash=None)), NotAnAccount, 200),
    ("not a number", answer(BODY.replace(b'"-23140.2"', b"NaN")), NotAnAccount, 200),
    ("deep", answer(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), NotAnAccount, 200),
    ("not utf-8", answer(BODY.replace(b"ACTIVE", b"\xff\xfe")), NotAnAccount, 200),
    ("created", answer(ACCOUNT, "201 Created"), AlpacaServerError, 201),
    ("no content", raw("HTTP/1.1 204 No Content\r\n\r\n"), AlpacaServerError, 204),
    ("not modified", raw("HTTP/1.1 304 Not Modified\r\n\r\n"), AlpacaServerError, 304),
    (
        "upgrade",
        raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
        AlpacaServerError,
        101,
    ),
    ("400", answer(b"", "400 Bad Request"), AlpacaServerError, 400),
    ("401", answer({"message": "unauthorized."}, "401 Unauthorized"), AlpacaAuthError, 401),
    ("401 with code", answer({"code": 40110000, "message": "x"}, "401 Unauthorized"), AlpacaAuthError, 401),
    ("401 flood", answer(MEBIBYTE * 2, "401 Unauthorized"), AlpacaServerError, 401),
    ("403", answer({"message": "forbidden."}, "403 Forbidden"), AlpacaAuthError, 403),
    ("401 without full stop", answer({"message": "unauthorized"}, "401 Unauthorized"), AlpacaAuthError, 401),
    ("401 without code", answer({"message": "request is not authorized"}, "401 Unauthorized"), AlpacaAuthError, 401),
    ("401 of a proxy", answer(b"<html>Proxy login</html>", "401 Unauthorized"), AlpacaServerError, 401),
    ("401 of another service", answer({"message": "Unauthorized"}, "401 Unauthorized"), AlpacaServerError, 401),
    ("401 with another code", answer({"code": 40210000, "message": "x"}, "401 Unauthorized"), AlpacaServerError, 401),
    ("401 empty", answer(b"", "401 Unauthorized"), AlpacaServerError, 401),
    ("403 html", answer(b"<html>nginx</html>", "403 Forbidden"), AlpacaServerError, 403),
    ("403 of a gateway", answer({"message": "Forbidden"}, "403 Forbidden"), AlpacaServerError, 403),
    ("403 with an odd code", answer({"code": "x", "message": "forbidden."}, "403 Forbidden"), AlpacaServerError, 403),
    ("403 business", answer({"code": 40310000, "message": "x"}, "403 Forbidden"), ReadRefused, 403),
    ("403 business as text", answer({"code": "40310000"}, "403 Forbidden"), ReadRefused, 403),
    ("403 code of keys", answer({"code": 40110000}, "403 Forbidden"), ReadRefused, 403),
    ("404", answer({"code": 40410000}, "404 Not Found"), ReadRefused, 404),
    ("404 html", answer(b"<html>", "404 Not Found"), AlpacaServerError, 404),
    ("422", answer({"code": 42210000, "message": "invalid period"}, "422 Unprocessable"), ReadRefused, 422),
    ("422 without code", answer({"message": "x"}, "422 Unprocessable"), AlpacaServerError, 422),
    ("429", answer(b"", "429 Too Many Requests"), AlpacaRateLimited, 429),
    ("500", answer(b"", "500 Internal Server Error"), AlpacaServerError, 500),
    ("501", answer(b"", "501 Not Implemented"), AlpacaServerError, 501),
    ("echo", echo, AlpacaServerError, 400),
    ("echo in a 200", echo_in_a_200, NotAnAccount, 200),
]


def everything_in(error: BaseException) -> str:
    """What any logger could print of an exception: its texts, its causes, and the variables of its frames."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = [frame for frame in frames if "/tests/" not in frame.f_code.co_filename]
    others = [other for other in (error.__cause__, error.__context__) if other]
    text = [repr(error), repr(vars(error)), *traceback.format_exception(error)]
    return "\n".join([*text, *(repr(frame.f_locals) for frame in ours), *map(everything_in, others)])


@pytest.mark.parametrize(("script", "kind", "status"), [f[1:] for f in FAILURES], ids=[f[0] for f in FAILURES])
async def test_a_failure_has_its_error_in_time_and_shows_no_key(
    script: Script, kind: type[AlpacaError], status: int | None, log_lines: list[Any]
) -> None:
    deadline = DEADLINE if kind is DeadlineExceeded else 3  # there, pauses between attempts must not end in it
    async with upstream(script) as served, client_of(served.url, timeout_seconds=deadline) as client:
        clock = asyncio.get_running_loop().time
        started = clock()
        with pytest.raises(AlpacaError) as failed:
            await fetch(client)
        assert clock() - started <= deadline + 0.5
    assert type(failed.value) is kind
    assert failed.value.status == status
    assert 1 <= len(served.heads) <= MOST_ATTEMPTS
    shown = everything_in(failed.value) + repr(log_lines)
    assert "fetch_account" in shown
    assert not [secret for secret in (KEY_ID, SECRET_KEY, SECRET_KEY[:12]) if secret in shown]
    said = f"{failed.value!r} {failed.value}" + repr(log_lines)
    assert not [
        text for text in ("maintenance", "Proxy", "nginx", "invalid period", served.url, "127.0.0.1") if text in said
    ]


@pytest.mark.parametrize("status", ["401 Unauthorized", "500 Internal Server Error", "200 OK", "429 Too Many Requests"])
async def test_the_request_id_of_a_failure_is_kept(status: str, log_lines: list[Any]) -> None:
    async with upstream(answer(b"", status)) as served, client_of(served.url) as client:
        with pytest.raises(AlpacaError) as failed:
            await fetch(client)
    assert failed.value.alpaca_request_id == REQUEST_ID
    assert {line["alpaca_request_id"] for line in log_lines} == {REQUEST_ID}


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
async def test_a_redirect_is_never_followed(status: int) -> None:
    async with upstream(answer(ACCOUNT)) as elsewhere:
        script = answer(b"", f"{status} Elsewhere", {"Location": f"{elsewhere.url}/v2/account"})
        async with upstream(script) as served, client_of(served.url) as client:
            with pytest.raises(AlpacaServerError) as failed:
                await fetch(client)
    assert failed.value.status == status
    assert (elsewhere.connections, len(served.heads)) == (0, 1)


@pytest.mark.parametrize("script", [flood, announced_flood], ids=["chunked", "announced"])
async def test_an_endless_body_is_cut_off_and_its_connection_closed(script: Script) -> None:
    async with upstream(script, answer(ACCOUNT)) as served, client_of(served.url, timeout_seconds=5) as client:
        process = psutil.Process()
        before = process.memory_info().rss
        with pytest.raises(WrongShape):
            await fetch(client)
        assert process.memory_info().rss - before < 20 * len(MEBIBYTE)
        assert opened(await fetch(client)).cash == ACCOUNT["cash"]
        assert served.connections == 2


WHOLE_BODY = {
    "length": raw(HEAD, BODY),
    "chunks": raw(CHUNKED, f"{len(BODY):x}\r\n".encode() + BODY + b"\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("framing", WHOLE_BODY)
async def test_the_body_limit_is_exact(framing: str) -> None:
    async with upstream(WHOLE_BODY[framing]) as served:
        async with client_of(served.url, max_body_bytes=len(BODY)) as client:
            assert opened(await fetch(client)).equity == ACCOUNT["equity"]
        async with client_of(served.url, max_body_bytes=len(BODY) - 1) as client:
            with pytest.raises(WrongShape) as refused:
                await fetch(client)
    assert type(refused.value) is WrongShape


@pytest.mark.parametrize("ending", [" b", "\r\nX-Evil: 1", "\n", "\r", "\0", "ä", "x" * 257, "\x7f", "\u2028"])
@pytest.mark.parametrize("place", [0, 1])
async def test_a_key_that_could_inject_a_header_is_refused_before_connecting(
    ending: str, place: int, log_lines: list[Any]
) -> None:
    pair = [KEY_ID, SECRET_KEY]
    pair[place] += ending
    async with upstream(answer(ACCOUNT)) as served, client_of(served.url) as client:
        with pytest.raises(AlpacaAuthError) as refused:
            await client.fetch_account(Environment.PAPER, *map(Secret, pair), budget_key="alice")
    assert (refused.value.status, served.connections) == (None, 0)
    shown = everything_in(refused.value) + repr(log_lines)
    assert KEY_ID not in shown
    assert SECRET_KEY not in shown


async def test_an_empty_key_is_refused_before_connecting() -> None:
    async with upstream(answer(ACCOUNT)) as served, client_of(served.url) as client:
        with pytest.raises(AlpacaAuthError):
            await client.fetch_account(Environment.PAPER, Secret(KEY_ID), Secret(""), budget_key="alice")
    assert served.connections == 0


async def test_a_list_is_read_only_up_to_its_limit() -> None:
    item = json.dumps({"asset_id": "a", "symbol": "S", "side": "long", "qty": "1"}).encode()
    fitting = LARGEST_ANSWER_BYTES // (len(item) + 1)
    lists = [b"[" + b",".join([item] * many) + b"]" for many in (fitting - 1, fitting + 1)]
    async with upstream(*map(answer, lists)) as served, client_of(served.url, timeout_seconds=30) as client:
        keys = (Environment.PAPER, Secret("PKWHATEVER0001"), Secret("s"))
        assert len(await client.fetch_positions(*keys, budget_key="alice")) == fitting - 1
        with pytest.raises(WrongShape):
            await client.fetch_positions(*keys, budget_key="alice")
