"""`/_requests`: GET the counts of requests, PUT (without a body) to reset them."""

from aiohttp import web

from corral_sandbox.control.routes import refuse_rest
from corral_sandbox.errors import MethodNotAllowedError
from corral_sandbox.http.access import RequestCounts
from corral_sandbox.http.requests import Document


class RequestsControl:
    def __init__(self, counts: RequestCounts) -> None:
        self._counts = counts

    async def handle(self, request: web.BaseRequest, rest: str) -> Document:
        refuse_rest(rest)
        if request.method == "PUT":
            self._counts.reset()
        elif request.method != "GET":
            raise MethodNotAllowedError(["GET", "PUT"])
        return self._counts.document()
