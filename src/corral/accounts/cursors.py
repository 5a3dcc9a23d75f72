"""Page cursors: the position where a list continues, as an opaque text.

It contains nothing secret and is not trusted: a forged one can only request other pages of the same list of
the caller's own account. It is bound to its list and filters, because a position in one list has no meaning
in another.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Hashable
from hashlib import blake2b
from typing import Final, cast

import orjson

from corral.alpaca.paging import MARK_BYTES, Place
from corral.errors import InvalidRequest

LONGEST_CURSOR: Final = 5_000  # with the marks of all orders of a page: they fit into the 8 KiB of a request line
_VERSION: Final = b"\x01"
_BOND_BYTES: Final = 8
_COUNT_BYTES: Final = 2
_ID: Final = re.compile(r"[0-9A-Za-z:._-]{1,128}", re.ASCII)
_MOST_TURNS: Final = 2**53


def write_cursor(place: Place, bound_to: Hashable) -> str:
    """`bound_to` is the list and its filters, of types whose `repr` says all of their value."""
    marks = len(place.given).to_bytes(_COUNT_BYTES) + b"".join(sorted(place.given))
    rest = orjson.dumps([place.beyond, place.milestone, place.turns])
    return urlsafe_b64encode(_VERSION + _bond(bound_to) + marks + rest).decode().rstrip("=")


def read_cursor(text: str | None, bound_to: Hashable) -> Place:
    """The start of the list for None. Raises InvalidRequest for an invalid cursor, or one of another list."""
    if text is None:
        return Place()
    data = _decoded(text) if len(text) <= LONGEST_CURSOR else b""
    version, bond, content = _divided(data, len(_VERSION), _BOND_BYTES)
    place = _place(content)
    if version != _VERSION or place is None:
        raise _refused("This cursor is invalid. Start again without it.")
    if bond != _bond(bound_to):
        raise _refused("This cursor belongs to another list or other filters. Start again without it.")
    return place


def _bond(bound_to: Hashable) -> bytes:
    return blake2b(repr(bound_to).encode(), digest_size=_BOND_BYTES).digest()


def _decoded(text: str) -> bytes:
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return b""


def _divided(data: bytes, first: int, second: int) -> tuple[bytes, bytes, bytes]:
    return data[:first], data[first : first + second], data[first + second :]


def _place(content: bytes) -> Place | None:
    count = int.from_bytes(content[:_COUNT_BYTES])
    _, marks, rest = _divided(content, _COUNT_BYTES, count * MARK_BYTES)
    try:
        beyond, milestone, turns = cast("list[object]", orjson.loads(rest))
    except (ValueError, TypeError):
        return None
    if not (_is_id(beyond) and _is_id(milestone) and type(turns) is int and 0 <= turns < _MOST_TURNS):
        return None
    given = frozenset(marks[at : at + MARK_BYTES] for at in range(0, len(marks), MARK_BYTES))
    return Place(cast("str | None", beyond), given, cast("str | None", milestone), turns)


def _is_id(value: object) -> bool:
    return value is None or (isinstance(value, str) and _ID.fullmatch(value) is not None)


def _refused(reason: str) -> InvalidRequest:
    return InvalidRequest(reason, errors=[{"loc": ["query", "cursor"], "msg": reason}])
