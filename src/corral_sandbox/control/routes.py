"""The control API, beside Alpaca's: what a test sets and reads, by the first part of the path.

A handler gets the request and the rest of its path, and returns a document or a `Response`. A new one is a line where
`ControlApi` is made.
"""

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from corral_sandbox.control.access import ControlAccess, refuse_web_page
from corral_sandbox.errors import ApiError, EndpointNotFoundError
from corral_sandbox.http.requests import Document, Response

ControlHandler = Callable[[web.BaseRequest, str], Awaitable[Document | Response | web.StreamResponse]]

_HEALTH = "_health"
_WITHOUT_TURN = frozenset({_HEALTH, "_clock"})  # the clock sees to its own turns


class ControlApi:
    """Serves those whom `access` allows; whether the sandbox is ready, everybody may ask.

    A request waits for `turn` before it is handled.
    """

    def __init__(
        self, handlers: Mapping[str, ControlHandler], access: ControlAccess, turn: Callable[[], Awaitable[None]]
    ) -> None:
        self._handlers = handlers
        self._access = access
        self._turn = turn

    async def handle(self, request: web.BaseRequest, path: str) -> Response | web.StreamResponse:
        """`path` begins with `/_`. Returns errors as responses, too."""
        name, slash, rest = path[1:].partition("/")
        try:
            handler = self._find_handler(request, name)
            if name not in _WITHOUT_TURN:
                await request.read()  # so that nothing comes between the turn and the change
                await self._turn()
            response = await handler(request, slash + rest)
        except ApiError as error:
            return Response.of_error(error)
        return response if isinstance(response, Response | web.StreamResponse) else Response(200, response)

    def _find_handler(self, request: web.BaseRequest, name: str) -> ControlHandler:
        if name == _HEALTH:
            refuse_web_page(request)
        else:
            self._access.check(request)
        if name not in self._handlers:
            raise EndpointNotFoundError
        return self._handlers[name]


def refuse_rest(rest: str) -> None:
    """Raises EndpointNotFoundError where a path goes on that has no more parts."""
    if rest:
        raise EndpointNotFoundError
