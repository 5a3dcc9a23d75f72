"""The user and the settings of docs/deploy.md are enough, and no right of it is spare."""

import re
from pathlib import Path
from uuid import UUID

import pytest

from corral.alpaca.shared_budgets import SharedBudgets
from corral.gateway.fair_share import FairShares
from corral.valkey.address import read_address
from corral.valkey.client import open_valkey
from corral.valkey.errors import ValkeyRefused
from corral.vault import Vault
from tests.valkey.servers import Engine, Server

PAGE = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text(encoding="utf-8")
PASSWORD = "of-the-page"
KEY = ("paper", "PA1")


def rights() -> list[str]:
    found = re.search(r"^ACL SETUSER corral on >PASSWORD (.*)$", PAGE, re.MULTILINE)
    assert found is not None
    return found[1].split()


@pytest.mark.parametrize("database", [0, 3])
async def test_the_user_of_the_page_may_do_what_corral_does(
    engine: Engine, tmp_path: Path, vault: Vault, patient: None, database: int
) -> None:
    options = re.findall(r"^(maxmemory(?:-policy)?|save|appendonly) (\S+)$", PAGE, re.MULTILINE)
    assert len(options) == 4
    given = {name.replace("-", "_"): value.strip('"') for name, value in options}
    with Server(engine, tmp_path / "server", **given) as server:
        server.ask("ACL", "SETUSER", "corral", "on", f">{PASSWORD}", *rights())
        url = f"valkey://corral:{PASSWORD}@127.0.0.1:{server.port}/{database}"
        async with open_valkey(read_address(url), vault) as valkey:
            budgets = SharedBudgets(valkey)
            shares = FairShares(budgets)
            for grant in (UUID(int=1), UUID(int=2)):
                assert not (await shares.take(KEY, grant, is_closing=True)).retry_after
            shares.give_back(KEY, UUID(int=1))
            budgets.hold(KEY, {"Retry-After": "9"})
            budgets.update(KEY, {"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "5"})
            assert await budgets.take(KEY) > 0
            server.ask("SCRIPT", "FLUSH")
            assert await budgets.take(KEY) > 0
            assert valkey.times_away == 0


@pytest.mark.parametrize("right", [right for right in rights() if right.startswith("+") and right != "+select"])
async def test_no_right_of_the_page_is_spare(server: Server, vault: Vault, patient: None, right: str) -> None:
    without = [one for one in rights() if one != right]
    server.ask("ACL", "SETUSER", "corral", "on", f">{PASSWORD}", *without)
    server.ask("SCRIPT", "FLUSH")
    with pytest.raises(ValkeyRefused, match="give it the ACL"):
        async with open_valkey(read_address(f"valkey://corral:{PASSWORD}@127.0.0.1:{server.port}"), vault):
            pass
