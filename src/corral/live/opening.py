"""What lives as long as the process: who listens, what is watched, and the watch over their rights."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from corral.database.connection import Database
from corral.live.asking import Road
from corral.live.feeds import Feeds
from corral.live.hubs import Hubs
from corral.live.rights import Rights


@dataclass(frozen=True, slots=True)
class Live:
    feeds: Feeds
    hubs: Hubs
    rights: Rights


@asynccontextmanager
async def open_live(database: Database, road: Road) -> AsyncGenerator[Live]:
    """Costs nothing while nobody listens."""
    feeds = Feeds(road)
    hubs = Hubs(feeds)
    rights = Rights(database, hubs)
    rights.start()
    try:
        yield Live(feeds, hubs, rights)
    finally:
        await rights.stop()
        hubs.close()
