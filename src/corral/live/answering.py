"""The answer that is a stream."""

from typing import Final, final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from corral.edge.lasting import connection_of
from corral.identity.models import AuthUser
from corral.live.opening import Live
from corral.live.problems import StreamStopping
from corral.live.streams import Stream

MEDIA_TYPE: Final = "text/event-stream"


@final
class StreamAnswer(Response):
    """Raises a Problem as long as nothing was sent: TooManyStreams, Overloaded, DatabaseUnavailable."""

    def __init__(self, live: Live, user: AuthUser, last_event_id: str | None) -> None:
        super().__init__(media_type=MEDIA_TYPE)
        self._live = live
        self._user = user
        self._last_event_id = last_event_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = connection_of(scope)
        if connection is None:
            return
        stream = Stream(self._user)
        hub = self._live.hubs.enter(self._user.id, stream)
        try:
            self._live.rights.enter(stream)
            if not hub.is_followed:
                await self._live.rights.follow(hub)
            connection.hold_open(lambda: stream.end(StreamStopping()))
            await stream.tell(hub, self._last_event_id, connection, receive, send)
        finally:
            self._live.rights.leave(stream)
            self._live.hubs.leave(hub, stream)
