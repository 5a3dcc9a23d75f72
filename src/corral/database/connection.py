"""PostgreSQL: the pool, the only access to a tenant's rows, and the translation of the driver's errors.

Clients only learn that the database is unavailable; the reason is for the operator.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, LiteralString, Self, TypeAlias, final
from uuid import UUID

import asyncpg

from corral.database.connection_checks import SharedSessions, refuse_shared_sessions, unusable_file
from corral.database.hosts import DatabaseHosts
from corral.errors import DatabaseUnavailable, OperatorError, Overloaded

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy


# A pooled connection or one of its own; `asyncpg.Connection` is generic for the type checker only.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

# Runs a single statement: on a given connection, or on any of the pool.
Fetcher: TypeAlias = "Database | Connection"

CLOSE_SECONDS = 5.0
USUAL_CONNECTIONS: Final = 10

Owned = tuple[UUID, UUID]  # user id, row id

# No query of Corral takes long. A long one is cancelled by the server, or by Corral if the server does not respond.
_COMMAND_SECONDS = 8.0
_CONNECT_SECONDS = 5.0
_ATTEMPT = {"application_name": "corral"}  # a pooler rejects most other startup parameters
_SESSION = """
SET search_path = pg_catalog;
SET statement_timeout = '5s';
SET lock_timeout = '2s';
SET idle_in_transaction_session_timeout = '10s'
"""

# What PostgreSQL and the driver raise when the server stops, starts or is overloaded. An
# immediate shutdown ends connections without any SQLSTATE, so classes are compared and not codes.
_UNAVAILABLE = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a shutdown that reaches an idle connection in the pool
    asyncpg.OperatorInterventionError,  # shutdowns, crashes, statement timeouts
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TransactionRollbackError,
    asyncpg.ReadOnlySQLTransactionError,
    ConnectionError,
    OSError,
)


# A statement is sent in two halves, and the second one not at all if an argument does not fit, or if its task is
# cancelled in between. The server counts the time meanwhile, and would cancel the next statement on the connection.
_MAY_BE_HALF_SENT: Final = (asyncpg.DataError, asyncpg.InterfaceError, AttributeError, asyncio.CancelledError)
_END_SECONDS: Final = 2.0


READ_ONLY: Final = (
    "the database does not accept writes: it is a standby, or default_transaction_read_only is on; use the primary"
)
_CHECK: Final = "check that it is running, and that CORRAL_DATABASE_URL and CORRAL_DATABASE_OWNER_URL are correct"

# The first match is used. PostgreSQL's message replaces {}; it contains no URL and no password.
_SENTENCES: Final[tuple[tuple[tuple[type[BaseException], ...], str], ...]] = (
    ((asyncpg.DiskFullError,), "the database's disk is full ({}): free some space"),
    (
        (asyncpg.TooManyConnectionsError,),
        "the database has no free connections ({}): close some, or raise its max_connections",
    ),
    ((asyncpg.InsufficientResourcesError,), "the database ran out of a resource ({}): check its log"),
    ((asyncpg.ReadOnlySQLTransactionError,), READ_ONLY),
    (
        (asyncpg.CannotConnectNowError, asyncpg.AdminShutdownError, asyncpg.CrashShutdownError),
        "the database is starting, stopping or recovering ({}): try again, or check its log",
    ),
    (
        (
            asyncpg.QueryCanceledError,
            asyncpg.LockNotAvailableError,
            asyncpg.IdleInTransactionSessionTimeoutError,
            TimeoutError,
        ),
        "the database did not answer in time: check its load, its locks and the network",
    ),
    ((asyncpg.TransactionRollbackError,), "the database aborted a transaction ({}): try again"),
    (
        (asyncpg.ProtocolViolationError,),
        "the database, or a pooler in front of it, refuses the connection ({}): check its settings and its log",
    ),
    (
        (asyncpg.TargetServerAttributeNotMatched,),
        "no database server matches target_session_attrs: correct it, or the list of hosts",
    ),
)


class DatabaseRefused(OperatorError):  # noqa: N818 - a condition
    """The database does not take this role, password or name. One line."""


@final
class Database:
    """The pool of the serving role. It never holds an owner's or a superuser's connection."""

    __slots__ = ("_connections", "_pool", "_sessions", "_users", "_wait_seconds")

    def __init__(
        self, pool: "asyncpg.Pool[asyncpg.Record]", sessions: "_Sessions", *, connections: int, wait_seconds: float
    ) -> None:
        self._pool = pool
        self._sessions = sessions
        self._wait_seconds = wait_seconds
        self._connections = connections
        self._users = 0  # who have a connection, or wait for one

    @classmethod
    @asynccontextmanager
    async def open(
        cls, dsn: str, *, connections: int = USUAL_CONNECTIONS, wait_seconds: float = 2.0
    ) -> AsyncGenerator[Self]:
        """Opens at least one connection, so that a wrong URL is reported now and not at the first request."""
        sessions = _Sessions()
        with translated_errors(), _report_refusals("CORRAL_DATABASE_URL", dsn):
            pool = await asyncpg.create_pool(
                dsn,
                connect=DatabaseHosts(dsn).connect,
                min_size=1,
                max_size=connections,
                timeout=_CONNECT_SECONDS,
                max_inactive_connection_lifetime=300,
                init=sessions.begin,
                reset=_reset,
                command_timeout=_COMMAND_SECONDS,
                server_settings=_ATTEMPT,
            )
        try:
            with translated_errors(), _report_refusals("CORRAL_DATABASE_URL", dsn):
                async with pool.acquire() as connection:
                    await refuse_shared_sessions(connection, partial(_connected, dsn))
            yield cls(pool, sessions, connections=connections, wait_seconds=wait_seconds)
        finally:
            await _close(pool)

    @property
    def connections_opened(self) -> int:
        """How many so far. While it stays the same, the server has neither crashed nor been replaced."""
        return self._sessions.opened

    @property
    def has_spare(self) -> bool:
        """Whether a connection is free for whoever comes next."""
        return self._users < self._connections

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        """A connection without a tenant: for look-ups by hash and for health checks, never for a tenant's rows.

        (It cannot read any: the scope function raises an error when no user is set.)
        """
        self._users += 1
        try:
            with translated_errors():
                try:
                    async with asyncio.timeout(self._wait_seconds):  # the driver's own timeout makes a task of it
                        connection = await self._pool.acquire()
                except TimeoutError:
                    raise Overloaded(retry_after=1) from None
                try:
                    yield connection
                except _MAY_BE_HALF_SENT:
                    await _end_statement(connection)
                    raise
                finally:
                    await self._pool.release(connection, timeout=5)
        finally:
            self._users -= 1

    async def fetch(self, query: LiteralString, *arguments: object) -> list[asyncpg.Record]:
        async with self.connection() as connection:
            return await connection.fetch(query, *arguments)

    async def fetchval(self, query: LiteralString, *arguments: object) -> Any:  # noqa: ANN401 - a column of any type
        async with self.connection() as connection:
            return await connection.fetchval(query, *arguments)


@asynccontextmanager
async def get_connection_with_rls(
    user_id: UUID, database: Database, *, readonly: bool = False
) -> AsyncGenerator[Connection]:
    """The only access to a tenant's rows: a transaction in which row-level security shows only this user's.

    Commits when the block succeeds, before the response. The scope ends with the transaction, so
    the pooled connection keeps nothing of it. Never hold it during a call to Alpaca.
    """
    async with database.connection() as connection, connection.transaction(readonly=readonly):
        await set_scope(connection, str(user_id))
        yield connection


async def set_scope(connection: Connection, scope: str) -> None:
    """Until the end of the transaction, a user's id or nobody's: empty."""
    # set_config and not SET LOCAL, which takes no parameters.
    await connection.execute("SELECT set_config('app.current_user_id', $1, true)", scope)


@contextmanager
def _report_refusals(setting: str, dsn: str) -> Generator[None]:
    """Raises DatabaseRefused for a rejected connection; its sentence names role, database or file, and no password."""
    try:
        if unusable := unusable_file(dsn):
            raise DatabaseRefused(f"{setting} cannot be used: {unusable}")
        yield
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as refused:
        raise DatabaseRefused(f"the database refuses {setting}: {refused}") from None
    except (asyncpg.UndefinedObjectError, asyncpg.DataError, asyncpg.CantChangeRuntimeParamError) as refused:
        raise DatabaseRefused(f"the database refuses a parameter of {setting}: {refused}") from None
    except SharedSessions:
        raise DatabaseRefused(
            f"{setting} points to a pooler in transaction mode, which shares sessions: set its pool_mode to session, "
            "or connect to the database directly"
        ) from None
    except (ValueError, asyncpg.ClientConfigurationError) as wrong:
        raise DatabaseRefused(f"{setting} {_what_is_wrong(str(wrong))}") from None


def _what_is_wrong(message: str) -> str:
    """Returns the driver's message only if it quotes nothing of the URL, which may contain a password."""
    if "root" in message and "certificate" in message:
        return "asks to verify the server's certificate but has no sslrootcert: add one, or use another sslmode"
    if message.startswith(("`sslmode` parameter", "`sslnegotiation` parameter")):
        return f"has a wrong parameter: {message}"
    if message.startswith("target_session_attrs"):
        return "has a wrong parameter: target_session_attrs must be any, primary, standby, read-write or read-only"
    return "is not an address like postgresql://ROLE@HOST/DATABASE"


