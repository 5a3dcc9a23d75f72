"""Completes the OpenAPI document: authentication, and the responses of the edge."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from fastapi import FastAPI

from corral.edge.problems import ProblemBody, add_problems
from corral.errors import (
    BodyTooLarge,
    CrossOriginRefused,
    InternalError,
    MalformedRequest,
    Overloaded,
    UnsupportedMediaType,
)

Document = dict[str, Any]

_SCHEMES: Final[Document] = {
    "token": {"type": "http", "scheme": "bearer", "bearerFormat": "corral_…"},
    "session": {"type": "apiKey", "in": "cookie", "name": "corral_session"},
}
_SAFE: Final = frozenset({"get", "head", "options", "trace"})


def complete_document(app: FastAPI) -> None:
    """Lets `app.openapi()` return the complete document."""
    generate = app.openapi

    def openapi() -> Document:
        document = generate()
        if "securitySchemes" not in document.setdefault("components", {}):
            _complete(document)
        return document

    app.openapi = openapi


def _complete(document: Document) -> None:
    components = document["components"]
    components.setdefault("schemas", {}).setdefault("ProblemBody", ProblemBody.model_json_schema())
    components["securitySchemes"] = _SCHEMES
    for path in document["paths"].values():
        for method, operation in path.items():
            _complete_operation(method, operation)


def _complete_operation(method: str, operation: Document) -> None:
    responses = operation["responses"]
    if "`unauthenticated`" in responses.get("401", {}).get("description", ""):
        operation["security"] = [{"token": []}, {"session": []}]
    add_problems(responses, MalformedRequest, InternalError, Overloaded)
    if method not in _SAFE:
        add_problems(responses, CrossOriginRefused)
    if "requestBody" in operation:
        add_problems(responses, BodyTooLarge, UnsupportedMediaType)


def methods_by_path(app: FastAPI) -> Callable[[str], list[str]]:
    """Returns the methods of each path over all of its routes, for the `Allow` of a 405 (RFC 9110 §15.5.6)."""
    compiled: list[tuple[re.Pattern[str], list[str]]] = []

    def methods(path: str) -> list[str]:
        if not compiled:
            compiled.extend(_compiled(app.openapi()["paths"]))
        return sorted({method for pattern, taken in compiled if pattern.fullmatch(path) for method in taken})

    return methods


def _compiled(paths: Mapping[str, Document]) -> list[tuple[re.Pattern[str], list[str]]]:
    return [
        (re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template))), [method.upper() for method in operations])
        for template, operations in paths.items()
    ]
