"""Typed access from a request to the objects that live as long as the process (`request.state`)."""

from dataclasses import dataclass
from typing import Final, Generic, TypeVar, cast, final

from starlette.requests import HTTPConnection

from corral.alpaca.client import AlpacaClient
from corral.database.connection import Database
from corral.vault import Vault

Service = TypeVar("Service")


@final
class StateKey(Generic[Service]):
    """The key of one object in the application's state: `READER.of(request)` returns it.

    The only place where the type of `request.state` is assumed without a check.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name: Final = name

    def of(self, request: HTTPConnection) -> Service:
        return cast("Service", getattr(request.state, self.name))


@dataclass(frozen=True, slots=True)
class Resources:
    """The objects that nearly every route needs."""

    database: Database
    vault: Vault
    alpaca: AlpacaClient
    public_url: str  # as in browsers, without a trailing slash
    gateway_url: str | None  # where only the gateway answers, if there is such an origin


_RESOURCES: Final = StateKey[Resources]("resources")
resources_of: Final = _RESOURCES.of
