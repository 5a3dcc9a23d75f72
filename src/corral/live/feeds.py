"""One feed per Alpaca account, however many people, credentials and tabs watch it."""

import asyncio
from collections.abc import Coroutine, Iterable
from contextvars import Context
from typing import final

from corral.alpaca.environments import Environment
from corral.credentials.problems import CredentialRefused
from corral.errors import InternalError
from corral.live.asking import Road
from corral.live.audiences import Audience
from corral.live.events import News
from corral.live.holdings import Holdings
from corral.live.ledgers import OrderLedger
from corral.live.order_lines import OrderLine
from corral.live.polling import Poller
from corral.live.watchers import Watcher
from corral.logs import get_logger

_log = get_logger()

AccountKey = tuple[Environment, str]


@final
class Feed:
    """Begins with its first watcher and ends with its last."""

    def __init__(self, road: Road) -> None:
        self.members: set[Watcher] = set()  # also those whose keys are refused
        self._audience = Audience()
        self._holdings = Holdings()
        ledger = OrderLedger()
        self._poller = Poller(road, self._audience, self._holdings, ledger)
        self._line = OrderLine(road, self._audience, ledger, self._poller)
        self._audience.on_loss = self._line.let_go_of
        self._tasks: list[asyncio.Task[None]] = []

    def join(self, watcher: Watcher) -> None:
        self.members.add(watcher)
        self.mark(watcher, is_refused=watcher.is_marked)
        if not self._tasks:
            self._tasks = [self._start(self._poller.run()), self._start(self._line.run())]

    def mark(self, watcher: Watcher, *, is_refused: bool) -> None:
        """What its row says. While that says that Alpaca refuses its keys, nothing is asked with them."""
        watcher.is_marked = is_refused
        if is_refused:
            self._audience.refuse(watcher, CredentialRefused())
        else:
            self._audience.add(watcher)
            self._poller.hurry()

    def leave(self, watcher: Watcher) -> None:
        self.members.discard(watcher)
        self._audience.remove(watcher)

    def known(self) -> Iterable[News]:
        return self._holdings.known()

    def stop(self) -> None:
        self._audience.close()
        for task in self._tasks:
            task.cancel()

    def _start(self, work: Coroutine[None, None, None]) -> "asyncio.Task[None]":
        # In a context of its own: it outlives the request that began it, and its log lines are not that one's.
        task = asyncio.get_running_loop().create_task(work, context=Context())
        task.add_done_callback(self._take_notice)
        return task

    def _take_notice(self, task: "asyncio.Task[None]") -> None:
        """A bug of ours ends the feed, and is not silent about it."""
        if not task.cancelled() and (bug := task.exception()):
            _log.error("feed_broke", exc_info=bug)
            self._audience.tell_trouble("polling", InternalError())


@final
class Feeds:
    """The feeds of all accounts that are watched."""

    def __init__(self, road: Road) -> None:
        self._road = road
        self._feeds: dict[AccountKey, Feed] = {}

    def __len__(self) -> int:
        return len(self._feeds)

    def join(self, watcher: Watcher) -> None:
        key = _account_of(watcher)
        if key not in self._feeds:
            self._feeds[key] = Feed(self._road)
        self._feeds[key].join(watcher)

    def leave(self, watcher: Watcher) -> None:
        feed = self._feeds[_account_of(watcher)]
        feed.leave(watcher)
        if not feed.members:
            del self._feeds[_account_of(watcher)]
            feed.stop()

    def mark(self, watcher: Watcher, *, is_refused: bool) -> None:
        self._feeds[_account_of(watcher)].mark(watcher, is_refused=is_refused)

    def known(self, watcher: Watcher) -> Iterable[News]:
        """Nothing for one whose own keys have not been accepted yet."""
        return self._feeds[_account_of(watcher)].known() if watcher.is_proved else []


def _account_of(watcher: Watcher) -> AccountKey:
    return watcher.credential.credential_type, watcher.credential.account_id
