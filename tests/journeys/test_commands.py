"""The commands: exit status 0, or 1 with one line on standard error that says what to do."""

import asyncio
import json
import re
import secrets
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from corral import __version__, cli
from tests.journeys.footprint import files_in
from tests.journeys.program import browser, corral, corral_reading, running
from tests.restored_logging import restored_logging

PASSWORD = "correct horse battery staple"

REFUSED_COMMAND_LINES = {
    "fly": "No such command 'fly'",
    "users fly": "No such command 'fly'",
    "serve --wings": "No such option: --wings",
    "serve more": "unexpected extra argument",
    "serve --port many": "'--port'",
    "serve --port 65536": "CORRAL_PORT",
    "demo --port 65536": "'--port'",
    "demo --sandbox-port -1": "'--sandbox-port'",
    "sandbox --latency-ms -1": "--latency-ms: must be from 0",
    "sandbox --speed -1": "--speed: must be from 0 to 86400",
    "sandbox --start 2026-11-24T09:29": "--start: must be a time with its time zone",
    "sandbox --start tomorrow": "--start: must be a time with its time zone",
    "users add": "EMAIL",
    "users add nobody": "email address",
    "users disable nobody": "email address",
    "tokens create a@corral.example": "--name",
    "tokens create a@corral.example --name=": "--name takes 1 to 100 printable characters",
    "tokens create a@corral.example --name x --scope everything": "accounts:read",
    "tokens create a@corral.example --name x --expires-in soon": "such as 30d",
    "tokens create a@corral.example --name x --expires-in 0d": "such as 30d",
    "tokens create a@corral.example --name x --expires-in=": "such as 30d",
    "openapi --yaml": "No such option: --yaml",
}

REFUSED_SETTINGS = {
    "CORRAL_FOO": ("1", "unknown setting"),
    "CORRAL_SERVICE_HOST": (
        "10.96.0.7",
        "Kubernetes sets CORRAL_SERVICE_HOST for its services: set `enableServiceLinks",
    ),
    "CORRAL_SNAPSHOT_SECONDS": ("1", "is now called CORRAL_CACHE_SECONDS"),
    "CORRAL_LIVE_SECONDS": ("1", "is now called CORRAL_STREAM_POLL_SECONDS"),
    "CORRAL_DATABASE_ULR": ("postgresql://corral_app:hunter2hunter2@127.0.0.1/corral", "unknown setting"),
    "CORRAL_PORT": ("http", "integer"),
    "CORRAL_KEYRING": ("/not/file", "file:PATH"),
    "CORRAL_DATA_DIR": ("~nobody-of-this-name/corral", "no home directory"),
    "CORRAL_PUBLIC_URL": (
        "http://nas.local",
        "set CORRAL_TLS_CERT and CORRAL_TLS_KEY, or put Caddy or `tailscale serve`",
    ),
    "CORRAL_TLS_CERT": ("/etc/ssl/corral.pem", "belong together: set CORRAL_TLS_KEY, too"),
    "CORRAL_TLS_KEY": ("/etc/ssl/corral.key", "belong together: set CORRAL_TLS_CERT, too"),
    "CORRAL_GATEWAY_URL": ("https://gateway.example/alpaca", "without a path"),
    "CORRAL_ALPACA_PAPER_URL": ("https://broker.example?hunter2", "must not contain a query"),
    "CORRAL_ALPACA_LIVE_URL": ("https://paper-api.alpaca.markets", "paper and live must differ"),
    "CORRAL_ALPACA_PROXY": ("socks5://alice:hunter2@127.0.0.1", "like http://"),
    "CORRAL_CACHE_SECONDS": ("-1", "greater than or equal to 0"),
    "CORRAL_UPSTREAM_TIMEOUT_SECONDS": ("0", "greater than 0"),
    "CORRAL_LOG_FORMAT": ("xml", "'console' or 'json'"),
}


def refusal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command_line: str) -> str:
    """The one line, of a command that is refused before it begins; in this process, since starting one takes longer."""
    monkeypatch.setattr(sys, "argv", ["corral", *command_line.split()])
    with restored_logging(), pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    assert ended.value.code == 1
    assert said.out == ""
    assert said.err.startswith("corral: ")
    assert said.err.count("\n") == 1
    return said.err


