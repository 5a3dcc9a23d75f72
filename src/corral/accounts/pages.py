"""Pages of an account's lists, asked of Alpaca."""

from functools import partial

from corral.accounts.asking import OpenAccount
from corral.alpaca.activities import ACTIVITY_LISTING, Activity, ActivityQuery
from corral.alpaca.items import UnreadableItem
from corral.alpaca.orders import Order, OrderQuery, order_listing
from corral.alpaca.paging import Page, Place, read_page
from corral.alpaca.positions import Position


async def page_of_positions(account: OpenAccount) -> Page[Position | UnreadableItem]:
    """All of them: Alpaca knows no pages here. Raises AlpacaError."""
    return Page(await account.ask(account.alpaca.fetch_positions), goes_on=None)


async def page_of_orders(
    account: OpenAccount, query: OrderQuery, place: Place, *, limit: int, leaving: int = 0
) -> Page[Order | UnreadableItem]:
    """At most `limit` from `place` on, `leaving` so many of the minute's calls to others. Raises AlpacaError."""

    async def ask(wanted: int, beyond: str | None) -> tuple[Order | UnreadableItem, ...]:
        fetch = account.alpaca.fetch_orders
        return await account.ask(
            partial(fetch, query=query, limit=wanted, beyond=beyond, leaving=leaving), leaving=leaving
        )

    return await read_page(order_listing(query), ask, place, limit=limit)


async def page_of_activities(
    account: OpenAccount, query: ActivityQuery, place: Place, *, limit: int, leaving: int = 0
) -> Page[Activity | UnreadableItem]:
    """As `page_of_orders`. Raises AlpacaError."""

    async def ask(wanted: int, beyond: str | None) -> tuple[Activity | UnreadableItem, ...]:
        fetch = account.alpaca.fetch_activities
        return await account.ask(
            partial(fetch, query=query, limit=wanted, beyond=beyond, leaving=leaving), leaving=leaving
        )

    return await read_page(ACTIVITY_LISTING, ask, place, limit=limit)
