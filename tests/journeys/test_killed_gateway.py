"""The server is killed while orders go through it: none arrives twice, and the fate of each is in the audit trail."""

import asyncio
import random
from pathlib import Path
from typing import Any

from aiohttp import ClientError, ClientSession

from corral_sandbox import Sandbox
from tests.conftest import Faults
from tests.journeys.clusters import ExternalPostgres
from tests.journeys.program import PATIENCE, corral, running
from tests.people import key_pair, paper_key

KILLS = 5
ORDERS = 6
ORDER = {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "limit", "limit_price": "1", "time_in_force": "gtc"}
AN_HOUR_PASSES = """
UPDATE corral.audit_pending SET begun_at = begun_at - interval '1 hour';
UPDATE corral.audit_processes SET last_seen_at = last_seen_at - interval '1 hour'
"""

Json = dict[str, Any]


async def send_until_gone(client: ClientSession, name: str, answers: dict[str, int]) -> None:
    for number in range(100):
        order_id = f"{name}-{number}"
        answers[order_id] = 0
        async with client.post("/alpaca/v2/orders", json={**ORDER, "client_order_id": order_id}) as answer:
            answers[order_id] = answer.status


async def one_accepted(answers: dict[str, int]) -> None:
    """However slow the machine is, some orders come through before the first kill."""
    async with asyncio.timeout(PATIENCE):
        while 200 not in answers.values():  # noqa: ASYNC110 - another task's answers
            await asyncio.sleep(0.01)


async def entries_of(client: ClientSession) -> list[Json]:
    entries, asked = list[Json](), {"action": "order.submit", "limit": "100"}
    while True:
        async with client.get("/api/audit", params=asked) as answer:
            assert answer.status == 200, await answer.text()
            page = await answer.json()
        entries += page["items"]
        if page["next_cursor"] is None:
            return entries
        asked["after"] = page["next_cursor"]


async def test_no_order_arrives_twice_and_none_without_an_entry(
    external: ExternalPostgres, folder: Path, against_sandbox: dict[str, str], sandbox: Sandbox, faults: Faults
) -> None:
    database = {"database_url": external.dsn("corral_app"), "database_owner_url": external.dsn("corral_owner")}
    settings = {**against_sandbox, **database, "data_dir": folder / "data", "upstream_timeout_seconds": "2"}
    added = await corral("users", "add", "alice@corral.example", **settings)
    assert added.status == 0, added
    scopes = [f"--scope={scope}" for scope in ("credentials:write", "grants:write", "audit:read")]
    token = (await corral("tokens", "create", "alice@corral.example", "--name=x", *scopes, **settings)).out.strip()
    key_id, grant = paper_key(), dict[str, str]()
    answers = dict[str, int]()
    await faults.set(key_id, method="POST", path="/v2/orders", latency_ms=30)
    for round_ in range(KILLS):
        async with running("serve", **settings) as server:
            url = await server.url()
            if not grant:
                grant = await grant_of(url, token, key_id)
            async with ClientSession(url, headers=grant) as client:
                talkers = [
                    asyncio.create_task(send_until_gone(client, f"{round_}-{number}", answers))
                    for number in range(ORDERS)
                ]
                if round_ == 0:
                    await one_accepted(answers)
                await asyncio.sleep(random.uniform(0.05, 0.5))
                server.process.kill()
                await server.ends()
                ended = await asyncio.gather(*talkers, return_exceptions=True)
            assert all(one is None or isinstance(one, ClientError) for one in ended), ended
    await external.execute(AN_HOUR_PASSES)
    reader = {"Authorization": f"Bearer {token}"}
    async with running("serve", **settings) as server, ClientSession(await server.url(), headers=reader) as client:
        entries = await entries_of(client)
    judge(answers, await orders_sent(sandbox, key_id), entries)
    verified = await corral("audit", "verify", **settings)
    assert verified.status == 0, verified


async def grant_of(url: str, token: str, key_id: str) -> dict[str, str]:
    async with ClientSession(url, headers={"Authorization": f"Bearer {token}"}) as client:
        async with client.post("/api/credentials", json={"nickname": "mine", **key_pair(key_id)}) as answer:
            assert answer.status == 201, await answer.text()
            path = f"/api/credentials/{(await answer.json())['id']}/grants"
        async with client.post(path, json={"name": "bot", "access": "trade"}) as answer:
            assert answer.status == 201, await answer.text()
            made = await answer.json()
    return {"APCA-API-KEY-ID": made["key_id"], "APCA-API-SECRET-KEY": made["secret_key"]}


async def orders_sent(sandbox: Sandbox, key_id: str) -> list[str]:
    """The client order ids that the broker received, as often as it did."""
    sent, after = list[str](), 0
    async with ClientSession(sandbox.url) as client:
        while True:
            async with client.get(f"/_requests/{key_id}?after={after}") as answer:
                items = (await answer.json())["items"]
            if not items:
                return sent
            after = items[-1]["n"]
            sent += [item["body"]["client_order_id"] for item in items if item["method"] == "POST"]


def judge(answers: dict[str, int], sent: list[str], entries: list[Json]) -> None:
    assert len(sent) == len(set(sent)), "an order arrived twice"
    begun = {entry["details"]["client_order_id"]: entry["seq"] for entry in entries if entry["result"] == "begun"}
    fates = {entry["concludes"]: entry["result"] for entry in entries if entry["result"] != "begun"}
    assert set(sent) <= begun.keys(), "an order arrived that was not written down"
    assert set(fates) == set(begun.values()), "each has one fate"
    accepted = {order_id for order_id, status in answers.items() if status == 200}
    assert accepted <= set(sent)
    assert accepted, "the server accepted orders before it was killed"
    for order_id, seq in begun.items():
        if fates[seq] == "done":
            assert order_id in sent
        if order_id in sent:
            assert fates[seq] in {"done", "unknown"}
