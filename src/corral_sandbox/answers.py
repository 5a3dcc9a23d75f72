"""What the sandbox answers, and how Alpaca refuses."""

from dataclasses import dataclass, field

import orjson

Document = dict[str, object] | list[dict[str, object]]


@dataclass(slots=True)
class Answer:
    """A body of bytes goes out as it is, anything else as JSON; it is JSON unless the headers say otherwise."""

    status: int
    body: Document | bytes
    headers: dict[str, str] = field(default_factory=dict[str, str])

    def wire_body(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else orjson.dumps(self.body)


class Refused(Exception):  # noqa: N818 - it is what happens to the request, not an error of ours
    """The request ends here, with Alpaca's words.

    The edge of Alpaca sends a message alone, the layer behind it a code of eight digits, too.
    """

    def __init__(self, status: int, message: str, *, code: int | None = None, **headers: str) -> None:
        super().__init__(message)
        body: dict[str, object] = {"message": message} if code is None else {"code": code, "message": message}
        self.answer = Answer(status, body, headers)


class EndpointNotFound(Refused):
    def __init__(self) -> None:
        super().__init__(404, "endpoint not found.")


class MethodNotAllowed(Refused):
    def __init__(self, allowed: list[str]) -> None:
        super().__init__(405, "method not allowed.", Allow=", ".join(allowed))
