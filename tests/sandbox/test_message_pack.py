"""MessagePack, compared with the library that Alpaca's SDK for Python uses."""

import struct
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from corral_sandbox.stream.message_pack import Timestamp, pack, unpack

msgpack: Any = import_module("msgpack")  # without types

_scalars = some.one_of(
    some.none(),
    some.booleans(),
    some.integers(-(2**63), 2**64 - 1),
    some.floats(allow_nan=False),
    some.text(max_size=300),
)
_values = some.recursive(
    _scalars,
    lambda inner: some.lists(inner, max_size=20) | some.dictionaries(some.text(max_size=40), inner, max_size=20),
)


@given(_values)
def test_it_writes_and_reads_what_the_library_does(value: object) -> None:
    packed: bytes = msgpack.packb(value)
    assert pack(value) == packed
    assert unpack(packed) == value


@pytest.mark.parametrize("length", [15, 16, 31, 32, 255, 256, 65_535, 65_536])
def test_lengths_of_every_size(length: int) -> None:
    for value in ("x" * length, [0] * length, {str(number): 0 for number in range(length)}):
        packed: bytes = msgpack.packb(value)
        assert pack(value) == packed
        assert unpack(packed) == value
    assert unpack(msgpack.packb(b"x" * length)) == b"x" * length


def test_bytes_and_short_floats_are_read() -> None:
    assert unpack(msgpack.packb(1.5, use_single_float=True)) == 1.5


@pytest.mark.parametrize(
    ("at", "size"), [(0, 6), (1_764_255_599_000_000_000, 6), (1_764_255_599_123_456_789, 10), (2**33 * 10**9, 10)]
)
def test_a_time_is_a_timestamp_of_the_shortest_form(at: int, size: int) -> None:
    packed = pack(Timestamp(at))
    assert len(packed) == size
    assert packed == msgpack.packb(msgpack.Timestamp.from_unix_nano(at))


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\xc1",
        b"\xa5abc",
        b"\x92\x01",
        b"\x01\x02",
        b"\xa1\xff",
        b"\x81\x01\x02",
        b"\xd6\xff\x00\x00\x00\x00",
        b"\x91" * 40 + b"\xc0",
        b"\xdd\xff\xff\xff\xff",
        b"\xcb\x00",
        struct.pack(">BI", 0xDB, 2**32 - 1),
    ],
    ids=bytes.hex,
)
def test_what_is_malformed_is_a_value_error(packed: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        unpack(packed)


def test_other_types_are_refused() -> None:
    with pytest.raises(TypeError, match="set"):
        pack({"a": {1}})
