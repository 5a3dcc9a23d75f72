"""`corral serve`: the service, and what it prints once it listens."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

from rich.markup import escape

from corral.backup.former import drop_former_schemas, remove_former_clusters
from corral.commands.console import out, say_that_first_start_takes_long
from corral.identity import queries
from corral.identity.links import issue_link
from corral.network_environment import NetworkEnvironment
from corral.serving import Services, serve
from corral.settings import Settings


async def run_service(settings: Settings, network: NetworkEnvironment) -> None:
    if settings.database_url is None:
        say_that_first_start_takes_long(settings.data_dir)
    await serve(settings, partial(announce_service, network), out.print)


async def announce_service(network: NetworkEnvironment, services: Services, url: str) -> str:
    """Returns where it listens and where its data is and, until the first user exists, the set-up link."""
    settings, resources = services.settings, services.state["resources"]
    database = settings.data_dir / "postgres" if settings.database_url is None else "CORRAL_DATABASE_URL"
    lines = [
        f"[bold]Corral[/] listens on {url}" + (f" as {settings.public_url}" if settings.public_url else ""),
        f"  data     {escape(str(database))}",
        f"  keyring  {escape(str(settings.keyring_path))} (back it up, separately from the data)",
        f"  sharing  {escape(_sharing(services))}",
        *_tls(services),
        *(
            f"  trust    {escape(name)}={escape(value)} (changes which certificates are trusted)"
            for name, value in network.trust.items()
        ),
    ]
    if settings.alpaca_proxy is not None:
        lines.append("  proxy    CORRAL_ALPACA_PROXY (for Alpaca's hosts only)")
    if not await queries.has_users(resources.database):
        link = await issue_link(resources.database, resources.vault, "setup", None, resources.public_url)
        lines.append(f"  set-up   {link.reveal()} (works once, for 24 hours)")
    former = await _remove_former(services)
    lines += [f"  removed  {escape(name)}, the data from before the restore of a backup" for name in former]
    return "\n".join(lines)


async def _remove_former(services: Services) -> list[str]:
    """Now that the restored data is served. Schemas only if the owner's address is known."""
    if services.settings.database_url is None:
        return await remove_former_clusters(services.settings.data_dir)
    return [] if services.addresses.owner is None else await drop_former_schemas(services.addresses.owner)


def _sharing(services: Services) -> str:
    """What several processes have in common."""
    valkey = services.state["valkey"]
    if valkey is None:
        return "each process keeps everything in memory and counts alone; CORRAL_VALKEY_URL lets several count together"
    if valkey.is_here:
        return "requests to Alpaca are counted by all processes together, through CORRAL_VALKEY_URL"
    return f"CORRAL_VALKEY_URL cannot be used now: {valkey.problem}; this process counts alone until it can"


def _tls(services: Services) -> Iterator[str]:
    """An expired certificate does not stop the start: the clock may be wrong, and a new one is read when it comes."""
    if services.certificate is None:
        return
    certificate, problem = services.certificate.current, services.certificate.problem
    names = escape(", ".join(certificate.names))
    yield f"  TLS      {names} ({certificate.validity(datetime.now(UTC)) if problem is None else escape(problem)})"
