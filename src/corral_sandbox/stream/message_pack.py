"""MessagePack, as far as Alpaca's market data uses it: https://github.com/msgpack/msgpack/blob/master/spec.md.

`pack` writes times as the timestamp extension, in its two shorter forms. `unpack` reads what clients send: everything
but extensions.
"""

import struct
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias, cast

from corral_sandbox.market.time import SECOND


class Timestamp(NamedTuple):
    """Nanoseconds since 1970, up to the year 2514."""

    at: int


Unpacked: TypeAlias = bool | int | float | str | bytes | list["Unpacked"] | dict[str, "Unpacked"] | None

_UNSIGNED, _SIGNED = ((0xCC, "B"), (0xCD, "H"), (0xCE, "I"), (0xCF, "Q")), ((0xD0, "b"), (0xD1, "h"), (0xD2, "i"))
_MOST_NESTED = 16


def pack(value: object) -> bytes:
    """Raises TypeError for anything but None, numbers, text, `Timestamp`, and lists and maps of them."""
    if isinstance(value, Timestamp):
        return _pack_timestamp(value.at)
    if isinstance(value, list):
        items = cast("list[object]", value)
        return _head(len(items), 0x90, 16, 0xDB) + b"".join(map(pack, items))
    if isinstance(value, Mapping):
        pairs = cast("Mapping[str, object]", value).items()
        return _head(len(pairs), 0x80, 16, 0xDD) + b"".join(pack(key) + pack(each) for key, each in pairs)
    return _pack_scalar(value)


def _pack_scalar(value: object) -> bytes:
    if value is None or isinstance(value, bool):
        return _CONSTANT_CODES[value]
    if isinstance(value, int):
        return _pack_integer(value)
    if isinstance(value, float):
        return struct.pack(">Bd", 0xCB, value)
    if isinstance(value, str):
        text = value.encode()
        return _head(len(text), 0xA0, 32, 0xD9) + text
    raise TypeError(type(value).__name__)


def _pack_integer(value: int) -> bytes:
    if -32 <= value < 128:  # noqa: PLR2004 - what fits into the first byte
        return struct.pack("b", value)
    for code, form in _UNSIGNED if value > 0 else _SIGNED:
        try:
            return struct.pack(f">B{form}", code, value)
        except struct.error:
            continue
    return struct.pack(">Bq", 0xD3, value)


def _head(length: int, short: int, shorter_than: int, code: int) -> bytes:
    """`code` is that of an 8-bit length for text, and one before that of a 16-bit one for lists and maps."""
    if length < shorter_than:
        return bytes([short | length])
    if code == 0xD9 and length < 1 << 8:  # noqa: PLR2004
        return struct.pack(">BB", code, length)
    return struct.pack(">BH", code + 1, length) if length < 1 << 16 else struct.pack(">BI", code + 2, length)


def _pack_timestamp(at: int) -> bytes:
    seconds, nanoseconds = divmod(at, SECOND)
    if not nanoseconds and seconds < 1 << 32:
        return struct.pack(">BbI", 0xD6, -1, seconds)
    return struct.pack(">BbQ", 0xD7, -1, nanoseconds << 34 | seconds)


def unpack(packed: bytes) -> Unpacked:
    """Raises ValueError for anything but exactly one value."""
    reader = _Reader(packed)
    value = reader.read(_MOST_NESTED)
    if not reader.is_at_end:
        raise ValueError("more than one value")
    return value


class _Reader:
    def __init__(self, packed: bytes) -> None:
        self._packed = packed
        self._position = 0

    @property
    def is_at_end(self) -> bool:
        return self._position == len(self._packed)

    def read(self, depth: int) -> Unpacked:
        """Reads the next value, at most `depth` lists and maps deep."""
        code = self._take(1)[0]
        if code < 0x80:  # noqa: PLR2004 - the codes are those of the specification
            return code
        if code >= 0xE0:  # noqa: PLR2004
            return code - 0x100
        if code in _NUMBERS:
            return self._number(_NUMBERS[code])
        if code in _CONSTANTS:
            return _CONSTANTS[code]
        return self._read_composed(code, depth)

    def _read_composed(self, code: int, depth: int) -> Unpacked:
        kind, length = self._kind_and_length(code)
        if kind == "text":
            return self._take(length).decode()
        if kind == "bytes":
            return self._take(length)
        if not depth:
            raise ValueError("nested too deeply")
        if kind == "list":
            return [self.read(depth - 1) for _ in range(length)]
        return dict(self._pair(depth - 1) for _ in range(length))

    def _pair(self, depth: int) -> tuple[str, Unpacked]:
        key = self.read(depth)
        if not isinstance(key, str):
            raise ValueError("a key is not text")  # noqa: TRY004 - all that is malformed is a ValueError
        return key, self.read(depth)

    def _kind_and_length(self, code: int) -> tuple[str, int]:
        for first, last, kind in _SHORT:
            if first <= code <= last:
                return kind, code - first
        if code not in _LONG:
            raise ValueError(f"unknown code {code:#x}")
        kind, form = _LONG[code]
        return kind, int(self._number(form))

    def _number(self, form: str) -> int | float:
        return struct.unpack(f">{form}", self._take(struct.calcsize(f">{form}")))[0]

    def _take(self, length: int) -> bytes:
        taken = self._packed[self._position : self._position + length]
        if len(taken) < length:
            raise ValueError("the message ends early")
        self._position += length
        return taken


_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
_CONSTANT_CODES = {value: bytes([code]) for code, value in _CONSTANTS.items()}
_NUMBERS = {0xCA: "f", 0xCB: "d", 0xD3: "q"} | dict((*_UNSIGNED, *_SIGNED))
_SHORT = ((0x80, 0x8F, "map"), (0x90, 0x9F, "list"), (0xA0, 0xBF, "text"))
_LONG = {
    0xC4: ("bytes", "B"),
    0xC5: ("bytes", "H"),
    0xC6: ("bytes", "I"),
    0xD9: ("text", "B"),
    0xDA: ("text", "H"),
    0xDB: ("text", "I"),
    0xDC: ("list", "H"),
    0xDD: ("list", "I"),
    0xDE: ("map", "H"),
    0xDF: ("map", "I"),
}
