"""`corral serve --workers 2`: two processes on one port, and the one that keeps them running."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.journeys.clusters import ExternalPostgres
from tests.journeys.footprint import files_in, processes_of
from tests.journeys.program import PATIENCE, Running, browser, corral, environment, free_port, running, running_command
from tests.journeys.raw_clients import Talk, talking
from tests.journeys.test_serve import FIRST

CLIENTS = 8
_WITH_SHORT_LIMITS = """
from corral.workers import crew
crew.START_SECONDS, crew.SILENT_SECONDS = {start}, {silent}
import sys
sys.argv[0] = "corral"
from corral import cli
cli.main()
"""


def events_of(server: Running, name: str) -> list[dict[str, Any]]:
    """The lines with this event. Every line is JSON: several processes write them."""
    lines = server.err_file.read_bytes().split(b"\n")
    return [line for line in map(json.loads, lines[:-1]) if line["event"] == name]


async def serving(server: Running, times: int) -> list[int]:
    """The process ids of all that have begun to serve, once so many have."""
    async with asyncio.timeout(PATIENCE):
        while len(begun := events_of(server, "serving")) < times:
            assert server.process.returncode is None, server.err
            await asyncio.sleep(0.05)
    return [line["pid"] for line in begun]


async def until_gone(pids: Sequence[int]) -> None:
    async with asyncio.timeout(PATIENCE):
        while any(map(psutil.pid_exists, pids)):  # noqa: ASYNC110 - processes that are no children of ours
            await asyncio.sleep(0.05)


async def until_more_is_answered(talks: list[Talk], than: int = 20) -> None:
    """Each client has got so many more answers."""
    before = [len(talk.answered) for talk in talks]
    async with asyncio.timeout(PATIENCE):
        while any(len(talk.answered) < count + than for talk, count in zip(talks, before, strict=True)):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def children_of(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children()]


async def test_workers_are_killed_replaced_and_drained_under_load(data: Path, against_sandbox: dict[str, str]) -> None:
    port = free_port()
    settings = {**against_sandbox, "data_dir": data, "port": port, "drain_seconds": 2}
    async with running("serve", "--workers", 2, **settings) as server:
        first = await serving(server, 2)
        await the_first_person_signs_up_once(server)
        assert await server.says(r"(2 workers share no answers[^\n]+)\nCorral")
        assert (await corral("health", **settings)).out == "ready\n"
        async with talking(CLIENTS, port) as talks:
            await until_more_is_answered(talks)
            os.kill(first[0], signal.SIGKILL)
            await serving(server, 3)
            await until_more_is_answered(talks)
        [ended] = events_of(server, "worker_ended")
        assert ended["pid"] == first[0]
        assert "SIGKILL" in ended["reason"]
        answering = {line["request_id"]: line["worker"] for line in events_of(server, "request")}
        for talk in talks:
            assert len(talk.failures) <= 1, "what failed was under way at the killed worker"
            if talk.failures:
                before = (request_id for request_id in talk.answered[: talk.failed_after] if request_id in answering)
                assert {answering[request_id] for request_id in before} == {ended["worker"]}
        await no_request_fails_when_one_worker_after_the_other_is_told_to_stop(server, port)
        await no_request_fails_when_all_are_told_to_stop(server, port)
        assert "Traceback" not in server.err
    assert processes_of(data) == []


async def the_first_person_signs_up_once(server: Running) -> None:
    url = await server.url()
    code = await server.says(rf"set-up\s+{re.escape(url)}/setup#(\S+)")
    assert server.out.count("set-up") == 1
    async with browser(url) as client, client.post("/api/setup", json={"token": code, **FIRST}) as answer:
        assert answer.status == 201, await answer.text()
        async with client.get("/api/me") as who:
            assert (await who.json())["email"] == FIRST["email"]
    assert code not in server.err


async def no_request_fails_when_one_worker_after_the_other_is_told_to_stop(server: Running, port: int) -> None:
    """Nor does a balancer see at /readyz that anything happens."""
    async with talking(CLIENTS, port) as talks:
        balancer = Talk(port, "/readyz")
        for worker in children_of(server.pid):
            begun = len(events_of(server, "serving"))
            os.kill(worker, signal.SIGTERM)
            while psutil.pid_exists(worker) or len(events_of(server, "serving")) == begun:
                assert await balancer.ask() == 200, events_of(server, "not_ready")
                await asyncio.sleep(0.05)
            await until_more_is_answered(talks)
        balancer.close()
    assert [talk.failures for talk in talks] == [[]] * CLIENTS
    assert len(events_of(server, "worker_left")) == 2


async def no_request_fails_when_all_are_told_to_stop(server: Running, port: int) -> None:
    """Behind a balancer that never tries again, and asks /readyz."""
    balancer = Talk(port, "/readyz")
    assert await balancer.ask() == 200
    async with talking(CLIENTS, port, until=lambda: 503 in balancer.statuses) as talks:
        await until_more_is_answered(talks)
        server.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            while await balancer.ask() == 200:  # noqa: ASYNC110 - as a balancer does
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        newcomer = Talk(port, "/readyz")  # another balancer, which has not asked yet
        await newcomer.ask()
    for one in (balancer, newcomer):
        one.close()
    assert [one.failures for one in [*talks, balancer, newcomer]] == [[]] * (CLIENTS + 2)
    assert newcomer.statuses == {503}
    assert await server.ends() == 0
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_killed_supervisor_leaves_nothing_behind(data: Path, against_sandbox: dict[str, str]) -> None:
    settings = {**against_sandbox, "data_dir": data, "drain_seconds": 600}
    port = int(against_sandbox["port"])
    async with AsyncExitStack() as stack, running("serve", "--workers", 2, **settings) as server:
        workers = await serving(server, 2)
        await server.url()
        stack.callback(kill_all, workers)
        server.process.kill()
        await server.ends()
        balancer = Talk(port, "/readyz")
        stack.callback(balancer.close)
        async with asyncio.timeout(PATIENCE):
            while await balancer.ask() != 503:  # noqa: ASYNC110 - as a balancer does
                await asyncio.sleep(0.02)
        assert balancer.failures == []
        second = await corral("serve", **{**settings, "port": free_port()})
        assert any(f"(process {worker})" in second.only_complaint for worker in workers), second
        for worker in workers:
            os.kill(worker, signal.SIGTERM)
        await until_gone(workers)
        assert {line["worker"] for line in events_of(server, "supervisor_gone")} == {1, 2}
    assert processes_of(data) == [], "the last worker has stopped the database"


def kill_all(pids: Sequence[int]) -> None:
    """If the test fails, nobody else ends them."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def test_secrets_reach_workers_neither_by_arguments_nor_by_the_environment(
    external: ExternalPostgres, folder: Path, against_sandbox: dict[str, str]
) -> None:
    """On a server of one's own. The workers stay within the connections that its role may have."""
    canary = "hunter2-canary-83b1"
    url, owner = (external.dsn(role).replace("@", f":{canary}@") for role in ("corral_app", "corral_owner"))
    settings = {**against_sandbox, "data_dir": folder, "database_url": url, "database_owner_url": owner}
    await external.execute("ALTER ROLE corral_app CONNECTION LIMIT 17")
    try:
        refused = await corral("serve", "--workers", 2, **settings)
        assert refused.only_complaint.startswith("the database allows 17 connections, which is too few for 2 workers")
        await external.execute("ALTER ROLE corral_app CONNECTION LIMIT 18")
        async with running("serve", "--workers", 2, **settings) as server:
            workers = await serving(server, 2)
            await server.url()
            assert not any(canary in what_is_shown(worker) for worker in workers)
            assert canary not in server.err + server.out
            assert await server.stop(signal.SIGINT) == 0
    finally:
        await external.execute("ALTER ROLE corral_app CONNECTION LIMIT -1")
    await until_gone(workers)


