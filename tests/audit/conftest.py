"""An audit trail on the run's database, the operator, who may try to change it, and a keyring of its own."""

from collections.abc import AsyncGenerator
from pathlib import Path

import asyncpg
import pytest

from corral.audit.trail import AuditTrail
from corral.database.embedded.instance import EmbeddedDatabase
from corral.vault import Vault, make_keyring
from tests.access import owner_of
from tests.conftest import Service
from tests.log_lines import LogSince


@pytest.fixture
async def owner(postgres: EmbeddedDatabase) -> AsyncGenerator[asyncpg.Connection]:
    async with owner_of(postgres) as connection:
        yield connection


@pytest.fixture
async def trail(service: Service) -> AsyncGenerator[AuditTrail]:
    """Of its own, as in another process."""
    trail = AuditTrail(service.resources.database, service.resources.vault)
    yield trail
    await trail.close()


@pytest.fixture(scope="session")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Vault:
    return Vault(make_keyring(tmp_path_factory.mktemp("audit") / "keyring.json"))


@pytest.fixture
def log(log_file: Path) -> LogSince:
    return LogSince(log_file)
