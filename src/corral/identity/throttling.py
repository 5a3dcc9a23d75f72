"""Sign-in throttling: attempts are counted in the database, by account and by network address.

Source: OWASP Authentication cheat sheet.
"""

import math
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from starlette.requests import Request

from corral.database.connection import Database
from corral.identity import queries
from corral.identity.problems import SignInThrottled
from corral.logs import get_logger

# Attempts without a wait; each further one waits twice as long as the previous one, up to a minute.
FREE_ATTEMPTS_PER_ACCOUNT: Final = 3
FREE_ATTEMPTS_PER_ADDRESS: Final = 20

_log = get_logger()


async def admit_attempt(database: Database, key: bytes, free_attempts: int) -> None:
    """Counts an attempt. Raises SignInThrottled with the seconds to wait."""
    wait = await queries.admit_sign_in(database, key, free_attempts)
    if wait > 0:
        _log.warning("sign_in_throttled", seconds=round(wait, 1))
        raise SignInThrottled(retry_after=math.ceil(wait))


def network_address_of(request: Request) -> str | None:
    """Returns the peer's address for throttling; None for loopback, where a reverse proxy serves all users."""
    return None if request.client is None else network_of(request.client.host)


def client_address(request: Request) -> str:
    """Returns the peer's address for people to read; empty if it is unknown, or that of a proxy on this machine."""
    host = request.client.host if request.client else None
    return host if host is not None and network_of(host) is not None else ""


def network_of(host: str) -> str | None:
    """For IPv6 returns the /64 network: a household has all of its addresses, and each would have its own attempts."""
    address = ip_address(host)
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    if address.is_loopback:
        return None
    return str(address) if isinstance(address, IPv4Address) else str(ip_network((address, 64), strict=False))
