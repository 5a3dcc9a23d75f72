import shutil
import tempfile
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import asyncpg
import pytest
from aiohttp import ClientSession

from corral.app import open_state
from corral.database.embedded.instance import EmbeddedDatabase, embedded_postgres
from corral.database.migrate import apply_migrations
from corral.serving import Services
from corral.settings import Settings
from corral.storage import DatabaseAddresses
from tests.access import ERASE_EVERYBODY, browser, owner_of, sign_in_by_link
from tests.conftest import Service, listening
from tests.identity.members import Member, add_member, make_administrator
from tests.log_lines import LogSince


@pytest.fixture
async def owner(postgres: EmbeddedDatabase) -> AsyncGenerator[asyncpg.Connection]:
    async with owner_of(postgres) as connection:
        yield connection


@pytest.fixture
async def ada(service: Service) -> Member:
    """An administrator, with a password."""
    member = await add_member(service)
    await make_administrator(service, member.email)
    return member


@pytest.fixture
async def office(service: Service, ada: Member) -> AsyncGenerator[ClientSession]:
    """Ada's browser, signed in."""
    async with browser(service.url, await sign_in_by_link(service, ada.user_id)) as page:
        yield page


@pytest.fixture
def log(log_file: Path) -> LogSince:
    return LogSince(log_file)


@pytest.fixture
async def carol(service: Service) -> Member:
    """She has a password."""
    return await add_member(service)


@pytest.fixture(scope="module")
def empty_dir() -> Generator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="corral-test-"))
    folder.chmod(0o711)  # as root, the database's own user must pass
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
async def empty_postgres(empty_dir: Path) -> AsyncGenerator[EmbeddedDatabase]:
    """A database of its own: in the run's other one there are always users."""
    async with embedded_postgres(empty_dir) as database:
        await apply_migrations(database.dsn("corral_owner"))
        yield database


@pytest.fixture(scope="module")
async def empty_house(empty_postgres: EmbeddedDatabase, empty_dir: Path) -> AsyncGenerator[Service]:
    addresses = DatabaseAddresses(empty_postgres.dsn("corral_app"), empty_postgres.dsn("corral_owner"))
    settings = Settings(port=0, data_dir=empty_dir)
    async with open_state(settings, addresses.app) as state:
        services = Services(settings, addresses, state)
        async with listening(services) as url:
            yield Service(services, url)


@pytest.fixture
async def empty_owner(empty_postgres: EmbeddedDatabase) -> AsyncGenerator[asyncpg.Connection]:
    async with owner_of(empty_postgres) as connection:
        yield connection


@pytest.fixture
async def service_without_users(empty_house: Service, empty_owner: asyncpg.Connection) -> Service:
    """A service that has not been set up."""
    await empty_owner.execute(ERASE_EVERYBODY)
    return empty_house
