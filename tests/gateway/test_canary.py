"""An upstream that echoes whatever it is sent, in every way to write it: the account's keys stay inside."""

import asyncio
import html
from base64 import b64encode, urlsafe_b64encode
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

import asyncpg
import orjson
import pytest
from aiohttp import ClientError, ClientSession

from tests.conftest import Service, StartService
from tests.gateway.conftest import LIMIT_ORDER, Json, key_headers
from tests.grants.conftest import GrantOwner
from tests.journeys.canary import canary_scan, new_canary
from tests.log_lines import LogSince

WAYS: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda sent: sent,
    "in capitals": bytes.upper,
    "in small letters": bytes.lower,
    "in JSON": lambda sent: orjson.dumps({"message": sent.decode()}),
    "in hexadecimal": lambda sent: sent.hex().encode(),
    "in capital hexadecimal": lambda sent: sent.hex().upper().encode(),
    "escaped as in JSON": lambda sent: b"".join(b"\\u%04x" % byte for byte in sent),
    "escaped as in a URL": lambda sent: b"".join(b"%%%02X" % byte for byte in sent),
    "escaped as in HTML": lambda sent: b"".join(b"&#%d;" % byte for byte in sent),
    "escaped as in HTML, hexadecimal": lambda sent: b"".join(b"&#x%x;" % byte for byte in sent),
    "escaped where HTML needs it": lambda sent: html.escape(sent.decode()).encode(),
    "as UTF-16": lambda sent: sent.decode().encode("utf-16-le"),
    "as UTF-16, big end first": lambda sent: sent.decode().encode("utf-16-be"),
    **{f"in base64, {n} bytes on": lambda sent, n=n: b64encode(b"x" * n + sent) for n in range(3)},
    **{f"in URL-safe base64, {n} bytes on": lambda sent, n=n: urlsafe_b64encode(b"x" * n + sent) for n in range(3)},
}
STATUSES = ("200 OK", "302 Found", "401 No", "403 No", "422 No", "429 Wait", "500 Broken")
CALLS: list[tuple[str, str, Json | None]] = [
    ("GET", "/alpaca/v2/account", None),
    ("GET", "/alpaca/data/v2/stocks/AAPL/bars", None),
    ("POST", "/alpaca/v2/orders", LIMIT_ORDER),
    ("DELETE", "/alpaca/v2/positions", None),
    ("POST", "/alpaca/v2/watchlists", {"name": "mine"}),
]


@dataclass
class Echo:
    """Answers with the request itself: in the body, in headers, and in the first line."""

    way: Callable[[bytes], bytes] = WAYS["as it is"]
    status: str = "200 OK"
    is_long: bool = False
    url: str = ""
    echoed: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list[asyncio.StreamWriter])

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        sent = await reader.read(65_536)  # each request is on a connection of its own, and small
        one_line = b" ".join(sent.split())
        body = (b"1," * 200_000 if self.is_long else b"") + self.way(sent)
        first_line = b"HTTP/1.1 %b %b\r\n" % (self.status.encode(), one_line)
        headers = b"X-Echo: %b\r\nX-Request-ID: %b\r\nLocation: /%b\r\n" % (one_line, one_line, one_line)
        kept = b"Content-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
        writer.write(first_line + headers + kept + body)
        self.echoed += b"sandbox-secret" in sent
        writer.close()


@pytest.fixture
async def echo() -> AsyncGenerator[Echo]:
    echo = Echo()
    server = await asyncio.start_server(echo.accept, "127.0.0.1", 0)
    echo.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield echo
    server.close()
    for writer in echo.writers:
        writer.close()


@pytest.fixture
async def through(start_service: StartService, echo: Echo) -> AsyncGenerator[Service]:
    elsewhere = {"alpaca_live_url": f"{echo.url}/live", "alpaca_data_url": f"{echo.url}/data"}
    async with start_service(alpaca_paper_url=echo.url, **elsewhere, upstream_timeout_seconds=8) as other:
        yield other


@dataclass
class Program:
    """Calls the gateway and keeps every byte that comes back."""

    client: ClientSession
    heard: bytearray = field(default_factory=bytearray)
    statuses: set[int] = field(default_factory=set[int])

    async def call(self, method: str, path: str, body: Json | None) -> None:
        try:
            async with self.client.request(method, path, json=body, allow_redirects=False) as answer:
                self.statuses.add(answer.status)
                self.heard += b"".join(name + value for name, value in answer.raw_headers)
                async for part in answer.content.iter_any():
                    self.heard += part
        except ClientError:
            pass  # cut off where a key began


@pytest.mark.parametrize("status", STATUSES)
async def test_an_upstream_that_echoes_its_request_tells_no_program_the_keys(
    status: str, echo: Echo, through: Service, carol: GrantOwner, owner: asyncpg.Connection, log: LogSince
) -> None:
    canary, control = new_canary(), new_canary()
    grant = await carol.grant(await carol.account(canary, nickname=control), access="trade")
    echo.status = status
    async with ClientSession(through.url, headers=key_headers(grant)) as client:
        program = Program(client)
        for echo.way in WAYS.values():
            for method, path, body in CALLS:
                await program.call(method, path, body)
        if status == "200 OK":
            echo.is_long = True
            for echo.way in WAYS.values():
                await program.call(*CALLS[1])
    is_waiting = status.startswith("429")  # after the first of them, nothing is asked any more
    assert echo.echoed >= (2 if is_waiting else len(CALLS) * len(WAYS))
    assert program.statuses <= {429, 500, 502, *([200] if echo.is_long else [])}
    assert canary_scan(canary, bytes(program.heard)) == set()
    assert canary_scan(canary, log.text().encode()) == set()
    rows = await _all_rows(owner)
    assert canary_scan(canary, rows) == set()
    assert canary_scan(control, rows), "what is in a row is found"


async def _all_rows(owner: asyncpg.Connection) -> bytes:
    """Everything that is stored, as text; bytes are hexadecimal."""
    tables = await owner.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'corral'")
    rows = [await owner.fetch(f"SELECT t::text AS row FROM corral.{table} t") for (table,) in tables]
    return "\n".join(row["row"] for found in rows for row in found).encode()
