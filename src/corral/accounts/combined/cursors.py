"""Page cursors of merged lists: how far each account's list has been given, as an opaque text.

As for one account's list, a cursor contains nothing secret and is not trusted: a forged one can only request other
parts of the same list of the caller's own accounts. It is bound to the user, the list and its filters.

It fits into a request line for any number of accounts. Where it would not, accounts lose their places, and continue at
the time of the last item instead, by more calls to Alpaca and with the same result.
"""

import re
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final, cast
from uuid import UUID

import orjson

from corral.accounts.combined.merging import Progress
from corral.alpaca.paging import MARK_BYTES, Place
from corral.errors import InvalidRequest

LONGEST_CURSOR: Final = 6_000  # of the 8 KiB of a request line
_LONGEST_CONTENT: Final = 100_000
_VERSION: Final = b"\x02"
_BOND_BYTES: Final = 8
_MOST_GIVEN: Final = 500  # items at the very same nanosecond: there are never as many
_ACCOUNT_DIGITS: Final = 12  # of the id of an account, which is random
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}|~|", re.ASCII)
_ID: Final = re.compile(r"[0-9A-Za-z:._-]{1,128}", re.ASCII)
_MOST_TURNS: Final = 2**53


def write_progress(progress: Progress, bound_to: Hashable) -> str:
    """`bound_to` is the list and its filters, of types whose `repr` says all of their value."""
    places = dict(progress.places)
    while True:
        text = _encoded(replace(progress, places=places), bound_to)
        if len(text) <= LONGEST_CURSOR or not places:
            return text
        # The longest go first: a tenth at a time.
        for credential_id in sorted(places, key=lambda one: -len(places[one].given))[: len(places) // 10 + 1]:
            del places[credential_id]


def read_progress(text: str | None, bound_to: Hashable, known: Iterable[UUID]) -> Progress:
    """Returns the start of the list for None. Accounts that are not `known` any more are left out.

    Raises InvalidRequest for an invalid cursor, or one of another list.
    """
    if text is None:
        return Progress()
    data = _decoded(text) if len(text) <= LONGEST_CURSOR else b""
    version, bond, content = data[:1], data[1 : 1 + _BOND_BYTES], data[1 + _BOND_BYTES :]
    progress = _progress(_inflated(content), {_name(one): one for one in known}) if version == _VERSION else None
    if progress is None:
        raise _refused("This cursor is invalid. Start again without it.")
    if bond != _bond(bound_to):
        raise _refused("This cursor belongs to another list or other filters. Start again without it.")
    return progress


def _encoded(progress: Progress, bound_to: Hashable) -> str:
    content = [
        progress.at,
        [one.hex() for one in sorted(progress.given)][:_MOST_GIVEN],
        {_name(one): _written(place) for one, place in sorted(progress.places.items())},
        sorted(map(_name, progress.ended)),
        sorted(map(_name, progress.skipped)),
    ]
    packed = zlib.compress(orjson.dumps(content), level=9)
    return urlsafe_b64encode(_VERSION + _bond(bound_to) + packed).decode().rstrip("=")


def _written(place: Place) -> list[object]:
    return [place.beyond, place.milestone, place.turns, *(one.hex() for one in sorted(place.given))]


def _name(credential_id: UUID) -> str:
    return credential_id.hex[:_ACCOUNT_DIGITS]


def _bond(bound_to: Hashable) -> bytes:
    return blake2b(repr(bound_to).encode(), digest_size=_BOND_BYTES).digest()


def _decoded(text: str) -> bytes:
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return b""


def _inflated(content: bytes) -> object:
    """Returns None for what is not compressed JSON, or too long."""
    try:
        return orjson.loads(zlib.decompressobj().decompress(content, _LONGEST_CONTENT))
    except (zlib.error, ValueError):
        return None


def _progress(content: object, known: Mapping[str, UUID]) -> Progress | None:
    try:
        at, given, places, ended, skipped = cast("list[Any]", content)
        if not (at is None or _is_time(at)):
            return None
        return Progress(
            at=at,
            given=_marks(given),
            places={known[name]: _place(*place) for name, place in places.items() if name in known},
            ended=frozenset(known[name] for name in ended if name in known),
            skipped=frozenset(known[name] for name in skipped if name in known),
        )
    except (TypeError, ValueError, AttributeError):
        return None


def _place(beyond: object, milestone: object, turns: object, *given: object) -> Place:
    """Raises ValueError or TypeError for what is not a place."""
    is_place = _is_id(beyond) and (milestone is None or _is_id(milestone))
    if not (is_place and type(turns) is int and 0 <= turns < _MOST_TURNS):
        raise ValueError("not a place")
    return Place(cast("str", beyond), _marks(given), cast("str | None", milestone), turns)


def _marks(texts: Iterable[object]) -> frozenset[bytes]:
    marks = frozenset(bytes.fromhex(cast("str", text)) for text in texts)
    if any(len(one) != MARK_BYTES for one in marks):
        raise ValueError("not a mark")
    return marks


def _is_time(value: str) -> bool:
    """Also the start of a list. Raises ValueError for a day or hour that does not exist."""
    if _TIME.fullmatch(value) is None:
        return False
    if len(value) > 1:
        datetime.fromisoformat(value[: len("YYYY-MM-DDTHH:MM:SS")])
    return True


def _is_id(value: object) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _refused(reason: str) -> InvalidRequest:
    return InvalidRequest(reason, errors=[{"loc": ["query", "cursor"], "msg": reason}])
