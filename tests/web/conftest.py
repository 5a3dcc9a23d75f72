"""Requests pages like a browser without JavaScript: with its headers and cookies."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import asyncpg
import pytest
from aiohttp import ClientSession, CookieJar

from corral.database.embedded.instance import EmbeddedDatabase
from tests.access import owner_of, sign_in_by_link
from tests.conftest import Service, StartService
from tests.people import Person

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
