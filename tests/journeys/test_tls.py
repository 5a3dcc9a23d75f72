"""`corral serve` with a certificate of its own, without a proxy."""

import asyncio
import re
import socket
from pathlib import Path

import pytest
from aiohttp import ClientSession, TCPConnector

from tests.certificates import expired_certificate, files_in, new_certificate, trusting
from tests.journeys.program import PATIENCE, corral, free_port, running
from tests.journeys.visits import ALPACAS_CLIENT, visiting
from tests.machine import OPENSSL

pytestmark = OPENSSL.mark


@pytest.fixture
def over_tls(folder: Path, against_sandbox: dict[str, str], on_the_runs_database: dict[str, str]) -> dict[str, str]:
    """Settings of a service with a certificate for this machine."""
    files = new_certificate(files_in(folder / "tls"))
    port = free_port()
    tls = {"tls_cert": str(files.certificate), "tls_key": str(files.key), "port": str(port)}
    return against_sandbox | on_the_runs_database | tls


@ALPACAS_CLIENT
async def test_everything_works_over_tls_and_a_new_certificate_is_taken_while_it_runs(
    over_tls: dict[str, str], folder: Path
) -> None:
    files = files_in(folder / "tls")
    async with running("serve", **over_tls) as server:
        url = await server.says(r"listens on (https://127\.0\.0\.1:\d+)")
        assert re.search(r"TLS +127\.0\.0\.1 \(valid until .*, 29 days left\)", server.out)
        assert (await corral("health", **over_tls)).out == "ready\n"
        async with visiting(url, trusting(files), over_tls) as visitor:
            await visitor.hear_events()
            await visitor.trade()
            await visitor.ask_at_length()
            await asyncio.to_thread(new_certificate, files)
            await server.logs("tls_certificate_loaded")
            anew = ClientSession(url, connector=TCPConnector(ssl=trusting(files)))
            async with anew as client, client.get("/healthz") as answer:
                assert answer.status == 200
                assert "Strict-Transport-Security" in answer.headers
            assert await visitor.status_of("/api/me") == 200  # over the connection from before
        async with ClientSession() as lost, lost.get(url.replace("https", "http")) as answer:
            assert (answer.status, (await answer.json())["code"]) == (400, "https_required")
        assert await server.stop() == 0
        assert "unexpected" not in server.err


async def test_each_worker_takes_a_new_certificate(over_tls: dict[str, str], folder: Path) -> None:
    files = files_in(folder / "tls")
    async with running("serve", "--workers", 2, **over_tls) as server:
        url = await server.says(r"listens on (https://127\.0\.0\.1:\d+)")
        assert (await corral("health", **over_tls)).out == "ready\n"
        await asyncio.to_thread(new_certificate, files)
        async with asyncio.timeout(PATIENCE):
            while server.err.count("tls_certificate_loaded") < 2:  # noqa: ASYNC110 - another process's file
                await asyncio.sleep(0.05)
        for _ in range(8):
            connector = TCPConnector(ssl=trusting(files))
            async with ClientSession(url, connector=connector) as client, client.get("/readyz") as answer:
                assert answer.status == 200
        assert await server.stop() == 0
        assert "Traceback" not in server.err


async def test_hundreds_of_silent_connections_keep_nobody_out(over_tls: dict[str, str], folder: Path) -> None:
    async with running("serve", **over_tls) as server:
        url = await server.says(r"listens on (https://127\.0\.0\.1:\d+)")
        silent = [socket.create_connection(("127.0.0.1", int(over_tls["port"]))) for _ in range(600)]
        connector = TCPConnector(ssl=trusting(files_in(folder / "tls")))
        async with (
            asyncio.timeout(PATIENCE),
            ClientSession(url, connector=connector) as client,
            client.get("/healthz") as answer,
        ):
            assert answer.status == 200
        for one in silent:
            one.close()
        assert await server.stop() == 0


async def test_doctor_tells_the_days_left_and_what_is_wrong(over_tls: dict[str, str], folder: Path) -> None:
    examined = await corral("doctor", **over_tls)
    assert "✓ the TLS certificate is good for 127.0.0.1 (valid until " in examined.out
    elsewhere = await corral("doctor", **over_tls, public_url="https://nas.local:8002")
    assert "✗ the TLS certificate is good: it is for 127.0.0.1 and not for nas.local" in elsewhere.out
    files_in(folder / "tls").key.chmod(0o644)
    refused = await corral("doctor", **over_tls)
    assert f"✗ the TLS certificate can be used: the TLS key {folder}/tls/corral-key.pem is open" in refused.out


async def test_a_pair_that_cannot_be_used_prevents_the_start_and_an_expired_one_does_not(
    over_tls: dict[str, str], folder: Path
) -> None:
    files = files_in(folder / "tls")
    files.key.chmod(0o644)
    refused = await corral("serve", **over_tls)
    assert refused.only_complaint == f"the TLS key {files.key} is open to other users; run: chmod o-rwx,g-w {files.key}"
    expired_certificate(files, "IP:127.0.0.1")
    async with running("serve", **over_tls) as server:
        await server.says(r"TLS +127\.0\.0\.1 (\(it expired on 2020-02-01 00:00 UTC: renew it\))")
        await server.logs("tls_certificate_expired")
        assert await server.stop() == 0
