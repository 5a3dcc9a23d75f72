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

# So many attempts are free; each further one waits twice as long as the one before, up to a minute.
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
    """The peer's address for throttling; not a loopback one, behind which a reverse proxy stands for everybody."""
    return None if request.client is None else network_of(request.client.host)


def network_of(host: str) -> str | None:
    """Of IPv6 the whole /64: a home has that many addresses, and each would otherwise have attempts of its own."""
    address = ip_address(host)
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    if address.is_loopback:
        return None
    return str(address) if isinstance(address, IPv4Address) else str(ip_network((address, 64), strict=False))
