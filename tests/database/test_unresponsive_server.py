"""A server that takes a question and never answers, as behind a cable that was pulled."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from corral.database.connection import Database
from corral.database.embedded.instance import EmbeddedDatabase
from corral.errors import DatabaseUnavailable


class Cable:
    """Carries what is said between a client and the database, until it is pulled."""

    def __init__(self, postgres: EmbeddedDatabase) -> None:
        self._path = str(postgres.socket_dir / f".s.PGSQL.{postgres.port}")
        self._is_whole = asyncio.Event()
        self._is_whole.set()
        self._carriers: list[asyncio.Task[None]] = []

    def pull(self) -> None:
        self._is_whole.clear()

    def mend(self) -> None:
        self._is_whole.set()

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(self._path)
        self._carriers += map(asyncio.ensure_future, (self._carry(reader, far_writer), self._carry(far_reader, writer)))

    async def close(self) -> None:
        for carrier in self._carriers:
            carrier.cancel()
        await asyncio.gather(*self._carriers, return_exceptions=True)

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while said := await source.read(65536):
                await self._is_whole.wait()
                target.write(said)
        finally:
            target.close()


@asynccontextmanager
async def over_a_cable(postgres: EmbeddedDatabase) -> AsyncGenerator[tuple[Cable, str]]:
    cable = Cable(postgres)
    server = await asyncio.start_server(partial(Cable.connect, cable), "127.0.0.1", 0)
    try:
        yield cable, f"postgresql://corral_app@127.0.0.1:{server.sockets[0].getsockname()[1]}/corral?sslmode=disable"
    finally:
        server.close()
        await cable.close()


async def test_an_unresponsive_server_is_unavailable_within_a_bound_and_recovers(
    postgres: EmbeddedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("corral.database.connection._COMMAND_SECONDS", 0.3)
    async with over_a_cable(postgres) as (cable, dsn), Database.open(dsn, connections=2) as database:
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
