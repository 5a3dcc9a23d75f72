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


async def test_what_is_written_in_one_pass_of_the_loop_is_sent_once(wire: Wire, transport: _GatheringTransport) -> None:
    transport.write(b"head")
    transport.write(b"body")
    assert wire.sent == []
    await asyncio.sleep(0)
    transport.write(b"more")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert wire.sent == [b"headbody", b"more"]


async def test_much_is_sent_at_once_so_that_it_does_not_pile_up(wire: Wire, transport: _GatheringTransport) -> None:
    for _ in range(5):
        transport.write(bytes(10_000))
    assert [len(part) for part in wire.sent] == [20_000, 20_000]


@pytest.mark.parametrize("end", ["close", "write_eof"])
async def test_nothing_is_lost_at_the_end(wire: Wire, transport: _GatheringTransport, end: str) -> None:
    transport.write(b"last words")
    getattr(transport, end)()
    await asyncio.sleep(0)
    assert len(wire.sent) == 2
    assert wire.sent[0] == b"last words"


async def test_an_aborted_connection_gets_nothing_more(wire: Wire, transport: _GatheringTransport) -> None:
    transport.write(b"too late")
    transport.abort()
    await asyncio.sleep(0)
    assert wire.sent == [b"<abort>"]


async def test_nothing_is_written_to_a_client_that_has_gone(wire: Wire, transport: _GatheringTransport) -> None:
    transport.write(b"too late")
    wire.is_gone = True
    await asyncio.sleep(0)
    assert wire.sent == []
