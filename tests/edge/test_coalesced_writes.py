"""Head and body of a response, which uvicorn writes apart, leave together."""

import asyncio

import pytest

from corral.edge.connection import _GatheringTransport  # pyright: ignore[reportPrivateUsage]


class Wire(asyncio.Transport):
    """Notes what is sent over it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.is_gone = False

    def is_closing(self) -> bool:
        return self.is_gone

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.sent.append(b"<eof>")

    def close(self) -> None:
        self.sent.append(b"<close>")

    def abort(self) -> None:
        self.sent.append(b"<abort>")


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
async def transport(wire: Wire) -> _GatheringTransport:
    return _GatheringTransport(wire, asyncio.get_running_loop())


async def test_writes_of_one_pass_of_the_loop_are_sent_together(wire: Wire, transport: _GatheringTransport) -> None:
    transport.write(b"head")
    transport.write(b"body")
    assert wire.sent == []
    await asyncio.sleep(0)
    transport.write(b"more")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert wire.sent == [b"headbody", b"more"]


async def test_large_writes_are_sent_at_once(wire: Wire, transport: _GatheringTransport) -> None:
    for _ in range(5):
        transport.write(bytes(10_000))
    assert [len(part) for part in wire.sent] == [20_000, 20_000]


@pytest.mark.parametrize("end", ["close", "write_eof"])
async def test_closing_sends_the_rest(wire: Wire, transport: _GatheringTransport, end: str) -> None:
    transport.write(b"last words")
    getattr(transport, end)()
    await asyncio.sleep(0)
    assert len(wire.sent) == 2
    assert wire.sent[0] == b"last words"


async def test_an_aborted_connection_sends_nothing_more(wire: Wire, transport: _GatheringTransport) -> None:
    transport.write(b"too late")
    transport.abort()
    await asyncio.sleep(0)
    assert wire.sent == [b"<abort>"]


async def test_nothing_is_written_to_a_client_that_has_gone(wire: Wire, transport: _GatheringTransport) -> None:
    transport.write(b"too late")
    wire.is_gone = True
    await asyncio.sleep(0)
    assert wire.sent == []
