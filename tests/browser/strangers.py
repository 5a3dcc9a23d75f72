"""A page of somebody else's, on another port of this machine."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

STRANGE: Final = "/somebody-elses"  # the path of every such page


@asynccontextmanager
async def strangers_page(html: str) -> AsyncGenerator[int]:
    """Its port; it is at `STRANGE`.

    As `127.0.0.1` it is of Corral's own site, so that cookies are sent; as `localhost` it is of another.
    """

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=html, content_type="text/html")

    app = web.Application()
    app.router.add_get(STRANGE, answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
