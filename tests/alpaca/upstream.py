"""An upstream on raw sockets that a test controls, and that records every received byte."""

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from corral.alpaca.client import AccountAnswer, AlpacaClient, open_alpaca
from corral.alpaca.environments import Environment, Hosts
from corral.alpaca.models import Account
from corral.secret import Secret

DEADLINE = 0.5
KEY_ID = "PKCANARY7Q2W9E4R6T8Y"
SECRET_KEY = "cAnArY/5uPeR+sEcReT0aLpAcA1kEy2oNe3tWo4x"
REQUEST_ID = "0123456789abcdef0123456789abcdef"

ACCOUNT: dict[str, Any] = {
    "id": "6f1c2a58-3d7e-4b9a-9c41-0e5b7d2f8a63",
    "account_number": "PA3DEMO00001",
    "status": "ACTIVE",
    "currency": "USD",
    "cash": "-23140.2",
    "equity": "103820.56",
    "last_equity": "122011.09751111286868",
    "buying_power": "262113.632",
    "multiplier": "4",
    "trading_blocked": False,
    "account_blocked": False,
    "crypto_tier": 1,
    "admin_configurations": {},
    "user_configurations": None,
}


@dataclass
class Visit:
    """One request, as the upstream sees it."""

    head: bytes
    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def hang_up(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Closes with a TCP RST instead of a FIN."""
        sock: socket.socket = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@dataclass
class Upstream:
    """Answers its n-th request with its n-th script, and every later one with the last."""

    scripts: list[Callable[[Visit], Awaitable[None]]]
    url: str = ""
    heads: list[bytes] = field(default_factory=list[bytes])
    connections: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                script = self.scripts[min(len(self.heads), len(self.scripts)) - 1]
                await script(Visit(head, len(self.heads), reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client is gone, or the test is over
        finally:
            self._tasks.discard(task)
            writer.close()

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def upstream(
    *scripts: Callable[[Visit], Awaitable[None]], tls: ssl.SSLContext | None = None
) -> AsyncGenerator[Upstream]:
    served = Upstream(list(scripts))
    server = await asyncio.start_server(served.accept, "127.0.0.1", 0, ssl=tls, backlog=512)
    host, port = server.sockets[0].getsockname()[:2]
    served.url = f"{'https' if tls else 'http'}://{host}:{port}"
    try:
        yield served
    finally:
        server.close()
        await served.stop()


def answer(
    body: bytes | dict[str, Any] = b"", status: str = "200 OK", headers: dict[str, str] | None = None
) -> Callable[[Visit], Awaitable[None]]:
    """A script: one whole answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"X-Request-ID": REQUEST_ID, "Content-Length": str(len(data))} | (headers or {})
    return raw(f"HTTP/1.1 {status}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n", data)


def raw(head: str | bytes, body: bytes = b"") -> Callable[[Visit], Awaitable[None]]:
    """A script: these bytes, whatever they are."""
    data = (head.encode() if isinstance(head, str) else head) + body

    async def script(visit: Visit) -> None:
        await visit.send(data)

    return script


def account(**changes: object) -> dict[str, Any]:
    return ACCOUNT | changes


@asynccontextmanager
async def client_of(
    url: str, *, timeout_seconds: float = DEADLINE, max_body_bytes: int = 1024 * 1024, proxy: str | None = None
) -> AsyncGenerator[AlpacaClient]:
    hosts = Hosts.from_urls(paper=url, live=f"{url}/live", data=url, proxy=proxy)
    async with open_alpaca(hosts, timeout_seconds=timeout_seconds, max_body_bytes=max_body_bytes) as client:
        yield client


async def fetch(client: AlpacaClient, *, budget_key: object = "alice") -> AccountAnswer:
    return await client.fetch_account(Environment.PAPER, Secret(KEY_ID), Secret(SECRET_KEY), budget_key=budget_key)


def opened(answer: AccountAnswer) -> Account:
    """The account, which has a balance."""
    assert isinstance(answer.account, Account)
    return answer.account


async def fetch_from(*scripts: Callable[[Visit], Awaitable[None]], timeout_seconds: float = DEADLINE) -> AccountAnswer:
    """One call to an upstream of its own."""
    async with upstream(*scripts) as served, client_of(served.url, timeout_seconds=timeout_seconds) as client:
        return await fetch(client)
