"""Every command on every page is run as it is printed, or listed here with the reason why it cannot be."""

import ast
import asyncio
import json
import re
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import ClientSession

from corral_sandbox import secret_of
from tests.journeys.program import PATIENCE, Running, environment, free_port, running
from tests.machine import CURL, SYSTEMD

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_BLOCK: Final = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_KEY_ID: Final = "PKDOCUMENTED01"
_KEYS: Final = {"APCA-API-KEY-ID": _KEY_ID, "APCA-API-SECRET-KEY": secret_of(_KEY_ID)}
_SHELL: Final = {"sh", "bash", "console", "shell"}

# By the first line of the block. Each is still checked for its syntax.
NOT_RUN: Final = {
    "export CORRAL_DATABASE_URL='postgresql://corral_app:…@db.example.com": "needs a server at db.example.com",
    "useradd --system": "needs root and makes a user; run by hand",
    "systemctl daemon-reload": "needs systemd",
    "install -d -o corral -g corral -m 0700 /etc/corral/keyring": "needs root and a system user `corral`",
    "systemd-run --pty --uid=corral": "needs systemd and an installation in /opt/corral",
    "mkcert -cert-file": "mkcert is one more program; run by hand with 1.4.4, and Corral served with the result",
    "openssl req -x509 -newkey ec": "tests/journeys/test_at_home.py runs it",
    "export CORRAL_HOST=0.0.0.0 CORRAL_PUBLIC_URL=https://corral.home.arpa": "tests/journeys/test_at_home.py runs it",
    "tailscale serve --bg": "needs an account at Tailscale",
    "ssh -N -L 8002:127.0.0.1:8002": "tests/journeys/test_at_home.py runs it",
    "uvx --from dist/corral-": "installs from an index; tests/test_installed_wheels.py installs the same wheels",
    **dict.fromkeys(
        (
            "docker compose up",
            "docker compose exec",
            "docker compose stop",
            "docker run",
            "DOMAIN=corral.example.com ADDRESS=0.0.0.0 docker",
        ),
        "needs a container engine; tests/containers runs what it starts",
    ),
    "kubectl apply": "needs a cluster; tests/containers/with_kubernetes.py runs the pod",
    "git pull": "changes this checkout",
    "python3 -m venv .venv": "installs from an index; tests/sandbox/test_distribution.py installs the same wheel",
    ".venv/bin/pip install dist/corral_sandbox": "installs from an index",
    "(umask 077 && head -c 32 /dev/urandom": "listens on all of this machine's addresses",
    ".venv/bin/python - <<'EOF'": "rewrites a file of this checkout",
}
# Blocks that make runs: what it would do is printed, and nothing is done.
_MAKE: Final = re.compile(r"(?:make [a-z]+\n)+\Z")
# Commands that run until they are stopped: what they print once they work, and a path that then answers.
STARTED: Final = {
    ".venv/bin/corral serve\n": (r"listens on (http://\S+)", "/healthz"),
    "corral serve --workers 2\n": (r"listens on (http://\S+)", "/readyz"),
    ".venv/bin/corral sandbox --port 8003 --seed 7 --speed 1440\n": (r"SANDBOX broker: (\S+/paper)", "/v2/clock"),
}
# The blocks of this form are the files of a test suite, which tests/sandbox/test_docs_examples.py runs.
_FILE_OF_A_SUITE: Final = re.compile(r"# (conftest|test_\w+)\.py\n")
# Run by tests/sandbox/test_docs_testing.py, where the sandbox is installed, and by tests/journeys/test_backup.py, where
# an installation may be lost.
_RUN_ELSEWHERE: Final = {"docs/testing.md", "docs/backup.md"}


@dataclass(frozen=True, slots=True)
class Block:
    page: str
    language: str
    text: str

    @property
    def is_run_elsewhere(self) -> bool:
        is_of_a_suite = self.language == "python" and bool(_FILE_OF_A_SUITE.match(self.text))
        return is_of_a_suite or self.page in _RUN_ELSEWHERE

    @property
    def reason_not_to_run(self) -> str | None:
        return next((reason for start, reason in NOT_RUN.items() if self.text.startswith(start)), None)

    def __str__(self) -> str:
        return f"{self.page}: {self.text.splitlines()[0][:50]}"


