"""Connections are spread over the workers of a port, also if one of them takes none."""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from corral.edge.accepting import ConnectionCounts, CountedConnections, PlainAcceptor, WorkerShare

CONNECTIONS = 40


class Accepted(asyncio.Protocol):
    def __init__(self, connections: CountedConnections) -> None:
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connections.add(self)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._connections.discard(self)


@asynccontextmanager
async def accepting(listener: socket.socket, share: WorkerShare) -> AsyncGenerator[CountedConnections]:
    """What one worker accepts."""
    connections = CountedConnections(share)
    acceptor = PlainAcceptor(
        listener.dup(), lambda: Accepted(connections), share=share, connections=lambda: len(connections)
    )
    acceptor.start()
    share.note(0)
    yield connections
    await acceptor.close(patience_seconds=10)


@asynccontextmanager
async def connected(listener: socket.socket, times: int) -> AsyncGenerator[None]:
    address = listener.getsockname()
    streams = await asyncio.gather(*(asyncio.open_connection(*address) for _ in range(times)))
    yield
    for _, writer in streams:
        writer.close()


async def until_there_are(connections: list[CountedConnections], times: int) -> None:
    async with asyncio.timeout(60):
        while sum(map(len, connections)) != times:  # noqa: ASYNC110 - accepted in callbacks
            await asyncio.sleep(0.01)


def counts_for(workers: int) -> ConnectionCounts:
    descriptor = ConnectionCounts.allocate(workers)
    counts = ConnectionCounts(descriptor, workers)
    os.close(descriptor)
    return counts


async def test_connections_that_come_at_once_and_stay_are_spread_evenly() -> None:
    counts = counts_for(2)
    with socket.create_server(("127.0.0.1", 0), backlog=CONNECTIONS) as listener:
        async with (
            accepting(listener, WorkerShare(counts, 1)) as one,
            accepting(listener, WorkerShare(counts, 2)) as other,
            connected(listener, CONNECTIONS),
        ):
            await until_there_are([one, other], CONNECTIONS)
            assert abs(len(one) - len(other)) <= CONNECTIONS // 8


async def test_a_worker_that_takes_none_does_not_keep_another_from_accepting() -> None:
    counts = counts_for(2)
    counts.note(2, 0)  # it seems to serve
    with socket.create_server(("127.0.0.1", 0), backlog=CONNECTIONS) as listener:
        async with accepting(listener, WorkerShare(counts, 1)) as one, connected(listener, CONNECTIONS):
            await until_there_are([one], CONNECTIONS)


async def test_connections_that_are_gone_count_no_more() -> None:
    counts = counts_for(2)
    with socket.create_server(("127.0.0.1", 0), backlog=CONNECTIONS) as listener:
        async with accepting(listener, WorkerShare(counts, 1)) as one:
            async with connected(listener, CONNECTIONS):
                await until_there_are([one], CONNECTIONS)
                assert counts.least_of_others(2) == CONNECTIONS
            await until_there_are([one], 0)
            assert counts.least_of_others(2) == 0


def test_workers_that_are_absent_are_not_waited_for() -> None:
    counts = counts_for(3)
    share = WorkerShare(counts, 1)
    assert not share.exceeds_others(1000)
    counts.note(3, 5)
    assert share.exceeds_others(6)
    assert not share.exceeds_others(5)
    counts.note_absent(3)
    assert not share.exceeds_others(1000)
    share.note(7)
    assert counts.least_of_others(2) == 7
    share.cease()
    share.note(7)
    assert counts.least_of_others(2) > 1000
