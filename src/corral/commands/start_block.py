"""What `corral serve` prints once it listens."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.markup import escape

from corral.backup.former import drop_former_schemas, remove_former_clusters
from corral.database.connection import Database
from corral.edge.certificate import ServedCertificate
from corral.identity import queries
from corral.identity.links import issue_link
from corral.network_environment import NetworkEnvironment
from corral.settings import Settings
from corral.storage import DatabaseAddresses
from corral.vault import Vault

if TYPE_CHECKING:
    from corral.valkey.client import Valkey


@dataclass(frozen=True, slots=True)
class Started:
    """What is served at `url`, and by how many processes."""

    settings: Settings
    addresses: DatabaseAddresses
    database: Database
    vault: Vault
    certificate: ServedCertificate | None
    valkey: "Valkey | None"
    url: str
    workers: int = 1


async def start_block(network: NetworkEnvironment, started: Started) -> str:
    """Returns where it listens and where its data is and, until the first user exists, the set-up link."""
    settings = started.settings
    database = settings.data_dir / "postgres" if settings.database_url is None else "CORRAL_DATABASE_URL"
    lines = [
        f"[bold]Corral[/] listens on {started.url}" + (f" as {settings.public_url}" if settings.public_url else ""),
        f"  data     {escape(str(database))}",
        f"  keyring  {escape(str(settings.keyring_path))} (back it up, separately from the data)",
        f"  sharing  {escape(_sharing(started.valkey))}",
        *_tls(started.certificate),
        *(
            f"  trust    {escape(name)}={escape(value)} (changes which certificates are trusted)"
            for name, value in network.trust.items()
        ),
    ]
    if started.workers > 1:
        lines.append(f"  workers  {started.workers}")
    if settings.alpaca_proxy is not None:
        lines.append("  proxy    CORRAL_ALPACA_PROXY (for Alpaca's hosts only)")
    if not await queries.has_users(started.database):
        link = await issue_link(started.database, started.vault, "setup", None, settings.browser_url)
        lines.append(f"  set-up   {link.reveal()} (works once, for 24 hours)")
    former = await _remove_former(started)
    lines += [f"  removed  {escape(name)}, the data from before the restore of a backup" for name in former]
    return "\n".join(lines)


async def _remove_former(started: Started) -> list[str]:
    """Now that the restored data is served. Schemas only if the owner's address is known."""
    if started.settings.database_url is None:
        return await remove_former_clusters(started.settings.data_dir)
    return [] if started.addresses.owner is None else await drop_former_schemas(started.addresses.owner)


def _sharing(valkey: "Valkey | None") -> str:
    """What several processes have in common."""
    if valkey is None:
        return "each process works alone and keeps everything in memory; CORRAL_VALKEY_URL lets several work together"
    if valkey.is_here:
        return "all processes watch accounts and count requests to Alpaca together, through CORRAL_VALKEY_URL"
    return f"CORRAL_VALKEY_URL cannot be used now: {valkey.problem}; each process works alone until it can"


def _tls(certificate: ServedCertificate | None) -> Iterator[str]:
    """An expired certificate does not stop the start: the clock may be wrong, and a new one is read when it comes."""
    if certificate is None:
        return
    current, problem = certificate.current, certificate.problem
    names = escape(", ".join(current.names))
    yield f"  TLS      {names} ({current.validity(datetime.now(UTC)) if problem is None else escape(problem)})"
