"""`corral health`: asks the server on this machine whether it is ready. For the health checks of containers."""

import asyncio
import ssl
from typing import Final

from corral.commands.console import out
from corral.errors import OperatorError
from corral.settings import Settings

_SECONDS: Final = 8.0  # less than what a container's health check waits
_LOOPBACK_FOR: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a server on all addresses is reached
_REQUEST: Final = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class NotHealthy(OperatorError):  # noqa: N818 - a condition
    """The server does not respond, or is not ready. One line."""


async def report_health(settings: Settings) -> None:
    """Raises NotHealthy unless /readyz of the server with these settings answers 200."""
    host = _LOOPBACK_FOR.get(settings.host, settings.host)
    place = f"{host}, port {settings.port}"
    try:
        async with asyncio.timeout(_SECONDS):
            status = await _readiness_status(host, settings.port, _tls(settings))
    except TimeoutError:
        raise NotHealthy(f"no answer within {_SECONDS:.0f} s on {place}: look at Corral's log") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise NotHealthy(f"no server answers on {place} ({reason}): start it, or look at its log") from None
    if status != 200:  # noqa: PLR2004 - HTTP's OK
        raise NotHealthy("Corral is running but not ready: its log and `corral doctor` have the reason")
    out.print("ready")


async def _readiness_status(host: str, port: int, tls: ssl.SSLContext | None) -> int | None:
    """Returns the status of the answer, or None if it is not one of HTTP."""
    reader, writer = await asyncio.open_connection(host, port, ssl=tls)
    try:
        writer.write(_REQUEST)
        first_line = (await reader.readline()).split()
        return int(first_line[1]) if len(first_line) > 1 and first_line[1].isdigit() else None
    finally:
        writer.transport.abort()  # nothing more is wanted, and a goodbye could be waited for


def _tls(settings: Settings) -> ssl.SSLContext | None:
    """For a server with a certificate of its own. It names another host, and nothing secret is sent to this one."""
    if settings.tls_cert is None:
        return None
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
