"""The structure in figures: `python -m benchmarks.structure`, or `make map`.

Static: files, lines, imports of our own modules for each file, lengths of functions, classes of one name. Traced: the
files, functions and moves from file to file of one `account-data` request, and of one order in the sandbox. The broker
runs in the same process and is left out of the first, as Corral is of the second.
"""

import ast
import asyncio
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles
from types import FrameType
from typing import Any

from rich.console import Console
from rich.table import Table

import corral
import corral_sandbox
from corral.app import create_app
from corral.credentials import management
from corral.edge.server import reserve_port, serve_http
from corral.identity import api_tokens, sign_in
from corral.logs import configure_logging
from corral.secret import Secret
from corral.serving import Services, open_services
from corral.settings import Settings
from corral_sandbox import serve_sandbox

SERVICE, SANDBOX = Path(corral.__file__).parent, Path(corral_sandbox.__file__).parent
_KEY_ID = "PKSTRUCTURE1"
_SECRET = f"sandbox-secret-for-{_KEY_ID}"
_CLOSED = datetime(2026, 11, 28, 15, tzinfo=UTC)  # a Saturday: the order is accepted, and waits for Monday


@dataclass(frozen=True, slots=True)
class Module:
    path: Path
    tree: ast.Module
    lines: int

    @property
    def imports(self) -> set[str]:
        """Our own modules, each once."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and node.module and _is_ours(node.module):
                found.add(node.module)
        return found

    @property
    def function_lines(self) -> list[int]:
        functions = (node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
        return [(node.end_lineno or node.lineno) - node.lineno + 1 for node in functions]

    @property
    def classes(self) -> list[str]:
        return [
            node.name for node in self.tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        ]


@dataclass(slots=True)
class Trace:
    """The calls of one request, in the order in which they began."""

    files: list[str] = field(default_factory=list)
    functions: set[object] = field(default_factory=set)

    def note(self, frame: FrameType) -> None:
        if frame.f_lineno != frame.f_code.co_firstlineno:  # a coroutine or generator that resumes
            return
        self.files.append(frame.f_code.co_filename)
        self.functions.add(frame.f_code)

    @property
    def moves(self) -> int:
        """How often a call was in another file than the call before it."""
        return sum(one != other for one, other in pairwise(self.files))

    def __str__(self) -> str:
        return f"{len(set(self.files))} files, {len(self.functions)} functions, {self.moves} moves"


def main() -> None:
    modules = list(_modules())
    console = Console()
    table = Table("", "", show_header=False, box=None)
    for row in _static(modules):
        table.add_row(*row)
    with tempfile.TemporaryDirectory(prefix="corral-map-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # where we are root, the database's user has to pass
        with (folder / "log").open("ab") as log:
            configure_logging("json", log)
            traced = asyncio.run(_traced(folder))
    for row in traced:
        table.add_row(*row)
    console.print(table)


def _modules() -> Iterator[Module]:
    for path in sorted((*SERVICE.rglob("*.py"), *SANDBOX.rglob("*.py"))):
        text = path.read_text()
        if text:
            yield Module(path, ast.parse(text), text.count("\n"))


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in {SERVICE.name, SANDBOX.name}


def _static(modules: list[Module]) -> Iterator[tuple[str, str]]:
    functions = [lines for module in modules for lines in module.function_lines]
    homes = Counter(name for module in modules for name in module.classes)
    yield "files", f"{len(modules)}, {sum(module.lines for module in modules):,} lines"
    yield "lines of a file", f"median {median(module.lines for module in modules):.0f}"
    yield "imports of a file", f"median {median(len(module.imports) for module in modules):.0f}"
    yield "lines of a function", f"median {median(functions):.0f}, 90 % up to {quantiles(functions, n=10)[-1]:.0f}"
    yield "class names with two homes", ", ".join(sorted(name for name, count in homes.items() if count > 1)) or "none"


async def _traced(folder: Path) -> list[tuple[str, str]]:
    async with serve_sandbox(port=0, start=_CLOSED, speed=0) as broker:
        settings = Settings.model_validate(
            {
                "data_dir": folder / "data",
                "alpaca_paper_url": broker.paper_url,
                "alpaca_live_url": broker.live_url,
                "alpaca_data_url": broker.url,
                "cache_seconds": 0,
            }
        )
        async with open_services(settings) as services:
            read = await _trace_read(settings, services)
        order = await _trace_order(broker.url)
    return [("one account-data request", str(read)), ("one order in the sandbox", str(order))]


async def _trace_read(settings: Settings, services: Services) -> Trace:
    resources = services.state["resources"]
    user_id = await sign_in.add_user(resources.database, resources.vault, email="map@corral.example", password=None)
    credential = await management.store_credential(
        management.Owner(user_id), resources.database, resources.vault, resources.alpaca, nickname="map",
        api_key=Secret(_KEY_ID), secret_key=Secret(_SECRET), expected=None,
    )  # fmt: skip
    _, token = await api_tokens.create_api_token(
        user_id, resources.database, resources.vault, name="map", scopes=None, expires_at=None
    )
    stop, address = asyncio.Event(), asyncio.get_running_loop().create_future()
    app = create_app(settings, services.state)
    listener = reserve_port("127.0.0.1", 0)
    serving = asyncio.ensure_future(
        serve_http(app, listener=listener, ready=address.set_result, grace_seconds=5, stop=stop)
    )
    port = int((await address).rpartition(":")[2])
    request = f"GET /api/credentials/{credential.id}/account-data HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
    request += f"Authorization: Bearer {token.reveal()}\r\n\r\n"
    trace = await _second_of_two(lambda: _exchange(port, request.encode()), SERVICE)
    stop.set()
    await serving
    return trace


async def _trace_order(url: str) -> Trace:
    body = json.dumps({"symbol": "AAPL", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"})
    port = int(url.rpartition(":")[2])
    request = (
        f"POST /paper/v2/orders HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAPCA-API-KEY-ID: {_KEY_ID}\r\n"
        f"APCA-API-SECRET-KEY: {_SECRET}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )
    return await _second_of_two(lambda: _exchange(port, request.encode()), SANDBOX)


async def _second_of_two(exchange: Callable[[], Awaitable[bytes]], package: Path) -> Trace:
    """The first one fills what is filled once."""
    await exchange()
    with _tracing(package) as trace:
        answer = await exchange()
    assert b" 200 " in answer.partition(b"\r\n")[0], answer
    return trace


async def _exchange(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    await asyncio.sleep(0.1)  # what is written after the answer belongs to the request
    return head


@contextmanager
def _tracing(package: Path) -> Generator[Trace]:
    trace = Trace()
    folder = f"{package}/"  # the name of one package begins with that of the other

    def profile(frame: FrameType, event: str, _argument: Any) -> None:  # noqa: ANN401 - of whatever type
        if event == "call" and frame.f_code.co_filename.startswith(folder):
            trace.note(frame)

    sys.setprofile(profile)
    try:
        yield trace
    finally:
        sys.setprofile(None)


if __name__ == "__main__":
    main()
