"""HTTP for the stream."""

from typing import Annotated, Any, Final, final

from fastapi import APIRouter, Header, Request, Response
from starlette.types import Receive, Scope, Send

from corral.edge.long_lived import connection_of
from corral.edge.problems import responses_for
from corral.edge.services import ServiceKey
from corral.errors import CrossOriginRefused, DatabaseUnavailable, Overloaded
from corral.identity.authenticator import AccountsRead
from corral.identity.models import AuthUser
from corral.identity.problems import InsufficientScope, Unauthenticated
from corral.stream.problems import StreamStopping, TooManyStreams
from corral.stream.service import StreamService
from corral.stream.subscriber import Subscriber

STREAM_SERVICE: Final = ServiceKey[StreamService]("stream")
MEDIA_TYPE: Final = "text/event-stream"


@final
class EventStreamResponse(Response):
    """Raises a Problem as long as nothing was sent: TooManyStreams, Overloaded, DatabaseUnavailable."""

    def __init__(self, service: StreamService, user: AuthUser, last_event_id: str | None) -> None:
        super().__init__(media_type=MEDIA_TYPE)
        self._service = service
        self._user = user
        self._last_event_id = last_event_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = connection_of(scope)
        if connection is None:
            return
        stream = Subscriber(self._user)
        hub = self._service.hubs.enter(self._user.id, stream)
        try:
            self._service.monitor.add(stream)
            if not hub.is_loaded:
                await self._service.monitor.load_subscriptions(hub)
            connection.hold_open(lambda: stream.end(StreamStopping()))
            await stream.serve(hub, self._last_event_id, connection, receive, send)
        finally:
            self._service.monitor.remove(stream)
            self._service.hubs.leave(hub, stream)


router = APIRouter(tags=["streaming"])

_EXAMPLE: Final = """\
retry: 2130

event: account-data
data: {"credential_id":"7313be74-76ad-4323-84be-e7895b777296","sequence":0,"account_type":"paper", …}

id: 5f0c9d2b7a61e384-0
event: heartbeat
data: {"credential_id":null,"sequence":0}

id: 5f0c9d2b7a61e384-1
event: position
data: {"credential_id":"7313be74-76ad-4323-84be-e7895b777296","sequence":1,"symbol":"AAPL","qty":"20", …}
"""
# A page of another origin cannot read a stream, but could use up all that its visitor may have open.
_OWN_PAGES: Final = frozenset({"same-origin", "none"})
_OK: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Server-sent events, until either side ends it",
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}, "example": _EXAMPLE}},
    }
}


@router.get(
    "/api/stream",
    summary="Everything that happens at your accounts, as it happens",
    response_class=Response,
    responses=_OK
    | responses_for(
        Unauthenticated, InsufficientScope, CrossOriginRefused, TooManyStreams, Overloaded, DatabaseUnavailable
    ),
)
async def read_stream(
    user: AccountsRead,
    request: Request,
    last_event_id: Annotated[
        str | None, Header(alias="Last-Event-ID", description="Where to go on: the last id that was read")
    ] = None,
) -> Response:
    """One stream of server-sent events for all of the caller's accounts that are switched on.

    It begins with what is known of each account, which ends with a `heartbeat`, and then tells what changes.
    Every event is a JSON object with `credential_id` (null where it is about the stream itself) and `sequence`.

    | event | tells | beyond those |
    |---|---|---|
    | `account-data` | how the account stands, when anything of it changed | the fields of `AccountDataResponse` |
    | `position` | each position that changed; `qty` 0 when it is closed | the fields of `PositionResponse` |
    | `order` | that something happened to an order | the fields of `OrderResponse`, `event`, `filled_since` |
    | `problem` | what is wrong, once, and when it is over | `code`, `title`, `detail`, `resolved` |
    | `heartbeat` | each 15 seconds: all is told, and nothing else has changed | |
    | `gap` | that events are missing; what is known follows | |

    `event` is Alpaca's word (`new`, `fill`, `partial_fill`, `canceled`, …), or `reconciled` where Corral found out
    by itself. `filled_since` is what was filled since the last event of this order: all of them add up to its
    `filled_qty`.

    With `Last-Event-ID`, as browsers send it by themselves, it goes on after that event, or begins with `gap`.
    It ends within a second when the session or token does, and tells nothing more of a credential within a
    second after that was switched off or deleted.
    """
    if user.authenticated_by == "session" and request.headers.get("sec-fetch-site", "none") not in _OWN_PAGES:
        raise CrossOriginRefused
    return EventStreamResponse(STREAM_SERVICE.of(request), user, last_event_id)
