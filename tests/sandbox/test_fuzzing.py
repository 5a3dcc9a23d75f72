"""Alpaca's two OpenAPI documents against the sandbox, asked by Schemathesis: no 5XX, and no 2XX that breaks its schema.

`make test` asks little, the same each time. `make fuzz` asks for ten minutes, each time anew; a failure names the seed.
"""

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from corral_sandbox import Sandbox, serve_sandbox
from corral_sandbox.market_data_api import DATA_ROUTES
from corral_sandbox.trading_api import ROUTES
from tests.sandbox.fuzzing import ACCOUNT, MARKET_DATA, STREAMS, TRADING, Known, document_for_fuzzing, run_schemathesis
from tests.sandbox.judges import official_document
from tests.sandbox.people import ALICE, keys_of

_TUESDAY_TEN, _SATURDAY_NOON = "2026-11-24T10:00-05:00", "2026-11-28T12:00-05:00"
_FEW = ("--phases=fuzzing", "--mode=positive", "--seed=1", "--no-shrink", "--max-examples=6")
_BY_CHANCE = 4  # operations, of which each is asked six times
# The sandbox has no locates, tokens, wallets and announced corporate actions: it refuses them with Alpaca's words.
_REFUSED = ("/v1/locates/{locate_id}", "/v2/tokenization/", "/v2/wallets", "/v2/corporate_actions/announcements/{id}")


@dataclass(frozen=True)
class World:
    start: str = _TUESDAY_TEN
    speed: int = 0
    characters: bool = False

    def __str__(self) -> str:
        return f"{self.start[:10]} at speed {self.speed}{' with characters' if self.characters else ''}"


_WORLDS = (World(), World(_SATURDAY_NOON, speed=60), World(_TUESDAY_TEN, speed=3_600, characters=True))


class Fuzzed:
    """A sandbox with an account that holds something of every kind, unless the account is to be what it is."""

    def __init__(self, http: ClientSession, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self._http = http

    async def get(self, path: str) -> Any:  # noqa: ANN401 - any JSON
        async with self._http.get(f"{self.sandbox.url}{path}", headers=keys_of(ALICE)) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def furnish(self) -> Known:
        """Sets the account up, and returns the ids of what is in it."""
        async with self._http.put(f"{self.sandbox.url}/_accounts/{ALICE}", json=ACCOUNT) as response:
            assert response.status == 200, await response.text()
        orders = await self.get("/v2/orders?status=all&limit=500&nested=true")
        ids = [order["id"] for order in orders]
        return {
            **dict.fromkeys(("order_id", "before_order_id", "after_order_id"), ids),
            "client_order_id": [orders[0]["client_order_id"]],
            "watchlist_id": [watchlist["id"] for watchlist in await self.get("/v2/watchlists")][1:],
            "page_token": [activity["id"] for activity in await self.get("/v2/account/activities")],
        }

    async def succeeded(self) -> set[tuple[str, str]]:
        """Returns method and pattern of what was answered with 2XX."""
        found: set[tuple[str, str]] = set()
        for item in (await self.get(f"/_requests/{ALICE}"))["items"]:
            route = ROUTES.find(item["path"]) or DATA_ROUTES.find(item["path"])
            if route is not None and item.get("status", 0) < 300:
                found.add((item["method"], route.pattern))
        return found


@asynccontextmanager
async def fuzzed(http: ClientSession, world: World) -> AsyncGenerator[Fuzzed]:
    async with serve_sandbox(
        port=0,
        rate_limit_per_minute=0,
        start=datetime.fromisoformat(world.start),
        speed=world.speed,
        characters=world.characters,
    ) as sandbox:
        yield Fuzzed(http, sandbox)


@pytest.mark.parametrize("name", [TRADING, MARKET_DATA])
async def test_every_answer_is_one_of_the_official_document(
    request: pytest.FixtureRequest, http: ClientSession, tmp_path: Path, name: str
) -> None:
    if minutes := request.config.getoption("--fuzz-minutes"):
        await _ask_at_length(http, tmp_path, name, minutes * 60 / 2)
        return
    async with fuzzed(http, World()) as world:
        document = document_for_fuzzing(official_document(name), await world.furnish())
        await run_schemathesis(document, world.sandbox.paper_url, keys_of(ALICE), tmp_path, _FEW)
        refused_by_chance = set(_served(document)) - await world.succeeded()
        assert len(refused_by_chance) <= _BY_CHANCE, refused_by_chance


async def _ask_at_length(http: ClientSession, folder: Path, name: str, seconds: float) -> None:
    each = f"--max-time={round(seconds / len(_WORLDS) / 2)}"
    for world in _WORLDS:
        async with fuzzed(http, world) as running:
            url, keys = running.sandbox.paper_url, keys_of(ALICE)
            known = {} if world.characters else await running.furnish()
            document = document_for_fuzzing(official_document(name), known)
            await run_schemathesis(document, url, keys, folder, ["--phases=fuzzing", each])
            document = document_for_fuzzing(official_document(name))
            await run_schemathesis(document, url, keys, folder, [each])


def _served(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields method and pattern of what the sandbox does not always refuse."""
    for path, operations in document["paths"].items():
        route = ROUTES.find(path) or DATA_ROUTES.find(path)
        if route is not None and not path.startswith(_REFUSED) and path not in STREAMS:
            yield from (
                (method.upper(), route.pattern) for method in operations if path != "/v1/locates" or method == "get"
            )
