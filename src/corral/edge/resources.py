"""What lives as long as the process and is reached from a request: opened at start, closed at the end."""

from dataclasses import dataclass
from typing import cast

from starlette.requests import HTTPConnection

from corral.alpaca.client import AlpacaClient
from corral.database.connection import Database
from corral.vault import Vault


@dataclass(frozen=True, slots=True)
class Resources:
    database: Database
    vault: Vault
    alpaca: AlpacaClient
    public_url: str  # as the browser sees it, without a trailing slash


def resources(request: HTTPConnection) -> Resources:
    return cast("Resources", request.state.resources)
