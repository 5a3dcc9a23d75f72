"""Which page a path leads to."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from corral_sandbox.answers import Answer, Document
from corral_sandbox.requests import Request

Page = Callable[[Request], Document | Answer]
Pages = Mapping[str, Page]


@dataclass(frozen=True, slots=True)
class Route:
    """A path's pages by method, under the pattern that it fits."""

    pattern: str
    pages: Pages
    parameters: dict[str, str]


class Routes:
    """Patterns like "/v2/assets/{symbol_or_id}". A parameter is one segment of the path, percent-decoded, so
    that `BTC%2FUSD` is one.
    """

    def __init__(self, pages_by_pattern: Mapping[str, Pages]) -> None:
        self._plain = {pattern: Route(pattern, pages, {}) for pattern, pages in pages_by_pattern.items()}
        self._by_length: defaultdict[int, list[tuple[list[str], Route]]] = defaultdict(list)
        for pattern, route in self._plain.items():
            segments = pattern.split("/")
            self._by_length[len(segments)].append((segments, route))

    def patterns(self) -> frozenset[str]:
        return frozenset(self._plain)

    def find(self, path: str) -> Route | None:
        if (route := self._plain.get(path)) is not None:
            return route
        segments = [unquote(segment) for segment in path.split("/")]
        for pattern, route in self._by_length.get(len(segments), ()):
            parameters = _parameters(pattern, segments)
            if parameters is not None:
                return Route(route.pattern, route.pages, parameters)
        return None


def _parameters(pattern: list[str], segments: list[str]) -> dict[str, str] | None:
    parameters: dict[str, str] = {}
    for expected, segment in zip(pattern, segments, strict=True):
        if expected.startswith("{"):
            parameters[expected[1:-1]] = segment
        elif segment != expected:
            return None
    return parameters
