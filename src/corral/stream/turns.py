"""Which process watches an account: this one, or another whose log it follows, or each alone while Valkey is away."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final, Protocol, final

from corral.logs import get_logger
from corral.stream.account_log import AccountLog, Entry, Loaded, follows, load
from corral.stream.audience import Audience, Outlet
from corral.stream.events import LogPosition
from corral.stream.lease import LEASE_SECONDS, NOTHING, RENEW_SECONDS, Lease, Wanted, now
from corral.stream.news import Handover, Release, Scanned
from corral.stream.permit import Permit
from corral.stream.shared_outlet import SharedOutlet
from corral.stream.sharing import Sharing
from corral.stream.subscriptions import Subscriptions
from corral.stream.told import Told
from corral.stream.verifier import Verifier
from corral.stream.watch import Watch
from corral.valkey.errors import ValkeyAway

LOOK_SECONDS: Final = 0.1  # for Valkey, while it is away
CLOSE_SECONDS: Final = 2.0  # for what is written last
# A holder writes its first snapshot right after its first entry.
TRIES_TO_LOAD: Final = 10
SCAN_SECONDS: Final = 10.0
TRY_SECONDS: Final = 0.05

_log = get_logger()


class BeginWatch(Protocol):
    def __call__(
        self,
        outlet: Outlet,
        *,
        permit: Permit,
        has_listeners: Callable[[], bool],
        is_place_doubtful: bool,
        may_others_watch: Callable[[], bool],
    ) -> Watch: ...


@final
class Turns:
    """Of one account in one process, from its first subscription here to its last."""

    def __init__(
        self,
        sharing: Sharing,
        account: str,
        *,
        audience: Audience,
        subscriptions: Subscriptions,
        verifier: Verifier,
        begin_watch: BeginWatch,
    ) -> None:
        self.watch: Watch | None = None
        self.keys: Final = sharing.leases.keys_of(account)
        self._sharing = sharing
        self._account = account
        self._audience = audience
        self._subscriptions = subscriptions
        self._verifier = verifier
        self._begin_watch = begin_watch
        self._outlet = SharedOutlet(audience, self._are_frames_wanted)
        self._lease: Lease | None = None
        self._log: AccountLog | None = None
        self._is_alone = False
        self._is_missing = False  # whether an entry was missed, or the snapshot has something that is in none
        self._stirred = asyncio.Event()
        audience.frames.on_interest = self.note_interest

    def wanted(self) -> Wanted:
        """What this process wants of the account."""
        return Wanted(
            frames=self._audience.frames.is_wanted,
            polls=self._subscriptions.is_polled(),
            positions=self._subscriptions.want_positions_here(),
        )

    def try_lease(self) -> None:
        self._stirred.set()

    async def run(self) -> None:
        """Runs until it is cancelled. To be followed by `close`."""
        while True:
            try:
                await self._take_turn()
            except ValkeyAway:
                await asyncio.sleep(LOOK_SECONDS)

    def give_up(self) -> None:
        """After a bug: whoever else has subscriptions takes over."""
        if self._lease is not None:
            self._forget(self._lease)

    async def close(self) -> None:
        """Closes the socket, and hands over to another process that has subscriptions."""
        if self.watch is not None:
            await self.watch.close()
        lease, log = self._lease, self._log
        if lease is None or log is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                while not await self._release(log):  # noqa: ASYNC110 - Valkey tells nobody when it is back
                    await asyncio.sleep(TRY_SECONDS)
        self._forget(lease)

    async def _release(self, log: AccountLog) -> bool:
        """Writes what is left, and gives the lease back. Returns whether Valkey was there for it."""
        try:
            await self._outlet.flush(log)
            await log.release([Release()])
        except ValkeyAway:
            return False
        return True

    async def _take_turn(self) -> None:
        if not self._sharing.valkey.is_here:
            await self._watch_alone()
            return
        lease = await self._acquire() or await self._follow()
        if lease is not None:
            await self._hold(lease)

    async def _acquire(self) -> Lease | None:
        """Whoever has no keys to ask Alpaca with leaves the account to others. Raises ValkeyAway."""
        return await self._sharing.leases.acquire(self._account) if self._subscriptions.has_keys() else None

    async def _watch_alone(self) -> None:
        """Until Valkey is here again."""
        is_place_doubtful = self._audience.position is not None
        self._is_alone = True
        try:
            await self._outlet.go_alone()
            if self.watch is None:
                self._begin(is_place_doubtful=is_place_doubtful)
            self.note_interest()
            while not self._sharing.valkey.is_here:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self._is_alone = False

    async def _hold(self, lease: Lease) -> None:
        """Watches the account until the lease is lost. Raises ValkeyAway when it can no longer be renewed."""
        log = AccountLog(self._sharing.valkey, lease)
        self._lease, self._log = lease, log
        lease.on_interest = self.note_interest
        try:
            after = await self._prepare(await load(self._sharing.valkey, self._account))
            if self.watch is None:
                self._audience.end_frames()  # what came between the old socket and the new one is not known
                self._begin(is_place_doubtful=lease.had_place)
            self._outlet.begin_writing(Handover(after))
            self.note_interest()
            async with _running(self._outlet.write(log, lease), broken=lease.lose):
                await self._keep(lease)
            if not lease.is_lost:
                await self.close()
        except ValkeyAway:  # the watch goes on, in this process alone
            self._forget(lease)
            raise
        self._forget(lease)
        await self._end_watch()

    async def _keep(self, lease: Lease) -> None:
        """Returns when it is lost, or useless. Raises ValkeyAway when it has run out and cannot be renewed."""
        useless = asyncio.ensure_future(self._subscriptions.wait_until(lambda: not self._subscriptions.has_keys()))
        try:
            while True:
                over = asyncio.ensure_future(lease.wait_over())
                try:
                    await asyncio.wait({over, useless}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    over.cancel()
                if lease.is_lost or useless.done():
                    return
                await self._sharing.leases.renew([lease])  # this process may have been stopped for a while
        finally:
            useless.cancel()

    async def _prepare(self, loaded: Loaded) -> LogPosition | None:
        """Returns the position up to which nothing is missing here; None if something may be."""
        if self.watch is not None:
            if self._audience.position is None:  # what was told meanwhile is in no log
                return None
            if self._audience.position == loaded.last:
                return loaded.last
            await self._end_watch()
        return await self._catch_up(loaded)

    async def _follow(self) -> Lease | None:
        """Returns a lease, or None when Valkey has been away for as long as one lasts. Raises ValkeyAway."""
        await self._end_watch()
        self._sharing.followers.add(self)
        try:
            while True:
                self._stirred.clear()
                await self._catch_up(await self._loaded())
                self._is_missing = False
                lease = await self._follow_log()
                if lease is not None or not self._is_missing:
                    return lease
                await asyncio.sleep(TRY_SECONDS)
        finally:
            self._sharing.followers.discard(self)

    async def _follow_log(self) -> Lease | None:
        self._sharing.reader.follow(self._account, self.keys.log, self._audience.position, self._take)
        self.note_interest()
        try:
            async with _running(self._verifier.run()):
                return await self._wait_for_lease()
        finally:
            self._sharing.reader.unfollow(self.keys.log)

    async def _wait_for_lease(self) -> Lease | None:
        """Returns None when an entry was missed, or Valkey has been away for as long as a lease lasts."""
        seen_at = now()
        while not self._is_missing:
            with suppress(TimeoutError):
                async with asyncio.timeout(RENEW_SECONDS):
                    await self._stirred.wait()
            if self._sharing.valkey.is_here:
                seen_at = now()
            elif now() - seen_at > LEASE_SECONDS:
                return None
            if self._stirred.is_set() and not self._is_missing:
                self._stirred.clear()
                with suppress(ValkeyAway):
                    if (lease := await self._acquire()) is not None:
                        return lease
        return None

    async def _take(self, entries: Sequence[Entry]) -> None:
        """Delivers what the process that watches the account has told."""
        for entry in entries:
            position = self._audience.position
            if self._is_missing or position is None or not follows(entry, position):
                self._is_missing = True
                self._stirred.set()
                return
            news = entry.news or ()
            await self._audience.follow(news, entry.position)
            if any(isinstance(each, Release) for each in news):
                self._stirred.set()
            if any(isinstance(each, Scanned) for each in news):
                self._is_missing = True
                self._stirred.set()

    async def _catch_up(self, loaded: Loaded) -> LogPosition | None:
        """Delivers what was told elsewhere since the last entry that was delivered here, or else a gap.

        Returns as `_prepare` does.
        """
        told, entries = Told.of(loaded), loaded.after(self._audience.position)
        if entries is None:
            self._audience.begin_anew(told or Told(), loaded.last)
            is_whole = told is not None
        else:
            for entry in entries:
                await self._audience.follow(entry.news or (), entry.position)
            if told is not None:
                self._audience.told = told
            is_whole = True
        self._audience.tell_returned()
        return loaded.last if is_whole and self._audience.told.tracker.has_scanned else None

    async def _loaded(self) -> Loaded:
        """Waits for a snapshot that says what was told. Raises ValkeyAway.

        A holder writes its first one right after its first entry. If this one has told something that the holder may
        not know, it waits for the one after the holder's first scan of the orders.
        """
        loaded = await load(self._sharing.valkey, self._account)
        for seconds in (TRY_SECONDS,) * TRIES_TO_LOAD + (SCAN_SECONDS / TRIES_TO_LOAD,) * TRIES_TO_LOAD:
            told = Told.of(loaded)
            is_comparable = loaded.after(self._audience.position) is not None or not self._audience.has_told()
            if told is not None and (is_comparable or told.tracker.has_scanned):
                return loaded
            if loaded.last is None and seconds > TRY_SECONDS:  # the holder has not told anything yet
                return loaded
            if self._stirred.is_set():  # there is no holder any more
                return loaded
            await asyncio.sleep(seconds)
            loaded = await load(self._sharing.valkey, self._account)
        return loaded

    def _begin(self, *, is_place_doubtful: bool) -> None:
        """What happened before the first scan of the orders is not told: whoever was told something has a gap then."""
        if self._audience.has_told() and not self._audience.told.tracker.has_scanned:
            self._audience.tell_gap()
        self.watch = self._begin_watch(
            self._outlet,
            permit=self._permit,
            has_listeners=self._has_listeners,
            is_place_doubtful=is_place_doubtful,
            may_others_watch=lambda: self._is_alone,
        )
        if self._lease is not None:
            self._lease.has_socket = lambda: self.watch is not None and self.watch.is_connected

    async def _end_watch(self) -> None:
        if self.watch is not None:
            watch, self.watch = self.watch, None
            await watch.close()
            await self._outlet.stop_writing()

    def _forget(self, lease: Lease) -> None:
        self._sharing.leases.forget(lease)
        self._lease = self._log = None

    async def _permit(self) -> None:
        """Returns when this process may ask Alpaca about the account."""
        while not (self._is_alone or (self._lease is not None and self._lease.holds())):  # noqa: ASYNC110 - on its clock
            await asyncio.sleep(LOOK_SECONDS)

    def _has_listeners(self) -> bool:
        return len(self._audience.frames) > 0 or self._are_frames_wanted_elsewhere()

    def _are_frames_wanted(self) -> bool:
        return self._audience.frames.is_wanted or self._are_frames_wanted_elsewhere()

    def _are_frames_wanted_elsewhere(self) -> bool:
        return self._lease is not None and self._lease.wanted_elsewhere.frames

    def note_interest(self) -> None:
        """To be called when what is wanted of the account has changed, here or elsewhere."""
        wanted = NOTHING if self._lease is None else self._lease.wanted_elsewhere
        self._subscriptions.is_polled_elsewhere = wanted.polls
        self._subscriptions.are_positions_wanted_elsewhere = wanted.positions
        self._subscriptions.note_change()
        if self.watch is not None:
            self.watch.reconsider()
            self.watch.relay.note_interest()
            self._outlet.note_interest()
        else:
            self._sharing.look_soon()


@asynccontextmanager
async def _running(work: Coroutine[None, None, None], *, broken: Callable[[], object] = bool) -> AsyncGenerator[None]:
    """Does it meanwhile. `broken` is called for a bug that has ended it."""
    task = asyncio.get_running_loop().create_task(work)
    task.add_done_callback(partial(_report_bug, broken))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _report_bug(broken: Callable[[], object], task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (bug := task.exception()):
        _log.error("feed_broke", exc_info=bug)
        broken()
