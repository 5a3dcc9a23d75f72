"""`/_health`: GET whether the sandbox is ready, and what a test suite may want to know of it."""

from collections.abc import Callable

from aiohttp import web

from corral_sandbox.control.routes import refuse_rest
from corral_sandbox.errors import MethodNotAllowedError
from corral_sandbox.http.requests import Document


class HealthControl:
    """`facts` returns the members beside the status."""

    def __init__(self, facts: Callable[[], dict[str, object]]) -> None:
        self._facts = facts

    async def handle(self, request: web.BaseRequest, rest: str) -> Document:
        refuse_rest(rest)
        if request.method not in {"GET", "HEAD"}:
            raise MethodNotAllowedError(["GET", "HEAD"])
        return {"status": "ok", **self._facts()}
