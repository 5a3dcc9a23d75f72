"""`corral demo`: the whole service with the built-in sandbox, a user and two accounts."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from corral.commands.console import out, say_that_first_start_takes_long
from corral.commands.sandbox import open_sandbox
from corral.credentials import management
from corral.credentials.models import Credential
from corral.identity import api_tokens, queries, sign_in
from corral.identity.links import issue_link
from corral.identity.security_events import OPERATOR
from corral.people import operators
from corral.secret import Secret
from corral.serving import Services, serve
from corral.settings import Settings
from corral_sandbox import start_in_trading_hours

EMAIL = "demo@corral.example"
_ACCOUNTS = (("SANDBOX paper account", "PKSANDBOXDEMO13"), ("SANDBOX live account", "AKSANDBOXDEMO1"))
_TOKEN_NAME = "SANDBOX demo"  # noqa: S105 - a name


@dataclass(frozen=True, slots=True)
class DemoAccess:
    """What a new user needs. The link and the token are printed once."""

    sign_in_link: Secret
    token: Secret
    credentials: list[Credential]


async def run_demo(folder: Path, port: int, sandbox_port: int) -> None:
    say_that_first_start_takes_long(folder)
    start = start_in_trading_hours(datetime.now(UTC))
    async with open_sandbox(sandbox_port, "corral demo --sandbox-port N", start=start, characters=True) as broker:
        settings = demo_settings(folder, port=port, sandbox_url=broker.url)
        await serve(settings, announce_demo, out.print, sandbox=True)


async def announce_demo(services: Services, url: str) -> str:
    invitation = await invite(services, url)
    account_data = f"{url}/api/credentials/{invitation.credentials[0].id}/account-data"
    return "\n".join(
        (
            f"[bold]Corral[/] [black on yellow] SANDBOX [/] listens on {url} (no real money)\n",
            "To sign in, open this link (it works once):",
            f"{invitation.sign_in_link.reveal()}\n",
            "To read an account, paste this into another terminal:",
            f"curl -s -H 'Authorization: Bearer {invitation.token.reveal()}' {account_data}\n",
            "Press Ctrl-C to stop.",
        )
    )


def demo_settings(folder: Path, *, port: int, sandbox_url: str) -> Settings:
    """Takes no address, folder, database, keyring or host from the environment."""
    return Settings(
        host="127.0.0.1",
        port=port,
        data_dir=folder,
        database_url=None,
        valkey_url=None,
        database_owner_url=None,
        keyring=None,
        public_url=None,
        tls_cert=None,
        tls_key=None,
        gateway_url=None,
        alpaca_paper_url=f"{sandbox_url}/paper",
        alpaca_live_url=f"{sandbox_url}/live",
        alpaca_data_url=sandbox_url,
        cache_seconds=1.0,
        upstream_timeout_seconds=8.0,
    )


async def invite(services: Services, url: str) -> DemoAccess:
    """Creates the user and the accounts on the first start, and a new link and token on every start."""
    resources = services.state["resources"]
    database, vault = resources.database, resources.vault
    user_id = await _demo_user(services)
    credentials = await _demo_accounts(services, user_id)
    await _revoke_former_tokens(services, user_id)
    _, token = await api_tokens.create_api_token(
        user_id, database, vault, name=_TOKEN_NAME, scopes=None, expires_at=datetime.now(UTC) + timedelta(days=7)
    )
    link = await issue_link(database, vault, "sign_in", user_id, url)
    return DemoAccess(link, token, credentials)


async def _demo_user(services: Services) -> UUID:
    resources = services.state["resources"]
    known = await queries.find_user_by_email(resources.database, EMAIL)
    if known is not None:
        return known.id
    async with operators.owner_connection(services.addresses.owner) as connection:
        user_id = await sign_in.add_user(resources.database, resources.vault, email=EMAIL, password=None)
        await operators.promote_person(connection, resources.vault, EMAIL)
    return user_id


async def _demo_accounts(services: Services, user_id: UUID) -> list[Credential]:
    resources = services.state["resources"]
    stored = await management.load_credentials(user_id, resources.database)
    for nickname, key_id in _ACCOUNTS:
        if any(credential.nickname == nickname for credential in stored):
            continue
        stored.append(
            await management.store_credential(
                management.Owner(user_id),
                resources.database,
                resources.vault,
                resources.alpaca,
                nickname=nickname,
                api_key=Secret(key_id),
                secret_key=Secret(f"sandbox-secret-for-{key_id}"),
                expected=None,
            )
        )
    return stored


async def _revoke_former_tokens(services: Services, user_id: UUID) -> None:
    resources = services.state["resources"]
    database, vault = resources.database, resources.vault
    for token in await api_tokens.load_api_tokens(user_id, database):
        if token.name == _TOKEN_NAME:
            await api_tokens.revoke_api_token(user_id, database, vault, token.id, OPERATOR)
