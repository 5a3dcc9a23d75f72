"""Long-lived responses, such as streams: how they register with their connection and how they can end it.

When the server stops, it waits for ordinary requests, which take a connection only briefly. Long-lived
responses would use up the connection limit and delay every shutdown, so they are counted separately.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from weakref import ReferenceType

LONG_LIVED: Final = "corral.long_lived"
"""The extension's name in the ASGI scope."""


class LongLivedConnection(Protocol):
    """The connection of a request that is being served."""

    def hold_open(self, on_stop: Callable[[], None]) -> None:
        """Counts this connection as long-lived. `on_stop` is called when the server begins to stop.

        Raises Overloaded when the limit is reached. From now on at most 16 KiB are buffered for a client
        that does not read; then sending waits.
        """
        ...

    def cut(self) -> None:
        """Closes the connection now, discarding unsent data."""
        ...

    def hand_over(self, successor: asyncio.Protocol) -> tuple[asyncio.Transport, bytes]:
        """From now on `successor` gets what arrives, and writes to the transport. No response may follow.

        Also returns what has arrived behind the request already. To pass it to `successor` later, as a callback, would
        be too late: uvloop may read more before it calls back. `successor` calls `connection_lost` at its end.
        """
        ...

    def connection_lost(self, exc: Exception | None) -> None: ...


def connection_of(scope: Mapping[str, Any]) -> LongLivedConnection | None:
    """Returns None if the connection has already been closed."""
    reference: ReferenceType[LongLivedConnection] = scope["extensions"][LONG_LIVED]["connection"]
    return reference()


async def wait_until_gone(receive: Callable[[], Awaitable[MutableMapping[str, Any]]]) -> None:
    """Returns when the client has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass
