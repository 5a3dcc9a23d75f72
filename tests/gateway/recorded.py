"""What the recorded clients sent, as the gateway gets it."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from corral.gateway.operations import OPERATIONS
from tests.clients import recordings

_PLACE: Final = re.compile(r"\{\{([^{}]*)\}\}")
_SOME_ID: Final = str(UUID(int=0x904837E33B7647ECB432046DB621571B))
_SOME_OPTION: Final = "AAPL261218C00250000"
_DATA: Final = re.compile(r"/(v2/stocks|v1beta[13]|v1/corporate-actions)\b")

CLIENTS: Final = sorted(file.stem for file in recordings.FOLDER.glob("*.jsonl"))


# What a grant never allows, although a client sends it.
REFUSED: Final = {
    "PATCH /v2/account/configurations": "the account's settings are its owner's",
    "GET /v1/locates": "serves only the borrowing of shares",
    "POST /v1/locates": "borrows shares, for a fee",
    "GET /v1/locates/quotes": "serves only the borrowing of shares",
    "GET /v1/locates/{locate_id}": "serves only the borrowing of shares",
    "GET /v2/tokenization/requests": "serves only tokenization",
    "GET /v2/tokenization/requests/{tokenization_request_id}": "serves only tokenization",
    "GET /v2/tokenization/requests:by_client_request_id": "serves only tokenization",
    "POST /v2/tokenization/mint": "moves shares out of the account",
    "GET /v2/wallets": "serves only withdrawals",
    "GET /v2/wallets/fees/estimate": "serves only withdrawals",
    "GET /v2/wallets/transfers": "serves only withdrawals",
    "POST /v2/wallets/transfers": "moves coins out of the account",
    "GET /v2/wallets/transfers/{transfer_id}": "serves only withdrawals",
    "GET /v2/wallets/whitelists": "serves only withdrawals",
    "POST /v2/wallets/whitelists": "serves only withdrawals",
    "DELETE /v2/wallets/whitelists/{whitelisted_address_id}": "serves only withdrawals",
    "GET /v2/wallets/travel-rule/vasps": "serves only withdrawals",
    "PATCH /v2/wallets/whitelists/{whitelisted_address_id}/travel-rule-info": "serves only withdrawals",
}


@dataclass(frozen=True, slots=True)
class Recorded:
    method: str
    target: bytes
    body: bytes


def recorded(client: str) -> Iterator[Recorded]:
    for line in recordings.read(client):
        if "method" in line:
            path = _filled_in(line["path"].removeprefix("/paper"))
            body = _filled_in(json.dumps(line["body"])) if "body" in line else ""
            yield Recorded(line["method"], path.encode(), body.encode())


def _filled_in(text: str) -> str:
    return _PLACE.sub(lambda found: _SOME_OPTION if found[1].endswith("symbol") else _SOME_ID, text)


def operation_of(method: str, path: str) -> str | None:
    """The name of the operation that a client asks the sandbox for, if Alpaca has it."""
    target = _PLACE.sub(str(UUID(int=0)), path.removeprefix("/paper"))
    for operation in OPERATIONS:
        shape = re.sub(r"\\\{[^}]*\\\}", "[^/?]+", re.escape(operation.path))
        if operation.method == method and re.fullmatch(shape + r"(?:\?.*)?", target):
            return operation.name
    return None


def with_prefix(path: str) -> str:
    """As the client asks, if it is told the two addresses of a grant."""
    if path.startswith("/paper/"):
        return "/alpaca" + path.removeprefix("/paper")
    return ("/alpaca/data" if _DATA.match(path) else "/alpaca") + path