def columns(rows: Sequence[Owned]) -> tuple[list[UUID], list[UUID]]:
    """Returns user ids and row ids as the two arrays of a batched function, sorted to avoid deadlocks of row locks."""
    ordered = sorted(rows)
    return [user_id for user_id, _ in ordered], [identifier for _, identifier in ordered]


@asynccontextmanager
async def open_owner_connection(dsn: str) -> AsyncGenerator["asyncpg.Connection[asyncpg.Record]"]:
    """Opens a connection of the owner, for migrations and an operator's commands. It serves no request."""
    with translated_errors():
        async with AsyncExitStack() as stack:
            with _report_refusals("CORRAL_DATABASE_OWNER_URL", dsn):
                connection = await stack.enter_async_context(_connected(dsn))
                await refuse_shared_sessions(connection, partial(_connected, dsn))
            yield connection


@asynccontextmanager
async def _connected(dsn: str) -> AsyncGenerator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await DatabaseHosts(dsn).connect(timeout=_CONNECT_SECONDS, server_settings=_ATTEMPT)
    try:
        await connection.execute("SET search_path = pg_catalog")
        yield connection
    finally:
        await connection.close(timeout=5)


@contextmanager
def translated_errors() -> Generator[None]:
    """Raises DatabaseUnavailable or Overloaded when PostgreSQL is unavailable; errors in our SQL stay as they are."""
    try:
        yield
    except asyncpg.DataError:
        raise  # an argument of the wrong type is our bug, although the driver raises an interface error
    except _UNAVAILABLE as error:
        raise DatabaseUnavailable(reason=reason_of(error), retry_after=1) from error


def reason_of(error: BaseException) -> str:
    """Returns a sentence without its full stop: what is wrong, and what to do."""
    for kinds, sentence in _SENTENCES:
        if isinstance(error, kinds):
            return sentence.format(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the database's certificate is not trusted ({error.verify_message}): check sslmode and sslrootcert"
    if isinstance(error, ssl.SSLError):
        return f"TLS with the database failed ({getattr(error, 'reason', None) or 'no reason given'}): check sslmode"
    if isinstance(error, ConnectionError) and "SSL" in str(error):
        return "the database does not support TLS, but sslmode requires it: enable TLS there, or change sslmode"
    if isinstance(error, OSError):
        return f"cannot connect to the database{f' ({error.strerror.lower()})' if error.strerror else ''}: {_CHECK}"
    return f"the connection to the database was lost ({error}): try again, or check its log"


@final
class _Sessions:
    """Begins and counts those of one pool."""

    __slots__ = ("opened",)

    def __init__(self) -> None:
        self.opened = 0

    async def begin(self, connection: Connection) -> None:
        """Runs once for each connection. The settings last as long as that does, because nothing resets them."""
        self.opened += 1
        await connection.execute(_SESSION)


async def _reset(_: Connection) -> None:
    """Replaces the driver's reset query, which costs a round trip after every use.

    There is nothing to reset: scopes end with their transaction, the driver rolls back an open one, and
    no code makes settings, cursors or locks that outlive a transaction.
    """


async def _end_statement(connection: Connection) -> None:
    """The end of a simple query is also the end of what was begun before it."""
    try:
        await connection.execute("SELECT 1", timeout=_END_SECONDS)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        connection.terminate()


async def _close(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await pool.close()
    except TimeoutError:
        pool.terminate()
