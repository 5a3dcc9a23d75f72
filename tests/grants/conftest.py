import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiohttp import ClientSession

from corral.database.embedded.instance import EmbeddedDatabase
from corral.grants.lookup import GrantReader
from corral.grants.models import Grant
from tests.access import browser, owner_of, sign_in_by_link
from tests.conftest import Service
from tests.identity.members import Member, add_member
from tests.log_lines import LogSince
from tests.people import key_pair, live_key, paper_key

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: Json

    @property
    def refusal(self) -> tuple[int, str]:
        return self.status, self.body["code"]

    @property
    def sentence(self) -> tuple[int, str]:
        """Status and what a person reads, at the field if it is about one."""
        errors = self.body.get("errors")
        return self.status, errors[0]["msg"] if errors else self.body["detail"]


class GrantOwner:
    """Somebody who is signed in and has accounts, and their grants."""

    def __init__(self, member: Member, page: ClientSession, reader: GrantReader) -> None:
        self.user_id = member.user_id
        self.email = member.email
        self.password = member.password
        self.page = page
        self._reader = reader

    async def ask(self, method: str, path: str, body: Json | None = None) -> Reply:
        async with self.page.request(method, path, json=body) as answer:
            return Reply(answer.status, {} if answer.status == 204 else await answer.json(content_type=None))

    async def account(self, key_id: str | None = None, nickname: str = "mine") -> str:
        body = {"nickname": nickname, **key_pair(key_id or paper_key())}
        stored = await self.ask("POST", "/api/credentials", body)
        assert stored.status == 201, stored.body
        return stored.body["id"]

    async def live_account(self) -> str:
        return await self.account(live_key())

    async def try_grant(self, credential_id: str, **fields: object) -> Reply:
        body = {"name": "bot", "access": "read", **fields}
        return await self.ask("POST", f"/api/credentials/{credential_id}/grants", body)

    async def grant(self, credential_id: str | None = None, **fields: object) -> Json:
        """Makes one, on a new paper account unless another is named."""
        made = await self.try_grant(credential_id or await self.account(), **fields)
        assert made.status == 201, made.body
        return made.body

    async def listed(self, path: str = "/api/grants") -> list[Json]:
        return (await self.ask("GET", path)).body["items"]

    async def find(self, grant: Json, *, address: str | None = "192.0.2.1", key_id: str | None = None) -> Grant | None:
        """What the gateway finds for this key pair."""
        known = None if address is None else ip_address(address)
        found = await self._reader.find(key_id or grant["key_id"], grant["secret_key"], address=known)
        await asyncio.sleep(0)  # the log's lines of one pass are written together, after it
        return found


def reader_of(service: Service) -> GrantReader:
    return service.services.state["grants"]


@pytest.fixture
def reader(service: Service) -> GrantReader:
    return reader_of(service)


@pytest.fixture
async def carol(service: Service) -> AsyncGenerator[GrantOwner]:
    """She has a password."""
    member = await add_member(service)
    async with browser(service.url, await sign_in_by_link(service, member.user_id)) as page:
        yield GrantOwner(member, page, reader_of(service))


@pytest.fixture
async def dave(service: Service) -> AsyncGenerator[GrantOwner]:
    """He signs in by link and has no password."""
    member = await add_member(service, password=None)
    async with browser(service.url, await sign_in_by_link(service, member.user_id)) as page:
        yield GrantOwner(member, page, reader_of(service))


@pytest.fixture
async def owner(postgres: EmbeddedDatabase) -> AsyncGenerator[asyncpg.Connection]:
    async with owner_of(postgres) as connection:
        yield connection


@pytest.fixture
def log(log_file: Path) -> LogSince:
    return LogSince(log_file)
