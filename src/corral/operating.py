"""What the commands do, once the command line is read and the settings are known."""

import errno
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from uuid import UUID

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from corral import demo as demonstration
from corral import doctor
from corral.ending import Signals
from corral.identity import api_tokens, queries, sign_in
from corral.identity.links import Kind, issue_link
from corral.identity.models import Scope
from corral.people import operators
from corral.secret import Secret
from corral.serving import House, opened_house, serve
from corral.settings import Settings
from corral.surroundings import Surroundings
from corral_sandbox import Sandbox, serve_sandbox

_out = Console(highlight=False, soft_wrap=True)


class ChecksFailed(Exception):  # noqa: N818 - a condition
    """A check of `corral doctor` failed. One line."""


class SandboxCannotListen(Exception):  # noqa: N818 - a condition
    """The sandbox's port cannot be had. One line."""


async def run_service(settings: Settings, surroundings: Surroundings) -> None:
    await serve(settings, partial(announce_service, surroundings), _out.print)


async def announce_service(surroundings: Surroundings, house: House, url: str) -> str:
    """Where it listens and where its data is; and, while nobody is there yet, how the first one gets in."""
    settings, resources = house.settings, house.state["resources"]
    database = settings.data_dir / "postgres" if settings.database_url is None else "CORRAL_DATABASE_URL"
    lines = [
        f"[bold]Corral[/] listens on {url}" + (f" as {settings.public_url}" if settings.public_url else ""),
        f"  data     {escape(str(database))}",
        f"  keyring  {escape(str(settings.keyring_path))} (back it up, apart from the data)",
        *(
            f"  trust    {escape(name)}={escape(value)} (changes whose certificates are accepted)"
            for name, value in surroundings.trust.items()
        ),
    ]
    if settings.alpaca_proxy is not None:
        lines.append("  proxy    CORRAL_ALPACA_PROXY (for Alpaca's hosts)")
    if not await queries.has_users(resources.database):
        link = await issue_link(resources.database, resources.vault, "setup", None, resources.public_url)
        lines.append(f"  set-up   {link.reveal()} (once, within 24 hours)")
    return "\n".join(lines)


async def announce_demo(house: House, url: str) -> str:
    invitation = await demonstration.invite(house, url)
    account_data = f"{url}/api/credentials/{invitation.credentials[0].id}/account-data"
    return "\n".join(
        (
            f"[bold]Corral[/] [black on yellow] SANDBOX [/] listens on {url}: no real money, no Alpaca account",
            f"  sign in  {invitation.sign_in_link.reveal()} (once)",
            f"  token    {invitation.token.reveal()}",
            "  try      the SANDBOX paper account, live:\n",
            f"curl -s -H 'Authorization: Bearer {invitation.token.reveal()}' {account_data}\n",
            "Ctrl-C ends it.",
        )
    )


async def run_demo(folder: Path, port: int, sandbox_port: int) -> None:
    async with _opened_sandbox(sandbox_port, "corral demo --sandbox-port N") as broker:
        settings = demonstration.demo_settings(folder, port=port, sandbox_url=broker.url)
        await serve(settings, announce_demo, _out.print, sandbox=True)


async def run_sandbox(port: int, seed: int, latency_seconds: float, speed: int) -> None:
    told = Signals()
    way_out = "corral sandbox --port N"
    async with _opened_sandbox(port, way_out, seed=seed, latency_seconds=latency_seconds, speed=speed) as broker:
        _out.print(f"SANDBOX broker: {broker.paper_url} and {broker.live_url}")
        _out.print("  key id PK… (paper) or AK… (live), secret: sandbox-secret-for-<key id>; Ctrl-C ends it")
        await told.once.wait()


@asynccontextmanager
async def _opened_sandbox(
    port: int, way_out: str, *, seed: int = 0, latency_seconds: float = 0, speed: int = 1
) -> AsyncGenerator[Sandbox]:
    async with AsyncExitStack() as stack:
        try:
            broker = await stack.enter_async_context(
                serve_sandbox(port=port, seed=seed, latency_seconds=latency_seconds, speed=speed)
            )
        except OSError as error:
            is_taken = error.errno == errno.EADDRINUSE
            reason = "is in use by another program" if is_taken else f"({os.strerror(error.errno or 0).lower()})"
            raise SandboxCannotListen(f"127.0.0.1:{port} {reason}: choose another port with `{way_out}`") from None
        yield broker


