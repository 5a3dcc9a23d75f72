"""A key pair is driven through everything that takes or uses one, and then looked for everywhere."""

import asyncio
import base64
import gzip
import json
import zlib
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import ClientSession, ClientTimeout

from corral.database.embedded.instance import EmbeddedDatabase, embedded_postgres
from tests.conftest import Faults
from tests.journeys.canary import canary_scan, files_with, new_canary
from tests.journeys.program import PATIENCE, corral, running_talkatively
from tests.machine import postgresql_of
from tests.people import key_pair

DRESSES: dict[str, Callable[[str], bytes]] = {
    "raw": lambda secret: secret.encode(),
    "in a sentence": lambda secret: f"the key {secret} was refused".encode(),
    "a part of it": lambda secret: secret[2:-1].encode(),
    "lower": lambda secret: secret.lower().encode(),
    "UTF-16 LE": lambda secret: secret.encode("utf-16-le"),
    "UTF-16 BE": lambda secret: secret.encode("utf-16-be"),
    "hex": lambda secret: secret.encode().hex().encode(),
    "HEX": lambda secret: secret.encode().hex().upper().encode(),
    "base64": lambda secret: base64.b64encode(secret.encode()),
    "base64 behind one byte": lambda secret: base64.b64encode(b"x" + secret.encode() + b"yy"),
    "base64 behind two bytes": lambda secret: base64.urlsafe_b64encode(b"xx" + secret.encode() + b"y"),
    "URL-encoded": lambda secret: "".join(f"%{byte:02X}" for byte in secret.encode()).encode(),
    "JSON-escaped": lambda secret: "".join(f"\\u{byte:04x}" for byte in secret.encode()).encode(),
    "gzip": lambda secret: b"before" + gzip.compress(secret.encode() * 3) + b"after",
    "zlib": lambda secret: b"before" + zlib.compress(secret.encode() * 3),
    "base64 in gzip": lambda secret: gzip.compress(base64.b64encode(secret.encode())),
}  # fmt: skip

# What Alpaca may do with a request, each met by every call that sends keys.
MISBEHAVIOURS: list[dict[str, Any]] = [
    *({"echo": True, "status": status} for status in (200, 401, 403, 422, 500)),
    *({"redirect_to": "<elsewhere>", "status": status} for status in (301, 302, 307, 308)),
    {"body_text": "<html><body>Sign in</body></html>", "content_type": "text/html"},
    {"body_text": '{"cash": '},
    {"status": 401},
    {"status": 403, "body": {"message": "forbidden."}},
    {"status": 404},
    {"status": 500},
    {"cut": "before_headers"},
    {"cut": "mid_body"},
    {"latency_ms": 60_000},
    {"account_without": ["cash"]},
    {"rate_limited": {"retry_after": 1}},  # the last: for a second, nothing is asked any more
]


@pytest.mark.parametrize("dress", DRESSES)
def test_the_scan_finds_the_secret_in_every_encoding(dress: str) -> None:
    secret = new_canary()
    place = b"\x00" * 1000 + DRESSES[dress](secret) + b"\xff" * 1000
    assert canary_scan(secret, place)
    assert not canary_scan(new_canary(), place)


@dataclass(slots=True)
class Elsewhere:
    """The target of a redirect, which must never be requested."""

    url: str
    visits: int = 0


@dataclass(slots=True)
class Caller:
    """Calls the API and keeps every byte that comes back."""

    client: ClientSession
    heard: bytearray = field(default_factory=bytearray)

    async def call(self, method: str, path: str, **request: Any) -> tuple[int, bytes]:  # noqa: ANN401 - aiohttp's own
        async with self.client.request(method, path, **request) as answer:
            body = await answer.read()
            self.heard += b"".join(name + value for name, value in answer.raw_headers) + body
            return answer.status, body


