"""Answers that last: what the connection that carries one has to know, and can be told.

An ordinary request takes a connection for a moment and has its end waited for when the server stops. An
answer that lasts would take the places of the others and hold up every stop.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from weakref import ReferenceType

LONG_LIVED: Final = "corral.long_lived"
"""The extension's name in the ASGI scope."""


class LongLivedConnection(Protocol):
    """The connection of a request that is being served."""

    def hold_open(self, on_stop: Callable[[], None]) -> None:
        """Counts this connection among those that last. `on_stop` is called when the server begins to stop.

        Raises Overloaded when there are as many as may be. From now on at most 16 KiB wait here for a
        reader that does not read; then sending waits.
        """
        ...

    def cut(self) -> None:
        """Ends the connection now, whatever is still unsent."""
        ...


def connection_of(scope: Mapping[str, Any]) -> LongLivedConnection | None:
    """None when the connection is gone already."""
    reference: ReferenceType[LongLivedConnection] = scope["extensions"][LONG_LIVED]["connection"]
    return reference()
