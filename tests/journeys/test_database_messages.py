"""Each reason why a database is unavailable has its own message, in `serve` and in `doctor`."""

import asyncio
import os
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from corral.database.connection import reason_of
from corral.database.connection_checks import unusable_file
from corral.database.embedded.cluster import _with_way_out  # pyright: ignore[reportPrivateUsage]
from tests.journeys.clusters import ExternalPostgres
from tests.journeys.program import corral, free_port

NO_CONNECTION = "cannot connect to the database"


async def reported_by_both(**settings: object) -> str:
    """What `serve` says; `doctor` has to say the same."""
    served, examined = await asyncio.gather(corral("serve", port=0, **settings), corral("doctor", **settings))
    assert examined.status == 1
    assert f"✗ the database is reachable: {served.only_complaint}" in " ".join(examined.out.split())
    assert "hunter2" not in served.err + examined.out
    return served.only_complaint


async def test_a_missing_server_is_reported_as_a_failed_connection(folder: Path) -> None:
    nowhere = f"postgresql://corral_app:hunter2@127.0.0.1:{free_port()}/corral"
    for address in (
        nowhere,
        f"postgresql://corral_app:hunter2@/corral?host={folder}",
        "postgresql://a:hunter2@nowhere.invalid/c",
    ):
        reported = await reported_by_both(data_dir=folder, database_url=address)
        assert reported.startswith(f"{NO_CONNECTION} (")
        assert "CORRAL_DATABASE_URL" in reported


async def test_a_role_without_free_connections_is_reported(external: ExternalPostgres, folder: Path) -> None:
    await external.execute("ALTER ROLE corral_app CONNECTION LIMIT 0")
    try:
        reported = await reported_by_both(data_dir=folder, database_url=external.dsn("corral_app"))
    finally:
        await external.execute("ALTER ROLE corral_app CONNECTION LIMIT -1")
    assert reported.startswith("the database has no free connections (too many connections for role")


@pytest.mark.parametrize(
    ("parameter", "reported"),
    [
        ("ssl_mode=require", 'unrecognized configuration parameter "ssl_mode"'),
        ("work_mem=nonsense", 'invalid value for parameter "work_mem"'),
        ("shared_buffers=1GB", 'parameter "shared_buffers" cannot be changed'),
    ],
)
async def test_a_refused_parameter_is_reported_in_the_servers_words(
    parameter: str, reported: str, external: ExternalPostgres, folder: Path
) -> None:
    address = f"{external.dsn('corral_app')}&{parameter}"
    refused = await reported_by_both(data_dir=folder, database_url=address)
    assert refused.startswith(f"the database refuses a parameter of CORRAL_DATABASE_URL: {reported}")


def _a_folder(file: Path) -> None:
    file.mkdir()


def _a_pipe(file: Path) -> None:
    os.mkfifo(file)


def _no_certificate(file: Path) -> None:
    file.write_text("not a certificate")


def _nothing(_: Path) -> None:
    pass


@pytest.mark.parametrize("name", ["sslrootcert", "sslcert", "sslkey"])
@pytest.mark.parametrize(
    ("make", "reported"),
    [
        (_a_folder, "is not a regular file"),
        (_a_pipe, "is not a regular file"),
        (_nothing, "cannot be read (no such file or directory)"),
        (_no_certificate, "is not in PEM format"),
    ],
)
async def test_a_certificate_s_file_that_cannot_be_used_is_named(
    name: str, make: Callable[[Path], None], reported: str, folder: Path
) -> None:
    file = folder / "certificate.pem"
    make(file)
    address = f"postgresql://corral_app:hunter2@127.0.0.1:{free_port()}/corral?sslmode=verify-full&{name}={file}"
    refused = await reported_by_both(data_dir=folder / "data", database_url=address)
    assert refused == f"CORRAL_DATABASE_URL cannot be used: its {name}, {file}, {reported}"


async def test_a_password_file_that_others_may_read_is_reported_because_the_driver_would_ignore_it(
    folder: Path,
) -> None:
    file = folder / "pgpass"
    file.write_text("*:*:*:corral_app:hunter2\n")
    file.chmod(0o640)
    address = f"postgresql://corral_app@127.0.0.1:{free_port()}/corral?passfile={file}"
    refused = await reported_by_both(data_dir=folder / "data", database_url=address)
    reported = f"its passfile, {file}, is readable by other users; run: chmod 600 {file}"
    assert refused == f"CORRAL_DATABASE_URL cannot be used: {reported}"
    file.chmod(0o600)
    assert unusable_file(address) is None