async def add_user(settings: Settings, email: str, password: Secret | None) -> None:
    async with opened_house(settings) as house:
        await _add_user(house, email, password)


async def add_administrator(settings: Settings, email: str, password: Secret | None) -> None:
    """The owner's connection first: without one, nobody is added who would then lack the right."""
    async with opened_house(settings) as house, operators.owner_connection(house.addresses.owner) as connection:
        await _add_user(house, email, password)
        await operators.promote_person(connection, house.state["resources"].vault, email)


async def _add_user(house: House, email: str, password: Secret | None) -> None:
    resources = house.state["resources"]
    user_id = await sign_in.add_user(resources.database, resources.vault, email=email, password=password)
    if password is None:
        await _print_link(house, user_id)
    else:
        _out.print(f"{email} is added.")


async def list_users(settings: Settings) -> None:
    async with opened_house(settings) as house, operators.owner_connection(house.addresses.owner) as connection:
        table = Table("e-mail", "since", "state", "may", box=None)
        for person in await operators.load_people(connection, house.state["resources"].vault):
            state = "disabled" if person.disabled_at else "active"
            may = "invite and disable people" if person.is_administrator else ""
            table.add_row(person.email, f"{person.created_at:%Y-%m-%d}", state, may)
        _out.print(table)


async def disable_user(settings: Settings, email: str) -> None:
    async with opened_house(settings) as house, operators.owner_connection(house.addresses.owner) as connection:
        await operators.disable_person(connection, email)
        _out.print(f"{email} is disabled; sessions and tokens ended.")


async def enable_user(settings: Settings, email: str) -> None:
    async with opened_house(settings) as house, operators.owner_connection(house.addresses.owner) as connection:
        await operators.enable_person(connection, email)
        _out.print(f"{email} may sign in again: by the password, or by a link from `corral users link`.")


async def promote_user(settings: Settings, email: str) -> None:
    async with opened_house(settings) as house, operators.owner_connection(house.addresses.owner) as connection:
        await operators.promote_person(connection, house.state["resources"].vault, email)
        _out.print(f"{email} may invite and disable people.")


async def demote_user(settings: Settings, email: str) -> None:
    async with opened_house(settings) as house, operators.owner_connection(house.addresses.owner) as connection:
        await operators.demote_person(connection, email)
        _out.print(f"{email} may no longer invite or disable people; invitations of theirs ended.")


async def print_recovery_link(settings: Settings, email: str) -> None:
    async with opened_house(settings) as house:
        user = await operators.find_person(house.state["resources"].database, email)
        await _print_link(house, user.id, "recovery")


async def create_token(
    settings: Settings, email: str, name: str, scopes: list[Scope] | None, expires_at: datetime | None
) -> None:
    async with opened_house(settings) as house:
        resources = house.state["resources"]
        user = await operators.find_person(resources.database, email)
        _, token = await api_tokens.create_api_token(
            resources.database, resources.vault, user.id, name=name, scopes=scopes, expires_at=expires_at
        )
        sys.stdout.write(token.reveal() + "\n")


async def _print_link(house: House, user_id: UUID, kind: Kind = "sign_in") -> None:
    resources = house.state["resources"]
    link = await issue_link(resources.database, resources.vault, kind, user_id, resources.public_url)
    _out.print(link.reveal())


async def examine(settings: Settings, surroundings: Surroundings) -> None:
    failed = 0
    async for finding in doctor.examine(settings, surroundings):
        failed += finding.problem is not None
        mark = "[green]✓[/]" if finding.problem is None else "[red]✗[/]"
        _out.print(mark, escape(finding.check + (f": {finding.problem}" if finding.problem else "")))
    if failed:
        raise ChecksFailed(f"{failed} of the checks failed; each line above says what to do")
