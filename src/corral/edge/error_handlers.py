"""Turns the exceptions of FastAPI and Starlette into Problems.

The handlers raise and never respond: only the edge writes error responses.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, Never

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from corral.edge.middleware import reads_pages
from corral.edge.openapi import complete_document, methods_by_path
from corral.errors import (
    BodyTooLarge,
    InvalidRequest,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    Problem,
    UnsupportedMediaType,
)
from corral.logs import redact

_BY_STATUS: Final[Mapping[int, type[Problem]]] = {
    400: MalformedRequest,
    404: NotFound,
    413: BodyTooLarge,
    415: UnsupportedMediaType,
}
# What pydantic puts into a message from the model. Anything else in its context came with the request.
_OF_THE_MODEL: Final = frozenset(
    {"gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "actual_length", "field_type", "pattern"}
    | {"expected", "class_name", "discriminator", "expected_tags", "expected_schemes", "expected_version"}
    | {"max_digits", "decimal_places", "whole_digits"}
    | {"key_part", "character"}  # of our own messages about pasted keys: the kind, never the character itself
)


def install_problem_handlers(app: FastAPI) -> None:
    """Lets every error of `app` reach the edge, as a Problem if possible, and documents its body."""
    app.add_exception_handler(HTTPException, partial(_raise_for_status, methods_by_path(app)))
    app.add_exception_handler(RequestValidationError, _raise_for_validation)
    app.add_exception_handler(ClientDisconnect, _raise_for_disconnect)
    app.add_exception_handler(Exception, _raise_to_the_edge)
    complete_document(app)


async def _raise_for_status(methods: Callable[[str], list[str]], request: Request, raised: Exception) -> Never:
    assert isinstance(raised, HTTPException)  # noqa: S101 - for the type checker: it is registered for nothing else
    if isinstance(raised.__cause__, Problem):
        raise raised.__cause__  # FastAPI wraps whatever is raised while it reads the body
    if raised.status_code == MethodNotAllowed.status:
        # Starlette lists the methods of one route, but a path may have several. Pages are not in the OpenAPI document.
        allowed = methods(request.url.path) or re.split(r",\s*", (raised.headers or {}).get("Allow", "GET"))
        raise MethodNotAllowed(allow=allowed) from None
    if raised.status_code not in _BY_STATUS:
        raise raised
    raise _BY_STATUS[raised.status_code] from None


async def _raise_for_validation(request: Request, raised: Exception) -> Never:
    assert isinstance(raised, RequestValidationError)  # noqa: S101 - as above
    errors = raised.errors()
    if any(error["type"] == "json_invalid" for error in errors):
        raise MalformedRequest("The body is not valid JSON.") from None
    if reads_pages(request.scope) and all(error["loc"][0] == "path" for error in errors):
        raise NotFound from None
    raise invalid_request(errors) from None


def invalid_request(errors: Iterable[Mapping[str, Any]]) -> InvalidRequest:
    """Returns pydantic's errors with their locations, in messages that never repeat the input."""
    details = [{"loc": [_place(part) for part in error["loc"]], "msg": _message(error)} for error in errors]
    return InvalidRequest(errors=details)


async def _raise_for_disconnect(_request: Request, _raised: Exception) -> Never:
    raise MalformedRequest("The connection was closed before the body was complete.") from None


async def _raise_to_the_edge(_request: Request, raised: Exception) -> Never:
    raise raised  # Starlette would send a plain-text response before the exception propagates


def _place(part: int | str) -> int | str:
    """Returns a field's name. An unknown key is not repeated, because it may be a secret in the wrong place."""
    return part if isinstance(part, int) else redact(part)


def _message(error: Mapping[str, Any]) -> str:
    """Returns a message that never repeats the input, which may be a key or a password."""
    context: Mapping[str, Any] = error.get("ctx") or {}
    if error["type"] in {"value_error", "assertion_error"}:
        own_words = str(context["error"])
        return "Invalid value" if _quotes(own_words, error.get("input")) else own_words
    message = str(error["msg"])
    for name, value in context.items():
        if name not in _OF_THE_MODEL and str(value):
            message = message.partition(str(value))[0]
    return message.rstrip(" ,:'`") or "Invalid value"


def _quotes(message: str, sent: object) -> bool:
    return any(word in message for word in re.findall(r"[^\s'\"{}\[\](),:]{3,}", str(sent)))
