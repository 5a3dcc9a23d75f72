"""`POST /_reset`: everything back to the start."""

from collections.abc import Callable, Mapping

from aiohttp import web

from corral_sandbox.control.routes import refuse_rest
from corral_sandbox.errors import MethodNotAllowedError
from corral_sandbox.http.requests import Document


class ResetControl:
    """Calls each of `resets` in its order. What else can be set is one more of them, where this is made."""

    def __init__(self, resets: Mapping[str, Callable[[], None]]) -> None:
        self._resets = resets

    async def handle(self, request: web.BaseRequest, rest: str) -> Document:
        """Returns the names of what has been reset."""
        refuse_rest(rest)
        if request.method != "POST":
            raise MethodNotAllowedError(["POST"])
        for reset in self._resets.values():
            reset()
        return {"reset": list(self._resets)}
