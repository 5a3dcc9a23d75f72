"""What others on the machine can see of the serving process: of the same user, and root."""

import asyncio
import os
import pwd
import re
import signal
import subprocess
import sys
import sysconfig
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession

from corral.database.embedded.os_user import OsUser, own_user
from tests.journeys.canary import new_canary
from tests.journeys.program import SOURCES, Running, corral, environment, running, running_command
from tests.machine import OPEN_CHECKOUT, OPEN_PYTHON, ROOT
from tests.people import key_pair

# Seen: 5 to 9 for five keys, all in freed memory: the last text of each opened secret, which Python does not wipe,
# and the head of the last requests as aiohttp wrote it, in a freed buffer and on the stack.
MOST_LEFTOVERS = 60

pytestmark = pytest.mark.usefixtures("executed")

_UNHARDENED = (
    "import sys; from corral import cli; cli.harden_process = lambda: None; sys.argv[0] = 'corral'; cli.main()"
)


def ordinary_user() -> OsUser:
    """The user that the program runs as here: the current one, or `nobody` for root, who can read everything."""
    if os.geteuid() != 0:
        return own_user()
    entry = pwd.getpwnam("nobody")
    return OsUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


def python_for(user: OsUser) -> str:
    """A Python of our version that this user can run; ours may lie below root's home."""
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/python{ours}", "/usr/bin/python3"):
        if not any(map(user.first_barred, (Path(python), Path(python).resolve()))):
            version = user.run(python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").stdout.strip()
            if version == ours:
                return python
    return OPEN_PYTHON.lacks()


@asynccontextmanager
async def served_by_an_ordinary_user(
    folder: Path, against_sandbox: dict[str, str], starter: tuple[str, ...] = ("-m", "corral")
) -> AsyncGenerator[tuple[Running, OsUser]]:
    user = ordinary_user()
    python, libraries = python_for(user), sysconfig.get_path("purelib")
    if user.first_barred(SOURCES) or user.first_barred(Path(libraries)):
        OPEN_CHECKOUT.lacks()
    data = folder / "of-an-ordinary-user"
    data.mkdir(mode=0o700)
    user.take(data)
    env = environment(**{**against_sandbox, "data_dir": data}) | {"PYTHONPATH": f"{SOURCES}:{libraries}"}
    async with running_command(
        [python, *starter, "serve"], env, user=user if user.uid != os.geteuid() else None
    ) as server:
        await server.url()
        yield server, user


def tries_to_read(user: OsUser, pid: int, file: str) -> subprocess.CompletedProcess[str]:
    return user.run("/bin/dd", f"if=/proc/{pid}/{file}", "of=/dev/null", "bs=16", "count=1")


async def test_the_same_user_can_read_neither_memory_nor_environment(
    folder: Path, against_sandbox: dict[str, str]
) -> None:
    async with served_by_an_ordinary_user(folder, against_sandbox) as (server, user):
        for file in ("environ", "mem", "maps", "auxv"):
            tried = tries_to_read(user, server.pid, file)
            assert tried.returncode != 0, file
            assert "Permission denied" in tried.stderr, file
        assert re.search(r"Max core file size +0 +0 ", shown_of(server.pid, "limits"))
        server.process.send_signal(signal.SIGSEGV)
        assert await server.ends() == -signal.SIGSEGV
        assert core_files(folder) == []


async def test_without_the_hardening_the_same_user_could_read_it(folder: Path, against_sandbox: dict[str, str]) -> None:
    """The control: it is our doing, and not this machine's, that the test above finds nothing to read."""
    async with served_by_an_ordinary_user(folder, against_sandbox, ("-c", _UNHARDENED)) as (server, user):
        assert tries_to_read(user, server.pid, "environ").returncode == 0
        assert await server.stop() == 0


@ROOT.mark  # only root may look
async def test_the_environment_of_the_running_process_holds_no_address_of_a_database(
    on_the_runs_database: dict[str, str], against_sandbox: dict[str, str]
) -> None:
    """Not even for root, to whom the kernel shows the environment as it was at the start."""
    async with running("serve", **on_the_runs_database, **against_sandbox) as server:
        await server.url()
        environ = shown_of(server.pid, "environ")
        assert f"CORRAL_DATA_DIR={on_the_runs_database['data_dir']}" in environ
        assert "postgresql://" not in environ
        assert await server.stop() == 0


@ROOT.mark  # only root may look
async def test_key_pairs_do_not_pile_up_in_memory(data: Path, against_sandbox: dict[str, str]) -> None:
    """Python cannot wipe what it frees, and root may read it: so no more is promised than that nothing is kept.

    After many calls with many keys there are only those copies that freed buffers hold until they are
    used again: fewer than there were calls.
    """
    settings = {**against_sandbox, "data_dir": data}
    async with running("serve", **settings) as server:
        assert (await corral("users", "add", "alice@corral.example", **settings)).status == 0
        token = (await corral("tokens", "create", "alice@corral.example", "--name", "x", **settings)).out.strip()
        async with ClientSession(await server.url(), headers={"Authorization": f"Bearer {token}"}) as client:
            keys = [new_canary() for _ in range(5)]
            paths: list[str] = []
            for key_id in keys:
                async with client.post("/api/credentials", json={"nickname": "mine", **key_pair(key_id)}) as answer:
                    paths.append(f"/api/credentials/{(await answer.json())['id']}/account-data")
            for _ in range(30):
                await asyncio.gather(*(read(client, path) for path in paths))
            busy = [copies_in(server.pid, key_pair(key_id)["secret_key"]) for key_id in keys]
            for _ in range(200):
                await read(client, "/api/me")
            idle = [copies_in(server.pid, key_pair(key_id)["secret_key"]) for key_id in keys]
        assert copies_in(server.pid, "account-data"), "memory can be read at all"
        assert sum(idle) <= sum(busy) < MOST_LEFTOVERS
        assert await server.stop() == 0


async def read(client: ClientSession, path: str) -> None:
    async with client.get(path) as answer:
        assert answer.status == 200, await answer.text()


def shown_of(pid: int, file: str) -> str:
    return Path(f"/proc/{pid}/{file}").read_text()


def core_files(folder: Path) -> list[Path]:
    """In the current folder of the program, which is the root, and in its data folder."""
    return [path for path in (*Path("/").glob("core*"), *folder.rglob("core*")) if path.is_file()]


def copies_in(pid: int, text: str) -> int:
    """How often the text is in the writable memory of the process, as bytes."""
    found = 0
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, permissions, *_ = line.split()
            if not permissions.startswith("rw"):
                continue
            begin, end = (int(bound, 16) for bound in span.split("-"))
            try:
                memory.seek(begin)
                found += memory.read(end - begin).count(text.encode())
            except (OSError, ValueError, OverflowError):
                continue
    return found
