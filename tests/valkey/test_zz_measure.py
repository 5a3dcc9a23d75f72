"""Three real processes, one sandbox: burst of 320, and the owner's own program at one a second while three watch."""

import asyncio, sys, tempfile, os, time, json, secrets
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from aiohttp import ClientSession
import pytest
from tests.conftest import *
from tests.journeys.conftest import against_sandbox, on_the_runs_database
from tests.journeys.program import running, free_port
from tests.people import paper_key, key_pair
from tests.valkey.servers import Server
from corral_sandbox import secret_of


async def statuses(sandbox, key):
    async with ClientSession(sandbox.url) as c, c.get(f"/_requests/{key}") as a:
        return Counter((i["status"]) for i in (await a.json())["items"])


@pytest.mark.parametrize("how", ["without", "with"])
async def test_measure(how, service, alice, sandbox, on_the_runs_database, against_sandbox, tmp_path):
    async with AsyncExitStack() as stack:
        more = {}
        if how == "with":
            server = stack.enter_context(Server("valkey", tmp_path / "v"))
            more["valkey_url"] = server.url
        against = {k: v for k, v in against_sandbox.items() if k != "port"} | {"cache_seconds": 1}
        procs = await asyncio.gather(
            *(stack.enter_async_context(running("serve", **on_the_runs_database, **against, **more)) for _ in range(3))
        )
        urls = [await p.url() for p in procs]
        key = paper_key()
        cred = (await alice.store(key))["id"]
        # the store was counted by the test's own service: begin with a fresh account
        h = {"Authorization": f"Bearer {alice.token}"}
        clients = [await stack.enter_async_context(ClientSession(u, headers=h)) for u in urls]
        got = Counter()

        async def ask(n):
            async with clients[n % 3].get(
                f"/api/credentials/{cred}/orders?limit={n % 80 + 1}&status={['open', 'closed', 'all', 'all'][n // 80]}{'&direction=asc' if n >= 240 else ''}"
            ) as a:
                got[a.status] += 1
                await a.read()

        t = time.perf_counter()
        await asyncio.gather(*(ask(n) for n in range(320)))
        took = time.perf_counter() - t
        await asyncio.sleep(3)
        print(f"\n{how}: burst {took:.2f} s, clients {dict(got)}, at Alpaca {dict(await statuses(sandbox, key))}")
        print([[l for l in p.err.splitlines() if "valkey" in l] for p in procs])
        # watching
        key = paper_key()
        cred = (await alice.store(key))["id"]
        before = await statuses(sandbox, key)
        own = Counter()

        async def watch(c):
            async with c.get("/api/stream") as a:
                async for _ in a.content:
                    pass

        tasks = [asyncio.ensure_future(watch(c)) for c in clients]
        async with ClientSession() as c:
            hh = {"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret_of(key)}
            for _ in range(int(os.environ.get("SECONDS_", "57"))):
                async with c.get(sandbox.paper_url + "/v2/clock", headers=hh) as a:
                    own[a.status] += 1
                await asyncio.sleep(1)
        for x in tasks:
            x.cancel()
        print(f"{how}: watching: own {dict(own)}; at Alpaca {dict(await statuses(sandbox, key) - before)}")
