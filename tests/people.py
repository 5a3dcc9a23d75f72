"""Alice and bob, always both: users with keys, new for each test."""

import itertools
import os
import random
import secrets
import string
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from aiohttp import ClientSession

from corral.identity import api_tokens, sign_in
from corral.identity.models import Scope
from corral_sandbox import secret_of

if TYPE_CHECKING:
    from tests.conftest import Service

_KEYS_OF_TESTS: Final = defaultdict[str, "itertools.count[int]"](itertools.count)


@dataclass(frozen=True, slots=True)
class Person:
    user_id: UUID
    email: str
    token: str
    client: ClientSession  # sends the token, to the service under test

    async def store(self, key_id: str | None = None, nickname: str = "mine") -> dict[str, Any]:
        """Stores a sandbox account's keys; answers its metadata."""
        body = {"nickname": nickname, **key_pair(key_id or paper_key())}
        async with self.client.post("/api/credentials", json=body) as answer:
            assert answer.status == 201, await answer.text()
            return await answer.json()


@asynccontextmanager
async def make_person(service: "Service", name: str) -> AsyncGenerator[Person]:
    database, vault = service.resources.database, service.resources.vault
    email = f"{name}-{secrets.token_hex(6)}@corral.example"
    user_id = await sign_in.add_user(database, vault, email=email, password=None)
    _, token = await api_tokens.create_api_token(
        user_id, database, vault, name="test", scopes=list(Scope), expires_at=None
    )
    headers = {"Authorization": f"Bearer {token.reveal()}"}
    async with ClientSession(service.url, headers=headers) as client:
        yield Person(user_id, email, token.reveal(), client)


def paper_key() -> str:
    return _key("PK")


def live_key() -> str:
    return _key("AK")


def key_pair(key_id: str) -> dict[str, str]:
    return {"api_key": key_id, "secret_key": secret_of(key_id)}


def _key(prefix: str) -> str:
    """The sandbox gives each key an account of its own kind: the same test has the same accounts in every run."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
    drawn = random.Random(f"{test} {next(_KEYS_OF_TESTS[test])}")
    return prefix + "".join(drawn.choices(string.ascii_uppercase + string.digits, k=18))
