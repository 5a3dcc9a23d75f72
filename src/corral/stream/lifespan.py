"""Starts and stops streaming with the process. Idle while no stream is open."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from corral.accounts.reader import AccountReader
from corral.alpaca.trade_updates import TradeUpdates
from corral.credentials.reader import CredentialReader
from corral.database.connection import Database
from corral.identity.access_watch import AccessWatch
from corral.stream.feed import Feeds
from corral.stream.hub import Hubs
from corral.stream.order_log import OrderLog
from corral.stream.revocation import RevocationMonitor
from corral.stream.sharing import Sharing


@dataclass(frozen=True, slots=True)
class StreamService:
    feeds: Feeds
    hubs: Hubs
    monitor: RevocationMonitor
    order_log: OrderLog


@asynccontextmanager
async def open_stream_service(
    database: Database,
    credentials: CredentialReader,
    accounts: AccountReader,
    trade_updates: TradeUpdates,
    watch: AccessWatch,
    *,
    interval_seconds: float,
    sharing: Sharing | None = None,
) -> AsyncGenerator[StreamService]:
    """`interval_seconds` is the minimum time between two calls about an account."""
    feeds = Feeds(accounts, trade_updates, interval_seconds, sharing)
    order_log = OrderLog()
    hubs = Hubs(feeds, order_log)
    monitor = RevocationMonitor(database, credentials, hubs, watch)
    try:
        with watch.including(monitor):
            yield StreamService(feeds, hubs, monitor, order_log)
    finally:
        hubs.close()
        await feeds.close()
