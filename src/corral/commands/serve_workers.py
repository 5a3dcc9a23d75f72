"""`corral serve --workers N`: the service in several processes. Imports nothing of what only the workers need."""

from typing import Literal

from corral.commands.console import out, say_that_first_start_takes_long
from corral.commands.start_block import Started, start_block
from corral.network_environment import NetworkEnvironment
from corral.settings import Settings
from corral.workers.supervisor import LogForm, Opened, supervise


async def run_workers(
    settings: Settings,
    network: NetworkEnvironment,
    workers: int,
    *,
    log_format: Literal["console", "json"],
    has_colors: bool,
) -> None:
    out.print(what_is_lost(workers, counts_together=settings.valkey_url is not None))
    if settings.database_url is None:
        say_that_first_start_takes_long(settings.data_dir)

    async def announce(opened: Opened) -> str:
        storage = opened.storage
        of_storage = opened.addresses, storage.database, storage.vault, opened.certificate, opened.valkey
        return await start_block(network, Started(settings, *of_storage, opened.url, workers))

    await supervise(settings, workers, announce, out.print, LogForm(log_format, has_colors))


def what_is_lost(workers: int, *, counts_together: bool) -> str:
    """Returns what several processes do worse than one."""
    shared = "share request counts, but no answers or" if counts_together else "share no answers, request counts or"
    return (
        f"{workers} workers {shared} order streams: each follows accounts by itself, so Alpaca is asked up to "
        f"{workers} times as often."
    )
