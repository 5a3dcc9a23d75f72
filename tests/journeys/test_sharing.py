"""`corral serve` with and without a Valkey: what the start block says, what stops the start, and what does not."""

from pathlib import Path

from tests.conftest import Service
from tests.journeys.program import corral, free_port, running
from tests.valkey.servers import Server

PASSWORD = "hunter2-of-valkey"


async def test_the_start_block_says_what_processes_share(
    folder: Path, service: Service, on_the_runs_database: dict[str, str], against_sandbox: dict[str, str]
) -> None:
    settings = {**on_the_runs_database, **against_sandbox}
    async with running("serve", **settings) as alone:
        await alone.says(r"sharing  each process works alone and keeps everything in memory; (CORRAL_VALKEY_URL) lets")
    with Server("redis", folder / "valkey", requirepass=PASSWORD) as server:
        url = f"redis://:{PASSWORD}@127.0.0.1:{server.port}"
        async with running("serve", **settings, valkey_url=url) as shared:
            await shared.says(r"sharing  all processes watch accounts and (count requests to Alpaca together)")
            server.kill()
            await shared.logs("valkey_away")
            server.start()
            await shared.logs("valkey_back")
            assert PASSWORD not in shared.out + shared.err


async def test_one_that_is_away_does_not_stop_the_start(
    service: Service, on_the_runs_database: dict[str, str], against_sandbox: dict[str, str]
) -> None:
    url = f"valkey://127.0.0.1:{free_port()}"
    async with running("serve", **on_the_runs_database, **against_sandbox, valkey_url=url) as served:
        await served.says(
            r"sharing  CORRAL_VALKEY_URL cannot be used now: no connection to it \((connection refused)\)"
        )
        await served.url()


async def test_an_address_that_cannot_be_read_stops_the_start_before_anything_is_started(folder: Path) -> None:
    data = folder / "data"
    ended = await corral("serve", data_dir=data, valkey_url=f"redis://:{PASSWORD}@a,b")
    assert "a cluster, which Corral does not use" in ended.only_complaint
    assert PASSWORD not in ended.out + ended.err
    assert not (data / "postgres").exists()


async def test_a_wrong_password_stops_the_start_in_one_line(
    folder: Path, service: Service, on_the_runs_database: dict[str, str], against_sandbox: dict[str, str]
) -> None:
    with Server("valkey", folder / "valkey") as server:
        url = f"valkey://corral:{PASSWORD}@127.0.0.1:{server.port}"
        ended = await corral("serve", **on_the_runs_database, **against_sandbox, valkey_url=url)
    assert "refuses the user or the password of CORRAL_VALKEY_URL" in ended.only_complaint
    assert PASSWORD not in ended.out + ended.err
