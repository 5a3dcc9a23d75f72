"""A server that takes a question and never answers, as behind a cable that was pulled."""

import asyncio

import pytest

from corral.database.connection import Database
from corral.database.embedded.instance import EmbeddedDatabase
from corral.errors import DatabaseUnavailable
from tests.cables import cable_to_database


async def test_an_unresponsive_server_is_unavailable_within_a_bound_and_recovers(
    postgres: EmbeddedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("corral.database.connection._COMMAND_SECONDS", 0.3)
    async with cable_to_database(postgres) as (cable, dsn), Database.open(dsn, connections=2) as database:
        assert await database.fetchval("SELECT 1") == 1
        cable.pull()
        with pytest.raises(DatabaseUnavailable):
            async with asyncio.timeout(30):
                await database.fetchval("SELECT 2")
        cable.mend()
        async with asyncio.timeout(30):
            while True:
                try:
                    assert await database.fetchval("SELECT 3") == 3
                except DatabaseUnavailable:
                    await asyncio.sleep(0.05)
                else:
                    break
