"""What Alpaca's business layer refuses, with a 403."""

from corral_sandbox.answers import Refused


class Forbidden(Refused):
    """`details` stand beside the message."""

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(403, message, code=40310000)
        self.answer.body = {**details, "code": 40310000, "message": message}
