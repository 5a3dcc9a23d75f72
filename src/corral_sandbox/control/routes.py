"""The control API, beside Alpaca's: what a test sets and reads, by the first part of the path.

A handler gets the request and the rest of its path, and returns a document or a `Response`. A new one is a line where
`ControlApi` is made.
"""

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from corral_sandbox.errors import ApiError, EndpointNotFoundError
from corral_sandbox.http.requests import Document, Response

ControlHandler = Callable[[web.BaseRequest, str], Awaitable[Document | Response | web.StreamResponse]]


class ControlApi:
    """Serves programs only: requests of web pages, which carry an Origin, are refused."""

    def __init__(self, handlers: Mapping[str, ControlHandler]) -> None:
        self._handlers = handlers

    async def handle(self, request: web.BaseRequest, path: str) -> Response | web.StreamResponse:
        """`path` begins with `/_`. Returns errors as responses, too."""
        name, slash, rest = path[1:].partition("/")
        try:
            response = await self._find_handler(request, name)(request, slash + rest)
        except ApiError as error:
            return Response.of_error(error)
        return response if isinstance(response, Response | web.StreamResponse) else Response(200, response)

    def _find_handler(self, request: web.BaseRequest, name: str) -> ControlHandler:
        if "Origin" in request.headers:
            raise ApiError(403, "a web page may not do this")
        if name not in self._handlers:
            raise EndpointNotFoundError
        return self._handlers[name]


def refuse_rest(rest: str) -> None:
    """Raises EndpointNotFoundError where a path goes on that has no more parts."""
    if rest:
        raise EndpointNotFoundError
