"""Which processes still use the database: before a migration that an older release cannot run with, they must stop.

PostgreSQL shows an ordinary owner how many connections the serving role has, and to members of pg_read_all_stats also
from where. A pooler in front of the database has connections of its own, which may outlast the processes.
"""

import asyncio
import sys
from collections import Counter
from typing import Final

import asyncpg

from corral.database.connection import Connection
from corral.logs import get_logger

_log = get_logger()

_PATIENCE_SECONDS: Final = 10.0  # for processes that are stopping already
_SAID_EVERY_SECONDS: Final = 15.0
_LOOK_EVERY_SECONDS: Final = 0.25

_SESSIONS: Final = """
SELECT host(client_addr) AS address, client_port FROM pg_stat_activity
WHERE datname = current_database() AND usename = 'corral_app' AND pid <> pg_backend_pid()
"""


async def await_stopped(connection: Connection) -> str | None:
    """Returns None as soon as the serving role has no connection, or after ten seconds which ones it has.

    On a terminal it waits until they are closed, and says what it waits for.
    """
    loop = asyncio.get_running_loop()
    began, said = loop.time(), float("-inf")
    while found := await describe_sessions(connection):
        waited = loop.time() - began
        if waited >= _PATIENCE_SECONDS and not sys.stderr.isatty():
            return found
        if waited - said >= _SAID_EVERY_SECONDS:
            said = waited
            _log.warning("migration_waits", reason=f"{found} open: stop every `corral serve` of the former release")
        await asyncio.sleep(_LOOK_EVERY_SECONDS)
    return None


async def describe_sessions(connection: Connection) -> str | None:
    """Returns how many connections the serving role has to this database and from where, or None if it has none."""
    await connection.execute("SELECT pg_stat_clear_snapshot()")  # within a transaction, the first look is kept
    rows = await connection.fetch(_SESSIONS)
    if not rows:
        return None
    places = Counter(map(_place, rows))
    counted = f"{len(rows)} {'connection' if len(rows) == 1 else 'connections'} of corral_app"
    hidden = places.pop(None, 0)
    named = [f"{number} from {place}" for place, number in sorted(places.items(), key=str)]
    if hidden:
        named.append("from where, PostgreSQL shows to members of pg_read_all_stats only")
    return f"{counted} ({', '.join(named)}) {'is' if len(rows) == 1 else 'are'}"


def _place(row: asyncpg.Record) -> str | None:
    """Returns None if it is hidden from this role."""
    if row["client_port"] is None:
        return None
    return row["address"] or "a socket on the database's machine"
