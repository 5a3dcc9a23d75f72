"""Who receives an account's events in this process, whichever process asks Alpaca for them."""

from collections.abc import Iterable
from typing import Protocol, final

from corral.credentials.reader import OpenCredential
from corral.errors import Problem
from corral.stream.events import StreamEvent
from corral.stream.frame_listeners import FrameListeners
from corral.stream.known_state import KnownState
from corral.stream.subscriptions import Part, Subscription, Subscriptions


class Outlet(Protocol):
    """Where whoever asks Alpaca about an account says what is new: to all who receive its events, wherever they are."""

    def publish(self, events: Iterable[StreamEvent]) -> None: ...

    def refresh(self, event: StreamEvent) -> None:
        """Newer state that differs in nothing that anybody has to be told."""
        ...

    def report(self, part: Part, problem: Problem | None) -> None:
        """A problem that has begun or goes on, and with None that there is none."""
        ...

    async def pass_on(self, content: bytes, through: OpenCredential, *, is_text: bool) -> None:
        """A frame of Alpaca's socket. `through` is the credential with whose keys that was opened."""
        ...

    def set_live(self, *, is_live: bool) -> None:
        """Whether all frames from now on are passed on."""
        ...

    def end_frames(self) -> None:
        """Something has been missed that cannot be told."""
        ...


@final
class Audience:
    """Of one account. Delivers to the subscriptions whose own keys Alpaca has accepted in this process."""

    __slots__ = ("_known", "_problems", "_subscriptions", "frames")

    def __init__(self, subscriptions: Subscriptions) -> None:
        self.frames = FrameListeners(subscriptions)
        self._subscriptions = subscriptions
        self._known = KnownState()
        self._problems: dict[Part, Problem] = {}

    def known(self) -> list[StreamEvent]:
        return self._known.events()

    def accept(self, subscription: Subscription) -> None:
        """Its keys were accepted by a call of this process: from now on it receives events, after the known state."""
        if self._subscriptions.accept(subscription, self._known.events()):
            for part, problem in self._problems.items():
                subscription.report(part, problem)

    def publish(self, events: Iterable[StreamEvent]) -> None:
        for event in events:
            self._known.take(event)
            for subscription in self._subscriptions.accepted():
                subscription.publish(event)

    def refresh(self, event: StreamEvent) -> None:
        self._known.take(event)

    def report(self, part: Part, problem: Problem | None) -> None:
        if problem is None:
            self._problems.pop(part, None)
        else:
            self._problems[part] = problem
        for subscription in self._subscriptions.accepted():
            subscription.report(part, problem)

    async def pass_on(self, content: bytes, through: OpenCredential | None, *, is_text: bool) -> None:
        await self.frames.pass_on(content, through, is_text=is_text)

    def set_live(self, *, is_live: bool) -> None:
        self.frames.set_live(is_live=is_live)

    def end_frames(self) -> None:
        self.frames.end()
