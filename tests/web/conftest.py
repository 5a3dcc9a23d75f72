"""The pages behind a real server, once as real and once as the sandbox."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
import pytest
import pytest_asyncio
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse

from corral.errors import NotFound
from corral.web.routes import router


@pytest_asyncio.fixture(scope="session")
async def real() -> AsyncGenerator[aiohttp.ClientSession]:
    async with _browser(sandbox=False) as session:
        yield session


@pytest_asyncio.fixture(scope="session")
async def in_sandbox() -> AsyncGenerator[aiohttp.ClientSession]:
    async with _browser(sandbox=True) as session:
        yield session


@pytest.fixture(params=["/", "/sign-in", "/setup", "/docs"])
def page(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def _browser(*, sandbox: bool) -> AsyncGenerator[aiohttp.ClientSession]:
    async with _serving(_app(sandbox=sandbox)) as address, aiohttp.ClientSession(address) as session:
        yield session


@asynccontextmanager
async def _serving(app: FastAPI) -> AsyncGenerator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        running = asyncio.create_task(server.serve(sockets=[listener]))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        await running


def _app(*, sandbox: bool) -> FastAPI:
    @asynccontextmanager
    async def state(_app: FastAPI) -> AsyncGenerator[dict[str, bool]]:
        yield {"sandbox": sandbox}

    app = FastAPI(lifespan=state, docs_url=None, redoc_url=None)
    app.add_exception_handler(NotFound, _not_found)
    app.include_router(router)
    return app


async def _not_found(_request: Request, _problem: Exception) -> PlainTextResponse:
    return PlainTextResponse("not found", status_code=404)
