"""Finds the operation that a request asks for, and writes the target that is sent to Alpaca.

The target is decoded once and matched with the listed operations. Anything else is refused, and so is a target that
another server could read differently: servers behind us may decode again, collapse slashes or resolve dots. The
client's own bytes are never sent.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from corral.gateway.operations import OPERATIONS, Operation, OperationKind
from corral.gateway.refusals import Reason, Refused

MOST_TARGET_BYTES: Final = 16 * 1024
MOST_QUERY_PARAMETERS: Final = 256

# Printable ASCII without "#", which starts a fragment, and "\", which some servers treat as a slash.
_TARGET: Final = re.compile(rb"/[!\"$-\[\]-~]*+")
_WRONG_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
# A symbol or an ID. It cannot start with a dot, so it is never "." or "..", and has no "%" that could be decoded again.
_SEGMENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
# A pair of coins. Alpaca's paths have no capitals, so a server that decodes the slash finds no other operation.
_COINS: Final = re.compile(r"[A-Z0-9]{1,16}/[A-Z0-9]{1,16}", re.ASCII)
_PARAMETER: Final = re.compile(r"([A-Za-z][A-Za-z0-9_]{0,63})=([A-Za-z0-9._~,:-]*+)", re.ASCII)  # nothing to decode
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}(?:\[\])?", re.ASCII)
_TO_ESCAPE: Final = re.compile(r"[^A-Za-z0-9._~,:-]", re.ASCII)
_ESCAPES: Final = {character: quote(character, safe="") for character in map(chr, range(0x80))}

# Values in the query of an operation that changes something. Reads may have any.
_NUMBER: Final = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?(?:[eE]-?[0-9]{1,2})?", re.ASCII)
_FLAG: Final = re.compile(r"true|false|True|False", re.ASCII)  # alpaca-py sends Python's booleans
_VALUES: Final[Mapping[str, re.Pattern[str]]] = {
    "cancel_orders": _FLAG,
    "qty": _NUMBER,
    "percentage": _NUMBER,
    "name": re.compile(r".{1,256}"),
}


@dataclass(frozen=True, slots=True)
class Match:
    """`parameters` are from the path, by name; `query` is in the client's order. Both are decoded.

    `target` is the path and query to send, to be appended to the base URL of the operation's host.
    """

    operation: Operation
    parameters: Mapping[str, str]
    query: tuple[tuple[str, str], ...]
    target: str


Methods = Mapping[str, Operation]


def match(method: str, target: bytes) -> Match:
    """Returns the operation of a request. `target` is the request target as received, without the gateway's prefix.

    Raises Refused, also for an operation that no grant allows.
    """
    path, _, query_string = _readable(target).partition("?")
    methods, parameters, sent_path = _find(path)
    operation = methods.get(method)
    if operation is None:
        allowed = tuple(sorted(name for name, known in methods.items() if known.kind is not OperationKind.NEVER))
        raise Refused(Reason.UNKNOWN_METHOD, "This path does not support this method.", allowed_methods=allowed)
    if operation.kind is OperationKind.NEVER:
        raise Refused(Reason.NOT_GRANTED, "This operation is not available through a grant.")
    if not query_string:
        return Match(operation, parameters, (), sent_path)
    query, sent_query = _read_query(query_string, operation)
    return Match(operation, parameters, query, f"{sent_path}?{sent_query}" if query else sent_path)


def _readable(target: bytes) -> str:
    if len(target) > MOST_TARGET_BYTES:
        raise Refused(Reason.TARGET_TOO_LONG, f"The URL is longer than {MOST_TARGET_BYTES} bytes.")
    if not _TARGET.fullmatch(target):
        raise Refused(Reason.MALFORMED_TARGET, "The request target is not a path.")
    if _WRONG_ESCAPE.search(target):
        raise _wrong_escape()
    return target.decode("ascii")


def _wrong_escape() -> Refused:
    return Refused(Reason.MALFORMED_TARGET, "The URL has an invalid percent escape.")


def _find(path: str) -> tuple[Methods, Mapping[str, str], str]:
    """Returns the methods of a path, its parameters, and the path to send."""
    if path.startswith("//"):  # from alpaca-py, if its base URL ends in a slash
        path = "/" + path.lstrip("/")
    if methods := _PLAIN.get(path):
        return methods, {}, path
    segments = path.split("/")
    if "%" in path:
        segments = [_decoded(segment) for segment in segments]
    for shape in _SHAPES.get(len(segments), ()):
        if found := shape.find(segments):
            return found
    raise Refused(Reason.UNKNOWN_PATH, "This path is not available through a grant.")


class _Shape:
    """All paths with their parameters in the same places."""

    def __init__(self, places: tuple[int, ...]) -> None:
        self._places = places
        self._known: dict[tuple[str, ...], tuple[tuple[str, ...], dict[str, Operation]]] = {}

    def add(self, segments: list[str], operation: Operation) -> None:
        names = tuple(segments[place][1:-1] for place in self._places)
        key = tuple("" if place in self._places else segment for place, segment in enumerate(segments))
        known_names, methods = self._known.setdefault(key, (names, {}))
        if known_names != names or operation.method in methods:
            raise ValueError(f"{operation.name} is listed twice, or with other names")
        methods[operation.method] = operation

    def find(self, segments: list[str]) -> tuple[Methods, Mapping[str, str], str] | None:
        key = segments.copy()
        for place in self._places:
            key[place] = ""
        if (known := self._known.get(tuple(key))) is None:
            return None
        names, methods = known
        parameters = {name: segments[place] for name, place in zip(names, self._places, strict=True)}
        for place, (name, value) in zip(self._places, parameters.items(), strict=True):
            if not _SEGMENT.fullmatch(value) and not ("symbol" in name and _COINS.fullmatch(value)):
                return None
            key[place] = value.replace("/", "%2F")
        return methods, parameters, "/".join(key)


def _decoded(text: str) -> str:
    """Decodes percent escapes, once."""
    if "%" not in text:
        return text
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise _wrong_escape() from None


def _read_query(query_string: str, operation: Operation) -> tuple[tuple[tuple[str, str], ...], str]:
    """Returns names and values, and the query to send."""
    pieces = query_string.split("&")
    if len(pieces) > MOST_QUERY_PARAMETERS:
        raise Refused(Reason.TARGET_TOO_LONG, f"The URL has more than {MOST_QUERY_PARAMETERS} query parameters.")
    parameters = [_read_parameter(piece) for piece in pieces if piece]
    query = tuple([(name, value) for name, value, _ in parameters])
    # Alpaca's query parameters are case-sensitive; a server in front of it may not know that.
    if len({name.lower() for name, _ in query}) != len(query):
        _refuse_repeated(query, operation)
    if operation.kind is not OperationKind.READ:
        _check_change(query, operation)
    return query, "&".join([sent for _, _, sent in parameters])


def _read_parameter(piece: str) -> tuple[str, str, str]:
    """Returns name and value, decoded, and the parameter to send."""
    if plain := _PARAMETER.fullmatch(piece):
        return plain[1], plain[2], piece
    name, _, value = piece.partition("=")
    name, value = _decoded(name), _decoded(value.replace("+", " "))  # as Go reads a query
    if not _NAME.fullmatch(name) or not value.isprintable():
        raise Refused(Reason.MALFORMED_TARGET, "The URL has an invalid query parameter.")
    return name, value, f"{name.replace('[]', '%5B%5D')}={_TO_ESCAPE.sub(_escape, value)}"


def _escape(found: re.Match[str]) -> str:
    return _ESCAPES.get(found[0]) or quote(found[0])


def _refuse_repeated(query: tuple[tuple[str, str], ...], operation: Operation) -> None:
    seen: set[str] = set()
    for name, _ in query:
        if name.lower() in seen and name not in operation.repeatable:
            raise Refused(Reason.MALFORMED_TARGET, "The URL has a query parameter twice.")
        seen.add(name.lower())


def _check_change(query: tuple[tuple[str, str], ...], operation: Operation) -> None:
    for name, value in query:
        if name not in operation.query:
            raise Refused(Reason.MALFORMED_TARGET, "The URL has a query parameter that this operation does not take.")
        if not _VALUES[name].fullmatch(value):
            raise Refused(Reason.MALFORMED_TARGET, f"The query parameter {name} has an invalid value.")


def _index() -> tuple[Mapping[str, Methods], Mapping[int, tuple[_Shape, ...]]]:
    """Returns paths without parameters, and all paths by their number of segments."""
    plain: defaultdict[str, dict[str, Operation]] = defaultdict(dict)
    shapes: defaultdict[int, dict[tuple[int, ...], _Shape]] = defaultdict(dict)
    for operation in OPERATIONS:
        segments = operation.path.split("/")
        places = tuple(place for place, segment in enumerate(segments) if segment.startswith("{"))
        shapes[len(segments)].setdefault(places, _Shape(places)).add(segments, operation)
        if not places:
            plain[operation.path][operation.method] = operation
    # Fewest parameters first, so that a fixed path wins.
    return plain, {
        length: tuple(known[places] for places in sorted(known, key=len)) for length, known in shapes.items()
    }


_PLAIN, _SHAPES = _index()