def _blocks() -> list[Block]:
    found: list[Block] = []
    for page in PAGES:
        for indent, language, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
            dedented = re.sub(rf"^{indent}", "", text, flags=re.MULTILINE)
            found.append(Block(page.relative_to(ROOT).as_posix(), language, dedented))
    return found


BLOCKS: Final = _blocks()
COMMANDS: Final = [block for block in BLOCKS if block.language in {*_SHELL, "python"} and not block.is_run_elsewhere]
RUN: Final = [block for block in COMMANDS if block.reason_not_to_run is None and block.text not in STARTED]


@dataclass(frozen=True, slots=True)
class Workplace:
    """A folder in which the printed commands work, a demo that runs, and what stands for the placeholders."""

    folder: Path
    values: dict[str, str]
    env: dict[str, str]

    def fill(self, text: str) -> str:
        for placeholder, value in self.values.items():
            text = re.sub(placeholder, value, text)
        return text

    async def run(self, *command: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(PATIENCE):
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        assert process.returncode == 0, (out + err).decode()
        return out.decode()

    async def shell(self, text: str) -> str:
        return await self.run("bash", "-euo", "pipefail", "-c", self.fill(text))


@pytest.fixture(scope="module")
async def workplace(first_data: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Workplace]:
    folder = first_data.with_name("docs")
    folder.mkdir(mode=0o711)
    data = folder / "demo"
    copied = await asyncio.create_subprocess_exec("cp", "--archive", str(first_data), str(data))
    assert await copied.wait() == 0
    (data / "SANDBOX").touch()
    (folder / "bin").mkdir()
    for name, module in (("corral", "-m corral"), ("python", "")):
        _make_program(folder / ".venv" / "bin" / name, f'exec {shlex.quote(sys.executable)} {module} "$@"\n')
    sandbox_port = free_port()
    arguments = ("--data-dir", data, "--port", free_port(), "--sandbox-port", sandbox_port)
    async with running("demo", *arguments) as demo:
        yield await _workplace_of(demo, f"http://127.0.0.1:{sandbox_port}", folder, data)
    shutil.rmtree(folder)


def _make_program(file: Path, script: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}", encoding="utf-8")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


async def _workplace_of(demo: Running, sandbox: str, folder: Path, data: Path) -> Workplace:
    url = await demo.url()
    token = await demo.says(r"Bearer (corral_\w+)'")
    credential_id = await demo.says(r"/api/credentials/(\S+)/account-data")
    (folder / "usb-stick").mkdir()
    values = {
        r"http://127\.0\.0\.1:8002": url,
        r"http://127\.0\.0\.1:8003": sandbox,
        r"corral_…": token,
        r"(?<=/credentials/)…(?=/)": credential_id,
        r"CREDENTIAL_ID": credential_id,
        r"(?<![A-Z_])DATA_DIR": str(data),
        r"/media/usb-stick": str(folder / "usb-stick"),
        r"you@example\.com": "demo@corral.example",
        r"curl -sN ": "curl -sN --max-time 2 ",
    }
    hosts = {"alpaca_paper_url": f"{sandbox}/paper", "alpaca_live_url": f"{sandbox}/live", "alpaca_data_url": sandbox}
    settings = environment(data_dir=data, **hosts)  # where `doctor` asks, in place of Alpaca
    settings["PATH"] = f"{folder}/.venv/bin:{settings['PATH']}"
    workplace = Workplace(folder, values, settings)
    await workplace.shell(next(block.text for block in RUN if "> curlrc" in block.text))
    (sent,) = (json.loads(b.text) for b in BLOCKS if b.language == "json" and '"secret_key": "…"' in b.text)
    key = {"api_key": _KEY_ID, "secret_key": secret_of(_KEY_ID)}
    (folder / "key.json").write_text(json.dumps(sent | key), encoding="utf-8")
    return workplace


def test_every_entry_of_the_list_is_a_block_on_a_page() -> None:
    texts = [block.text for block in COMMANDS]
    for start in (*NOT_RUN, *STARTED):
        assert any(text.startswith(start) for text in texts), start


def test_no_command_is_in_a_block_without_a_language() -> None:
    known = {*_SHELL, "python", "js", "json", "text", "ini", "sql", "nginx", "haproxy", "caddyfile"}
    assert {block.language for block in BLOCKS} <= known
    for block in BLOCKS:
        if block.language == "text":
            assert not re.match(r"(\$ |corral |make |curl )", block.text), block


@pytest.mark.parametrize("block", [b for b in COMMANDS if b.language in _SHELL], ids=str)
def test_the_shell_accepts_the_command(block: Block) -> None:
    checked = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    for script in re.findall(r"<<'EOF'\n(.*?)^EOF$", block.text, re.MULTILINE | re.DOTALL):
        ast.parse(script)


@CURL.mark
@pytest.mark.parametrize("block", RUN, ids=str)
async def test_the_command_works_as_printed(block: Block, workplace: Workplace) -> None:
    if block.language == "python":
        assert re.fullmatch(r"\d+(\.\d+)?\n", await workplace.run(sys.executable, "-c", workplace.fill(block.text)))
    elif _MAKE.match(block.text):
        for target in re.findall(r"make ([a-z]+)\n", block.text):
            await workplace.run("make", "--dry-run", "-C", str(ROOT), target)
    else:
        await _run(block, workplace)


async def _run(block: Block, workplace: Workplace) -> None:
    text = block.text.replace("bob@example.com", f"bob-{BLOCKS.index(block)}@corral.example")
    is_endless = "curl -sN" in text
    out = await workplace.shell(f"{text.rstrip()} || test $? = 28" if is_endless else text)
    if is_endless:
        assert {"account-data", "heartbeat"} <= set(re.findall(r"^event: (.*)$", out, re.MULTILINE))
    elif "curl -s " in block.text and "_faults" not in block.text:
        answers = list(_documents(out))
        assert not any("code" in answer for answer in answers), answers
        _judge(block, answers[-1])


def _documents(text: str) -> Iterator[dict[str, Any]]:
    """Several calls print their answers one behind the other, without a line break."""
    while text := text.lstrip():
        document, end = json.JSONDecoder().raw_decode(text)
        yield document
        text = text[end:]


def _judge(block: Block, answer: dict[str, Any]) -> None:
    """The answer printed below a call has the members of the real one."""
    following = BLOCKS[BLOCKS.index(block) + 1]
    if following.language == "json":
        assert json.loads(following.text).keys() == answer.keys()


@pytest.mark.usefixtures("executed")
@pytest.mark.parametrize("text", STARTED)
async def test_the_program_starts_as_printed(text: str, data: Path, against_sandbox: dict[str, str]) -> None:
    _, *arguments = text.split()
    if "--port" in arguments:
        arguments[arguments.index("--port") + 1] = str(free_port())
    async with running(*arguments, data_dir=data, **against_sandbox) as started:
        pattern, path = STARTED[text]
        url = await started.says(pattern)
        async with ClientSession(headers=_KEYS) as client, client.get(url + path) as answer:
            assert answer.status == 200
        assert await started.stop() == 0


def test_the_answer_in_the_readme_is_account_data() -> None:
    (printed,) = (json.loads(b.text) for b in BLOCKS if b.page == "README.md" and b.language == "json")
    assert printed["account_type"] == "paper"


@SYSTEMD.mark
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    (unit,) = (block.text for block in BLOCKS if "[Service]" in block.text)
    program = tmp_path / "corral"
    program.symlink_to(sys.executable)  # whose own path may have blanks
    runnable = unit.replace("/opt/corral/.venv/bin/corral", str(program)).replace("User=corral\nGroup=corral\n", "")
    (tmp_path / "corral.service").write_text(runnable, encoding="utf-8")
    verified = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / "corral.service"], capture_output=True, text=True, check=False
    )
    assert "corral.service" not in verified.stderr, verified.stderr
    exposed = ("systemd-analyze", "security", "--offline=yes", "--threshold=20", "--no-pager", "corral.service")
    judged = subprocess.run(exposed, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout
