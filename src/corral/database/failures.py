"""Why the database is unavailable, in sentences for the operator. Clients only learn that it is."""

import ssl
from typing import Final

import asyncpg

READ_ONLY: Final = (
    "the database does not accept writes: it is a standby, or default_transaction_read_only is on; use the primary"
)
_CHECK: Final = "check that it is running, and that CORRAL_DATABASE_URL and CORRAL_DATABASE_OWNER_URL are correct"

# The first that matches. PostgreSQL's own message replaces {}; it contains no address and no password.
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
