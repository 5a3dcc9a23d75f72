"""Requests pages like a browser without JavaScript: with its headers and cookies."""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import UUID

import asyncpg
import pytest
from aiohttp import ClientSession, CookieJar

from corral.database.embedded.instance import EmbeddedDatabase
from tests.access import owner_of, sign_in_by_link
from tests.conftest import Faults, Service, StartService
from tests.people import Person, make_person, paper_key
from tests.web.parsed_html import Parsed

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Sec-Fetch-Site": "same-origin"}

Browsing = Callable[[Person], AbstractAsyncContextManager[ClientSession]]


@pytest.fixture
def browsing(service: Service) -> Browsing:
    """A browser with a session."""

    @asynccontextmanager
    async def browse(person: Person) -> AsyncGenerator[ClientSession]:
        cookie = await sign_in_by_link(service, person.user_id)
        async with ClientSession(service.url, headers={**BROWSER, "Cookie": cookie}) as session:
            yield session

    return browse


@pytest.fixture
async def visitor(service: Service) -> AsyncGenerator[ClientSession]:
    """A browser without a session."""
    async with ClientSession(service.url, headers=BROWSER, cookie_jar=CookieJar(unsafe=True)) as session:
        yield session


@pytest.fixture
async def alices(browsing: Browsing, alice: Person) -> AsyncGenerator[ClientSession]:
    async with browsing(alice) as session:
        yield session


@pytest.fixture
async def bobs(browsing: Browsing, bob: Person) -> AsyncGenerator[ClientSession]:
    async with browsing(bob) as session:
        yield session


@pytest.fixture
async def owner(postgres: EmbeddedDatabase) -> AsyncGenerator[asyncpg.Connection]:
    async with owner_of(postgres) as connection:
        yield connection


@pytest.fixture(scope="session")
async def demo(start_service: StartService) -> AsyncGenerator[Service]:
    """A service whose pages have the sandbox banner."""
    async with start_service(sandbox_pages=True) as service:
        yield service


class Visit:
    """A signed-in user with one account, on a service without a cache."""

    def __init__(
        self,
        person: Person,
        browser: ClientSession,
        key_id: str,
        credential_id: str,
        faults: Faults,
        account_id: str,
    ) -> None:
        self.person = person
        self.browser = browser
        self.key_id = key_id
        self.account_id = account_id
        self.path = f"/accounts/{credential_id}"
        self._faults = faults

    async def answer(self, path: str, body: object) -> None:
        await self._faults.set(self.key_id, path=path, body_text=json.dumps(body))

    async def answer_all(self, bodies: dict[str, object]) -> None:
        """Answers by path."""
        faults: list[dict[str, object]] = [
            {"key_id": self.key_id, "path": path, "body_text": json.dumps(body)} for path, body in bodies.items()
        ]
        await self._faults.set_all(faults)

    async def misbehave(self, **fault: object) -> None:
        await self._faults.set(self.key_id, **fault)

    async def read(self, page: str = "") -> Parsed:
        return Parsed(await self.html(page))

    async def html(self, page: str = "", status: int = 200) -> str:
        """Waits for all parts, however busy the machine is."""
        async with self.browser.get(f"{self.path}{page}{'&' if '?' in page else '?'}wait=true") as answer:
            assert answer.status == status
            return await answer.text()


@pytest.fixture(scope="session")
async def uncached(start_service: StartService) -> AsyncGenerator[Service]:
    async with start_service(cache_seconds=0, upstream_timeout_seconds=30) as service:
        yield service


@pytest.fixture
async def visit(uncached: Service, faults: Faults, owner: asyncpg.Connection) -> AsyncGenerator[Visit]:
    key_id = paper_key()
    async with make_person(uncached, "alice") as person:
        credential = await person.store(key_id, nickname="Growth")
        cookie = await sign_in_by_link(uncached, person.user_id)
        async with ClientSession(uncached.url, headers={**BROWSER, "Cookie": cookie}) as browser:
            of_account = "SELECT account_id FROM corral.credentials WHERE id = $1"
            account_id = await owner.fetchval(of_account, UUID(credential["id"]))
            yield Visit(person, browser, key_id, credential["id"], faults, account_id)
