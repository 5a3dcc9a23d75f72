"""The receivers of an account's events: one subscription for each credential of each user that opens it."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final, Literal, final
from uuid import UUID

from corral.credentials.reader import OpenCredential
from corral.errors import Problem
from corral.stream.events import GAP, Described, LogPosition, StreamEvent, place_of, problem_event

if TYPE_CHECKING:
    from datetime import datetime

Part = Literal["keys", "polling", "positions", "order_list", "orders"]
"""What a problem is about: the keys, every call, the lists over REST, the socket."""

# After a refusal, which may be an error of Alpaca. Otherwise the row is soon marked, and its keys are not used.
TRY_AGAIN_SECONDS: Final = (60.0, 90.0)


@final
class Subscription:
    """One credential of one user. A feed knows nothing else about them.

    A feed has events of an Alpaca account without Corral's ids. It can send them only by `publish`, to the hub that
    made this subscription, under the id of the row that was loaded under row-level security.
    """

    __slots__ = (
        "_place",
        "_problems",
        "_publish",
        "credential",
        "is_accepted",
        "is_marked_refused",
        "is_polled",
        "knows_until",
        "position",
        "wants_positions",
    )

    def __init__(
        self, credential: OpenCredential, publish: Callable[[UUID, StreamEvent], None], *, is_polled: bool = True
    ) -> None:
        """One that is not polled needs the account's socket only: its keys are used to verify them, and for that."""
        self.credential = credential
        self.is_polled = is_polled
        self.wants_positions = False  # whether anybody looks at the account's positions
        self.is_accepted = False  # whether Alpaca has accepted these keys since this joined its feed
        self.is_marked_refused = credential.stored.refused_at is not None
        # If its streams came back before the orders were known: the last event that they have is not from before this.
        self.knows_until: datetime | None = None
        self.position: LogPosition | None = None  # in the account's log, of the last event that it received
        self._publish = publish
        self._problems: dict[Part, Described] = {}
        self._place: tuple[LogPosition | None, str] = (None, "")

    def publish(self, event: StreamEvent) -> None:
        self._publish(self.credential.stored.id, event)

    @property
    def place(self) -> str:
        """Returns the position as it stands in an event's id; empty without one."""
        if self._place[0] != self.position:
            place = "" if self.position is None else place_of(self.credential.stored.id, self.position)
            self._place = (self.position, place)
        return self._place[1]

    def is_settled(self) -> bool:
        """Whether its keys were accepted, or it was told why not."""
        return self.is_accepted or bool(self._problems)

    def report(self, part: Part, problem: Described | None) -> None:
        """Publishes a problem once: when it begins, when it changes, and with None when it is over."""
        before = self._problems.pop(part, None)
        if problem is not None:
            self._problems[part] = problem
        if before is not None and (problem is None or problem.code != before.code):
            self.publish(problem_event(before, resolved=True))
        if problem is not None and (before is None or problem.code != before.code):
            self.publish(problem_event(problem))

    def has_problem(self, part: Part) -> bool:
        return part in self._problems

    def problems(self) -> list[StreamEvent]:
        return [problem_event(problem) for problem in self._problems.values()]


