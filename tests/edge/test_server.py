"""Starting and stopping."""

import asyncio
import io
import signal
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import pytest
from fastapi import FastAPI

from corral.edge.connection import Limits
from corral.edge.error_handlers import install_problem_handlers
from corral.edge.server import PortTaken, reserve_port, serve_http
from tests.edge.sample_app import sample_app
from tests.edge.wire import request, served


async def test_a_port_in_use_is_reported_in_one_line_before_the_application_starts(log: io.BytesIO) -> None:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        raise AssertionError("started")
        yield

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTaken) as taken:
            reserve_port("127.0.0.1", port)
    assert str(taken.value) == f"127.0.0.1:{port} is in use by another program"
    late = reserve_port("127.0.0.1", 0)
    with socket.create_server(late.getsockname()):
        serving = serve_http(
            FastAPI(lifespan=lifespan), listener=late, ready=None, grace_seconds=1, stop=asyncio.Event()
        )
        with pytest.raises(PortTaken):
            await serving


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_connections_to_a_reserved_port_are_refused(host: str) -> None:
    with reserve_port(host, 0) as reserved, pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*reserved.getsockname()[:2])


async def test_a_stop_finishes_requests_in_progress_and_refuses_new_ones(log: io.BytesIO) -> None:
    async with served(sample_app(), log) as server:
        busy, resting, fresh = [await server.connect() for _ in range(3)]
        await resting.send(request("GET", "/healthz"))
        await resting.response()
        await busy.send(request("GET", "/slow"))
        await asyncio.sleep(0.05)
        server.stop()
        assert (await resting.rest(), await fresh.rest()) == (b"", b"")
        with pytest.raises(ConnectionRefusedError):
            await server.connect()
        answer = await busy.response()
        assert (answer.status, answer.body, answer.headers["connection"]) == (200, b'"done"', "close")


async def test_before_a_stop_each_answer_says_that_it_is_the_last_one_of_its_connection(log: io.BytesIO) -> None:
    async with served(sample_app(), log) as server:
        client = await server.connect()
        await client.send(request("GET", "/healthz"))
        assert "connection" not in (await client.response()).headers
        server.drain()
        await client.send(request("GET", "/healthz"))
        assert (await client.response()).headers["connection"] == "close"
        assert await client.rest() == b""
        assert (await server.ask(request("GET", "/healthz"))).status == 200


async def test_a_request_that_crosses_a_stop_is_answered(log: io.BytesIO) -> None:
    """On a connection that was in use a moment ago, and on a new one."""
    async with served(sample_app(), log, limits=Limits(parting_seconds=60), grace_seconds=60) as server:
        resting, fresh = [await server.connect() for _ in range(2)]
        await resting.send(request("GET", "/healthz"))
        await resting.response()
        server.stop()
        async with asyncio.timeout(60):
            with suppress(ConnectionRefusedError):
                while True:
                    (await asyncio.open_connection("127.0.0.1", server.port))[1].close()
                    await asyncio.sleep(0.01)
        for client in (resting, fresh):
            await client.send(request("GET", "/healthz"))
            answer = await client.response()
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            assert await client.rest() == b""


async def test_the_application_shuts_down_after_the_last_answer(log: io.BytesIO) -> None:
    happened: list[str] = []

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[dict[str, str]]:
        happened.append("started")
        yield {"pool": "a pool"}
        happened.append("shut down")

    app = FastAPI(lifespan=lifespan)

    @app.get("/slow")
    async def slow() -> None:
        await asyncio.sleep(0.3)
        happened.append("answered")

    async with served(app, log) as server:
        client = await server.connect()
        await client.send(request("GET", "/slow"))
        await asyncio.sleep(0.05)
        server.stop()
        assert (await client.response()).status == 200
    assert happened == ["started", "answered", "shut down"]


async def test_requests_beyond_the_grace_period_are_cut_off_before_the_application_shuts_down(log: io.BytesIO) -> None:
    happened: list[str] = []

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        yield
        happened.append("shut down")

    app = FastAPI(lifespan=lifespan)
    install_problem_handlers(app)

    @app.get("/endless")
    async def endless() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            happened.append("cut off")

    async with served(app, log, grace_seconds=0.2) as server:
        client = await server.connect()
        await client.send(request("GET", "/endless"))
        await asyncio.sleep(0.05)
        server.stop()
        answer = await client.response()
        assert (answer.status, answer.json()["code"]) == (503, "stopping")
    assert happened == ["cut off", "shut down"]
    assert not [line for line in server.lines() if "exception" in line]


@pytest.mark.parametrize("moment", ["start", "shutdown"])
async def test_exceptions_of_startup_and_shutdown_reach_the_caller(log: io.BytesIO, moment: str) -> None:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        if moment == "start":
            raise LookupError("no keyring")
        yield
        raise LookupError("no goodbye")

    with pytest.raises(LookupError, match=r"no (keyring|goodbye)"):
        async with served(FastAPI(lifespan=lifespan), log):
            pass
    assert b"Traceback" not in log.getvalue()


async def test_an_answer_does_not_wait_for_the_client_to_acknowledge_its_head(log: io.BytesIO) -> None:
    async with served(sample_app(), log) as server, asyncio.timeout(0.6):  # 20 delayed acknowledgements are 0.8 s
        client = await server.connect()
        for _ in range(20):
            await client.send(request("GET", "/healthz"))
            assert (await client.response()).status == 200


async def test_signal_handlers_are_left_to_the_caller(log: io.BytesIO) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    async with served(sample_app(), log):
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
