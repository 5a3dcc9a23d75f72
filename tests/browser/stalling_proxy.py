"""A TCP proxy that can stop forwarding while all connections stay open, like a network that has gone away."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


class StallingProxy:
    """`url` leads to the service. While it is stalled, nothing arrives on either side, and nothing is closed."""

    def __init__(self, target: str) -> None:
        address = urlsplit(target)
        self._host, self._port = address.hostname, address.port
        self._forwards = asyncio.Event()
        self._forwards.set()
        self.connections = 0  # that are open
        self.url = ""

    def stall(self) -> None:
        self._forwards.clear()

    def resume(self) -> None:
        self._forwards.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(OSError):
            there, back = await asyncio.open_connection(self._host, self._port)
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        self.connections -= 1

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await source.read(65_536):
                await self._forwards.wait()
                target.write(chunk)
                await target.drain()
        target.close()


@asynccontextmanager
async def stalling_proxy(target: str) -> AsyncGenerator[StallingProxy]:
    proxy = StallingProxy(target)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        proxy.resume()
        server.close()
