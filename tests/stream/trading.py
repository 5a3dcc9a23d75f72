"""A user who trades at the sandbox, independently of Corral."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from aiohttp import ClientSession

from corral_sandbox import Sandbox, secret_of
from tests.people import paper_key
from tests.stream.sse_client import Event

Json = dict[str, Any]

MONEY_TO_TRADE_WITH = 20_000


@dataclass(frozen=True)
class Trader:
    client: ClientSession
    before: set[str] = field(default_factory=set[str])  # orders of an account that did not begin today

    async def order(self, **ticket: str) -> Json:
        """Buys a little Bitcoin, which fills at any hour, if nothing else is said."""
        usual = {"symbol": "BTC/USD", "qty": "0.001", "side": "buy", "type": "market", "time_in_force": "gtc"}
        async with self.client.post("v2/orders", json=usual | ticket) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def rest(self, **ticket: str) -> Json:
        """An order that stays open, because its limit price is too low."""
        return await self.order(**({"type": "limit", "limit_price": "1000"} | ticket))

    async def cancel(self, order: Json) -> None:
        async with self.client.delete(f"v2/orders/{order['id']}") as answer:
            assert answer.status == 204, await answer.text()

    async def orders(self) -> dict[str, Json]:
        """Those that this trader has placed."""
        return {order_id: order for order_id, order in (await self.all_orders()).items() if order_id not in self.before}

    async def all_orders(self) -> dict[str, Json]:
        async with self.client.get("v2/orders", params={"status": "all", "limit": "500"}) as answer:
            return {order["id"]: order for order in await answer.json()}


_RESTRICTIONS = ("trading_blocked", "account_blocked", "transfers_blocked", "trade_suspended_by_user")


async def trading_key(sandbox: Sandbox) -> str:
    """A pair of keys whose account may trade and has money for it: what an account is like follows from its key."""
    while True:
        key_id = paper_key()
        async with trader(sandbox, key_id) as somebody, somebody.client.get("v2/account") as answer:
            account = await answer.json()
        is_barred = any(account[flag] for flag in _RESTRICTIONS)
        if not is_barred and Decimal(account["non_marginable_buying_power"]) > MONEY_TO_TRADE_WITH:
            return key_id


@asynccontextmanager
async def trader(sandbox: Sandbox, key_id: str) -> AsyncGenerator[Trader]:
    headers = {"APCA-API-KEY-ID": key_id, "APCA-API-SECRET-KEY": secret_of(key_id)}
    async with ClientSession(f"{sandbox.paper_url}/", headers=headers) as client:
        somebody = Trader(client)
        somebody.before.update(await somebody.all_orders())
        yield somebody


class Hearer(Protocol):
    def of(self, kind: str, **fields: object) -> list[Event]: ...


def filled_by_order(sse: Hearer, credential_id: str) -> dict[str, Decimal]:
    """By order, what all events together say was filled."""
    sums: dict[str, Decimal] = {}
    for event in sse.of("order", credential_id=credential_id):
        order_id = event.data["id"]
        before = Decimal(0) if event.data["event"] == "state" else sums.get(order_id, Decimal(0))
        sums[order_id] = before + Decimal(event.data["filled_since"])
    return sums


def filled(orders: dict[str, Json]) -> dict[str, Decimal]:
    return {order_id: Decimal(order["filled_qty"]) for order_id, order in orders.items()}
