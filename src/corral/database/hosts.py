"""Addresses of a database with several hosts, such as `postgresql://…@db1.example.com,db2.example.com/corral`.

The driver tries the hosts in order within one time limit. A first host that is switched off does not even refuse, and
would use up the time of every attempt.
"""

import asyncio
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

_ALL_HOSTS_SECONDS: Final = 1.6  # less than a request waits for a connection
_TRY_THE_NEXT: Final = (
    OSError,
    TimeoutError,
    asyncpg.TargetServerAttributeNotMatched,  # a standby, and the primary is wanted
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,  # it starts, or stops
)


class DatabaseHosts:
    """Connects to the host that worked last, or to the next one that works."""

    __slots__ = ("_addresses",)

    def __init__(self, dsn: str) -> None:
        self._addresses = hosts_apart(dsn)

    async def connect(
        self,
        dsn: str | None = None,  # noqa: ARG002 - a pool passes the whole address
        **options: Any,  # noqa: ANN401 - the driver's
    ) -> "asyncpg.Connection[asyncpg.Record]":
        """Raises what the driver raised for the last one that was tried."""
        seconds = _ALL_HOSTS_SECONDS / len(self._addresses)
        for _ in self._addresses[1:]:
            address = self._addresses[0]
            try:
                async with asyncio.timeout(seconds):
                    return await asyncpg.connect(address, **options)
            except _TRY_THE_NEXT:
                if address == self._addresses[0]:  # and no other attempt has moved on from it
                    self._addresses.append(self._addresses.pop(0))
        return await asyncpg.connect(self._addresses[0], **options)


def hosts_apart(dsn: str) -> list[str]:
    """Returns one address for each host, in order; `dsn` as it is if it does not name several."""
    parts = urlsplit(dsn)
    login, at, netloc = parts.netloc.rpartition("@")
    if "," in netloc:
        return [urlunsplit(parts._replace(netloc=f"{login}{at}{host}")) for host in netloc.split(",")]
    named = dict(parse_qsl(parts.query, keep_blank_values=True))
    hosts, ports = named.get("host", "").split(","), named.get("port", "").split(",")
    if len(hosts) == 1:
        return [dsn]
    ports = ports if len(ports) == len(hosts) else ports[:1] * len(hosts)
    own = ({"host": host} | ({"port": port} if port else {}) for host, port in zip(hosts, ports, strict=True))
    return [urlunsplit(parts._replace(query=urlencode(named | apart))) for apart in own]
