"""HTTP for the live stream."""

from typing import TYPE_CHECKING, Annotated, Any, Final, cast

from fastapi import APIRouter, Header, Request, Response

from corral.edge.problems import responses_for
from corral.errors import CrossOriginRefused, DatabaseUnavailable, Overloaded
from corral.identity.current_user import AccountsRead
from corral.identity.problems import InsufficientScope, Unauthenticated
from corral.live.answering import MEDIA_TYPE, StreamAnswer
from corral.live.problems import TooManyStreams

if TYPE_CHECKING:
    from corral.live.opening import Live

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
    summary="Stream of account updates",
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
    sum is `filled_qty`.

    With `Last-Event-ID`, which browsers send when they reconnect, the stream resumes after that event or begins
    with `gap`. The stream ends within a second after its session or API token does, and sends nothing more about an
    account within a second after it is paused or removed.
    """
    if user.authenticated_by == "session" and request.headers.get("sec-fetch-site", "none") not in _OWN_PAGES:
        raise CrossOriginRefused
    return StreamAnswer(cast("Live", request.state.live), user, last_event_id)