@asynccontextmanager
async def elsewhere() -> AsyncGenerator[Elsewhere]:
    there = Elsewhere("")

    def visited(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there.visits += 1
        writer.close()

    server = await asyncio.start_server(visited, "127.0.0.1", 0)
    async with server:
        there.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/paper/v2/account"
        yield there


async def test_keys_are_found_only_sealed(data: Path, against_sandbox: dict[str, str], faults: Faults) -> None:
    canary, control = new_canary(), new_canary()
    settings = {**against_sandbox, "data_dir": data, "upstream_timeout_seconds": "5"}
    async with running_talkatively("serve", **settings) as server, elsewhere() as there:
        headers = {"Authorization": f"Bearer {await token_of_alice(settings)}"}
        async with ClientSession(await server.url(), headers=headers, timeout=ClientTimeout(total=PATIENCE)) as client:
            caller = Caller(client)
            path = await use_it_well(caller, canary, control)
            await hand_it_in_wrongly(caller, canary, path)
            await let_alpaca_misbehave(caller, canary, path, faults, there)
            assert (await caller.call("GET", f"{path}/account-data"))[0] == 200, "the keys are as good as before"
        said = (server.out + server.err).encode()
        server.process.kill()  # a crash: the write-ahead log and all is left as it was
        await server.ends()

    assert there.visits == 0
    assert canary_scan(canary, bytes(caller.heard)) == set()
    assert canary_scan(control, bytes(caller.heard)) == {"raw", "upper"}, "the nickname was answered"
    assert canary_scan(canary, said) == set()
    assert canary_scan(control, said) == {"raw", "upper"}, "the unknown path was logged"
    assert b"every logger speaks: control" in said
    await assert_the_data_holds_it_sealed(data, canary, control)


READS = (
    "positions",
    "orders",
    "activities",
    "portfolio-history",
    "clock",
    "positions.csv",
    "orders.csv",
    "activities.csv",
)


async def use_it_well(caller: Caller, canary: str, control: str) -> str:
    status, body = await caller.call("POST", "/api/credentials", json={"nickname": control, **key_pair(canary)})
    assert status == 201, body
    path = f"/api/credentials/{json.loads(body)['id']}"
    for method, place, request in (
        ("GET", path, {}),
        ("GET", "/api/credentials", {}),
        ("GET", f"{path}/account-data", {}),
        *(("GET", f"{path}/{read}", {}) for read in READS),
        ("POST", f"{path}/validate", {}),
        ("PATCH", path, {"json": key_pair(canary)}),
    ):
        assert (await caller.call(method, place, **request))[0] == 200
    assert (await caller.call("POST", "/api/credentials", json={"nickname": "again", **key_pair(canary)}))[0] == 409
    assert (await caller.call("GET", f"/nowhere/{control}"))[0] == 404
    return path


async def hand_it_in_wrongly(caller: Caller, canary: str, path: str) -> None:
    """What people do with keys in the wrong hands, columns and places."""
    secret = key_pair(canary)["secret_key"]
    body: dict[str, Any] = {"nickname": "x", **key_pair(canary)}
    wrong_bodies: list[dict[str, Any]] = [
        {"json": {**body, "credential_type": "live"}},
        {"json": {**body, "credential_type": secret}},
        {"json": {**body, "secret_key": secret + "x"}},
        {"json": {**body, "api_key": secret, "secret_key": canary}},
        {"json": {**body, "api_key": [canary], "secret_key": {"secret": secret}}},
        {"json": {**body, secret: canary}},
        {"json": {**body, "nickname": {"secret": secret}}},
        {"json": {**body, "api_key": canary[:9] + "\n" + canary[9:]}},
        {"data": json.dumps(body)[:-1], "headers": {"Content-Type": "application/json"}},
        {"data": f"api_key={canary}&secret_key={secret}", "headers": {"Content-Type": "text/plain"}},
        {"data": json.dumps(body) * 1000, "headers": {"Content-Type": "application/json"}},
    ]
    for request in wrong_bodies:
        for method, place in (("POST", "/api/credentials"), ("PATCH", path)):
            assert 400 <= (await caller.call(method, place, **request))[0] < 500, request
    for method, place, request in (
        ("GET", f"{path}?api_key={canary}&secret_key={quote(secret)}", {}),
        ("GET", "/api/me", {"headers": {"Authorization": f"Bearer {secret}"}}),
        ("GET", "/api/me", {"headers": {"Authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"}}),
        ("GET", "/api/me", {"headers": {"Cookie": f"corral_session={secret}"}}),
        ("GET", f"{path}/account-data", {"headers": {"APCA-API-KEY-ID": canary, "APCA-API-SECRET-KEY": secret}}),
        ("POST", "/api/session", {"json": {"email": f"{canary}@x", "password": secret}}),
        ("GET", f"/api/credentials/{secret}", {}),
    ):
        assert (await caller.call(method, place, **request))[0] < 500


async def let_alpaca_misbehave(caller: Caller, canary: str, path: str, faults: Faults, there: Elsewhere) -> None:
    body = {"nickname": "x", **key_pair(canary)}
    for misbehaviour in MISBEHAVIOURS:
        redirect = {"redirect_to": there.url} if "redirect_to" in misbehaviour else {}
        calls = await faults.calls_of(canary)
        await faults.set(canary, **{**misbehaviour, **redirect})
        answers = await asyncio.gather(
            caller.call("POST", "/api/credentials", json=body),
            caller.call("PATCH", path, json=key_pair(canary)),
            caller.call("POST", f"{path}/validate"),
            caller.call("GET", f"{path}/account-data"),
            caller.call("GET", f"{path}/orders"),
            caller.call("GET", f"{path}/activities.csv"),
        )
        assert all(status != 500 for status, _ in answers), misbehaviour
        assert await faults.calls_of(canary) > calls, "the misbehaviour was met"
    await faults.clear()
    await asyncio.sleep(1.1)  # as the last Retry-After said


async def assert_the_data_holds_it_sealed(data: Path, canary: str, control: str) -> None:
    """The control is a nickname: in the write-ahead log, in the table and in the dumps. The keys are nowhere."""
    in_wal = files_with(control, data / "postgres" / "pg_wal")
    assert in_wal, "the crash left the nickname in the write-ahead log"
    assert files_with(canary, data) == {}
    async with embedded_postgres(data) as database:
        for form in ("plain", "custom"):
            dump = await dump_of(database, form)
            assert canary_scan(control, dump), form
            assert canary_scan(canary, dump) == set(), form
    assert any(name.startswith("postgres/base") for name in files_with(control, data)), "the nickname is in its table"
    assert files_with(canary, data) == {}
    logs = [log.read_text() for log in (data / "postgres" / "log").iterdir()]
    assert any("ready to accept connections" in log for log in logs), "PostgreSQL's own log was among the files"


async def dump_of(database: EmbeddedDatabase, form: str) -> bytes:
    """By the owner, whose policy shows it every row."""
    process = await asyncio.create_subprocess_exec(
        *(str(postgresql_of(18)) + "/pg_dump", f"--format={form}", "--enable-row-security"),
        database.dsn("corral_owner"),
        stdout=asyncio.subprocess.PIPE,
    )
    dump, _ = await process.communicate()
    assert process.returncode == 0
    return dump


async def token_of_alice(settings: dict[str, Any]) -> str:
    assert (await corral("users", "add", "alice@corral.example", **settings)).status == 0
    return (await corral("tokens", "create", "alice@corral.example", "--name", "x", **settings)).out.strip()
