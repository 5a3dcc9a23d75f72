"""Listening, and its end: the certificate and the port, before anything else is started, and the times of a stop."""

import errno
import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, Literal

from corral.edge.certificate import ServedCertificate, TlsFiles
from corral.edge.server import PortTaken, reserve_port
from corral.errors import OperatorError
from corral.settings import Settings

# A request under way may wait for Alpaca for its whole deadline, and then its answer has to be sent.
_GRACE_BEYOND_UPSTREAM_SECONDS: Final = 5.0
_USUAL_DRAIN_SECONDS: Final = 3.0


class CannotListen(OperatorError):  # noqa: N818 - a condition
    """The address is in use, not on this machine, or not allowed for this user. One line that says what to do."""


def open_certificate(settings: Settings) -> ServedCertificate | None:
    """Returns None without TLS. Raises CertificateUnusable."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return ServedCertificate(TlsFiles(settings.tls_cert, settings.tls_key), settings.browser_url)


def drain_seconds(settings: Settings) -> float:
    """Returns for how long requests are still taken after the signal to stop, while /readyz says 503.

    At a terminal there is no load balancer to wait for.
    """
    if settings.drain_seconds is not None:
        return settings.drain_seconds
    return 0.0 if sys.stderr.isatty() else _USUAL_DRAIN_SECONDS


def grace_seconds(settings: Settings) -> float:
    """Returns for how long requests under way are waited for, once the port is closed."""
    return settings.upstream_timeout_seconds + _GRACE_BEYOND_UPSTREAM_SECONDS


@contextmanager
def reserved_port(settings: Settings, command: Literal["demo", "serve"]) -> Generator[socket.socket]:
    """Reserves the port before anything is started. Raises CannotListen."""
    another_port = f"choose another port with `corral {command} --port N`"
    another_port += " or CORRAL_PORT" if command == "serve" else ""
    try:
        with _reserved(settings.host, settings.port, another_port) as listener:
            yield listener
    except PortTaken as taken:
        raise CannotListen(f"{taken}: {another_port}") from None


def _reserved(host: str, port: int, another_port: str) -> socket.socket:
    try:
        return reserve_port(host, port)
    except OSError as error:
        reason = (error.strerror or "").partition(" (")[0].lower()
        way_out = another_port if error.errno == errno.EACCES else "use --host with an address of this machine"
        raise CannotListen(f"cannot listen on {host}:{port} ({reason}): {way_out}") from None
