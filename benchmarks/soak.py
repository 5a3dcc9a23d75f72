"""A long run with faults: `python -m benchmarks.soak [MINUTES] [SPEED]`. Exit status 1 if the sums do not fit.

Eight people trade at a sandbox whose time runs fast. Meanwhile its sockets disconnect, fall silent, lose events
and send invalid frames, its REST responses fail, and half of the readers disconnect and reconnect. At the end, the
fills of each order that each reader has received must equal those of REST exactly.
"""

import asyncio
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import orjson
import uvloop
from aiohttp import ClientError, ClientSession, ClientTimeout

from benchmarks.accounts import AccountStore, Owner
from benchmarks.processes import running
from benchmarks.servers import Order
from corral.credentials.keyring_check import open_vault
from corral.database.connection import Database
from corral.database.embedded.instance import embedded_postgres
from corral.database.migrate import apply_migrations
from corral.logs import configure_logging
from corral_sandbox import secret_of, serve_sandbox

PEOPLE = 8
FAULT_SECONDS = (1.0, 6.0)
LISTENS_SECONDS = (3.0, 20.0)
SETTLES_SECONDS = 120.0
_TICKETS = [
    {"type": "market"},
    {"type": "limit", "limit_price": "1000"},
    {"type": "limit", "limit_price": "900000"},
]
_FAULTS: list[dict[str, object]] = [
    {"path": "/stream", "stream": {"drop_after_ms": 500}},
    {"path": "/stream", "stream": {"silent_after_ms": 500}},
    {"path": "/stream", "stream": {"loses_every": 2}},
    {"path": "/stream", "stream": {"half_json": True}},
    {"path": "/stream", "stream": {"unknown_event": True}},
    {"path": "/stream", "stream": {"never_answers": True}},
    {"path": "/stream", "stream": {"text_frames": True}},
    {"path": "/v2/orders", "status": 503},
    {"path": "/v2/orders", "cut": "mid_body"},
    {"path": "/v2/account", "body_text": "{"},
    {"path": "/v2/positions", "latency_ms": 9_000},
    {"path": "/v2/positions", "rate_limited": {"retry_after": 2}},
]


@dataclass
class Reader:
    """Reads one person's stream. One that is restless hangs up now and then, and goes on with the last id."""

    person: Owner
    is_restless: bool
    last_id: str | None = None
    gaps: int = 0
    events: int = 0
    reported: dict[str, Decimal] = field(default_factory=dict[str, Decimal])
    before: set[str] = field(default_factory=set[str])  # orders that are no news

    async def read(self, client: ClientSession) -> None:
        while True:
            seconds = random.uniform(*LISTENS_SECONDS) if self.is_restless else None
            try:
                async with asyncio.timeout(seconds):
                    await self._listen(client)
            except (TimeoutError, ClientError):
                await asyncio.sleep(random.uniform(0, 1))

    async def _listen(self, client: ClientSession) -> None:
        headers = {"Authorization": f"Bearer {self.person.token}"}
        if self.last_id is not None:
            headers["Last-Event-ID"] = self.last_id
        async with client.get("/api/stream", headers=headers, timeout=ClientTimeout(total=None)) as answer:
            assert answer.status == 200, await answer.text()
            kind, event_id, data = "", "", b""
            async for line in answer.content:
                name, _, value = line.rstrip(b"\n").partition(b": ")
                if name == b"event":
                    kind = value.decode()
                elif name == b"id":
                    event_id = value.decode()
                elif name == b"data":
                    data = value
                elif not name:  # an event counts when it is whole, and not before
                    self._take(kind, data)
                    self.last_id = event_id or self.last_id
                    kind, event_id, data = "", "", b""

    def _take(self, kind: str, data: bytes) -> None:
        self.events += 1
        self.gaps += kind == "gap"
        if kind == "order":
            order = orjson.loads(data)
            before = Decimal(0) if order["event"] == "state" else self.reported.get(order["id"], Decimal(0))
            self.reported[order["id"]] = before + Decimal(order["filled_since"])


def main(minutes: float, speed: int) -> bool:
    with tempfile.TemporaryDirectory(prefix="corral-soak-") as folder:
        Path(folder).chmod(0o711)  # where we are root, the database's user has to pass
        with (Path(folder) / "log").open("ab") as stream:
            configure_logging("json", stream)
            return uvloop.run(_soak(Path(folder), minutes, speed))


