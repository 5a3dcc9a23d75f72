"""Typed access from a request to what lives as long as the process: opened at start, closed at the end."""

from dataclasses import dataclass
from typing import Final, Generic, TypeVar, cast, final

from starlette.requests import HTTPConnection

from corral.alpaca.client import AlpacaClient
from corral.database.connection import Database
from corral.vault import Vault

Service = TypeVar("Service")


@final
class StateKey(Generic[Service]):
    """Under which the application keeps one object, and by which a request finds it: `READER.of(request)`.

    The only place where the type of what the framework hands through is taken on trust.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name: Final = name

    def of(self, request: HTTPConnection) -> Service:
        return cast("Service", getattr(request.state, self.name))


@dataclass(frozen=True, slots=True)
class Resources:
    """What nearly every route needs."""

    database: Database
    vault: Vault
    alpaca: AlpacaClient
    public_url: str  # as the browser sees it, without a trailing slash


_RESOURCES: Final = StateKey[Resources]("resources")
resources_of: Final = _RESOURCES.of
