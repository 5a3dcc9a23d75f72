"""A forked program does what an executed one does, and the system shows it in the same state."""

import os
import re
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from tests.journeys.forking import ForkedProcess, Template, template
from tests.journeys.program import Ended, Running, corral, corral_reading, running

# Address, link and time, and the heads of other tests' trails: what two starts of the same program never share.
_ITS_OWN: Final = re.compile(
    r"127\.0\.0\.1:\d+|corral_\w+|^.*\"event\":\"audit_head\".*\n|\"at\":\"[^\"]+\"", re.MULTILINE
)
# Of /proc/PID/status: who it is, its mask, what it may do, and each signal that it blocks, ignores or handles.
_STATE: Final = (
    r"^(Umask|Uid|Gid|Groups|NoNewPrivs|Seccomp|SigBlk|SigIgn|SigCgt|ShdPnd|SigPnd|Cap\w+|Cpus_allowed):[ \t]*(.*)$"
)


async def both_ways(
    monkeypatch: pytest.MonkeyPatch, *arguments: object, stdin: str = "", **settings: object
) -> tuple[Ended, Ended]:
    forked = await corral_reading(stdin, *arguments, **settings)
    with monkeypatch.context() as patch:
        patch.setattr(template, "is_used", False)
        return forked, await corral_reading(stdin, *arguments, **settings)


@pytest.mark.parametrize(
    "command",
    [
        "",
        "--version",
        "serve --help",
        "fly",
        "users list",
        "users add nobody@corral.example --password-stdin",
        "tokens create nobody@corral.example --name x",
        "serve --data-dir /etc/passwd",
        "serve --host 192.0.2.1",
        "sandbox --speed -1",
    ],
)
async def test_a_command_ends_as_if_it_were_executed(
    command: str, on_the_runs_database: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A weak password: nobody is added. The byte that is none is passed on, and an umlaut.
    forked, executed = await both_ways(monkeypatch, *command.split(), stdin="\x00ü\n", **on_the_runs_database)
    assert forked == executed
    assert forked.out or forked.err


async def test_a_server_is_in_the_same_state(
    on_the_runs_database: dict[str, str], against_sandbox: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**on_the_runs_database, **against_sandbox, "log_format": "json"}
    states: list[dict[str, object]] = []
    for is_forked in (True, False):
        monkeypatch.setattr(template, "is_used", is_forked)
        async with running("serve", **settings) as server:
            await server.url()
            assert isinstance(server.process, ForkedProcess) == is_forked
            state = state_of(server)
            assert await server.stop() == 0
            state["out"], state["err"] = _ITS_OWN.sub("", server.out), _ITS_OWN.sub("", server.err)
        states.append(state)
    assert states[0] == states[1]


def state_of(server: Running) -> dict[str, object]:
    folder = Path(f"/proc/{server.pid}")
    shown = (folder / "stat").read_text().rpartition(")")[2].split()
    state: dict[str, object] = {
        "status": re.findall(_STATE, (folder / "status").read_text(), re.MULTILINE),
        "limits": (folder / "limits").read_text(),
        "group, session and terminal": shown[2:5],
        "niceness": shown[16],
        "whose memory it is": (folder / "environ").stat().st_uid,
        "score of the OOM killer": (folder / "oom_score_adj").read_text(),
    }
    if os.geteuid():  # the service has made itself undumpable, so only root sees more of it
        return state
    files = sorted(map(kind_of, (folder / "fd").iterdir()))
    return {**state, "folder": (folder / "cwd").readlink(), "files": files}


def kind_of(file: Path) -> str:
    """Which of the standard streams, or what kind of file."""
    name = re.sub(r"\d+|corral-out-\w+", "", str(file.readlink()))
    return f"{file.name} {name}" if int(file.name) < 3 else name


async def test_the_status_is_that_of_the_program(data: Path) -> None:
    async with running("serve", data_dir=data) as server:
        await server.url()
        server.process.kill()
        assert await server.ends() == -9


async def test_settings_and_arguments_are_those_of_one_program(folder: Path) -> None:
    """Nothing of one is left for the next."""
    refused = partial(corral, "users", "list", data_dir=folder)
    assert "CORRAL_FOO" in (await refused(foo=1)).only_complaint
    ended = await refused(database_url="postgresql://corral_app@127.0.0.1:1/corral")
    assert "CORRAL_FOO" not in ended.only_complaint


async def test_what_is_read_before_the_first_line_makes_it_a_true_start(monkeypatch: pytest.MonkeyPatch) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": ""}
    monkeypatch.setattr(Template, "_started", partial(pytest.fail, "a template was asked for"))
    for name in ("SSL_CERT_FILE", "SSLKEYLOGFILE", "PGHOST", "TERM", "PYTHONDEVMODE", "LANG"):
        assert await template.fork(["serve"], {**env, name: "1"}, (0, 1, 2)) is None
