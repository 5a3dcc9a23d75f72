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

router = APIRouter(tags=["live"])

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
    return StreamAnswer(cast("Live", request.state.live), user, last_event_id)
