"""TLS in the process: on both event loops, as their TLS transports differ from each other and from plain ones."""

import asyncio
import functools
import inspect
import io
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop
from aiohttp import ClientSession, TCPConnector, WSMsgType

from corral.edge.certificate import ServedCertificate, TlsFiles
from corral.edge.connection import Limits
from corral.edge.middleware import ASGIApp
from tests.certificates import expired_certificate, files_in, new_certificate, trusting
from tests.edge.sample_app import sample_app
from tests.edge.test_long_lived import Pasture
from tests.edge.test_websocket import Echo
from tests.edge.wire import Client, Served, request, served
from tests.machine import OPENSSL
from tests.patient_loop import PatientLoop

pytestmark = OPENSSL.mark
HEALTH = request("GET", "/healthz")


def on_both_loops(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(loop: Callable[[], asyncio.AbstractEventLoop], **fixtures: object) -> None:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(asyncio.wait_for(test(**fixtures), 60))

    own = inspect.signature(test)
    loop = inspect.Parameter("loop", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__signature__ = own.replace(parameters=[loop, *own.parameters.values()])  # pyright: ignore[reportAttributeAccessIssue]
    return pytest.mark.parametrize("loop", [PatientLoop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])(run)


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    return new_certificate(files_in(tmp_path / "tls"))


@asynccontextmanager
async def over_tls(
    app: ASGIApp, log: io.BytesIO, files: TlsFiles, *, limits: Limits | None = None, patience_seconds: float = 0.0
) -> AsyncGenerator[Served]:
    certificate = ServedCertificate(files, "https://127.0.0.1", look_seconds=0.05, patience_seconds=patience_seconds)
    async with served(app, log, limits=limits, certificate=certificate, trust=trusting(files)) as server:
        yield server


def events(server: Served, event: str) -> list[dict[str, Any]]:
    return [line for line in server.lines() if line["event"] == event]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(40):
        while not condition():  # noqa: ASYNC110 - a log, and sockets of the other side
            await asyncio.sleep(0.01)


def shown_to(client: Client) -> bytes:
    over: ssl.SSLObject = client.writer.get_extra_info("ssl_object")
    return over.getpeercert(binary_form=True) or b""


@on_both_loops
async def test_requests_are_answered_one_after_the_other(log: io.BytesIO, files: TlsFiles) -> None:
    async with over_tls(sample_app(), log, files) as server:
        client = await server.connect()
        for _ in range(3):
            await client.send(HEALTH)
            assert (await client.response()).status == 200


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # a client that speaks what it should not
@on_both_loops
async def test_old_versions_are_refused_and_http_1_is_what_is_spoken(log: io.BytesIO, files: TlsFiles) -> None:
    async with over_tls(sample_app(), log, files) as server:
        assert server.trust is not None
        server.trust.set_alpn_protocols(["h2", "http/1.1"])
        over: ssl.SSLObject = (await server.connect()).writer.get_extra_info("ssl_object")
        assert (over.selected_alpn_protocol(), over.version()) == ("http/1.1", "TLSv1.3")
        server.trust.minimum_version = ssl.TLSVersion.TLSv1
        server.trust.maximum_version = ssl.TLSVersion.TLSv1_1
        server.trust.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await server.connect()
        await until(lambda: bool(events(server, "tls_handshake_failed")))


@on_both_loops
async def test_websockets_work_and_one_that_does_not_read_is_cut_off(log: io.BytesIO, files: TlsFiles) -> None:
    echo = Echo()
    async with over_tls(echo, log, files) as server:
        connector = TCPConnector(ssl=server.trust or True)
        async with (
            ClientSession(f"https://127.0.0.1:{server.port}", connector=connector) as client,
            client.ws_connect("/") as line,
        ):
            for message in (b"one", b"two" * 20_000):
                await line.send_bytes(message)
                assert await line.receive_bytes() == message
            await line.send_bytes(b"flood")
            received = 0
            while (message := await line.receive()).type is WSMsgType.BINARY:
                received += 1
            assert message.type in {WSMsgType.CLOSED, WSMsgType.CLOSE, WSMsgType.ERROR}
            assert received < 640
        await echo.ended.wait()


@on_both_loops
async def test_a_long_lived_answer_ends_with_the_server(log: io.BytesIO, files: TlsFiles) -> None:
    async with over_tls(Pasture(), log, files) as server:
        client = await server.connect()
        await client.send(request("GET", "/last"))
        await client.reader.readuntil(b"begun")
        server.stop()
        assert b"ended" in await client.rest()


@on_both_loops
async def test_the_answer_to_a_request_that_is_too_large_arrives(log: io.BytesIO, files: TlsFiles) -> None:
    async with over_tls(sample_app(), log, files) as server:
        client = await server.connect()
        await client.send(request("GET", "/healthz", "X-Filler: " + "x" * 40_000))
        assert (await client.response()).status == 431
        assert await client.rest() == b""


@on_both_loops
async def test_a_new_pair_is_served_to_new_connections_and_old_ones_live_on(log: io.BytesIO, files: TlsFiles) -> None:
    async with over_tls(sample_app(), log, files) as server:
        old = await server.connect()
        shown = shown_to(old)
        new_certificate(files)
        server.trust = trusting(files)
        await until(lambda: bool(events(server, "tls_certificate_loaded")))
        assert shown_to(await server.connect()) != shown
        await old.send(HEALTH)
        assert (await old.response()).status == 200


async def test_links_that_are_replaced_are_noticed(log: io.BytesIO, tmp_path: Path) -> None:
    """Certbot's way: the names are links to numbered files."""
    names = files_in(tmp_path / "live")
    first, second = (new_certificate(files_in(tmp_path / number)) for number in ("1", "2"))
    link(names, first)
    async with over_tls(sample_app(), log, names) as server:
        link(names, second)
        server.trust = trusting(second)
        await until(lambda: bool(events(server, "tls_certificate_loaded")))
        assert (await server.ask(HEALTH)).status == 200


def link(names: TlsFiles, target: TlsFiles) -> None:
    for name, to in ((names.key, target.key), (names.certificate, target.certificate)):
        fresh = name.with_suffix(".new")
        fresh.symlink_to(to)
        fresh.replace(name)


async def test_a_pair_that_does_not_fit_is_reported_once_and_the_old_one_stays(
    log: io.BytesIO, files: TlsFiles, tmp_path: Path
) -> None:
    other = new_certificate(files_in(tmp_path / "other"))
    async with over_tls(sample_app(), log, files) as server:
        before = server.trust
        files.key.write_bytes(other.key.read_bytes())
        await until(lambda: bool(events(server, "tls_certificate_unusable")))
        files.certificate.unlink()  # still the same trouble
        await asyncio.sleep(0.3)
        (reported,) = events(server, "tls_certificate_unusable")
        assert "does not belong to the certificate" in reported["reason"]
        assert (await server.ask(HEALTH)).status == 200
        files.certificate.write_bytes(other.certificate.read_bytes())
        await until(lambda: bool(events(server, "tls_certificate_loaded")))
        server.trust = trusting(other)
        assert before is not server.trust
        assert (await server.ask(HEALTH)).status == 200


async def test_half_of_a_pair_is_waited_for_without_a_word(log: io.BytesIO, files: TlsFiles, tmp_path: Path) -> None:
    other = new_certificate(files_in(tmp_path / "other"))
    async with over_tls(sample_app(), log, files, patience_seconds=60) as server:
        files.key.write_bytes(other.key.read_bytes())
        await asyncio.sleep(0.3)
        files.certificate.write_bytes(other.certificate.read_bytes())
        await until(lambda: bool(events(server, "tls_certificate_loaded")))
        assert events(server, "tls_certificate_unusable") == []


async def test_an_expired_pair_replaces_no_valid_one_and_one_that_expires_is_reported(
    log: io.BytesIO, files: TlsFiles, tmp_path: Path
) -> None:
    async with over_tls(sample_app(), log, files) as server:
        old = expired_certificate(files_in(tmp_path / "old"), "IP:127.0.0.1")
        files.key.write_bytes(old.key.read_bytes())
        files.certificate.write_bytes(old.certificate.read_bytes())
        await until(
            lambda: any("expired on 2020" in line["reason"] for line in events(server, "tls_certificate_unusable"))
        )
        assert (await server.ask(HEALTH)).status == 200
    async with over_tls(sample_app(), log, old) as server:
        await until(lambda: bool(events(server, "tls_certificate_expired")))
        await asyncio.sleep(0.2)
        assert len(events(server, "tls_certificate_expired")) == 1


@on_both_loops
async def test_silent_connections_keep_nobody_out(log: io.BytesIO, files: TlsFiles) -> None:
    limits = Limits(handshakes=10, handshake_grace_seconds=0.1, handshake_seconds=1000)
    before = open_files()
    async with over_tls(sample_app(), log, files, limits=limits) as server:
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(100)]
        assert (await server.ask(HEALTH)).status == 200
        await until(lambda: sum(map(is_closed, silent)) >= 90)
        half = [await halfway(server) for _ in range(20)]
        assert (await server.ask(HEALTH)).status == 200
        for one in [*silent, *half]:
            one.close()
        await until(lambda: open_files() < before + 20)  # none of the server's own is left, but for a rest


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def is_closed(wire: socket.socket) -> bool:
    wire.setblocking(False)
    try:
        return wire.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


async def halfway(server: Served) -> socket.socket:
    """A client that begins its handshake and goes no further."""
    assert server.trust is not None
    outgoing = ssl.MemoryBIO()
    hello = server.trust.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="127.0.0.1")
    with suppress(ssl.SSLWantReadError):
        hello.do_handshake()
    wire = socket.create_connection(("127.0.0.1", server.port))
    wire.sendall(outgoing.read())
    await asyncio.sleep(0)
    return wire


