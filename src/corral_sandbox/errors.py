"""The errors of the Trading API. Each ends its request with Alpaca's status, code and words."""


class ApiError(Exception):
    """Alpaca's edge sends only a message, its application also a code of eight digits.

    `details` are further fields of the body.
    """

    def __init__(self, status: int, message: str, *, code: int | None = None, **details: object) -> None:
        super().__init__(message)
        self.status = status
        self.body = {**details, **({} if code is None else {"code": code}), "message": message}
        self.headers: dict[str, str] = {}


class EndpointNotFoundError(ApiError):
    def __init__(self) -> None:
        super().__init__(404, "endpoint not found.")


class MethodNotAllowedError(ApiError):
    def __init__(self, allowed: list[str]) -> None:
        super().__init__(405, "method not allowed.")
        self.headers["Allow"] = ", ".join(allowed)


class ForbiddenError(ApiError):
    """The account may not do this."""

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(403, message, code=40310000, **details)


class InvalidParameterError(ApiError):
    """A parameter or field has no valid value."""

    def __init__(self, message: str) -> None:
        super().__init__(422, message, code=40010001)


class UnprocessableError(ApiError):
    """The order is well formed, but breaks a rule."""

    def __init__(self, message: str) -> None:
        super().__init__(422, message, code=42210000)
