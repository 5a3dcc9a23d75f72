"""Looks for a secret everywhere, in every encoding that a program may use."""

import base64
import re
import secrets
import string
import zlib
from collections.abc import Iterator
from pathlib import Path

SHORTEST = 12  # characters of the secret in a row that count as found
_COMPRESSED = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]", re.DOTALL)  # how gzip and zlib streams begin
_LONGEST_UNPACKED = 64 * 1024 * 1024


def new_canary() -> str:
    """A key id of the sandbox; short enough for the log's second net, the search for key-like words, to miss it.

    Its secret is `sandbox-secret-for-` and the same again, so what finds one finds the other.
    """
    return "PKCNRY" + "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(9))


def canary_scan(secret: str, place: bytes) -> set[str]:
    """Returns the encodings in which at least twelve characters of the secret are in `place`, or compressed in it."""
    found = {dress for dress, needle in _needles(secret) if needle in place}
    for number, unpacked in enumerate(_unpacked(place)):
        found |= {f"{dress}, packed ({number})" for dress, needle in _needles(secret) if needle in unpacked}
    return found


def files_with(secret: str, folder: Path) -> dict[str, set[str]]:
    """Every file below the folder in which the secret is found, and how."""
    return {
        str(path.relative_to(folder)): found
        for path in folder.rglob("*")
        if path.is_file() and (found := canary_scan(secret, path.read_bytes()))
    }


def _needles(secret: str) -> Iterator[tuple[str, bytes]]:
    for start in range(len(secret) - SHORTEST + 1):
        part = secret[start : start + SHORTEST]
        plain = part.encode()
        yield "raw", plain
        yield "lower", part.lower().encode()
        yield "upper", part.upper().encode()
        yield "UTF-16", part.encode("utf-16-le")  # big-endian is the same bytes, one further on
        yield "hex", plain.hex().encode()
        yield "HEX", plain.hex().upper().encode()
        yield "URL-encoded", "".join(f"%{byte:02X}" for byte in plain).encode()
        yield "JSON-escaped", "".join(f"\\u{byte:04x}" for byte in plain).encode()
        for offset in range(3):
            yield f"base64 at {offset}", _inner_base64(plain, offset)


def _inner_base64(plain: bytes, offset: int) -> bytes:
    """Those letters of the base64 text that depend on `plain` alone, whatever stands before and after it."""
    letters = base64.b64encode(b"\0" * offset + plain)
    whole = (offset + len(plain)) // 3 * 4
    return letters[4 if offset else 0 : whole]


def _unpacked(place: bytes) -> Iterator[bytes]:
    view = memoryview(place)
    for begin in _COMPRESSED.finditer(place):
        try:
            unpacked = zlib.decompressobj(wbits=47).decompress(view[begin.start() :], _LONGEST_UNPACKED)
        except zlib.error:
            continue
        if len(unpacked) >= SHORTEST:
            yield unpacked
