"""Somebody who uses all of Corral from outside: pages' calls, the stream of events, and a program with a grant."""

import asyncio
import secrets
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import ClientSession, ClientTimeout, CookieJar, TCPConnector

from tests.journeys.program import PATIENCE, corral_reading
from tests.people import key_pair, paper_key
from tests.sdk_streams import running

ALPACAS_CLIENT = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a part of websockets that it uses
_PASSWORD = "correct horse battery staple"
_COIN = {"symbol": "BTC/USD", "side": "buy", "type": "limit", "qty": "0.001", "limit_price": "1000"}  # at any hour
_LONGEST_QUERY = 16 * 1024 - 200


@dataclass(frozen=True, slots=True)
class Visitor:
    """`page` is signed in by cookie and keeps it. `grant` is with access to trade. All comes from `source`."""

    url: str
    trust: ssl.SSLContext
    page: ClientSession
    source: str
    grant: dict[str, Any]

    @property
    def keys(self) -> dict[str, str]:
        return {"APCA-API-KEY-ID": self.grant["key_id"], "APCA-API-SECRET-KEY": self.grant["secret_key"]}

    async def status_of(self, path: str, **headers: str) -> int:
        async with self.page.get(path, headers=headers) as answer:
            await answer.read()
            return answer.status

    async def hear_events(self) -> None:
        """Returns as soon as the account's data came over the stream of events, which nothing held back."""
        async with self.page.get("/api/stream") as answer:
            assert answer.status == 200, await answer.text()
            await answer.content.readuntil(b"event: account-data")

    async def trade(self) -> None:
        """Alpaca's own client hears of an order that is placed through the gateway."""
        from alpaca.trading.stream import TradingStream

        heard: asyncio.Queue[Any] = asyncio.Queue()
        url = f"{self.url.replace('https', 'wss', 1)}/alpaca/stream"
        parameters = {"ssl": self.trust, "local_addr": (self.source, 0)}
        keys = self.grant["key_id"], self.grant["secret_key"]
        stream: Any = TradingStream(*keys, url_override=url, websocket_params=parameters)
        stream.subscribe_trade_updates(heard.put)
        async with running(stream):
            await self._until_heard(heard)

    async def _until_heard(self, heard: "asyncio.Queue[Any]") -> None:
        """Places orders, as nothing says when the client has begun to listen."""
        placed: set[str] = set()
        async with asyncio.timeout(PATIENCE / 2):
            while True:
                placed.add((await self.order())["id"])
                with suppress(TimeoutError):
                    async with asyncio.timeout(2):
                        while str((await heard.get()).order.id) not in placed:
                            pass
                        return

    async def order(self) -> dict[str, Any]:
        async with self.page.post(
            "/alpaca/v2/orders", json=_COIN | {"time_in_force": "gtc"}, headers=self.keys
        ) as placed:
            assert placed.status == 200, await placed.text()
            return await placed.json()

    async def ask_at_length(self) -> None:
        """An address of almost 16 KiB, which is what the gateway takes."""
        symbols = ",".join(["AAPL"] * (_LONGEST_QUERY // 5))
        async with self.page.get(f"/alpaca/v2/orders?symbols={symbols}", headers=self.keys) as answer:
            assert answer.status == 200, await answer.text()


@asynccontextmanager
async def visiting(
    url: str, trust: ssl.SSLContext, settings: dict[str, Any], *, source: str = "127.0.0.1", **grant: object
) -> AsyncGenerator[Visitor]:
    """Adds a person with an account and a grant. `settings` are those of the service; they come from `source`."""
    email = f"visitor-{secrets.token_hex(6)}@corral.example"
    added = await corral_reading(f"{_PASSWORD}\n", "users", "add", email, "--password-stdin", **settings)
    assert added.status == 0, added
    connector = TCPConnector(ssl=trust, local_addr=(source, 0))
    jar, timeout = CookieJar(unsafe=True), ClientTimeout(total=PATIENCE)
    async with ClientSession(
        url, connector=connector, cookie_jar=jar, timeout=timeout, headers={"Origin": url}
    ) as page:
        async with page.post("/api/session", json={"email": email, "password": _PASSWORD}) as answer:
            assert answer.status == 200, await answer.text()
            assert "Secure" in answer.headers["Set-Cookie"]
        key_id = paper_key()
        async with ClientSession(settings["alpaca_data_url"]) as broker, broker.put(f"/_accounts/{key_id}", json={}):
            pass  # an account without restrictions
        async with page.post("/api/credentials", json={"nickname": "mine", **key_pair(key_id)}) as answer:
            assert answer.status == 201, await answer.text()
            credential_id = (await answer.json())["id"]
        body = {"name": "bot", "access": "trade", **grant}
        async with page.post(f"/api/credentials/{credential_id}/grants", json=body) as answer:
            assert answer.status == 201, await answer.text()
            yield Visitor(url, trust, page, source, await answer.json())
