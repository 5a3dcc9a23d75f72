"""HTTP for the stream."""

from typing import Annotated, Any, Final, final

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.types import Receive, Scope, Send

from corral.edge.long_lived import connection_of
from corral.edge.problems import responses_for
from corral.edge.request_state import StateKey
from corral.errors import CrossOriginRefused, DatabaseUnavailable, Overloaded
from corral.identity.dependencies import AccountsRead
from corral.identity.models import AuthUser
from corral.identity.problems import InsufficientScope, Unauthenticated
from corral.stream.lifespan import StreamService
from corral.stream.params import StreamParams
from corral.stream.problems import StreamStopping, TooManyStreams
from corral.stream.selection import StreamSelection
from corral.stream.subscriber import Subscriber

STREAM_SERVICE: Final = StateKey[StreamService]("stream")
MEDIA_TYPE: Final = "text/event-stream"


@final
class EventStreamResponse(Response):
    """Raises a Problem before anything is sent: TooManyStreams, Overloaded, DatabaseUnavailable."""

    def __init__(
        self, service: StreamService, user: AuthUser, selection: StreamSelection, last_event_id: str | None
    ) -> None:
        super().__init__(media_type=MEDIA_TYPE)
        self._service = service
        self._user = user
        self._selection = selection
        self._last_event_id = last_event_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = connection_of(scope)
        if connection is None:
            return
        stream = Subscriber(self._user, self._selection)
        hub = self._service.hubs.enter(self._user.id, stream)
        try:
            self._service.monitor.add(stream)
            if not hub.is_loaded or hub.missing(self._selection):
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
# A page of another origin cannot read a stream, but could use up its visitor's limit of open streams.
_OWN_PAGES: Final = frozenset({"same-origin", "none"})
_OK: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Server-sent events, until either side ends it",
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}, "example": _EXAMPLE}},
    }
}


@router.get(
    "/api/stream",
    summary="Stream of account updates",
    response_class=Response,
    responses=_OK
    | responses_for(
        Unauthenticated, InsufficientScope, CrossOriginRefused, TooManyStreams, Overloaded, DatabaseUnavailable
    ),
)
async def read_stream(
    params: Annotated[StreamParams, Query()],
    user: AccountsRead,
    request: Request,
    last_event_id: Annotated[
        str | None, Header(alias="Last-Event-ID", description="Resumes after this event id")
    ] = None,
) -> Response:
    """Streams updates of all your active accounts as server-sent events.

    The stream begins with the current state of each account, followed by a `heartbeat`, and then sends changes.
    Every event is a JSON object with `credential_id` (null if it is about the stream itself) and `sequence`.

    `account-data`: account data has changed. Has the fields of `AccountDataResponse`.

    `position`: a position has changed; `qty` is 0 when it is closed. Has the fields of `PositionResponse`.

    `order`: an order has changed. Has the fields of `OrderResponse`, `event` and `filled_since`.

    `problem`: a problem has begun, or ended if `resolved` is true. Has `code`, `title`, `detail` and `resolved`.

    `heartbeat`: every 15 seconds, after all changes so far have been sent.

    `gap`: events are missing. The current state follows.

    The `event` of an order is Alpaca's (`new`, `fill`, `partial_fill`, `canceled`, …), or `reconciled` for a change
    that Corral found by polling. `filled_since` is the quantity filled since the previous event of the order; their
    sum is `filled_qty`. The state at the beginning and after a `gap` has the open orders, and those that ended within
    the last five minutes. They have the event `state`, and all that is filled as `filled_since`, from where to add up
    anew.

    `events` and `credential_ids` select what the stream sends, from its first event. Without them it sends
    everything. Positions are read every few seconds while a stream sends them, and otherwise after fills and every
    30 seconds. A stream that begins to send them starts with the last known ones, and new ones follow.

    With `Last-Event-ID`, which browsers send when they reconnect, the stream resumes after that event or begins
    with `gap`. The stream ends within a second after its session or API token does, and sends nothing more about an
    account within a second after it is paused or removed.
    """
    if user.authenticated_by == "session" and request.headers.get("sec-fetch-site", "none") not in _OWN_PAGES:
        raise CrossOriginRefused
    return EventStreamResponse(STREAM_SERVICE.of(request), user, params.selection(), last_event_id)