async def test_a_server_without_tls_is_reported(folder: Path) -> None:
    async with without_tls() as port:
        address = f"postgresql://corral_app:hunter2@127.0.0.1:{port}/corral?sslmode=require"
        assert (await reported_by_both(data_dir=folder, database_url=address)).startswith(
            "the database does not support TLS"
        )


@asynccontextmanager
async def without_tls() -> AsyncGenerator[int]:
    """What a PostgreSQL without TLS answers to the question for it."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)  # SSLRequest
        writer.write(b"N")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("content", [b"", b"\0" * 8192])
async def test_an_invalid_control_file_is_reported_in_postgresqls_words(content: bytes, data: Path) -> None:
    spoil(data / "postgres" / "global" / "pg_control", content)
    served, examined = [await corral(command, data_dir=data, port=free_port()) for command in ("serve", "doctor")]
    for reported in (served.only_complaint, examined.out):
        assert "PostgreSQL did not start: " in reported
        assert "its control file is damaged: run `corral restore FILE --replace` with your backup" in reported
        assert NO_CONNECTION not in reported


def test_a_full_disk_at_startup_is_reported() -> None:
    reported = _with_way_out("FATAL: could not write lock file: No space left on device")
    assert reported.endswith("its disk is full: free some space")
    reported = _with_way_out('FATAL: could not resize shared memory segment "/P" to 1 bytes: No space left on device')
    assert reported.endswith("/dev/shm is missing or full: a container needs one of 64 MB")
    assert _with_way_out("FATAL: no") == "FATAL: no"


@pytest.mark.parametrize(
    ("parameter", "reported"),
    [
        ("sslmode=verify-full", "asks to verify the server's certificate but has no sslrootcert"),
        ("sslmode=nonsense", "has a wrong parameter: `sslmode` parameter must be one of: disable"),
        ("target_session_attrs=nonsense", "has a wrong parameter: target_session_attrs must be any, primary"),
    ],
)
async def test_an_invalid_parameter_of_the_url_is_reported(parameter: str, reported: str, folder: Path) -> None:
    address = f"postgresql://corral_app:hunter2@127.0.0.1/corral?{parameter}"
    refused = await reported_by_both(data_dir=folder, database_url=address)
    assert refused.startswith(f"CORRAL_DATABASE_URL {reported}")


def _refused_certificate() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


def test_a_password_file_need_not_be_pem(folder: Path) -> None:
    file = folder / "passwords"
    file.write_text("not a certificate")
    file.chmod(0o600)
    assert unusable_file(f"postgresql://corral_app@127.0.0.1/corral?passfile={file}") is None


def spoil(file: Path, content: bytes) -> None:
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("error", "reported"),
    [
        (asyncpg.DiskFullError("no space"), "the database's disk is full (no space)"),
        (asyncpg.OutOfMemoryError("no memory"), "the database ran out of a resource (no memory)"),
        (asyncpg.AdminShutdownError("going"), "the database is starting, stopping or recovering (going)"),
        (asyncpg.QueryCanceledError("slow"), "the database did not answer in time"),
        (TimeoutError(), "the database did not answer in time"),
        (asyncpg.DeadlockDetectedError("dead"), "the database aborted a transaction (dead)"),
        (asyncpg.TargetServerAttributeNotMatched("x"), "no database server matches target_session_attrs"),
        (_refused_certificate(), "the database's certificate is not trusted (self-signed certificate)"),
        (ssl.SSLError(1, "x"), "TLS with the database failed (no reason given): check sslmode"),
        (ConnectionResetError(104, "Connection reset by peer"), f"{NO_CONNECTION} (connection reset by peer)"),
        (ConnectionError("unexpected connection_lost() call"), f"{NO_CONNECTION}: check"),
        (
            asyncpg.InterfaceError("the connection is closed"),
            "the connection to the database was lost (the connection is",
        ),
    ],
)
def test_later_database_errors_are_reported_too(error: Exception, reported: str) -> None:
    assert reason_of(error).startswith(reported)
