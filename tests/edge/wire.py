"""A served application, and a client that sends exactly the given bytes."""

import asyncio
import io
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from corral.edge.certificate import ServedCertificate
from corral.edge.connection import Limits
from corral.edge.middleware import ASGIApp, Edge
from corral.edge.server import reserve_port, serve_http

PUBLIC_URL = "https://corral.example.com"
CANARY = "canary-3f9a7c"


@dataclass
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        return orjson.loads(self.body)


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()

    async def response(self) -> Response:
        async with asyncio.timeout(3):
            head = await self.reader.readuntil(b"\r\n\r\n")
            status_line, *lines = head.decode("latin-1").split("\r\n")[:-2]
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Response(int(status_line.split()[1]), headers, body)

    async def rest(self) -> bytes:
        """Whatever else comes until the server closes."""
        async with asyncio.timeout(3):
            return await self.reader.read()


@dataclass
class Served:
    port: int
    log: io.BytesIO
    stop: Callable[[], None]
    drain: Callable[[], None]
    trust: ssl.SSLContext | None = None
    clients: list[Client] = field(default_factory=list[Client])

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port, ssl=self.trust))
        self.clients.append(client)
        return client

    async def ask(self, raw: bytes) -> Response:
        client = await self.connect()
        await client.send(raw)
        return await client.response()

    def lines(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.log.getvalue().splitlines()]


@asynccontextmanager
async def served(
    app: ASGIApp,
    log: io.BytesIO,
    *,
    limits: Limits | None = None,
    grace_seconds: float = 2,
    certificate: ServedCertificate | None = None,
    trust: ssl.SSLContext | None = None,
) -> AsyncGenerator[Served]:
    """Serves `Edge(app)` on a free port until the block ends. With `certificate` over TLS, which clients `trust`."""
    stop, draining, ready = asyncio.Event(), asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        serve_http(
            Edge(app, public_url=PUBLIC_URL),
            listener=reserve_port("127.0.0.1", 0),
            ready=ready.set_result,
            grace_seconds=grace_seconds,
            draining=draining,
            stop=stop,
            limits=limits or Limits(),
            certificate=certificate,
        )
    )
    await asyncio.wait([serving, ready], return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()
    running = Served(int(ready.result().rpartition(":")[2]), log, stop.set, draining.set, trust)
    try:
        yield running
    finally:
        for client in running.clients:
            client.writer.close()
        stop.set()
        await serving


def request(method: str, target: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: corral.example.com", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
