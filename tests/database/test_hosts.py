"""Addresses of a database with several hosts."""

import asyncio
import socket
from collections.abc import Generator

import pytest

from corral.database.embedded.instance import EmbeddedDatabase
from corral.database.hosts import DatabaseHosts, hosts_apart


@pytest.mark.parametrize(
    ("address", "apart"),
    [
        ("postgresql://app@db/corral", ["postgresql://app@db/corral"]),
        ("postgresql://app@/corral?host=/run/pg", ["postgresql://app@/corral?host=/run/pg"]),
        (
            "postgresql://app:p%40%2Cs@db1,db2:5433/corral?target_session_attrs=read-write",
            [
                "postgresql://app:p%40%2Cs@db1/corral?target_session_attrs=read-write",
                "postgresql://app:p%40%2Cs@db2:5433/corral?target_session_attrs=read-write",
            ],
        ),
        ("postgresql://[2001:db8::1]:5,[::1]/c", ["postgresql://[2001:db8::1]:5/c", "postgresql://[::1]/c"]),
        (
            "postgresql://app@/c?host=/a,/b&port=1,2",
            ["postgresql://app@/c?host=%2Fa&port=1", "postgresql://app@/c?host=%2Fb&port=2"],
        ),
        (
            "postgresql://app@/c?host=/a,/b&port=1",
            ["postgresql://app@/c?host=%2Fa&port=1", "postgresql://app@/c?host=%2Fb&port=1"],
        ),
        ("postgresql://app@/c?host=a,b", ["postgresql://app@/c?host=a", "postgresql://app@/c?host=b"]),
    ],
)
def test_each_host_gets_an_address_of_its_own(address: str, apart: list[str]) -> None:
    assert hosts_apart(address) == apart


@pytest.fixture
def silent() -> Generator[int]:
    """The port of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def test_a_host_that_says_nothing_costs_a_part_of_the_time_and_is_tried_last_from_then_on(
    silent: int, postgres: EmbeddedDatabase
) -> None:
    own = postgres.dsn("corral_app")
    dead = f"postgresql://corral_app@127.0.0.1:{silent}/corral"
    hosts = DatabaseHosts(own)
    hosts._addresses = [dead, own]  # pyright: ignore[reportPrivateUsage]
    async with asyncio.timeout(30):
        tries = (hosts.connect(timeout=3600) for _ in range(3))
        connections = await asyncio.gather(*tries)  # they move on from it once, not thrice
    assert hosts._addresses == [own, dead]  # pyright: ignore[reportPrivateUsage]
    for connection in connections:
        await connection.close()


async def test_the_error_of_the_last_host_is_raised(silent: int) -> None:
    hosts = DatabaseHosts(f"postgresql://corral_app@127.0.0.1:{silent},127.0.0.1:1/corral")
    with pytest.raises(OSError, match="Connect call failed"):
        await hosts.connect(timeout=5)
