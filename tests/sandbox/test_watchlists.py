"""Watchlists by id and by name."""

import asyncio
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import ClientSession

from corral_sandbox import Sandbox, serve_sandbox
from tests.sandbox.asking import Caller
from tests.sandbox.judges import judge, of_the_sdk, sdk
from tests.sandbox.people import ALICE, BOB, nanoseconds

_LISTS, _ONE, _BY_NAME = "/v2/watchlists", "/v2/watchlists/{watchlist_id}", "/v2/watchlists:by_name"


def _symbols(watchlist: Any) -> list[str]:  # noqa: ANN401 - the SDK's
    return [asset.symbol for asset in watchlist.assets]


@of_the_sdk
async def test_the_sdk_creates_changes_and_deletes_a_watchlist(sandbox: Sandbox) -> None:
    from alpaca.common.exceptions import APIError
    from alpaca.trading.requests import CreateWatchlistRequest, UpdateWatchlistRequest

    wanted = CreateWatchlistRequest(name="mine", symbols=["AAPL", "BTC/USD"])
    with sdk(sandbox.paper_url, ALICE) as client:
        created: Any = await asyncio.to_thread(client.create_watchlist, wanted)
        assert (created.name, _symbols(created)) == ("mine", ["AAPL", "BTC/USD"])
        added: Any = await asyncio.to_thread(client.add_asset_to_watchlist_by_id, created.id, "SPY")
        assert _symbols(added) == ["AAPL", "BTC/USD", "SPY"]
        removed: Any = await asyncio.to_thread(client.remove_asset_from_watchlist_by_id, created.id, "AAPL")
        assert _symbols(removed) == ["BTC/USD", "SPY"]
        renamed: Any = await asyncio.to_thread(
            client.update_watchlist_by_id, created.id, UpdateWatchlistRequest(name="ours", symbols=["F"])
        )
        assert (renamed.name, _symbols(renamed)) == ("ours", ["F"])
        assert await asyncio.to_thread(client.get_watchlist_by_id, created.id) == renamed
        listed: Any = await asyncio.to_thread(client.get_watchlists)
        assert [(each.id, each.name, each.assets) for each in listed] == [(created.id, "ours", None)]
        await asyncio.to_thread(client.delete_watchlist_by_id, created.id)
        assert await asyncio.to_thread(client.get_watchlists) == []
        with pytest.raises(APIError, match="watchlist not found"):
            await asyncio.to_thread(client.get_watchlist_by_id, created.id)


async def test_watchlists_match_the_openapi_document(caller: Caller, official: dict[str, Any]) -> None:
    status, created = await caller.ask(_LISTS, method="POST", body={"name": "mine", "symbols": ["AAPL", "BTCUSD"]})
    assert status == 200
    judge(official, _LISTS, "post").validate(created)
    judge(official, _LISTS).validate(await caller.get(_LISTS))
    judge(official, _ONE).validate(await caller.get(f"{_LISTS}/{created['id']}"))
    judge(official, _BY_NAME).validate(await caller.get(f"{_BY_NAME}?name=mine"))
    for path, method, body in (
        (f"{_LISTS}/{created['id']}", "POST", {"symbol": "SPY"}),
        (f"{_LISTS}/{created['id']}", "PUT", {"name": "ours"}),
        (f"{_BY_NAME}?name=ours", "PUT", {"symbols": ["F"]}),
        (f"{_BY_NAME}?name=ours", "POST", {"symbol": "KO"}),
        (f"{_LISTS}/{created['id']}/KO", "DELETE", None),
    ):
        status, watchlist = await caller.ask(path, method=method, body=body)
        assert status == 200
        judge(official, _ONE).validate(watchlist)


async def test_a_watchlist_can_be_changed_by_its_name(caller: Caller) -> None:
    name = "öl & gas/energy"
    by_name = f"{_BY_NAME}?name={quote(name, safe='')}"
    await caller.ask(_LISTS, method="POST", body={"name": name})
    assert (await caller.get(by_name))["assets"] == []
    await caller.ask(by_name, method="POST", body={"symbol": "XOM"})
    assert [asset["symbol"] for asset in (await caller.get(by_name))["assets"]] == ["XOM"]
    assert await caller.ask(by_name, method="DELETE") == (204, None)
    assert (await caller.ask(by_name))[0] == 404


