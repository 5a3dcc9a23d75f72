"""Which operation a request asks for, and the target that is sent to Alpaca: written anew, never the client's bytes.

A target is decoded once and matched with the listed operations. What is not listed, or could be read in two ways, is
refused: what follows in a chain of servers may decode once more, collapse slashes, or resolve dots.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from corral.gateway.operations import OPERATIONS, Kind, Operation
from corral.gateway.refusals import Reason, Refused

MOST_TARGET_BYTES: Final = 16 * 1024
MOST_QUERY_PARAMETERS: Final = 256

# Printable ASCII without "#", which begins a fragment, and "\", which some take for a slash.
_TARGET: Final = re.compile(rb"/[!\"$-\[\]-~]*+")
_WRONG_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
# A symbol or an id: no dot at the beginning, so never "." or "..", and no "%", so no second layer of encoding.
_SEGMENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
# Two coins. No path of Alpaca has capitals, so that it stays one segment also for who decodes the slash.
_COINS: Final = re.compile(r"[A-Z0-9]{1,16}/[A-Z0-9]{1,16}", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}(?:\[\])?", re.ASCII)
_TO_ESCAPE: Final = re.compile(r"[^A-Za-z0-9._~,:-]++", re.ASCII)

# The values that a change takes in its query. Reads may have any.
_NUMBER: Final = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?(?:[eE]-?[0-9]{1,2})?", re.ASCII)
_FLAG: Final = re.compile(r"true|false|True|False", re.ASCII)  # alpaca-py writes Python's
_VALUES: Final[Mapping[str, re.Pattern[str]]] = {
    "cancel_orders": _FLAG,
    "qty": _NUMBER,
    "percentage": _NUMBER,
    "name": re.compile(r".{1,256}"),
}


@dataclass(frozen=True, slots=True)
class Match:
    """A request that may be judged. `parameters` are those of the path by name, `query` those of the query as they
    came, all decoded. `target` is what is to be sent: path and query, after the path of the host's address.
    """

    operation: Operation
    parameters: Mapping[str, str]
    query: tuple[tuple[str, str], ...]
    target: str


Methods = Mapping[str, Operation]


def match(method: str, target: bytes) -> Match:
    """Returns the operation of a request for `target`, the bytes between method and version of its first line, without
    a path prefix of ours. Raises Refused, also for an operation that no grant allows.
    """
    path, _, query_string = _readable(target).partition("?")
    methods, parameters, sent_path = _find(path)
    operation = methods.get(method)
    if operation is None:
        allowed = tuple(sorted(name for name, known in methods.items() if known.kind is not Kind.NEVER))
        raise Refused(Reason.UNKNOWN_METHOD, "This path does not support this method.", allowed_methods=allowed)
    if operation.kind is Kind.NEVER:
        raise Refused(Reason.NOT_GRANTED, "No grant allows this operation. Use Alpaca's own keys for it.")
    query = _read_query(query_string, operation) if query_string else ()
    sent = f"{sent_path}?{_written(query)}" if query else sent_path
    return Match(operation, parameters, query, sent)


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
    """Returns the methods of a path, its parameters, and the path as it is to be sent."""
    if path.startswith("//"):  # what alpaca-py asks for if its base URL ends in a slash
        path = "/" + path.lstrip("/")
    if methods := _PLAIN.get(path):
        return methods, {}, path
    segments = path.split("/")
    if "%" in path:
        segments = [_decoded(segment) for segment in segments]
    for shape in _SHAPES.get(len(segments), ()):
        if found := shape.find(segments):
            return found
    raise Refused(Reason.UNKNOWN_PATH, "This path is not one that can be used through a grant.")


class _Shape:
    """The paths whose parameters are at the same places."""

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


def _read_query(query_string: str, operation: Operation) -> tuple[tuple[str, str], ...]:
    pieces = query_string.split("&")
    if len(pieces) > MOST_QUERY_PARAMETERS:
        raise Refused(Reason.TARGET_TOO_LONG, f"The URL has more than {MOST_QUERY_PARAMETERS} query parameters.")
    query = tuple(_read_parameter(piece) for piece in pieces if piece)
    # Alpaca tells capitals from small letters here; who stands before it may not.
    if len({name.lower() for name, _ in query}) != len(query):
        _refuse_repeated(query, operation)
    if operation.kind is not Kind.READ:
        _check_change(query, operation)
    return query


def _read_parameter(piece: str) -> tuple[str, str]:
    name, _, value = piece.partition("=")
    name, value = _decoded(name), _decoded(value.replace("+", " "))  # a form's space, in URLs as Alpaca reads them
    is_name = (name.isascii() and name.isidentifier()) or _NAME.fullmatch(name)
    if not is_name or not value.isprintable():
        raise Refused(Reason.MALFORMED_TARGET, "The URL has a query parameter that cannot be read.")
    return name, value


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


def _written(query: tuple[tuple[str, str], ...]) -> str:
    return "&".join([f"{_encoded(name)}={_encoded(value)}" for name, value in query])


def _encoded(text: str) -> str:
    return text if text.isalnum() and text.isascii() else _TO_ESCAPE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return quote(found[0], safe="")


def _index() -> tuple[Mapping[str, Methods], Mapping[int, tuple[_Shape, ...]]]:
    """Returns the operations of paths without parameters by path, and all paths by their number of segments."""
    plain: defaultdict[str, dict[str, Operation]] = defaultdict(dict)
    shapes: defaultdict[int, dict[tuple[int, ...], _Shape]] = defaultdict(dict)
    for operation in OPERATIONS:
        segments = operation.path.split("/")
        places = tuple(place for place, segment in enumerate(segments) if segment.startswith("{"))
        shapes[len(segments)].setdefault(places, _Shape(places)).add(segments, operation)
        if not places:
            plain[operation.path][operation.method] = operation
    # Fewest parameters first: /v1beta1/screener/stocks/movers is not that of a symbol.
    return plain, {
        length: tuple(known[places] for places in sorted(known, key=len)) for length, known in shapes.items()
    }


_PLAIN, _SHAPES = _index()
