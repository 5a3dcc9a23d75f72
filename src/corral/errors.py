"""Problem: every error that a client can receive, one class and one sentence each.

A `Problem` is raised where the condition is known, and rendered once, by the API (RFC 9457) or the pages. Every other
exception is a bug in Corral.
"""

from typing import ClassVar


class Problem(Exception):  # noqa: N818 - it is the standard's word (RFC 9457)
    """One error. `detail` is what a person reads: what happened, and what to do.

    The class gives `status`, `code` and `title`; the docstring of each is its default detail.
    `retry_after` is in whole seconds; `extra` holds further members of the body, which the RFC allows.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str | None = None, *, retry_after: int | None = None, **extra: object) -> None:
        self.detail = detail or " ".join((type(self).__doc__ or "").split())
        self.retry_after = retry_after
        self.extra = extra
        super().__init__(self.detail)


class OperatorError(Exception):
    """What a command prints as it is, in one line: what happened, and what to do."""


class InternalError(Problem):
    """Something went wrong in Corral. Its log has the details under this request ID."""


class InvalidRequest(Problem):
    """Some values are missing or invalid."""

    status, code, title = 422, "invalid_request", "Invalid request"


class MalformedRequest(Problem):
    """The request could not be read."""

    status, code, title = 400, "malformed_request", "Malformed request"


class NotFound(Problem):
    """This page or resource does not exist."""

    status, code, title = 404, "not_found", "Not found"


class MethodNotAllowed(Problem):
    """This URL does not support this method."""

    status, code, title = 405, "method_not_allowed", "Method not allowed"


class BodyTooLarge(Problem):
    """The request body is too large."""

    status, code, title = 413, "body_too_large", "Body too large"


class UnsupportedMediaType(Problem):
    """Send the body as application/json."""

    status, code, title = 415, "unsupported_media_type", "Unsupported media type"


class CrossOriginRefused(Problem):
    """This request came from another origin. Open Corral itself and try again."""

    status, code, title = 403, "cross_origin_refused", "Cross-origin request blocked"


class DatabaseUnavailable(Problem):
    """The database is unavailable. Nothing was changed; try again shortly."""

    status, code, title = 503, "database_unavailable", "Database unavailable"

    def __init__(
        self, detail: str | None = None, *, retry_after: int | None = None, reason: str = "", **extra: object
    ) -> None:
        """`reason` is for the operator of the database and is not sent to clients."""
        super().__init__(detail, retry_after=retry_after, **extra)
        self.reason = reason


class Overloaded(Problem):
    """Corral is overloaded. Nothing was changed; try again shortly."""

    status, code, title = 503, "overloaded", "Overloaded"
