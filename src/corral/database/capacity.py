"""How many connections the database allows, and how several processes share them."""

from typing import Final

from corral.database.connection import USUAL_CONNECTIONS, Database
from corral.errors import OperatorError

# For commands, which connect while the service runs, and for a worker that is replaced.
_SPARE: Final = 10
# With fewer, a process under load waits for its connections and not for the database.
_LEAST: Final = 4

# The settings of the server, of the role and of the database; NULL and -1 are no limit.
_LIMIT: Final = """
SELECT least(
    current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true), '0')::int,
    (SELECT nullif(rolconnlimit, -1) FROM pg_catalog.pg_roles WHERE rolname = current_user),
    (SELECT nullif(datconnlimit, -1) FROM pg_catalog.pg_database WHERE datname = current_database())
)
"""


class TooFewConnections(OperatorError):  # noqa: N818 - a condition
    """The database does not allow as many connections as the processes need. One line."""


async def connections_for_each(database: Database, workers: int) -> int:
    """Returns the size of each worker's pool. Raises TooFewConnections."""
    limit = int(await database.fetchval(_LIMIT))
    each = (limit - _SPARE) // workers
    if each < _LEAST:
        most = max((limit - _SPARE) // _LEAST, 1)
        raise TooFewConnections(
            f"the database allows {limit} connections, which is too few for {workers} workers: use --workers {most}, "
            "or a PostgreSQL server of your own with a higher max_connections (or CONNECTION LIMIT of the role)"
        )
    return min(each, USUAL_CONNECTIONS)
