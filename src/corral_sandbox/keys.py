"""Whose keys a request carries, and whether they are good here."""

import re
from collections.abc import Mapping
from hmac import compare_digest

from corral_sandbox.answers import Refused

PREFIXES = {"paper": "PK", "live": "AK"}

_KEY_ID = re.compile(r"(?:PK|AK)[A-Z0-9]{6,38}")
_KEY_ID_HEADER, _SECRET_HEADER = "APCA-API-KEY-ID", "APCA-API-SECRET-KEY"


def secret_of(key_id: str) -> str:
    """Answers the secret key of any key id that is an account of the sandbox."""
    return f"sandbox-secret-for-{key_id}"


def presented_key_id(headers: Mapping[str, str]) -> str | None:
    """Answers the key id that a request claims, if it has the form of one, proven or not."""
    key_id = headers.get(_KEY_ID_HEADER, "")
    return key_id if _KEY_ID.fullmatch(key_id) else None


def headers_of(data: Mapping[str, object]) -> dict[str, str]:
    """Answers the keys of a message to the trading socket as the headers that they are elsewhere."""
    named = {_KEY_ID_HEADER: data.get("key_id"), _SECRET_HEADER: data.get("secret_key")}
    return {name: key for name, key in named.items() if isinstance(key, str) and key.isascii()}


def authenticate(environment: str, headers: Mapping[str, str]) -> str:
    """Answers the key id whose secret came with it, or raises Alpaca's refusal.

    403 without keys, 401 for a key that is unknown or a secret that is wrong, and 401 with a code for
    good keys of the other environment.
    """
    if not headers.get(_KEY_ID_HEADER) or not headers.get(_SECRET_HEADER):
        raise Refused(403, "forbidden.")
    key_id = presented_key_id(headers)
    if key_id is None or not _is_secret_of(key_id, headers[_SECRET_HEADER]):
        raise Refused(401, "unauthorized.")
    if not key_id.startswith(PREFIXES[environment]):
        raise Refused(401, "request is not authorized", code=40110000)
    return key_id


def _is_secret_of(key_id: str, presented: str) -> bool:
    # Bytes, because compare_digest refuses text beyond ASCII, and headers may carry any byte.
    return compare_digest(secret_of(key_id).encode(), presented.encode("utf-8", "surrogateescape"))
