"""Alpaca's two documents, as far as the gateway is held to them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from tests.sandbox.judges import official_document

_METHODS: Final = ("get", "head", "post", "put", "patch", "delete", "options", "trace")


@dataclass(frozen=True, slots=True)
class Documented:
    """One operation. `parameters` are those of its query, with their schemas; `body` is the schema of its body."""

    method: str
    path: str
    host: str
    parameters: Mapping[str, Mapping[str, Any]]
    body: Mapping[str, Any] | None
    is_event_stream: bool

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


def _documented(name: str) -> Iterator[Documented]:
    document = official_document(name)
    for path, item in document["paths"].items():
        for method in item.keys() & set(_METHODS):
            operation = item[method]
            parameters = [
                _resolved(document, parameter)
                for parameter in [*item.get("parameters", []), *operation.get("parameters", [])]
            ]
            (server, *_), success = operation.get("servers", document["servers"]), operation["responses"].get("200", {})
            yield Documented(
                method.upper(),
                path,
                server["url"].removeprefix("https://").removesuffix(".alpaca.markets"),
                {each["name"]: _resolved(document, each["schema"]) for each in parameters if each["in"] == "query"},
                _body(document, operation),
                "text/event-stream" in _resolved(document, success).get("content", {}),
            )


def _resolved(document: dict[str, Any], part: Any) -> Any:  # noqa: ANN401 - JSON
    """Follows references, at any depth."""
    if isinstance(part, list):
        return [_resolved(document, value) for value in cast("list[Any]", part)]
    if not isinstance(part, dict):
        return part
    named = cast("dict[str, Any]", part)
    if "$ref" not in named:
        return {name: _resolved(document, value) for name, value in named.items()}
    target: Any = document
    for step in str(named["$ref"]).removeprefix("#/").split("/"):
        target = target[step]
    return _resolved(document, target)


def _body(document: dict[str, Any], operation: dict[str, Any]) -> Mapping[str, Any] | None:
    content = operation.get("requestBody", {}).get("content", {})
    return _resolved(document, content["application/json"]["schema"]) if content else None


TRADING: Final = tuple(_documented("trading-api.json"))
MARKET_DATA: Final = tuple(_documented("market-data-api.json"))
DOCUMENTED: Final = (*TRADING, *MARKET_DATA)