@final
class Subscriptions:
    """The subscriptions of one account. Calls use each key pair in turn, so each is verified again and again."""

    __slots__ = (
        "_changed",
        "_refused",
        "_to_verify",
        "_turns",
        "are_positions_wanted_elsewhere",
        "is_polled_elsewhere",
        "on_removal",
    )

    def __init__(self) -> None:
        self.is_polled_elsewhere = False  # whether another process has a subscription that is polled
        self.are_positions_wanted_elsewhere = False  # whether somebody looks at the positions by another process
        self.on_removal: Callable[[Subscription], None] | None = None
        self._turns: deque[Subscription] = deque()
        self._refused: dict[Subscription, asyncio.TimerHandle] = {}
        self._to_verify: Subscription | None = None
        self._changed = asyncio.Event()

    def accepted(self) -> Iterator[Subscription]:
        return (subscription for subscription in self._turns if subscription.is_accepted)

    def add(self, subscription: Subscription) -> None:
        """New keys are used for the next call."""
        self._forget_refusal(subscription)
        if subscription not in self._turns:
            self._turns.appendleft(subscription)
            self._changed.set()

    def remove(self, subscription: Subscription) -> None:
        """From now on its keys are not used, and it receives nothing."""
        self._forget_refusal(subscription)
        if subscription in self._turns:
            self._turns.remove(subscription)
            subscription.is_accepted = False
            subscription.position = None
            self._changed.set()
            if self.on_removal is not None:
                self.on_removal(subscription)

    def refuse(self, subscription: Subscription, problem: Problem) -> None:
        """It receives the reason, and no further events of the account. Unless its row is marked, it is tried again."""
        self.remove(subscription)
        subscription.report("keys", problem)
        if not subscription.is_marked_refused:
            seconds = random.uniform(*TRY_AGAIN_SECONDS)  # noqa: S311 - spreads load, guards nothing
            self._refused[subscription] = asyncio.get_running_loop().call_later(seconds, self.add, subscription)

    def verify_next(self, subscription: Subscription) -> None:
        """Makes the next call with these keys, to find out whether they are accepted."""
        self._to_verify = subscription
        self._changed.set()

    async def next_in_turn(self) -> Subscription:
        """Returns the one whose keys are used for the next call. Waits until there is any that wants one."""
        await self.wait_until(lambda: any(map(self._wants_call, self._turns)))
        subscription = next(
            (subscription for subscription in self._turns if subscription is self._to_verify),
            next(filter(self._wants_call, self._turns)),
        )
        self._to_verify = None
        self._turns.remove(subscription)
        self._turns.append(subscription)
        return subscription

    def want_positions(self) -> bool:
        """Returns whether anybody looks at the account's positions now, in whichever process."""
        return self.are_positions_wanted_elsewhere or self.want_positions_here()

    def want_positions_here(self) -> bool:
        return any(subscription.wants_positions for subscription in self.accepted())

    def have_any_to_verify(self) -> bool:
        """Returns whether the keys of any are to be used soon, to find out whether they are accepted."""
        return self._to_verify is not None or not all(subscription.is_accepted for subscription in self._turns)

    def is_polled_with(self, subscription: Subscription) -> bool:
        """Returns whether its keys are used for the account's polls: also for those of other processes."""
        return subscription.is_polled or self.is_polled_elsewhere

    def _wants_call(self, subscription: Subscription) -> bool:
        is_unproved = not subscription.is_accepted or subscription is self._to_verify
        return is_unproved or self.is_polled_with(subscription)

    async def next_unproved(self) -> Subscription:
        """Returns one whose keys have not been accepted. Waits until there is any."""
        await self.wait_until(lambda: any(not subscription.is_accepted for subscription in self._turns))
        return next(subscription for subscription in self._turns if not subscription.is_accepted)

    def has_keys(self) -> bool:
        """Whether there are any keys to call Alpaca with."""
        return bool(self._turns)

    def is_polled(self) -> bool:
        """Whether any of them needs the account to be polled."""
        return any(subscription.is_polled for subscription in self._turns)

    async def any_accepted(self, *, after: Subscription | None) -> Subscription:
        """Returns one whose keys are accepted, if possible not `after`. Waits until there is any."""
        await self.wait_until(lambda: any(self.accepted()))
        accepted = list(self.accepted())
        return next((subscription for subscription in accepted if subscription is not after), accepted[0])

    def accept(self, subscription: Subscription, known: Iterable[StreamEvent]) -> bool:
        """Records that its keys were accepted: from now on it receives events, starting with the known state.

        Returns whether that is new.
        """
        if subscription.is_accepted or subscription not in self._turns:
            return False
        subscription.is_accepted = True
        subscription.report("polling", None)
        if subscription.has_problem("keys"):
            subscription.report("keys", None)
            subscription.publish(GAP)
        for event in known:
            subscription.publish(event)
        self._changed.set()
        return True

    def close(self) -> None:
        for timer in self._refused.values():
            timer.cancel()

    def _forget_refusal(self, subscription: Subscription) -> None:
        timer = self._refused.pop(subscription, None)
        if timer is not None:
            timer.cancel()

    def note_change(self) -> None:
        """Lets everybody who waits look again."""
        self._changed.set()

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Waits for a condition that changes with the subscriptions or with what `note_change` is called for."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()
