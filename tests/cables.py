"""A cable between a program and a server, which can be pulled or cut: as when a part of the network fails."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final, Self, final

from corral.database.embedded.instance import EmbeddedDatabase

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@final
class Cable:
    """What programs connect to in the server's place is a port of this machine."""

    def __init__(self, connect: Callable[[], Awaitable[Streams]]) -> None:
        """`connect` opens a connection to the server."""
        self.port = 0
        self._connect: Final = connect
        self._is_whole = asyncio.Event()
        self._is_whole.set()
        self._is_cut = False
        self._carriers: set[asyncio.Task[object]] = set()

    def pull(self) -> None:
        """Nothing arrives any more, and nobody is told. What was sent arrives when it is mended."""
        self._is_whole.clear()

    def cut(self) -> None:
        """Its connections are reset, and so are new ones."""
        self._is_cut = True
        self._end_all()

    def mend(self) -> None:
        self._is_cut = False
        self._is_whole.set()

    @asynccontextmanager
    async def laid(self) -> AsyncGenerator[Self]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await asyncio.gather(*self._end_all(), return_exceptions=True)

    def _end_all(self) -> set["asyncio.Task[object]"]:
        for carrier in self._carriers:
            carrier.cancel()
        return {*self._carriers}

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        carrier = asyncio.get_running_loop().create_task(self._carry_both_ways(reader, writer))
        self._carriers.add(carrier)
        carrier.add_done_callback(self._carriers.discard)
        carrier.add_done_callback(lambda _: writer.close())  # also of one that was cancelled before it began

    async def _carry_both_ways(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        try:
            await self._is_whole.wait()
            with suppress(OSError):
                far_reader, far_writer = await self._connect()
                ends.append(far_writer)
                ways = [self._carry(reader, far_writer), self._carry(far_reader, writer)]
                tasks = [asyncio.ensure_future(way) for way in ways]
                try:
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
            for end in ends:
                end.close()
        except asyncio.CancelledError:
            for end in ends:
                end.transport.abort()
            raise

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while said := await source.read(65536):
            await self._is_whole.wait()
            target.write(said)
            await target.drain()


@asynccontextmanager
async def cable_to_port(port: int) -> AsyncGenerator[Cable]:
    async with Cable(partial(asyncio.open_connection, "127.0.0.1", port)).laid() as cable:
        yield cable


@asynccontextmanager
async def cable_to_database(postgres: EmbeddedDatabase) -> AsyncGenerator[tuple[Cable, str]]:
    """And the address by which the service's role uses the database over it."""
    socket = postgres.socket_dir / f".s.PGSQL.{postgres.port}"
    async with Cable(partial(asyncio.open_unix_connection, socket)).laid() as cable:
        yield cable, f"postgresql://corral_app@127.0.0.1:{cable.port}/corral?sslmode=disable"
