"""Finds Alpaca's keys in an answer, however they are written. An answer that has one is never passed on."""

import re
from base64 import b64encode
from typing import Final, final

from corral.secret import Secret

_ESCAPED: Final = re.compile(rb"\\u00([0-9a-f]{2})|%([0-9a-f]{2})|&#x0{0,4}([0-9a-f]{2});|&#0{0,4}([0-9]{2,3});")
_FOLDED: Final = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ-_", b"abcdefghijklmnopqrstuvwxyz+/")
"""Large letters become small, and URL-safe base64 the usual one, so that one search finds either."""
_BITS_OF_A_BYTE: Final = 8
_BITS_OF_A_LETTER: Final = 6  # of base64
_MOST_BYTES_OF_A_CHARACTER: Final = len(rb"\u0041")


@final
class LeakDetector:
    """Looks for key ID and secret in the parts of one answer, also across the border between two parts.

    Finds them as they are, in any case; in base64 at each of three offsets, also URL-safe; in hexadecimal; with some or
    all characters escaped as in JSON, URLs or HTML; and as UTF-16. Lives as long as the call for which they are open.
    """

    __slots__ = ("_plain", "_tail", "_values", "_wide", "_written", "overlap")

    def __init__(self, *secrets: Secret) -> None:
        self._values = [secret.reveal().encode() for secret in secrets]
        self.overlap: Final = max(len(value) for value in self._values) * _MOST_BYTES_OF_A_CHARACTER - 1
        self._plain: list[bytes] = []
        self._written: list[bytes] = []
        self._wide: list[bytes] = []
        self._tail = b""

    def prepare(self) -> None:
        """Works out what to look for. Called while Alpaca is asked, it delays no answer; else `finds_in` does it."""
        if not self._plain:
            values = self._values
            self._plain = [value.translate(_FOLDED) for value in values]
            self._written = [written.translate(_FOLDED) for value in values for written in _ways_to_write(value)]
            self._wide = [wide.translate(_FOLDED) for value in values for wide in _in_utf_16(value)]

    def finds_in(self, part: bytes) -> bool:
        """Whether the parts so far have a key in them."""
        self.prepare()
        text = (self._tail + part).translate(_FOLDED)
        self._tail = text[-self.overlap :]
        return any(map(text.__contains__, self._written)) or self._finds_wide(text) or self._finds_escaped(text)

    def _finds_wide(self, text: bytes) -> bool:
        return b"\0" in text and any(map(text.__contains__, self._wide))

    def _finds_escaped(self, text: bytes) -> bool:
        if b"\\" not in text and b"%" not in text and b"&#" not in text:
            return False
        unescaped = _ESCAPED.sub(_character, text.replace(rb"\/", b"/")).translate(_FOLDED)
        return any(map(unescaped.__contains__, self._plain))


def _ways_to_write(value: bytes) -> tuple[bytes, ...]:
    return value, value.hex().encode(), _in_base64(value, 0), _in_base64(value, 1), _in_base64(value, 2)


def _in_utf_16(value: bytes) -> tuple[bytes, bytes]:
    text = value.decode("latin-1")
    return text.encode("utf-16-le"), text.encode("utf-16-be")


def _in_base64(value: bytes, offset: int) -> bytes:
    """Those letters that say nothing but the value, when `offset` bytes stand before it."""
    first = -(-offset * _BITS_OF_A_BYTE // _BITS_OF_A_LETTER)
    last = (offset + len(value)) * _BITS_OF_A_BYTE // _BITS_OF_A_LETTER
    return b64encode(bytes(offset) + value)[first:last]


def _character(escape: re.Match[bytes]) -> bytes:
    hexadecimal = escape[1] or escape[2] or escape[3]
    code = int(hexadecimal, 16) if hexadecimal else int(escape[4])
    return bytes([code]) if code < 256 else b""  # noqa: PLR2004 - a byte