def what_is_shown(pid: int) -> str:
    """Of its arguments and its environment, to processes of the same user; root sees more."""
    shown = Path(f"/proc/{pid}/cmdline").read_text()
    assert "corral.workers" in shown
    with suppress(PermissionError):
        shown += Path(f"/proc/{pid}/environ").read_text()
    return shown


@pytest.mark.parametrize("workers", ["0", "-1", "33", "1000000"])
async def test_numbers_of_workers_that_make_no_sense_are_refused(workers: str, folder: Path) -> None:
    refused = await corral("serve", f"--workers={workers}", data_dir=folder)
    assert refused.only_complaint == "--workers takes a number from 1 to 32; one for each core is usual"
    assert files_in(folder) == {}


async def test_what_stops_the_start_is_said_once_and_stops_the_whole_command(
    data: Path, against_sandbox: dict[str, str]
) -> None:
    settings = {**against_sandbox, "data_dir": data}
    with socket.create_server(("127.0.0.1", 0)) as other_program:
        taken = await corral("serve", "--workers", 3, **{**settings, "port": other_program.getsockname()[1]})
        assert "is in use by another program" in taken.only_complaint
    too_many = await corral("serve", "--workers", 11, **settings)
    assert "allows 50 connections, which is too few for 11 workers: use --workers 10" in too_many.only_complaint
    async with running("serve", "--workers", 2, **settings) as server:
        [worker, *_] = await started_workers(server, 1)
        os.kill(worker, signal.SIGKILL)
        assert await server.ends() == 1
        assert re.search(r"^corral: worker [12] was ended by SIGKILL", server.err, re.MULTILINE)
        assert server.err.count("corral: ") == 1
        assert "listens" not in server.out
    assert processes_of(data) == []


