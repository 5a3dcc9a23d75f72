"""What a request must be like before the application sees it."""

from collections.abc import Mapping
from typing import Any, Final

from corral.edge.origin import SAFE_METHODS, is_cross_origin
from corral.errors import BodyTooLarge, CrossOriginRefused, MalformedRequest, UnsupportedMediaType

Scope = Mapping[str, Any]

# Two of one of these and two programs on the road may each believe another one (RFC 9112, 11.2).
_AT_MOST_ONCE: Final = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"content-type", b"authorization", b"origin", b"sec-fetch-site"}
)


def admit(scope: Scope, *, public_origin: bytes, max_body_bytes: int) -> bool:
    """Whether a body follows. Raises the Problem of a request that is not let in.

    MalformedRequest (framing, RFC 9112, 3.2 and 6.3), CrossOriginRefused, BodyTooLarge, UnsupportedMediaType.
    """
    pairs: list[tuple[bytes, bytes]] = scope["headers"]
    headers = dict(pairs)
    if len(headers) != len(pairs):
        _refuse_repeated(pairs)
    version = scope["http_version"]
    if version not in {"1.0", "1.1"} or (version == "1.1" and b"host" not in headers):
        raise MalformedRequest
    has_body = _has_body(headers, version, max_body_bytes)
    if scope["method"] not in SAFE_METHODS:
        _refuse_cross_origin(scope["method"], headers, public_origin)
        if has_body:
            _refuse_other_media(scope["path"], headers)
    return has_body


def _refuse_repeated(pairs: list[tuple[bytes, bytes]]) -> None:
    names = [name for name, _ in pairs if name in _AT_MOST_ONCE]
    if len(names) != len(set(names)):
        raise MalformedRequest("A header that may appear only once appears twice.")


def _has_body(headers: Mapping[bytes, bytes], http_version: str, max_body_bytes: int) -> bool:
    length, coding = headers.get(b"content-length"), headers.get(b"transfer-encoding")
    if coding is not None:
        if length is not None or http_version != "1.1" or coding.lower() != b"chunked":
            raise MalformedRequest("The length of the request body is ambiguous.")
        return True
    if length is None:
        return False
    if not length.isdigit():
        raise MalformedRequest("Content-Length is not a number.")
    if len(length) > len(str(max_body_bytes)) or int(length) > max_body_bytes:
        raise BodyTooLarge
    return int(length) > 0


def _refuse_cross_origin(method: str, headers: Mapping[bytes, bytes], public_origin: bytes) -> None:
    if is_cross_origin(
        method,
        sec_fetch_site=headers.get(b"sec-fetch-site"),
        origin=headers.get(b"origin"),
        has_cookie=b"cookie" in headers,
        has_bearer=headers.get(b"authorization", b"").lower().startswith(b"bearer "),
        public_origin=public_origin,
    ):
        raise CrossOriginRefused


def _refuse_other_media(path: str, headers: Mapping[bytes, bytes]) -> None:
    """A page of another origin can send forms and plain text unasked, but JSON only after a preflight."""
    media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if media_type != b"application/json" and path.startswith("/api/"):
        raise UnsupportedMediaType