@pytest.mark.parametrize("command_line", REFUSED_COMMAND_LINES)
def test_an_invalid_command_line_is_reported_in_one_line(
    command_line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert REFUSED_COMMAND_LINES[command_line] in refusal(monkeypatch, capsys, command_line)


@pytest.mark.parametrize("name", REFUSED_SETTINGS)
def test_an_invalid_setting_is_reported_by_name_without_its_value(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    value, reason = REFUSED_SETTINGS[name]
    monkeypatch.setenv(name, value)
    reported = refusal(monkeypatch, capsys, "serve")
    assert name in reported
    assert reason in reported
    assert "hunter2" not in reported


@pytest.mark.parametrize(
    ("command", "folder_that_is_none"),
    [
        *[("serve", folder) for folder in ("/etc/passwd", "/etc/passwd/below", "/proc/corral")],
        ("demo", "/etc/passwd/below"),
        ("doctor", "/etc/passwd/below"),
    ],
)
async def test_an_impossible_data_folder_is_reported_in_one_line(command: str, folder_that_is_none: str) -> None:
    ended = await corral(command, "--data-dir", folder_that_is_none)
    if command == "doctor":
        assert ended.status == 1
        assert folder_that_is_none in ended.out
    else:
        assert folder_that_is_none in ended.only_complaint


async def test_a_database_that_does_not_respond_is_named_by_its_setting(folder: Path) -> None:
    address = "postgresql://corral_app:hunter2hunter2@127.0.0.1:1/corral"
    for command in (("serve",), ("users", "list")):
        ended = await corral(*command, data_dir=folder, database_url=address)
        assert "CORRAL_DATABASE_URL" in ended.only_complaint
        assert "hunter2" not in ended.err
    assert files_in(folder) == {}


async def test_people_are_added_listed_and_disabled(on_the_runs_database: dict[str, str]) -> None:
    corral_here = partial(corral, **on_the_runs_database)
    reported = partial(corral_reading, PASSWORD, **on_the_runs_database)
    email = f"carol-{secrets.token_hex(4)}@corral.example"
    added = await reported("users", "add", email.title(), "--password-stdin")
    assert (added.status, added.err) == (0, "")
    assert PASSWORD not in added.out
    assert "already" in (await corral_here("users", "add", email)).only_complaint
    weak = await corral_reading("short\n", "users", "add", f"x{email}", "--password-stdin", **on_the_runs_database)
    assert "12 to 1,024 characters" in weak.only_complaint

    assert re.search(rf"^ {email} .* active", (await corral_here("users", "list")).out, re.MULTILINE)
    disabled = await corral_here("users", "disable", email)
    assert (disabled.status, disabled.err) == (0, "")
    assert re.search(rf"^ {email} .* disabled", (await corral_here("users", "list")).out, re.MULTILINE)
    for command in (("users", "disable"), ("users", "enable"), ("users", "link"), ("tokens", "create", "--name", "x")):
        unknown = await corral_here(*command, "nobody@corral.example")
        assert "`corral users list`" in unknown.only_complaint


async def test_administrators_are_promoted_and_demoted(on_the_runs_database: dict[str, str]) -> None:
    corral_here = partial(corral, **on_the_runs_database)
    emails = [f"{name}-{secrets.token_hex(4)}@corral.example" for name in ("carol", "dave")]
    role = "administrator"

    async def administrators() -> list[str]:
        lines = (await corral_here("users", "list")).out.splitlines()
        return [email for email in emails for line in lines if email in line and role in line]

    added = await corral_here("users", "add", emails[0], "--admin")
    assert (added.status, added.err, added.out.count("\n")) == (0, "", 1)
    reported = partial(corral_reading, PASSWORD, **on_the_runs_database)
    assert (await reported("users", "add", emails[1], "--password-stdin")).status == 0
    assert await administrators() == emails[:1]
    promoted = await corral_here("users", "promote", emails[1].title())
    assert (promoted.status, promoted.out) == (0, f"{emails[1]} is now an administrator.\n")
    assert await administrators() == emails
    assert (await corral_here("users", "demote", emails[0])).status == 0
    assert await administrators() == emails[1:]
    for command in ("promote", "demote"):
        assert "`corral users list`" in (await corral_here("users", command, "nobody@corral.example")).only_complaint


async def test_without_the_owners_url_no_administrator_is_added(
    on_the_runs_database: dict[str, str],
) -> None:
    without = {name: value for name, value in on_the_runs_database.items() if name != "database_owner_url"}
    assert len(without) < len(on_the_runs_database)
    email = f"carol-{secrets.token_hex(4)}@corral.example"
    refused = await corral("users", "add", email, "--admin", **without)
    assert "CORRAL_DATABASE_OWNER_URL" in refused.only_complaint
    assert email not in (await corral("users", "list", **on_the_runs_database)).out


async def test_commands_work_while_a_server_runs(data: Path, against_sandbox: dict[str, str]) -> None:
    async with running("serve", data_dir=data, **against_sandbox) as server, browser(await server.url()) as client:
        link = await corral("users", "add", "alice@corral.example", "--data-dir", data, **against_sandbox)
        assert (link.status, link.err, link.out.count("\n")) == (0, "", 1)
        start, _, code = link.out.strip().partition("#")
        assert start == f"{await server.url()}/sign-in"
        token = await corral("tokens", "create", "alice@corral.example", "--name", "script", data_dir=data)
        assert (token.status, token.err) == (0, "")
        assert re.fullmatch(r"corral_\w{30,}\n", token.out)

        me = await me_of(client, token.out.strip())
        assert me["email"] == "alice@corral.example"
        assert (await sign_in(client, code))["email"] == "alice@corral.example"
        async with browser(await server.url()) as late, late.post("/api/session/link", json={"token": code}) as answer:
            assert (await answer.json())["code"] == "link_refused", "a link is good once"

        narrow = ("--scope", "accounts:read", "--expires-in", "12h")
        narrow_token = await corral(
            "tokens", "create", "alice@corral.example", "--name", "narrow", *narrow, data_dir=data
        )
        assert (await me_of(client, narrow_token.out.strip()))["scopes"] == ["accounts:read"]
        unused = await corral("users", "link", "alice@corral.example", "--data-dir", data, **against_sandbox)
        await corral("users", "disable", "alice@corral.example", data_dir=data)
        async with client.get("/api/me", headers={"Authorization": f"Bearer {token.out.strip()}"}) as answer:
            assert answer.status == 401, "disabled at once, on the running server too"

        shut_out = await corral("users", "link", "alice@corral.example", data_dir=data)
        assert "`" in shut_out.only_complaint
        assert "users enable" in shut_out.only_complaint
        assert (await corral("users", "enable", "alice@corral.example", data_dir=data)).status == 0
        async with browser(await server.url()) as late:
            former = {"token": unused.out.strip().partition("#")[2]}
            async with late.post("/api/recovery", json={**former, "new_password": PASSWORD}) as answer:
                assert (await answer.json())["code"] == "link_refused", "what was ended stays ended"
        again = await corral("users", "link", "alice@corral.example", "--data-dir", data, **against_sandbox)
        async with browser(await server.url()) as anew:
            start, _, code = again.out.strip().partition("#")
            assert start == f"{await server.url()}/recover"
            async with anew.post("/api/recovery", json={"token": code, "new_password": PASSWORD}) as answer:
                assert answer.status == 204
            sent = {"email": "alice@corral.example", "password": PASSWORD}
            async with anew.post("/api/session", json=sent) as answer:
                assert answer.status == 200
        assert await server.stop() == 0


@pytest.mark.usefixtures("executed")
async def test_openapi_prints_the_document_without_a_server() -> None:
    ended = await corral("openapi")
    assert (ended.status, ended.err) == (0, "")
    assert "/api/credentials/{credential_id}/account-data" in json.loads(ended.out)["paths"]


@pytest.mark.usefixtures("executed")
async def test_bare_commands_show_their_help() -> None:
    for ended in await asyncio.gather(corral(), corral("users")):
        assert (ended.status, ended.err) == (0, "")
        assert "Usage:" in ended.out


@pytest.mark.usefixtures("executed")
async def test_the_version_is_printed_and_nothing_else() -> None:
    ended = await corral("--version")
    assert (ended.status, ended.out, ended.err) == (0, f"corral {__version__}\n", "")


async def test_the_help_of_serve_lists_every_setting() -> None:
    ended = await corral("serve", "--help")
    for name in ("DATABASE_URL", "DATABASE_OWNER_URL", "KEYRING", "PUBLIC_URL", "CACHE_SECONDS", "LOG_FORMAT"):
        assert f"CORRAL_{name}" in ended.out


async def me_of(client: ClientSession, token: str) -> dict[str, Any]:
    async with client.get("/api/me", headers={"Authorization": f"Bearer {token}"}) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def sign_in(client: ClientSession, code: str) -> dict[str, Any]:
    async with client.post("/api/session/link", json={"token": code}) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()
