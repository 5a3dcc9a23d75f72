import asyncio
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from corral.alpaca.errors import AlpacaError, CertificateRefused, DeadlineExceeded, Unreachable
from tests.alpaca.upstream import ACCOUNT, DEADLINE, answer, client_of, fetch, opened, upstream
from tests.machine import OPENSSL

pytestmark = OPENSSL.mark


def certificate(folder: Path, name: str, *, days: int = 2) -> tuple[Path, ssl.SSLContext]:
    """Answers a self-signed certificate for `name` ("IP:…" or "DNS:…") and a server that shows it."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(key)]
    what = ["-out", str(cert), "-days", str(days), "-subj", "/CN=alpaca", "-addext", f"subjectAltName={name}"]
    subprocess.run(["openssl", "req", "-x509", *new_key, *what], check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    return cert, server


async def test_a_trusted_certificate_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cert, tls = certificate(tmp_path, "IP:127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "session-keys"))
    async with upstream(answer(ACCOUNT), tls=tls) as served, client_of(served.url) as client:
        for _ in range(2):
            assert opened(await fetch(client)).cash == ACCOUNT["cash"]
        assert served.connections == 1
    assert not (tmp_path / "session-keys").exists()


@pytest.mark.parametrize("name", ["IP:127.0.0.2", "DNS:paper-api.alpaca.markets"])
async def test_a_trusted_certificate_of_another_name_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_lines: list[Any]
) -> None:
    cert, tls = certificate(tmp_path, name)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    await expect_refusal(tls, log_lines)


async def test_a_self_signed_certificate_is_refused(tmp_path: Path, log_lines: list[Any]) -> None:
    await expect_refusal(certificate(tmp_path, "IP:127.0.0.1")[1], log_lines)


async def expect_refusal(tls: ssl.SSLContext, log_lines: list[Any]) -> None:
    async with upstream(answer(ACCOUNT), tls=tls) as served, client_of(served.url) as client:
        with pytest.raises(AlpacaError) as refused:
            await fetch(client)
        assert served.heads == []
    assert type(refused.value) is CertificateRefused
    assert [line["attempts"] for line in log_lines] == [1]


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"], ids=["silent", "plain"])
async def test_a_server_that_does_not_speak_tls_gets_no_key(greeting: bytes) -> None:
    received: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        while data := await reader.read(65_536):
            received.append(data)
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server, client_of(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}") as client:
        clock = asyncio.get_running_loop().time
        started = clock()
        with pytest.raises((Unreachable, DeadlineExceeded)):
            await fetch(client)
        assert clock() - started <= DEADLINE + 0.5
    assert received
    assert b"APCA" not in b"".join(received)
