"""Through which credential an account is watched, and who is told."""

from collections.abc import Callable
from math import inf
from typing import Literal, final
from uuid import UUID

from corral.credentials.models import SealedCredential
from corral.errors import Problem
from corral.live.events import News, problem_news

# Of what a problem is told: the keys, every call, the lists that REST gives, the socket.
Part = Literal["keys", "polling", "positions", "order_list", "orders"]


@final
class Watcher:
    """One credential of one user. It is all that a feed ever sees of them.

    A feed has news of an Alpaca account and no ids of ours: the only way to tell them is `tell`, and that
    leads to the one hub that made this watcher, under the id of the row that row-level security gave it.
    """

    __slots__ = ("_problems", "_publish", "credential", "is_marked", "is_proved", "noted_at")

    def __init__(self, credential: SealedCredential, publish: Callable[[UUID, News], None]) -> None:
        self.credential = credential
        self.is_proved = False  # whether Alpaca has accepted these very keys since the watcher joined its feed
        self.is_marked = credential.refused_at is not None  # as the row says: Alpaca refuses these keys
        self.noted_at = -inf  # when its use was written down, on the monotonic clock
        self._publish = publish
        self._problems: dict[Part, Problem] = {}

    def tell(self, news: News) -> None:
        self._publish(self.credential.id, news)

    def tell_trouble(self, part: Part, problem: Problem | None) -> None:
        """Each once: when it begins, when it becomes another, and with None when it is over."""
        before = self._problems.pop(part, None)
        if problem is not None:
            self._problems[part] = problem
        if before is not None and (problem is None or problem.code != before.code):
            self.tell(problem_news(before, resolved=True))
        if problem is not None and (before is None or problem.code != before.code):
            self.tell(problem_news(problem))

    def has_trouble(self, part: Part) -> bool:
        return part in self._problems

    def troubles(self) -> list[News]:
        return [problem_news(problem) for problem in self._problems.values()]
