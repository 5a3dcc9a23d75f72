"""The operator, who may write whatever they like into the database."""

from collections.abc import AsyncGenerator

import asyncpg
import pytest

from corral.database.embedded.instance import EmbeddedDatabase
from tests.access import owner_of


@pytest.fixture
async def owner(postgres: EmbeddedDatabase) -> AsyncGenerator[asyncpg.Connection]:
    async with owner_of(postgres) as connection:
        yield connection
