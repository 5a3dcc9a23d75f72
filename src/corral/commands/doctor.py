"""`corral doctor`: one line for each check, and for each that fails, what to do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from rich.markup import escape

from corral.alpaca.client import AlpacaClient, open_alpaca
from corral.alpaca.environments import Environment, configured_hosts
from corral.alpaca.errors import AlpacaAuthError, AlpacaError
from corral.commands.audit import find_stuck
from corral.commands.console import out
from corral.credentials.keyring_check import open_vault, opens_whole
from corral.credentials.queries import load_all_sealed
from corral.database.connection import Database, DatabaseRefused, open_owner_connection
from corral.database.embedded.errors import EmbeddedPostgresError
from corral.database.migrate import MigrationRefused, apply_migrations, find_newer_migrations, pending_migrations
from corral.database.selfcheck import attempt_crossing, find_role_weaknesses, find_schema_differences, prove_writes
from corral.edge.certificate import CertificateUnusable
from corral.errors import DatabaseUnavailable, OperatorError
from corral.listening import open_certificate
from corral.network_environment import NetworkEnvironment
from corral.secret import Secret
from corral.settings import Settings
from corral.storage import database_addresses, open_shared
from corral.valkey.errors import ValkeyRefused
from corral.vault import KeyringRefused

_LARGEST_SKEW_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    problem: str | None  # None: the check passed


class ChecksFailed(OperatorError):  # noqa: N818 - a condition
    """A check of `corral doctor` failed. One line."""


async def print_findings(settings: Settings, network: NetworkEnvironment) -> None:
    failed = 0
    async for finding in examine(settings, network):
        failed += finding.problem is not None
        mark = "[green]✓[/]" if finding.problem is None else "[red]✗[/]"
        out.print(mark, escape(finding.check + (f": {finding.problem}" if finding.problem else "")))
    if failed:
        raise ChecksFailed(f"{failed} {'check' if failed == 1 else 'checks'} failed: see the lines marked ✗")


async def examine(settings: Settings, network: NetworkEnvironment) -> AsyncIterator[Finding]:
    """Yields each finding as soon as it is known. Everything that keeps `serve` from starting is a finding here."""
    for finding in await asyncio.to_thread(lambda: [*_trust(network), *_certificate(settings)]):
        yield finding
    async with AsyncExitStack() as stack:
        try:
            addresses = await stack.enter_async_context(database_addresses(settings))
            if addresses.owner is not None:
                await apply_migrations(addresses.owner)
            database = await stack.enter_async_context(Database.open(addresses.app))
        except MigrationRefused as refused:
            yield Finding("the database schema matches this release", str(refused))
            return
        except DatabaseUnavailable as unavailable:
            yield Finding("the database is reachable", unavailable.reason)
            return
        except (DatabaseRefused, EmbeddedPostgresError) as refused:
            yield Finding("the database is reachable", str(refused))
            return
        yield Finding("the database is reachable", None)
        if missing := await _missing(database):
            yield Finding("the database schema matches this release", missing)
            return
        yield Finding("the database accepts writes", await _writes(database))
        for name, check in _database_checks(database):
            yield Finding(name, await check())
        yield Finding("the audit trail takes entries", await find_stuck(settings, addresses.owner))
        yield Finding("the keyring opens every stored key", await _keyring(settings, database, addresses.owner))
        async for finding in _neighbours(settings, network, database):
            yield finding
        alpaca = await stack.enter_async_context(
            open_alpaca(configured_hosts(settings), timeout_seconds=settings.upstream_timeout_seconds)
        )
        for environment in Environment:
            problem = await _reachable(alpaca, environment)
            yield Finding(f"Alpaca's {environment.value} host is reachable", problem)


def _trust(network: NetworkEnvironment) -> Iterator[Finding]:
    if network.trust:
        named = ", ".join(f"{name}={value}" for name, value in network.trust.items())
        check = f"trusted certificates are changed by {named}"
        yield Finding(check, _joined(list(network.unusable_trust())))


def _certificate(settings: Settings) -> Iterator[Finding]:
    try:
        certificate = open_certificate(settings)
    except CertificateUnusable as unusable:
        yield Finding("the TLS certificate can be used", str(unusable))
        return
    if certificate is None:
        return
    if certificate.problem is not None:
        yield Finding("the TLS certificate is good", certificate.problem)
    else:
        host, validity = urlsplit(settings.browser_url).hostname, certificate.current.validity(datetime.now(UTC))
        yield Finding(f"the TLS certificate is good for {host} ({validity})", None)


def _database_checks(database: Database) -> list[tuple[str, Callable[[], Awaitable[str | None]]]]:
    return [
        ("the database role cannot bypass row-level security", lambda: _role(database)),
        ("every table forces row-level security, and nothing in the schema was changed", lambda: _schema(database)),
        ("one test tenant cannot reach another's rows", lambda: _crossing(database)),
        ("this machine's clock agrees with the database's", lambda: _clock(database)),
    ]


async def _missing(database: Database) -> str | None:
    """Nothing else can be checked without the schema."""
    async with database.connection() as connection:
        try:
            await find_newer_migrations(connection)
        except MigrationRefused as newer:
            return str(newer)
        pending = await pending_migrations(connection)
    if pending:
        return f"migration {', '.join(pending)} is missing: set CORRAL_DATABASE_OWNER_URL so that Corral can apply it"
    return None


async def _writes(database: Database) -> str | None:
    async with database.connection() as connection:
        return await prove_writes(connection)


async def _role(database: Database) -> str | None:
    async with database.connection() as connection:
        return _joined(await find_role_weaknesses(connection))


async def _schema(database: Database) -> str | None:
    async with database.connection() as connection:
        return _joined(await find_schema_differences(connection))


async def _crossing(database: Database) -> str | None:
    async with database.connection() as connection:
        return _joined(await attempt_crossing(connection))


async def _keyring(settings: Settings, database: Database, owner_dsn: str | None) -> str | None:
    try:
        vault = await open_vault(database, settings.keyring_path)
    except KeyringRefused as refused:
        return str(refused)
    if owner_dsn is None:
        return "set CORRAL_DATABASE_OWNER_URL for this check: only the owner can read every row (all stay encrypted)"
    async with open_owner_connection(owner_dsn) as connection:
        closed = [str(row.id) for row in await load_all_sealed(connection) if not opens_whole(vault, row)]
    return f"these credentials do not open; store their keys again: {', '.join(closed)}" if closed else None


async def _neighbours(settings: Settings, network: NetworkEnvironment, database: Database) -> AsyncIterator[Finding]:
    if settings.valkey_url is not None:
        yield Finding("Valkey takes writes, and its user may do what Corral does", await _valkey(settings, database))
    if settings.alpaca_proxy is None and network.proxies:
        named = " and ".join(network.proxies)
        yield Finding(f"no proxy is used: {named} is set but ignored; set CORRAL_ALPACA_PROXY instead", None)


async def _valkey(settings: Settings, database: Database) -> str | None:
    """Without the keyring, the names would be another installation's."""
    try:
        async with open_shared(settings, await open_vault(database, settings.keyring_path)) as valkey:
            problem = None if valkey is None else valkey.problem
    except (ValkeyRefused, KeyringRefused) as refused:
        return str(refused)
    return problem and f"{problem}; until then each process works alone"


async def _reachable(alpaca: AlpacaClient, environment: Environment) -> str | None:
    """Any rejection shows that Alpaca is reachable. The keys are made up: no stored key is used."""
    try:
        await alpaca.fetch_account(
            environment, Secret("PKCORRALDOCTOR"), Secret("corral-doctor-asks"), budget_key=("doctor", environment)
        )
    except AlpacaAuthError:
        return None
    except AlpacaError as error:
        return f"{error}: check this machine's network, DNS and clock, and CORRAL_ALPACA_PROXY if it is set"
    return None


async def _clock(database: Database) -> str | None:
    loop = asyncio.get_running_loop()
    before = loop.time()
    skew = await database.fetchval("SELECT extract(epoch FROM clock_timestamp() - $1)::float8", datetime.now(UTC))
    if abs(skew) > _LARGEST_SKEW_SECONDS + loop.time() - before:
        return (
            f"they differ by {skew:.0f} s: synchronize both with NTP, or sessions and tokens expire at the wrong time"
        )
    return None


def _joined(findings: list[str]) -> str | None:
    return "; ".join(findings) or None
