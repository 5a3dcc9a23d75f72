"""Variables of the environment that are none of Corral's settings: what they may change, and what they may not."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.alpaca.test_tls import certificate
from tests.journeys.clusters import ExternalPostgres
from tests.journeys.program import corral, running
from tests.machine import OPENSSL

OF_ANOTHER_DATABASE = {
    "PGHOST": "db.example.com",
    "PGPORT": "1",
    "PGUSER": "stranger",
    "PGDATABASE": "elsewhere",
    "PGPASSWORD": "hunter2",
    "PGPASSFILE": "/dev/null",
    "PGOPTIONS": "-c row_security=off",
    "PGSSLMODE": "verify-full",
    "PGSSLROOTCERT": "/nonexistent",
    "PGSSLNEGOTIATION": "nonsense",
    "PGTARGETSESSIONATTRS": "standby",
    "PGGSSLIB": "nonsense",
    "PGDATA": "/nonexistent",
}


@pytest.mark.parametrize("command", [("users", "list"), ("doctor",)])
async def test_the_driver_s_variables_never_change_how_the_embedded_database_is_opened(
    command: tuple[str, ...], data: Path, against_sandbox: dict[str, str]
) -> None:
    ended = await corral(*command, data_dir=data, **against_sandbox, **OF_ANOTHER_DATABASE)
    assert (ended.status, ended.err) == (0, "")


@asynccontextmanager
async def tls_before(postgres: ExternalPostgres, tls: ssl.SSLContext) -> AsyncGenerator[int]:
    """A port that speaks TLS as PostgreSQL does, and hands on what is said to the server's socket."""
    carriers: list[asyncio.Task[None]] = []

    async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while said := await source.read(65536):
                target.write(said)
        finally:
            target.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)  # SSLRequest
        writer.write(b"S")
        await writer.start_tls(tls)
        far_reader, far_writer = await asyncio.open_unix_connection(postgres.socket_dir / ".s.PGSQL.5432")
        carriers.extend(map(asyncio.ensure_future, (carry(reader, far_writer), carry(far_reader, writer))))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for carrier in carriers:
            carrier.cancel()
        await asyncio.gather(*carriers, return_exceptions=True)


@OPENSSL.mark
async def test_sslkeylogfile_is_ignored_for_all_connections(
    external: ExternalPostgres, folder: Path, tmp_path: Path, against_sandbox: dict[str, str]
) -> None:
    cert, tls = certificate(tmp_path, "IP:127.0.0.1")
    async with tls_before(external, tls) as port:
        address = f"postgresql://{{}}@127.0.0.1:{port}/corral?sslmode=verify-full&sslrootcert={cert}"
        ended = await corral(
            "doctor",
            data_dir=folder,
            database_url=address.format("corral_app"),
            database_owner_url=address.format("corral_owner"),
            **against_sandbox,
            SSLKEYLOGFILE=folder / "session-keys",
        )
        assert (ended.status, ended.err) == (0, ""), ended.out
    assert not (folder / "session-keys").exists()


async def test_the_startup_message_names_variables_that_change_trust(
    data: Path, against_sandbox: dict[str, str]
) -> None:
    trust = {"SSL_CERT_FILE": "/etc/some[1].pem", "SSL_CERT_DIR": "/etc/some"}
    async with running("serve", data_dir=data, **against_sandbox, **trust, PGSSLMODE="disable") as server:
        await server.url()
        await server.says(r"(set-up)")
        assert await server.stop() == 0
        for name, value in trust.items():
            assert f"  trust    {name}={value} (changes which certificates are trusted)\n" in server.out
        assert "PGSSLMODE" not in server.out, "it has no say in the embedded database"


async def test_the_startup_message_names_the_proxy_without_its_password(data: Path) -> None:
    proxy = "http://alice:hunter2@127.0.0.1:9"
    async with running("serve", data_dir=data, port=0, alpaca_proxy=proxy) as server:
        await server.says(r"proxy +(CORRAL_ALPACA_PROXY)")
        assert await server.stop() == 0
        assert "hunter2" not in server.out + server.err
