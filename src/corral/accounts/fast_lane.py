"""`GET /api/credentials/{id}/account-data` past the framework, for it is what everybody asks all the time.

Routing, dependency solving and response models cost several times as much as the whole road behind
them (docs/decisions/0011-fast-lane.md has the figures). So this one call is recognised before them.
It runs the very functions that the documented route runs; whatever is not exactly its form (another
method, a malformed id) goes on to the framework, which answers as it always does.
"""

import re
from typing import Final, final
from uuid import UUID

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from corral.accounts.account_data import answer_account_data
from corral.identity.current_user import get_accounts_reader

_PATH: Final = re.compile(
    r"/api/credentials/([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})/account-data", re.ASCII
)


@final
class FastLane:
    """Wraps the application. Problems are raised, as everywhere, and rendered by the edge around it."""

    path: Final = "/api/credentials/{credential_id}/account-data"  # for the request's log line

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = _PATH.fullmatch(scope["path"]) if scope["type"] == "http" and scope["method"] == "GET" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = self
        request = Request(scope)
        user = await get_accounts_reader(request)
        answer = await answer_account_data(user, UUID(found[1]), request)
        headers = [(b"content-length", b"%d" % len(answer)), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})
