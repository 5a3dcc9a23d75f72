"""Two replicas behind the proxies of the deployment page, configured as it is printed there."""

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError

from tests.journeys.program import PATIENCE, Running, free_port, running
from tests.journeys.proxies import Proxy, caddy, haproxy, nginx
from tests.journeys.visits import ALPACAS_CLIENT, Visitor, visiting
from tests.machine import CADDY, HAPROXY, NGINX, OPENSSL

pytestmark = OPENSSL.mark
# Addresses of clients: not that of the proxy, which is trusted.
_ONE_PLACE, _OTHER_PLACE = "127.0.0.11", "127.0.0.12"


@dataclass(frozen=True, slots=True)
class Site:
    proxy: Proxy
    settings: dict[str, Any]

    def replica(self, number: int) -> AbstractAsyncContextManager[Running]:
        own = {"public_url": self.proxy.url, "trusted_proxies": "127.0.0.1", "port": self.proxy.replicas[number]}
        return running("serve", **self.settings | own | {"drain_seconds": 3})


@ALPACAS_CLIENT
@pytest.mark.parametrize(
    "proxied",
    [
        pytest.param(haproxy, marks=HAPROXY.mark),
        pytest.param(nginx, marks=NGINX.mark),
        pytest.param(caddy, marks=CADDY.mark),
    ],
    ids=lambda proxied: proxied.__name__,
)
async def test_everything_works_behind_the_printed_proxy_and_one_replica_may_stop_or_die(
    proxied: Callable[[Proxy], AbstractAsyncContextManager[Running]],
    folder: Path,
    against_sandbox: dict[str, str],
    on_the_runs_database: dict[str, str],
) -> None:
    site = Site(Proxy(folder / "proxy", [free_port(), free_port()]), against_sandbox | on_the_runs_database)
    async with site.replica(0) as one, site.replica(1) as two:
        await asyncio.gather(one.url(), two.url())
        async with (
            proxied(site.proxy),
            visiting(site.proxy.url, site.proxy.trust, site.settings, source=_ONE_PLACE) as visitor,
        ):
            await visitor.hear_events()
            await visitor.trade()
            await visitor.ask_at_length()
            await only_the_real_address_counts(visitor, site)
            await one_after_the_other_ends(visitor, [one, two], site)


async def only_the_real_address_counts(visitor: Visitor, site: Site) -> None:
    """A grant for one address, from there, and from elsewhere with headers that say so."""
    networks = [f"{_OTHER_PLACE}/32"]
    async with visiting(
        site.proxy.url, site.proxy.trust, site.settings, source=_OTHER_PLACE, networks=networks
    ) as limited:
        forged = {"X-Forwarded-For": _OTHER_PLACE, "Forwarded": f"for={_OTHER_PLACE}", "X-Real-IP": _OTHER_PLACE}
        assert await limited.status_of("/alpaca/v2/account", **limited.keys) == 200
        assert await visitor.status_of("/alpaca/v2/account", **limited.keys, **forged) in {401, 403}


async def one_after_the_other_ends(visitor: Visitor, replicas: list[Running], site: Site) -> None:
    """It is always the one that serves this client that ends, so the other has to take over."""
    drained = await serving_one(visitor, replicas)
    async with asking(visitor) as statuses:
        drained.process.send_signal(signal.SIGTERM)
        assert await drained.ends() == 0
        await more_of(statuses)
    assert set(statuses) == {200}, "a replica that stops in order costs nobody a request"
    other = replicas[1 - replicas.index(drained)]
    async with site.replica(replicas.index(drained)) as again:
        await again.url()
        async with asyncio.timeout(PATIENCE):
            while await serving_one(visitor, [again, other]) is not again:  # noqa: ASYNC110 - the proxy has to see it
                await asyncio.sleep(0.2)
        async with asking(visitor) as statuses:
            await more_of(statuses)
            again.process.kill()
            await again.ends()
            await more_of(statuses)
        # One request is under way, and one goes out on its connection.
        assert sum(status != 200 for status in statuses) <= 2, sorted(statuses)
        assert set(statuses[-10:]) == {200}


async def serving_one(visitor: Visitor, replicas: list[Running]) -> Running:
    """The replica that answers this client three times in a row."""
    async with asyncio.timeout(PATIENCE):
        while True:
            before = [answers_of(replica) for replica in replicas]
            for _ in range(3):
                assert await visitor.status_of("/api/me") == 200
            while sum(more := [answers_of(one) - was for one, was in zip(replicas, before, strict=True)]) < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            if 3 in more:
                return replicas[more.index(3)]


def answers_of(replica: Running) -> int:
    return replica.err.count('"/api/me"')


@asynccontextmanager
async def asking(visitor: Visitor) -> AsyncGenerator[list[int]]:
    """Asks one thing after the other; the list grows with each answer's status, or 0."""
    statuses: list[int] = []

    async def ask_on() -> None:
        while True:
            try:
                statuses.append(await visitor.status_of("/api/me"))
            except ClientError:
                statuses.append(0)
            await asyncio.sleep(0.05)

    task = asyncio.ensure_future(ask_on())
    try:
        yield statuses
    finally:
        task.cancel()


async def more_of(statuses: list[int]) -> None:
    known = len(statuses)
    async with asyncio.timeout(PATIENCE):
        while len(statuses) < known + 15:  # noqa: ASYNC110 - a plain list
            await asyncio.sleep(0.02)
