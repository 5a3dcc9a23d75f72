"""A program with a grant, the account's owner, and what the sandbox was really asked."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession

from corral_sandbox import Sandbox, secret_of
from tests.conftest import Faults, Service
from tests.grants.conftest import GrantOwner, carol, dave, log, owner
from tests.people import paper_key

__all__ = ["carol", "dave", "log", "owner"]  # fixtures that these tests share with those of grants

Json = dict[str, Any]

MARKET_ORDER: Json = {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}
LIMIT_ORDER: Json = {**MARKET_ORDER, "type": "limit", "limit_price": "1", "time_in_force": "gtc"}


@dataclass(frozen=True, slots=True)
class Answered:
    status: int
    headers: dict[str, str]
    body: bytes
    json: Any

    @property
    def refusal(self) -> tuple[int, int]:
        return self.status, self.json["code"]


@dataclass
class Program:
    """Whoever has the grant. `key_id` is the account's real one, for the sandbox's faults and journal."""

    grant: Json
    key_id: str
    client: ClientSession
    sandbox: Sandbox
    faults: Faults
    known: int = 0  # requests of before the test

    def ask(self, method: str, path: str, **sent: Any) -> AbstractAsyncContextManager[ClientResponse]:  # noqa: ANN401 - as aiohttp
        return self.client.request(method, path, allow_redirects=False, **sent)

    async def call(self, method: str, path: str, **sent: Any) -> Answered:  # noqa: ANN401 - as aiohttp
        async with self.ask(method, path, **sent) as answer:
            body = await answer.read()
            is_json = answer.content_type == "application/json" and body
            return Answered(answer.status, dict(answer.headers), body, await answer.json() if is_json else None)

    async def get(self, path: str) -> Answered:
        return await self.call("GET", path)

    async def order(self, **changes: object) -> Answered:
        return await self.call("POST", "/alpaca/v2/orders", json={**LIMIT_ORDER, **changes})

    async def seen(self, method: str | None = None) -> list[Json]:
        """The requests that the sandbox received for the account through this test, oldest first."""
        async with ClientSession(self.sandbox.url) as client, client.get(self._journal) as answer:
            items = (await answer.json())["items"]
        return [item for item in items if method in {None, item["method"]}]

    @property
    def _journal(self) -> str:
        return f"/_requests/{self.key_id}?after={self.known}"

    async def directly(self, path: str) -> bytes:
        """What the sandbox answers with the account's own keys."""
        headers = {"APCA-API-KEY-ID": self.key_id, "APCA-API-SECRET-KEY": secret_of(self.key_id)}
        async with ClientSession(headers=headers) as client, client.get(f"{self.sandbox.url}{path}") as answer:
            return await answer.read()


def key_headers(grant: Json) -> dict[str, str]:
    return {"APCA-API-KEY-ID": grant["key_id"], "APCA-API-SECRET-KEY": grant["secret_key"]}


@asynccontextmanager
async def program_of(
    owner: GrantOwner, service: Service, sandbox: Sandbox, faults: Faults, **fields: object
) -> AsyncGenerator[Program]:
    key_id = paper_key()
    async with ClientSession(sandbox.url) as control, control.put(f"/_accounts/{key_id}", json={}) as plain:
        assert plain.status == 200, await plain.text()
    grant = await owner.grant(await owner.account(key_id), **fields)
    async with ClientSession(service.url, headers=key_headers(grant)) as client:
        program = Program(grant, key_id, client, sandbox, faults)
        program.known = max(item["n"] for item in await program.seen())
        yield program


@pytest.fixture
async def bot(carol: GrantOwner, service: Service, sandbox: Sandbox, faults: Faults) -> AsyncGenerator[Program]:
    """It may trade, on a paper account with cash only."""
    async with program_of(carol, service, sandbox, faults, access="trade") as program:
        yield program