async def test_a_coin_leaves_a_watchlist_by_its_escaped_symbol(caller: Caller) -> None:
    _, created = await caller.ask(_LISTS, method="POST", body={"name": "mine", "symbols": ["BTC/USD", "ETH/USD"]})
    _, left = await caller.ask(f"{_LISTS}/{created['id']}/BTC%2FUSD", method="DELETE")
    assert [asset["symbol"] for asset in left["assets"]] == ["ETH/USD"]


async def test_bob_cannot_reach_alices_watchlist(caller: Caller) -> None:
    _, created = await caller.ask(_LISTS, method="POST", body={"name": "mine"})
    path = f"{_LISTS}/{created['id']}"
    for method, body in (("GET", None), ("PUT", {"name": "his"}), ("POST", {"symbol": "F"}), ("DELETE", None)):
        assert (await caller.ask(path, method=method, key_id=BOB, body=body))[0] == 404
    assert (await caller.ask(f"{_BY_NAME}?name=mine", key_id=BOB))[0] == 404
    assert await caller.get(_LISTS, BOB) == []
    assert await caller.get(path, ALICE) == created


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "name is required"),
        ({"name": 5}, "name is required"),
        ({"name": ""}, "watchlist name must have 1 to 64 characters"),
        ({"name": "x" * 65}, "watchlist name must have 1 to 64 characters"),
        ({"name": "mine"}, "watchlist name must be unique"),
        ({"name": "b", "symbols": "AAPL"}, "symbols must be a list"),
        ({"name": "b", "symbols": [1]}, "symbol must be a text"),
        ({"name": "b", "symbols": ["NOTHING"]}, "asset not found for NOTHING"),
        ({"name": "b", "symbols": ["BTCUSD", "BTC/USD"]}, "duplicate symbol"),
    ],
)
async def test_an_invalid_watchlist_is_refused(caller: Caller, body: dict[str, Any], message: str) -> None:
    await caller.ask(_LISTS, method="POST", body={"name": "mine"})
    assert await caller.ask(_LISTS, method="POST", body=body) == (422, {"code": 40010001, "message": message})
    assert len(await caller.get(_LISTS)) == 1


async def test_a_refused_change_leaves_a_watchlist_as_it_was(caller: Caller) -> None:
    _, other = await caller.ask(_LISTS, method="POST", body={"name": "other"})
    _, created = await caller.ask(_LISTS, method="POST", body={"name": "mine", "symbols": ["AAPL"]})
    path = f"{_LISTS}/{created['id']}"
    for method, body in (
        ("PUT", {}),
        ("PUT", {"name": "new", "symbols": ["F", "F"]}),
        ("PUT", {"name": "other", "symbols": ["F"]}),
        ("POST", {"symbol": "AAPL"}),
        ("POST", {}),
    ):
        assert (await caller.ask(path, method=method, body=body))[0] == 422
    assert (await caller.ask(f"{path}/F", method="DELETE"))[0] == 404
    assert await caller.get(path) == created
    assert (await caller.get(f"{_LISTS}/{other['id']}"))["name"] == "other"


async def test_a_run_can_be_repeated_to_the_byte(http: ClientSession) -> None:
    runs: list[list[Any]] = []
    for _ in range(2):
        async with serve_sandbox(port=0, seed=7, clock=lambda: nanoseconds("2026-11-24T14:30:05Z")) as sandbox:
            caller = Caller(http, sandbox)
            runs.append([await caller.ask(_LISTS, method="POST", body={"name": name}) for name in ("a", "b")])
    assert runs[0] == runs[1]
    assert runs[0][0][1]["id"] != runs[0][1][1]["id"]
    assert runs[0][0][1]["created_at"] == "2026-11-24T14:30:05.000000000Z"


async def test_the_id_of_a_deleted_watchlist_is_not_reused(caller: Caller) -> None:
    _, first = await caller.ask(_LISTS, method="POST", body={"name": "mine"})
    await caller.ask(f"{_LISTS}/{first['id']}", method="DELETE")
    _, second = await caller.ask(_LISTS, method="POST", body={"name": "mine"})
    assert first["id"] != second["id"]
