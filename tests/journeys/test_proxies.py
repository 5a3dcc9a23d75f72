"""Two replicas behind the proxies of the deployment page, configured as it is printed there."""

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError

from tests.journeys.program import Running, free_port, running
from tests.journeys.proxies import Proxy, haproxy, nginx
from tests.journeys.visits import ALPACAS_CLIENT, Visitor, visiting
from tests.machine import HAPROXY, NGINX, OPENSSL

pytestmark = OPENSSL.mark
# Addresses of clients: not that of the proxy, which is trusted.
_ONE_PLACE, _OTHER_PLACE = "127.0.0.11", "127.0.0.12"


@asynccontextmanager
async def two_replicas(proxy: Proxy, settings: dict[str, Any]) -> AsyncGenerator[list[Running]]:
    shared = settings | {"public_url": proxy.url, "trusted_proxies": "127.0.0.1", "drain_seconds": 3}
    first, second = ({**shared, "port": port} for port in proxy.replicas)
    async with running("serve", **first) as one, running("serve", **second) as two:
        await one.url()
        await two.url()
        yield [one, two]


@ALPACAS_CLIENT
@pytest.mark.parametrize(
    "proxied",
    [pytest.param(haproxy, marks=HAPROXY.mark), pytest.param(nginx, marks=NGINX.mark)],
    ids=lambda it: it.__name__,
)
async def test_everything_works_behind_the_printed_proxy_and_one_replica_may_stop_or_die(
    proxied: Callable[[Proxy], AbstractAsyncContextManager[Running]],
    folder: Path,
    against_sandbox: dict[str, str],
    on_the_runs_database: dict[str, str],
) -> None:
    settings = against_sandbox | on_the_runs_database
    proxy = Proxy(folder / "proxy", [free_port(), free_port()])
    async with (
        two_replicas(proxy, settings) as replicas,
        proxied(proxy),
        visiting(proxy.url, proxy.trust, settings, source=_ONE_PLACE) as visitor,
    ):
        await visitor.hear_events()
        await visitor.trade()
        await visitor.ask_at_length()
        await only_the_real_address_counts(visitor, proxy, settings)
        await requests_go_on(visitor, replicas)


async def only_the_real_address_counts(visitor: Visitor, proxy: Proxy, settings: dict[str, Any]) -> None:
    """A grant for one address, from there, and from elsewhere with a header that says so."""
    networks = [f"{_OTHER_PLACE}/32"]
    async with visiting(proxy.url, proxy.trust, settings, source=_OTHER_PLACE, networks=networks) as limited:
        forged = {"X-Forwarded-For": _OTHER_PLACE, "Forwarded": f"for={_OTHER_PLACE}", "X-Real-IP": _OTHER_PLACE}
        assert await limited.status_of("/alpaca/v2/account", **limited.keys) == 200
        assert await visitor.status_of("/alpaca/v2/account", **limited.keys, **forged) in {401, 403}


async def requests_go_on(visitor: Visitor, replicas: list[Running]) -> None:
    """The one that drains, and the one that is killed, is the one that serves this client: the other takes over."""
    serving = await serving_one(visitor, replicas)
    statuses: list[int] = []
    asking = asyncio.ensure_future(ask_on(visitor, statuses))
    serving.process.send_signal(signal.SIGTERM)
    assert await serving.ends() == 0
    await more_of(statuses)
    asking.cancel()
    assert set(statuses) == {200}, statuses


async def serving_one(visitor: Visitor, replicas: list[Running]) -> Running:
    before = [replica.err.count('"/api/me"') for replica in replicas]
    for _ in range(3):
        assert await visitor.status_of("/api/me") == 200
    found = [replica for replica, count in zip(replicas, before, strict=True) if replica.err.count('"/api/me"') > count]
    assert len(found) == 1, "one client, one replica"
    return found[0]


async def ask_on(visitor: Visitor, statuses: list[int]) -> None:
    while True:
        try:
            statuses.append(await visitor.status_of("/api/me"))
        except ClientError:
            statuses.append(0)
        await asyncio.sleep(0.02)


async def more_of(statuses: list[int]) -> None:
    known = len(statuses)
    while len(statuses) < known + 20:  # noqa: ASYNC110 - a plain list
        await asyncio.sleep(0.02)
