"""Who may read market data: the keys of paper and live accounts alike, in headers or as basic authentication."""

from base64 import b64decode
from collections.abc import Mapping

from corral_sandbox.broker.initial_state import KEY_ID_PREFIXES
from corral_sandbox.errors import ApiError
from corral_sandbox.http.access import authenticate, claimed_key_id

_KEY_ID_HEADER, _SECRET_HEADER, _AUTHORIZATION = "APCA-API-KEY-ID", "APCA-API-SECRET-KEY", "Authorization"
_TOKENS = {"oauth", "access_token"}


def authenticate_for_data(headers: Mapping[str, str]) -> str:
    """Returns the authenticated key id, or raises a 401."""
    named = _with_basic_credentials(headers)
    key_id = claimed_key_id(named) or ""
    environment = next((name for name, prefix in KEY_ID_PREFIXES.items() if key_id.startswith(prefix)), "paper")
    try:
        return authenticate(environment, named)
    except ApiError:
        raise ApiError(401, "unauthorized.") from None


def has_credentials(headers: Mapping[str, str]) -> bool:
    return any(name in headers for name in (_KEY_ID_HEADER, _SECRET_HEADER, _AUTHORIZATION))


def headers_from_data_message(message: Mapping[str, object]) -> dict[str, str]:
    """Returns the keys of an `auth` message as HTTP headers would carry them; in place of a key ID, `oauth` and
    `access_token` announce a bearer token.
    """
    key_id, secret = message.get("key"), message.get("secret")
    if not isinstance(key_id, str) or not isinstance(secret, str) or not (key_id + secret).isascii():
        return {}
    if key_id in _TOKENS:
        return {_AUTHORIZATION: f"Bearer {secret}"}
    return {_KEY_ID_HEADER: key_id, _SECRET_HEADER: secret}


def _with_basic_credentials(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Returns the keys of `Authorization: Basic` as headers of their own."""
    scheme, _, encoded = headers.get(_AUTHORIZATION, "").partition(" ")
    if scheme.lower() != "basic":
        return headers
    try:
        key_id, _, secret = b64decode(encoded, validate=True).decode("ascii").partition(":")
    except ValueError:
        return headers
    return {_KEY_ID_HEADER: key_id, _SECRET_HEADER: secret}
