"""`corral health`: what a container's health check says of the server, and that it always says something."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.journeys.program import corral, free_port, running


@asynccontextmanager
async def answering(text: bytes | None) -> AsyncGenerator[int]:
    """Yields the port of a server that answers so, or never."""
    is_over = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if text is None:
            await is_over.wait()
        else:
            writer.write(text)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        is_over.set()


async def test_a_server_on_all_addresses_is_asked_on_this_machine(data: Path) -> None:
    settings = {"data_dir": data, "host": "0.0.0.0", "public_url": "https://corral.example", "port": free_port()}
    nothing = await corral("health", **settings)
    assert nothing.only_complaint.startswith(f"no server answers on 127.0.0.1, port {settings['port']} (")
    async with running("serve", **settings) as served:
        await served.says("listens on (http)")
        healthy = await corral("health", **settings)
        assert (healthy.status, healthy.out, healthy.err) == (0, "ready\n", "")


@pytest.mark.parametrize(
    ("answer", "reported"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "Corral is running but not ready: "),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "Corral is running but not ready: "),
        (b"220 mail.example ESMTP\r\n", "Corral is running but not ready: "),
        (b"", "Corral is running but not ready: "),
        (None, "no answer within 8 s on 127.0.0.1, port "),
    ],
)
async def test_anything_but_a_ready_server_is_reported(answer: bytes | None, reported: str, folder: Path) -> None:
    async with answering(answer) as port:
        asked = await corral("health", data_dir=folder, port=port)
    assert asked.only_complaint.startswith(reported)
