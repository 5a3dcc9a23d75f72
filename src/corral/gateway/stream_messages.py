"""The messages of Alpaca's trading socket: what its clients send, and how it answers.

Source: https://docs.alpaca.markets/docs/websocket-streaming, and what alpaca-py, alpaca-trade-api and the JavaScript
clients send.
"""

from dataclasses import dataclass
from typing import Final, TypeGuard, cast

import orjson

from corral.alpaca.fields import Fields
from corral.gateway.credentials import LONGEST_CREDENTIAL, PresentedGrant
from corral.secret import Secret

TRADE_UPDATES: Final = "trade_updates"


@dataclass(frozen=True, slots=True)
class Authenticate:
    """`shown` is None if it shows nothing that could be a grant."""

    shown: PresentedGrant | None


@dataclass(frozen=True, slots=True)
class Listen:
    """The streams that are wanted from now on. Of those there are, it is the one or none."""

    is_wanted: bool


@dataclass(frozen=True, slots=True)
class OtherAction:
    action: str


Message = Authenticate | Listen | OtherAction


def read_message(content: bytes) -> Message | None:
    """Returns None for what is no message at all."""
    try:
        message: object = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(message, dict):
        return None
    fields = cast("Fields", message)
    action, data = fields.get("action"), fields.get("data", {})
    if action == "auth":  # as on the sockets of market data
        return Authenticate(_key_pair(fields.get("key"), fields.get("secret")))
    if not isinstance(action, str) or not isinstance(data, dict):
        return None
    return _message(action, cast("Fields", data))


def _message(action: str, data: Fields) -> Message:
    if action == "authenticate":
        return Authenticate(_shown(data))
    if action == "listen":
        streams: object = data.get("streams")
        return Listen(isinstance(streams, list) and TRADE_UPDATES in cast("list[object]", streams))
    return OtherAction(action[:LONGEST_CREDENTIAL])


def _shown(data: Fields) -> PresentedGrant | None:
    if "key_id" in data or "secret_key" in data:
        return _key_pair(data.get("key_id"), data.get("secret_key"))
    token: object = data.get("oauth_token")
    return PresentedGrant(None, Secret(token)) if _is_plausible(token) else None


def _key_pair(key_id: object, secret_key: object) -> PresentedGrant | None:
    if not _is_plausible(key_id) or not _is_plausible(secret_key):
        return None
    return PresentedGrant(key_id, Secret(secret_key))


def _is_plausible(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and value.isascii() and 0 < len(value) <= LONGEST_CREDENTIAL


def authorized() -> bytes:
    return _said("authorization", {"status": "authorized", "action": "authenticate"})


def unauthorized(action: str, message: str | None = None) -> bytes:
    """`message` says why a grant that exists does not open the account now."""
    why = {} if message is None else {"message": message}
    return _said("authorization", {"status": "unauthorized", "action": action, **why})


def listening(*, is_heard: bool) -> bytes:
    return _said("listening", {"streams": [TRADE_UPDATES] if is_heard else []})


def failed(message: str) -> bytes:
    """As Alpaca says it, and with a `stream`, without which the JavaScript client 3 ends its program."""
    return orjson.dumps({"stream": "error", "action": "error", "data": {"error_message": message}})


def _said(stream: str, data: dict[str, object]) -> bytes:
    return orjson.dumps({"stream": stream, "data": data})
