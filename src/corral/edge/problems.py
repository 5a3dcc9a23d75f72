"""Problems in API responses, as application/problem+json (RFC 9457), and in the OpenAPI document."""

from typing import TYPE_CHECKING, Any, Final, cast

import orjson
from pydantic import BaseModel, ConfigDict, Field

from corral.errors import (
    DatabaseUnavailable,
    InternalError,
    InvalidRequest,
    MalformedRequest,
    MethodNotAllowed,
    Overloaded,
    Problem,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

Headers = list[tuple[bytes, bytes]]
PROBLEM_JSON: Final = "application/problem+json"


class HeadersTooLarge(Problem):
    """The request line and headers are too large."""

    status, code, title = 431, "headers_too_large", "Request headers too large"


class RequestTimeout(Problem):
    """The request did not arrive in time."""

    status, code, title = 408, "request_timeout", "Request timeout"


class Stopping(Problem):
    """Corral is stopping and did not finish this request. Check whether it took effect before you repeat it."""

    status, code, title = 503, "stopping", "Stopping"


class ProblemBody(BaseModel):
    """Every error of the API has this form (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:corral:problem:not_found"])
    title: str = Field(examples=["Not found"])
    status: int = Field(examples=[404])
    detail: str = Field(description="What happened and what to do, for people")
    code: str = Field(description="The outcome, for programs", examples=["not_found"])
    request_id: str = Field(description="Also in X-Request-ID and in Corral's log")


def render_problem(problem: Problem, request_id: str) -> tuple[int, Headers, bytes]:
    """Returns status, headers and body. `retry_after` becomes a header."""
    body = orjson.dumps(problem_members(problem, request_id), default=str)
    return problem.status, [*_headers(problem), (b"content-length", b"%d" % len(body))], body


def problem_members(problem: Problem, request_id: str) -> dict[str, Any]:
    """Returns the body's members, including those of `extra`.

    `type` is a URN and not the URL of a page: it must be the same on every installation, so that programs
    can compare it, and a self-hosted service has no fixed URL.
    """
    return {
        "type": f"urn:corral:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "request_id": request_id,
        **problem.extra,
    }


def _headers(problem: Problem) -> Headers:
    headers = [(b"content-type", PROBLEM_JSON.encode())]
    if problem.retry_after is not None:
        headers.append((b"retry-after", b"%d" % problem.retry_after))
    if problem.status == 401:  # noqa: PLR2004 - RFC 9110, 15.5.2: a 401 says how to authenticate
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(problem, MethodNotAllowed):  # RFC 9110, 15.5.6: a 405 says what is allowed
        headers.append((b"allow", ", ".join(cast("Sequence[str]", problem.extra.get("allow", ()))).encode()))
    return headers


def responses_for(*problems: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """Returns a route's `responses=`: its problems by status, each with its code and sentence.

    The schema is a reference; `install_problem_handlers` puts what it refers to into the document.
    """
    documented: dict[int | str, dict[str, Any]] = {}
    add_problems(documented, *problems)
    return documented


def add_problems(responses: dict[Any, dict[str, Any]], *problems: type[Problem]) -> None:
    """Adds problems to documented responses, each one once. In the finished document a status is a string."""
    for problem in problems:
        status = str(problem.status) if any(isinstance(key, str) for key in responses) else problem.status
        description = f"`{problem.code}`: {problem().detail}"
        entry = responses.get(status)
        if entry is None:
            content = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
            responses[status] = {"description": description, "content": content}
        elif f"`{problem.code}`" not in entry["description"]:
            entry["description"] += f"\n\n{description}"


PROBLEM_RESPONSES: Final = responses_for(
    MalformedRequest, InvalidRequest, InternalError, Overloaded, DatabaseUnavailable
)
"""The problems that any route may return; for the application's own `responses=`."""
