"""Why the gateway refuses to send a request to Alpaca."""

from enum import Enum
from http import HTTPStatus
from typing import Final


class Reason(Enum):
    """The value is the response's status. An invalid body is 422, which no client retries."""

    MALFORMED_TARGET = HTTPStatus.BAD_REQUEST
    TARGET_TOO_LONG = HTTPStatus.REQUEST_URI_TOO_LONG
    UNKNOWN_PATH = HTTPStatus.NOT_FOUND
    UNKNOWN_METHOD = HTTPStatus.METHOD_NOT_ALLOWED
    NOT_GRANTED = HTTPStatus.FORBIDDEN
    BODY_TOO_LARGE = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    INVALID_BODY = HTTPStatus.UNPROCESSABLE_ENTITY


class Refused(Exception):  # noqa: N818 - named after the condition
    """Nothing was sent. `message` is a sentence for the client; it never repeats what the client sent.

    `allowed_methods` are for the header `Allow`.
    """

    def __init__(self, reason: Reason, message: str, *, allowed_methods: tuple[str, ...] = ()) -> None:
        self.reason: Final = reason
        self.message: Final = message
        self.allowed_methods: Final = allowed_methods
        super().__init__(message)

    @property
    def status(self) -> HTTPStatus:
        return self.reason.value
