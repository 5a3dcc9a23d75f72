"""`corral serve --workers N`: the service in several processes. Imports nothing of what only the workers need."""

from typing import Literal

from corral.commands.console import out, say_that_first_start_takes_long
from corral.commands.start_block import Started, start_block
from corral.network_environment import NetworkEnvironment
from corral.settings import Settings
from corral.workers.supervisor import LogForm, OpenedService, supervise


async def run_workers(
    settings: Settings,
    network: NetworkEnvironment,
    workers: int,
    *,
    log_format: Literal["console", "json"],
    has_colors: bool,
) -> None:
    if settings.valkey_url is None and workers > 1:
        out.print(what_is_lost(workers))
    if settings.database_url is None:
        say_that_first_start_takes_long(settings.data_dir)

    async def announce(opened: OpenedService) -> str:
        storage = opened.storage
        of_storage = opened.addresses, storage.database, storage.vault, opened.certificate, opened.valkey
        return await start_block(network, Started(settings, *of_storage, opened.url, workers))

    await supervise(settings, workers, announce, out.print, LogForm(log_format, has_colors))


def what_is_lost(workers: int) -> str:
    """Returns what several processes that work alone do worse than one."""
    return (
        f"{workers} workers share no answers, request counts or order streams: each follows accounts by itself, so "
        f"Alpaca is asked up to {workers} times as often. With CORRAL_VALKEY_URL they share them."
    )