async def started_workers(server: Running, least: int) -> list[int]:
    async with asyncio.timeout(PATIENCE):
        while True:
            found = [child.pid for child in psutil.Process(server.pid).children() if is_worker(child)]
            if len(found) >= least:
                return found
            await asyncio.sleep(0.01)


def is_worker(process: psutil.Process) -> bool:
    try:
        return "corral.workers" in process.cmdline()
    except psutil.Error:  # it has just ended
        return False


def with_limits(*, start: float, silent: float, **settings: object) -> Any:  # noqa: ANN401 - a context manager
    code = _WITH_SHORT_LIMITS.format(start=start, silent=silent)
    return running_command([sys.executable, "-c", code, "serve", "--workers", "2"], environment(**settings))


async def test_a_worker_that_hangs_at_the_first_start_ends_the_whole_command(
    data: Path, against_sandbox: dict[str, str]
) -> None:
    async with with_limits(start=8, silent=2, **against_sandbox, data_dir=data) as server:
        for worker in await started_workers(server, 2):
            os.kill(worker, signal.SIGSTOP)
        assert await server.ends() == 1
        assert re.search(
            r"^corral: worker [12] \(process \d+\) did not begin to serve within 8 s", server.err, re.MULTILINE
        )
    assert processes_of(data) == []


async def test_a_worker_that_hangs_is_replaced_and_those_that_die_at_once_wait_longer_each_time(
    data: Path, against_sandbox: dict[str, str]
) -> None:
    port = int(against_sandbox["port"])
    async with with_limits(start=600, silent=20, **against_sandbox, data_dir=data) as server:
        hung, _ = await serving(server, 2)
        os.kill(hung, signal.SIGSTOP)
        async with talking(1, port) as talks:
            for _ in range(3):  # connections that the one that hangs does not take
                await until_more_is_answered(talks)
                talks[0].close()
        await serving(server, 3)
        assert "did not answer for 20 seconds" in events_of(server, "worker_ended")[0]["reason"]
        for _ in range(2):
            known = {line["pid"] for line in events_of(server, "worker_ended")}
            [victim] = await replacement(server, known)
            os.kill(victim, signal.SIGKILL)
            while victim not in {line["pid"] for line in events_of(server, "worker_ended")}:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert [line["restart_in_seconds"] for line in events_of(server, "worker_ended")] == [0, 0.5, 1]
        assert await server.stop() == 0
    assert processes_of(data) == []


async def replacement(server: Running, known: set[int]) -> list[int]:
    """The process that runs in the place of the one that hung, as soon as it runs."""
    survivor = {line["pid"] for line in events_of(server, "serving")[:2]}
    async with asyncio.timeout(PATIENCE):
        while not (found := set(await started_workers(server, 1)) - survivor - known):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return [*found]
