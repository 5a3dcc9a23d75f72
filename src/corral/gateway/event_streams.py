"""Alpaca's streams of events over HTTP, for programs that have a grant: passed on as they come, until somebody leaves.

Each has a connection of its own to Alpaca, because a program says itself since when it wants to hear.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, final
from uuid import UUID

from corral.edge.client_address import Address
from corral.edge.long_lived import LongLivedConnection, connection_of, wait_until_gone
from corral.edge.middleware import Message, Receive, Scope, Send
from corral.gateway.problems import AnswerUnusable, NotGranted
from corral.gateway.reads import Reads
from corral.gateway.requests import GrantedRequest
from corral.gateway.stream_rooms import MOST_OF_A_GRANT, MOST_OF_AN_ACCOUNT, count_down
from corral.grants.models import Grant

if TYPE_CHECKING:
    from collections.abc import Hashable

_CUT_SECONDS: Final = 0.3  # for a client that does not read to receive the end


@final
class GrantedEventStream:
    """One that is open. `grant` is as it was stored when it was looked at last."""

    __slots__ = ("_connection", "_ended", "_is_streaming", "address", "grant")

    def __init__(self, grant: Grant, address: Address | None, connection: LongLivedConnection) -> None:
        self.grant = grant
        self.address = address
        self._connection = connection
        self._ended = asyncio.Event()
        self._is_streaming = False

    def end(self) -> None:
        """Nothing is passed on from now on, and what has not been read yet is soon discarded."""
        self._ended.set()
        if self._is_streaming:
            asyncio.get_running_loop().call_later(_CUT_SECONDS, self._connection.cut)

    async def run(self, reads: Reads, asked: GrantedRequest, receive: Receive, send: Send) -> None:
        """Returns when Alpaca has ended it, the client has left, or it was ended. Raises a Problem before it began.

        An answer in place of a stream leaves the connection as it was.
        """

        async def hold_and_send(message: Message) -> None:
            if message.get("status") == HTTPStatus.OK:
                self._connection.hold_open(self.end)
                self._is_streaming = True
            await send(message)

        loop = asyncio.get_running_loop()
        passing_on = loop.create_task(reads.pass_on(asked, hold_and_send))
        others = [loop.create_task(wait_until_gone(receive)), loop.create_task(self._ended.wait())]
        try:
            await asyncio.wait([passing_on, *others], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (passing_on, *others):
                task.cancel()
            with suppress(asyncio.CancelledError):
                await passing_on
        if self._ended.is_set():
            if not self._is_streaming:
                raise AnswerUnusable
            await send({"type": "http.response.body", "body": b""})


@final
class EventStreams:
    """All of the process."""

    def __init__(self, reads: Reads, admit: Callable[[UUID], None]) -> None:
        """`admit` has what opens watched, or raises InternalError."""
        self._reads = reads
        self._admit = admit
        self._open: set[GrantedEventStream] = set()
        self._of_grants: Counter[UUID] = Counter()
        self._of_accounts: Counter[Hashable] = Counter()

    def __iter__(self) -> Iterator[GrantedEventStream]:
        return iter(list(self._open))

    async def pass_on(
        self, asked: GrantedRequest, address: Address | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Raises a Problem if nothing has been sent to the client yet, and AnswerCut if something has."""
        connection = connection_of(scope)
        if connection is None:
            return
        grant, account = asked.grant, asked.credential.budget_key
        if self._of_grants[grant.id] >= MOST_OF_A_GRANT or self._of_accounts[account] >= MOST_OF_AN_ACCOUNT:
            raise NotGranted("Too many streams of events are open already: close one.")
        stream = GrantedEventStream(grant, address, connection)
        self._admit(grant.user_id)
        self._open.add(stream)
        self._of_grants[grant.id] += 1
        self._of_accounts[account] += 1
        try:
            await stream.run(self._reads, asked, receive, send)
        finally:
            self._open.discard(stream)
            count_down(self._of_grants, grant.id)
            count_down(self._of_accounts, account)
