"""A page of another origin: the same machine, another port."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

FOREIGN_PATH: Final = "/foreign"  # the path of the page


@asynccontextmanager
async def foreign_page(html: str) -> AsyncGenerator[int]:
    """Serves `html` at `FOREIGN_PATH` and yields the port.

    At `127.0.0.1` it is the same site as Corral, so browsers send cookies; at `localhost` it is another site.
    """

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=html, content_type="text/html")

    app = web.Application()
    app.router.add_get(FOREIGN_PATH, answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
