"""One question to Alpaca and its answer.

Failures are returned, not raised. An exception of aiohttp holds the headers of the request, so it must
never become the cause or context of one that travels up to where errors are logged.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final, NamedTuple

from aiohttp import (
    ClientConnectionError,
    ClientConnectorCertificateError,
    ClientConnectorError,
    ClientError,
    ClientHttpProxyError,
    ClientPayloadError,
    ClientResponse,
    ClientSession,
    ConnectionTimeoutError,
)
from multidict import istr
from yarl import URL

from corral.alpaca.connections import HungUp
from corral.alpaca.errors import (
    AlpacaError,
    CertificateRefused,
    ConnectionDropped,
    Fault,
    KeysRefused,
    Unreachable,
    UpstreamFailed,
    WrongShape,
)
from corral.secret import Secret

_KEY_ID: Final = istr("APCA-API-KEY-ID")
_SECRET_KEY: Final = istr("APCA-API-SECRET-KEY")
_SENDABLE: Final = re.compile(r"[\x21-\x7e]{1,256}")
# Alpaca's ids are hex. Nothing else is taken over into our log, least of all a key that is echoed.
_REQUEST_ID: Final = re.compile(r"[0-9a-fA-F-]{8,64}")

_FAILURES: Final[tuple[tuple[type[ClientError], type[AlpacaError]], ...]] = (
    (ClientConnectorCertificateError, CertificateRefused),
    (ClientConnectorError, Unreachable),
    (ClientHttpProxyError, Unreachable),
    (ConnectionTimeoutError, Unreachable),
    (HungUp, ConnectionDropped),
    (ClientConnectionError, ConnectionDropped),
    (ClientPayloadError, ConnectionDropped),
)


class Keys(NamedTuple):
    api_key: Secret
    secret_key: Secret


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """A complete answer of whatever status. The body is empty where it was not worth reading."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    answered_at: datetime
    alpaca_request_id: str | None


async def ask(session: ClientSession, url: URL, keys: Keys, *, max_body_bytes: int) -> RawAnswer | AlpacaError:
    """Sends one GET and reads at most `max_body_bytes` of the answer; the caller sets the deadline."""
    headers = _key_headers(keys)
    if headers is None:
        return KeysRefused()
    try:
        response = await session.get(url, headers=headers, allow_redirects=False)
        try:
            return await _read(response, max_body_bytes)
        finally:
            response.release()  # back into the pool, or closed if there is more to come
    except ClientError as error:
        return failure_of(error)


def _key_headers(keys: Keys) -> dict[str, str] | None:
    """The only place where keys are put on a request. None for values that could end a header or its line."""
    headers: dict[str, str] = {_KEY_ID: keys.api_key.reveal(), _SECRET_KEY: keys.secret_key.reveal()}
    return headers if all(map(_SENDABLE.fullmatch, headers.values())) else None


async def _read(response: ClientResponse, max_body_bytes: int) -> RawAnswer | WrongShape:
    answered_at = datetime.now(UTC)
    status, headers = response.status, response.headers
    request_id = _request_id(headers.get("X-Request-ID"))
    body = await _bounded_body(response, max_body_bytes)
    if body is None and status == HTTPStatus.OK:
        return WrongShape(Fault.TOO_LONG, status=status, alpaca_request_id=request_id)
    return RawAnswer(status, headers, body or b"", answered_at, request_id)


async def _bounded_body(response: ClientResponse, max_body_bytes: int) -> bytes | None:
    """None for a body that is too large, or compressed: that is never unpacked, since a few bytes may be a flood."""
    announced = response.content_length or 0
    if announced > max_body_bytes or response.headers.get("Content-Encoding", "identity") != "identity":
        return None
    body = await response.content.readany()  # nearly always all of it
    if response.content.at_eof():
        return body if len(body) <= max_body_bytes else None
    return await _rest_of_body(response, bytearray(body), max_body_bytes)


async def _rest_of_body(response: ClientResponse, body: bytearray, max_body_bytes: int) -> bytes | None:
    while len(body) <= max_body_bytes:
        if not (chunk := await response.content.readany()):
            return bytes(body)
        body += chunk
    return None


def failure_of(error: ClientError) -> AlpacaError:
    return next((failure for kind, failure in _FAILURES if isinstance(error, kind)), UpstreamFailed)()


def _request_id(text: str | None) -> str | None:
    return text if text is not None and _REQUEST_ID.fullmatch(text) else None
