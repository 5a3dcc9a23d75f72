"""Who gets the frames of an account's socket in this process, as Alpaca sent them."""

from typing import TYPE_CHECKING, Protocol, final

from corral.credentials.reader import OpenCredential
from corral.stream.subscriptions import Subscription, Subscriptions

if TYPE_CHECKING:
    from collections.abc import Callable


class FrameListener(Protocol):
    """Whoever gets the frames of an account, by a subscription whose keys Alpaca has accepted."""

    subscription: Subscription

    async def pass_on(self, content: bytes, through: OpenCredential | None, *, is_text: bool) -> None:
        """`through` is the credential with whose keys this process opened the account's connection, if it did."""
        ...

    def end(self) -> None:
        """Something has been missed that cannot be told."""
        ...


@final
class FrameListeners:
    """Of one account. `on_interest` is called when somebody listens or would like to."""

    __slots__ = ("_is_live", "_listeners", "_subscriptions", "_waiting", "on_interest")

    def __init__(self, subscriptions: Subscriptions) -> None:
        self.on_interest: Callable[[], None] | None = None
        self._subscriptions = subscriptions
        self._listeners: dict[FrameListener, None] = {}
        self._waiting = 0
        self._is_live = False

    @property
    def is_live(self) -> bool:
        """Whether every frame from now on arrives here."""
        return self._is_live

    @property
    def is_wanted(self) -> bool:
        return bool(self._listeners or self._waiting)

    def __len__(self) -> int:
        return len(self._listeners)

    async def listen(self, listener: FrameListener) -> None:
        """Returns once it hears every frame from now on."""
        self._waiting += 1
        try:
            self._note_interest()
            await self._subscriptions.wait_until(lambda: self._is_live and listener.subscription.is_accepted)
            self._listeners[listener] = None
        finally:
            self._waiting -= 1
        self._note_interest()

    def remove(self, listener: FrameListener) -> None:
        self._listeners.pop(listener, None)

    def set_live(self, *, is_live: bool) -> None:
        self._is_live = is_live
        self._subscriptions.note_change()

    async def pass_on(self, content: bytes, through: OpenCredential | None, *, is_text: bool) -> None:
        for listener in list(self._listeners):
            if listener.subscription.is_accepted:
                await listener.pass_on(content, through, is_text=is_text)
            else:
                del self._listeners[listener]
                listener.end()

    def end(self) -> None:
        """Ends all who listen: they have missed something."""
        listeners, self._listeners = self._listeners, {}
        for listener in listeners:
            listener.end()
        self._subscriptions.note_change()

    def _note_interest(self) -> None:
        if self.on_interest is not None:
            self.on_interest()