async def _soak(folder: Path, minutes: float, speed: int) -> bool:
    data_dir = folder / "data"
    async with (
        embedded_postgres(data_dir) as embedded,
        serve_sandbox(port=0, speed=speed, rate_limit_per_minute=0, characters=True) as sandbox,
        running("benchmarks.servers", log=folder / "log") as corral,
    ):
        await apply_migrations(embedded.dsn("corral_owner"))
        async with Database.open(embedded.dsn("corral_app")) as database:
            desk = AccountStore(database, await open_vault(database, data_dir / "keyring.json"))
            people = [await desk.store_person(1) for _ in range(PEOPLE)]
        order = Order(
            kind="corral",
            database_url=embedded.dsn("corral_app"),
            data_dir=data_dir,
            sandbox_url=sandbox.url,
            cache_seconds=1,
        )
        url = await corral.ask(order.model_dump_json())
        readers = [Reader(person, is_restless) for person in people for is_restless in (False, True)]
        async with ClientSession(url) as client, ClientSession(f"{sandbox.url}/") as broker:
            reading = [asyncio.create_task(reader.read(client)) for reader in readers]
            await asyncio.sleep(5)
            for reader in readers:
                reader.before = {order["id"] for order in await _all_orders(broker, reader.person)}
            orders = await _trade(broker, people, until=time.monotonic() + 60 * minutes)
            is_right = await _compare(broker, readers)
            for task in reading:
                task.cancel()
            await asyncio.gather(*reading, return_exceptions=True)
    events, gaps = sum(reader.events for reader in readers), sum(reader.gaps for reader in readers)
    print(f"{orders} orders of {PEOPLE} people, {events} events to {len(readers)} readers, {gaps} gaps")
    return is_right


async def _trade(broker: ClientSession, people: list[Owner], *, until: float) -> int:
    breaking = asyncio.create_task(_break_things(broker, people))
    try:
        return sum(await asyncio.gather(*(_trade_as(broker, person, until) for person in people)))
    finally:
        breaking.cancel()
        await asyncio.gather(breaking, return_exceptions=True)
        await (await broker.delete("_faults")).read()


async def _trade_as(broker: ClientSession, person: Owner, until: float) -> int:
    placed = 0
    while time.monotonic() < until:
        ticket = {"symbol": "BTC/USD", "side": "buy", "time_in_force": "gtc"} | random.choice(_TICKETS)
        ticket["qty"] = f"0.000{random.randint(1, 9)}"
        order = await _place(broker, person, ticket)
        placed += order is not None
        await asyncio.sleep(random.uniform(0, 1))
        if order is not None and random.random() < 0.5:
            await (await broker.delete(f"paper/v2/orders/{order['id']}", headers=_keys(person))).read()
    return placed


async def _place(broker: ClientSession, person: Owner, ticket: dict[str, str]) -> dict[str, str] | None:
    """None for one that was not taken, or of which a fault has hidden whether it was."""
    try:
        async with broker.post("paper/v2/orders", json=ticket, headers=_keys(person)) as answer:
            return await answer.json(content_type=None) if answer.status == 200 else None
    except ClientError:
        return None


async def _break_things(broker: ClientSession, people: list[Owner]) -> None:
    while True:
        chosen = random.sample(people, k=len(people) // 2)
        faults = [{"key_id": person.key_ids[0], **random.choice(_FAULTS)} for person in chosen]
        async with broker.put("_faults", json={"faults": faults}) as answer:
            assert answer.status == 200, await answer.text()
        await asyncio.sleep(random.uniform(*FAULT_SECONDS))


async def _compare(broker: ClientSession, readers: list[Reader]) -> bool:
    """Waits for what is still under way, then says for each reader what does not fit."""
    until = time.monotonic() + SETTLES_SECONDS
    while True:
        wrong = [await _differences(broker, reader) for reader in readers]
        if not any(wrong) or time.monotonic() > until:
            break
        await asyncio.sleep(2)
    for reader, differences in zip(readers, wrong, strict=True):
        if differences:
            print(f"{reader.person.key_ids[0]} ({'restless' if reader.is_restless else 'steady'}): {differences[:5]}")
    return not any(wrong)


async def _differences(broker: ClientSession, reader: Reader) -> list[str]:
    orders = await _all_orders(broker, reader.person)
    truth = {order["id"]: Decimal(order["filled_qty"]) for order in orders if order["id"] not in reader.before}
    return [f"{order_id}: told {reader.reported.get(order_id)}, filled {filled}"
            for order_id, filled in truth.items() if reader.reported.get(order_id) != filled]  # fmt: skip


async def _all_orders(broker: ClientSession, person: Owner) -> list[dict[str, str]]:
    orders: list[dict[str, str]] = []
    while True:
        query = {"status": "all", "limit": "500"} | ({"before_order_id": orders[-1]["id"]} if orders else {})
        async with broker.get("paper/v2/orders", params=query, headers=_keys(person)) as answer:
            page = await answer.json()
        orders += page
        if len(page) < 500:
            return orders


def _keys(person: Owner) -> dict[str, str]:
    (key_id,) = person.key_ids
    return {"APCA-API-KEY-ID": key_id, "APCA-API-SECRET-KEY": secret_of(key_id)}


if __name__ == "__main__":
    arguments = sys.argv[1:] + ["10", "60"][len(sys.argv) - 1 :]
    sys.exit(0 if main(float(arguments[0]), int(arguments[1])) else 1)
