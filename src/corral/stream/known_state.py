"""What is known of an account in this process: the events that a new reader begins with."""

from typing import final

from corral.stream.events import Kind, StreamEvent


@final
class KnownState:
    """Follows the events of one account, and keeps the last of each thing while Alpaca does not respond."""

    __slots__ = ("_account", "_positions")

    def __init__(self) -> None:
        self._account: StreamEvent | None = None
        self._positions: dict[str, StreamEvent] = {}

    def take(self, event: StreamEvent) -> None:
        if event.kind is Kind.ACCOUNT_DATA:
            self._account = event
        elif event.kind is Kind.POSITION and event.is_last:
            self._positions.pop(event.about, None)
        elif event.kind is Kind.POSITION:
            self._positions[event.about] = event

    def events(self) -> list[StreamEvent]:
        account = [] if self._account is None else [self._account]
        return account + list(self._positions.values())
