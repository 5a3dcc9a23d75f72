"""What a client of Alpaca sends to say who it is: as it would to Alpaca, with a grant in place of Alpaca's keys."""

import binascii
from base64 import b64decode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from corral.gateway.problems import NoCredentials, NotAuthorized
from corral.secret import Secret

_KEY_ID: Final = b"apca-api-key-id"
_SECRET_KEY: Final = b"apca-api-secret-key"
LONGEST_CREDENTIAL: Final = 256


@dataclass(frozen=True, slots=True)
class PresentedGrant:
    """`key_id` is None where the client sends the secret key alone, as a bearer token."""

    key_id: str | None
    secret_key: Secret


def presented(headers: Iterable[tuple[bytes, bytes]]) -> PresentedGrant:
    """Returns what Alpaca would look at: the two key headers, or else `Authorization`.

    Python's requests adds `Authorization` from a .netrc file by itself, so it does not count beside them. Raises
    NoCredentials and NotAuthorized.
    """
    named = {name: value for name, value in headers if name in {_KEY_ID, _SECRET_KEY, b"authorization"} and value}
    if _KEY_ID in named or _SECRET_KEY in named:
        if len(named.keys() & {_KEY_ID, _SECRET_KEY}) == 1:
            raise NoCredentials
        return _presented(named[_KEY_ID], named[_SECRET_KEY])
    if b"authorization" not in named:
        raise NoCredentials
    scheme, _, value = named[b"authorization"].partition(b" ")
    if scheme.lower() == b"bearer":
        return _presented(None, value.strip())
    if scheme.lower() == b"basic":
        return _basic(value.strip())
    raise NotAuthorized


def _basic(value: bytes) -> PresentedGrant:
    try:
        key_id, _, secret_key = b64decode(value[: 2 * LONGEST_CREDENTIAL], validate=True).partition(b":")
    except binascii.Error:
        raise NotAuthorized from None
    return _presented(key_id, secret_key)


def _presented(key_id: bytes | None, secret_key: bytes) -> PresentedGrant:
    if len(secret_key) > LONGEST_CREDENTIAL or (key_id is not None and len(key_id) > LONGEST_CREDENTIAL):
        raise NotAuthorized
    return PresentedGrant(None if key_id is None else key_id.decode("latin-1"), Secret(secret_key.decode("latin-1")))
