"""The one proxy that is ever used: it carries TLS for Alpaca's hosts, and reads nothing of it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from corral.alpaca.environments import Environment, Hosts
from corral.alpaca.errors import Unreachable
from corral.alpaca.trade_updates import open_trade_updates
from corral.secret import Secret
from tests.alpaca.test_tls import certificate
from tests.alpaca.upstream import ACCOUNT, KEY_ID, SECRET_KEY, answer, client_of, fetch, opened, upstream
from tests.machine import OPENSSL

pytestmark = OPENSSL.mark

_VARIABLES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")


@dataclass
class Proxy:
    """Takes CONNECT (RFC 9110, 9.3.6), and remembers all that it hears."""

    refuses: bool = False
    url: str = ""
    heads: list[bytes] = field(default_factory=list[bytes])
    heard: bytes = b""
    _carriers: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        if self.refuses:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return
        host, _, port = head.split()[1].decode().rpartition(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self._carriers += map(asyncio.ensure_future, (self._carry(reader, far_writer), self._carry(far_reader, writer)))

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while said := await source.read(65536):
                self.heard += said
                target.write(said)
        finally:
            target.close()

    async def close(self) -> None:
        for carrier in self._carriers:
            carrier.cancel()
        await asyncio.gather(*self._carriers, return_exceptions=True)


@asynccontextmanager
async def proxy(*, refuses: bool = False) -> AsyncGenerator[Proxy]:
    one = Proxy(refuses)
    server = await asyncio.start_server(one.accept, "127.0.0.1", 0)
    one.url = f"http://alice:proxy-password@127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield one
    finally:
        server.close()
        await one.close()


async def test_a_call_goes_through_the_proxy_which_sees_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cert, tls = certificate(tmp_path, "IP:127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    async with (
        proxy() as carrying,
        upstream(answer(ACCOUNT), tls=tls) as served,
        client_of(served.url, proxy=carrying.url, timeout_seconds=5) as client,
    ):
        assert opened(await fetch(client)).cash == ACCOUNT["cash"]
        assert len(served.heads) == 1
    assert [head.split()[:2] for head in carrying.heads] == [[b"CONNECT", served.url.removeprefix("https://").encode()]]
    assert b"Proxy-Authorization: Basic " in carrying.heads[0]
    reported = b"".join(carrying.heads) + carrying.heard
    assert len(reported) > 1000, "the handshake and the answer, at least"
    assert KEY_ID.encode() not in reported
    assert SECRET_KEY.encode() not in reported
    assert b"proxy-password" not in served.heads[0]
    assert b"Proxy-Authorization" not in served.heads[0]


async def test_a_socket_goes_through_the_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with proxy(refuses=True) as refusing:
        hosts = Hosts.from_urls(proxy=refusing.url)
        async with open_trade_updates(hosts, timeout_seconds=5) as updates:
            with pytest.raises(Unreachable):
                await updates.connect(Environment.PAPER, Secret(KEY_ID), Secret(SECRET_KEY))
    assert [head.split()[1] for head in refusing.heads] == [b"paper-api.alpaca.markets:443"]


async def test_a_proxy_that_refuses_makes_alpaca_unreachable() -> None:
    async with proxy(refuses=True) as refusing, client_of("https://192.0.2.1", proxy=refusing.url) as client:
        with pytest.raises(Unreachable):
            await fetch(client)
    assert refusing.heads


async def test_no_proxy_of_the_environment_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cert, tls = certificate(tmp_path, "IP:127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    async with proxy() as unused:
        for name in _VARIABLES:
            monkeypatch.setenv(name, unused.url)
        async with (
            upstream(answer(ACCOUNT)) as plain,
            upstream(answer(ACCOUNT), tls=tls) as served,
            client_of(plain.url) as one,
            client_of(served.url, timeout_seconds=5) as other,
        ):
            assert opened(await fetch(one)).cash == opened(await fetch(other)).cash == ACCOUNT["cash"]
    assert unused.heads == []
