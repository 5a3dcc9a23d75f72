"""An audit trail on the run's database, and the operator, who may try to change it."""

from collections.abc import AsyncGenerator

import asyncpg
import pytest

from corral.audit.trail import AuditTrail
from corral.database.embedded.instance import EmbeddedDatabase
from tests.access import owner_of
from tests.conftest import Service


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