@on_both_loops
async def test_a_handshake_that_takes_too_long_ends(log: io.BytesIO, files: TlsFiles) -> None:
    async with over_tls(sample_app(), log, files, limits=Limits(handshake_seconds=0.3)) as server:
        waiting = [socket.create_connection(("127.0.0.1", server.port)), await halfway(server)]
        began = waiting[1]
        await until(lambda: is_closed(waiting[0]) and ends(began))
        for one in waiting:
            one.close()


def ends(wire: socket.socket) -> bool:
    """What the server said of its handshake is read over."""
    wire.setblocking(False)
    try:
        while wire.recv(65_536):
            pass
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
    return True


@on_both_loops
async def test_a_crowd_of_honest_clients_gets_in_whatever_the_limit(log: io.BytesIO, files: TlsFiles) -> None:
    async with over_tls(sample_app(), log, files, limits=Limits(handshakes=5)) as server:
        answers = await asyncio.gather(*(server.ask(HEALTH) for _ in range(60)))
        assert {answer.status for answer in answers} == {200}


@on_both_loops
async def test_plain_http_sends_browsers_on_and_refuses_programs(log: io.BytesIO, files: TlsFiles) -> None:
    async with over_tls(sample_app(), log, files) as server:
        server.trust = None
        sent_on = await server.ask(request("GET", "//elsewhere.example/a?b=c", "Accept: text/html,*/*"))
        assert (sent_on.status, sent_on.headers["location"]) == (307, "https://127.0.0.1//elsewhere.example/a?b=c")
        assert "strict-transport-security" not in sent_on.headers
        body = b'{"email": "a@corral.example"}'
        for refused in (
            await server.ask(request("GET", "/api/credentials", "Authorization: Bearer corral_x")),
            await server.ask(request("POST", "/api/session", f"Content-Length: {len(body)}", body=body)),
            await server.ask(request("POST", "/sign-in", "Accept: text/html", "Content-Length: 2", body=b"a=")),
        ):
            assert (refused.status, refused.json()["code"]) == (400, "https_required")
            assert "https://127.0.0.1" in refused.json()["detail"]
        assert (await server.ask(b"\x80garbage\r\n\r\n")).status == 400


@on_both_loops
async def test_a_stop_waits_for_nobody_who_is_silent(log: io.BytesIO, files: TlsFiles) -> None:
    async with over_tls(sample_app(), log, files) as server:
        resting = await server.connect()
        await resting.send(HEALTH)
        await resting.response()
        silent = socket.create_connection(("127.0.0.1", server.port))
        await asyncio.sleep(0.05)
        server.stop()
        assert await resting.rest() == b""
        await until(lambda: is_closed(silent))
        silent.close()
