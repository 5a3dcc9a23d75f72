"""`corral serve`: the service in one process."""

from corral.commands.console import out, say_that_first_start_takes_long
from corral.commands.start_block import Started, start_block
from corral.network_environment import NetworkEnvironment
from corral.serving import Services, serve
from corral.settings import Settings


async def run_service(settings: Settings, network: NetworkEnvironment) -> None:
    if settings.database_url is None:
        say_that_first_start_takes_long(settings.data_dir)

    async def announce(services: Services, url: str) -> str:
        resources = services.state["resources"]
        opened = services.addresses, resources.database, resources.vault, services.certificate
        return await start_block(network, Started(settings, *opened, services.state["valkey"], url))

    await serve(settings, announce, out.print)
