"""Checks that a pooler in front of PostgreSQL is in session mode, and that the files in the URL can be used.

Settings, prepared statements and the lock of the migrations belong to the session. In transaction mode they would stay
in a session that another client gets next.

The driver does not report which file (a certificate, a key, a password file) it cannot use.
"""

import ssl
import stat
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import asyncpg

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]


# With several idle sessions, or other clients that take theirs just then, a pooler may pick the same one by chance.
_ROUNDS = 25


class SharedSessions(Exception):  # noqa: N818 - a condition
    """Two connections have shared one session of the server."""


async def refuse_shared_sessions(
    connection: "Connection", another: Callable[[], AbstractAsyncContextManager["Connection"]]
) -> None:
    """Raises SharedSessions when a pooler gives the session of this connection to another one in between.

    A pooler makes up the process id of its startup message. Without a pooler, there are no further queries.
    """
    try:
        async with _session_of(connection) as first:
            if first == connection.get_server_pid():
                return
        async with another() as other:
            for _ in range(_ROUNDS):
                async with _session_of(other) as second, _session_of(connection) as again:
                    refuse_shared(first, second, again)
    except (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError):
        raise SharedSessions from None


def refuse_shared(first: int, second: int, again: int) -> None:
    """While both are in a transaction, each has its own session, and the first one must still have the same."""
    if second == first or again != first:
        raise SharedSessions


@asynccontextmanager
async def _session_of(connection: "Connection") -> AsyncGenerator[int]:
    """Yields the server process of this connection's transaction, which lasts as long as the block."""
    async with connection.transaction():
        yield await connection.fetchval("SELECT pg_backend_pid()")


_NAMED = ("sslrootcert", "sslcrl", "sslcert", "sslkey", "passfile")


def unusable_file(dsn: str) -> str | None:
    """Returns what is wrong with the first unusable file, or None. Raises ValueError for an invalid URL."""
    named = {name: values[-1] for name, values in parse_qs(urlsplit(dsn).query).items() if name in _NAMED}
    for name, path in named.items():
        if wrong := _unreadable(Path(path)) or _ignored(name, Path(path)) or _meaningless(name, path):
            return f"its {name}, {path}, {wrong}"
    return None


def _unreadable(path: Path) -> str | None:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return "is not a regular file"
        with path.open("rb"):
            return None
    except OSError as error:
        return f"cannot be read ({(error.strerror or '').lower()})"


def _ignored(name: str, path: Path) -> str | None:
    """The driver passes over a password file that others may read, and connects without a password."""
    if name == "passfile" and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return f"is readable by other users; run: chmod 600 {path}"
    return None


def _meaningless(name: str, path: str) -> str | None:
    is_pem = True
    if name == "sslkey":
        is_pem = b"PRIVATE KEY-----" in Path(path).read_bytes()  # loading it could ask for its password
    elif name != "passfile":
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        except ssl.SSLError:
            is_pem = False
    return None if is_pem else "is not in PEM format"
