"""The pages over all accounts: holdings, orders and activity."""

from collections.abc import Mapping, Sequence

import pytest
from aiohttp import ClientSession

from tests.accounts.alpaca_lists import FILL, POSITION, order
from tests.conftest import Faults
from tests.people import Person, live_key, paper_key
from tests.web.parsed_html import Parsed, read_page

LONG = {**POSITION, "qty": "10", "side": "long", "market_value": "2440.00", "cost_basis": "2400"}
SHORT = {**POSITION, "qty": "-5", "market_value": "-1220.00", "cost_basis": "-1200"}
CALL = {**LONG, "symbol": "AAPL261218C00250000", "asset_class": "us_option", "asset_id": "call", "market_value": "600"}
COIN = {**LONG, "symbol": "BTCUSD", "asset_class": "crypto", "asset_id": "coin", "qty": "0.5", "market_value": "6000"}


async def store(
    person: Person, faults: Faults, *accounts: tuple[str, str, Mapping[str, Sequence[object]]]
) -> dict[str, str]:  # fmt: skip
    """Stores accounts by key, name and their lists at Alpaca. Returns the paths of their pages by name."""
    await faults.set_all(
        {"key_id": key_id, "path": path, "body": body} for key_id, _, lists in accounts for path, body in lists.items()
    )
    return {name: f"/accounts/{(await person.store(key_id, name))['id']}" for key_id, name, _ in accounts}


def positions(*held: object) -> dict[str, list[object]]:
    return {"/v2/positions": [*held]}


async def read(browser: ClientSession, path: str) -> Parsed:
    return await read_page(browser, f"{path}{'&' if '?' in path else '?'}wait=true")


async def test_holdings_merge_accounts_by_symbol_and_split_them_on_demand(
    alice: Person, alices: ClientSession, faults: Faults
) -> None:
    other = {**LONG, "qty": "2.5", "market_value": "610.00"}
    paths = await store(
        alice, faults, (paper_key(), "Growth", positions(LONG, CALL, COIN)), (paper_key(), "Wheel", positions(other)),
        (paper_key(), "Hedge", positions(SHORT, {**COIN, "symbol": "BTC/USD"})),
    )  # fmt: skip
    page = await read(alices, "/holdings")
    shown = page.text()
    assert "12.5" in shown
    assert "$3,050.00" in shown
    assert shown.count("BTC/USD") == 4  # the row, the ring with its legend, and the largest position
    assert "Largest position 71.13% BTC/USD" in shown
    assert shown.count("2 accounts") == 2
    links = {link.get("href") or "" for link in page.attributes("a")}
    assert f"{paths['Hedge']}/positions/AAPL" in links  # the short position of one account
    assert f"{paths['Growth']}/positions/AAPL" not in links
    split = {link.get("href") or "" for link in (await read(alices, "/holdings?split=AAPL")).attributes("a")}
    assert {f"{paths['Growth']}/positions/AAPL", f"{paths['Wheel']}/positions/AAPL"} <= split


async def test_long_and_short_positions_are_sorted_apart(alice: Person, alices: ClientSession, faults: Faults) -> None:
    middle = {**LONG, "symbol": "MSFT", "asset_id": "msft", "market_value": "1900.00"}
    await store(
        alice, faults, (paper_key(), "Growth", positions(LONG, middle)), (paper_key(), "Hedge", positions(SHORT))
    )
    table = (await read(alices, "/holdings")).text().split("Return")[-1]
    values = ["$2,440.00", "$1,900.00", "\N{MINUS SIGN}$1,220.00"]
    assert sorted(values, key=table.index) == values


async def test_live_and_paper_money_are_apart_and_live_comes_first(
    alice: Person, alices: ClientSession, faults: Faults
) -> None:
    lists = {**positions(LONG), "/v2/orders": [order(1)], "/v2/account/activities": [FILL]}
    await store(alice, faults, (live_key(), "Real", lists), (paper_key(), "Play", positions(COIN)))
    for path, play in (("/holdings", "BTC/USD"), ("/orders", "Play"), ("/activity", "Play")):
        live = (await read(alices, path)).text()
        paper = (await read(alices, f"{path}?money=paper")).text()
        assert "AAPL" in live
        assert play not in live
        assert "AAPL" not in paper or path != "/holdings"


async def test_holdings_can_be_searched_and_sorted(alice: Person, alices: ClientSession, faults: Faults) -> None:
    await store(alice, faults, (paper_key(), "Growth", positions(LONG, CALL, COIN)))
    shown = (await read(alices, "/holdings?q=aapl&sort=symbol")).text()
    assert "AAPL $250 Call, Dec 18" in shown
    assert "0.5" not in shown.split("Market value")[-1]
    assert "No positions match “zzz”." in (await read(alices, "/holdings?q=zzz")).text()


async def test_one_line_says_which_accounts_are_missing(alice: Person, alices: ClientSession, faults: Faults) -> None:
    broken = [paper_key(), paper_key()]
    good = paper_key()
    await alice.store(good, "Growth")
    for key_id, name in zip(broken, ("Wheel", "Hedge"), strict=True):
        await alice.store(key_id, name)
    await faults.set_all(
        [
            *({"key_id": key_id, "status": 500} for key_id in broken),
            {"key_id": good, "path": "/v2/positions", "body": [LONG]},
        ]
    )
    for path in ("/holdings", "/orders", "/activity"):
        page = await read(alices, path)
        assert "2 of 3 accounts are not included: Wheel, Hedge." in page.text()
        assert "No CSV file while an account is missing" in page.text()
        assert len([one for one in page.attributes("details") if "data-missing-accounts" in one]) == 1


async def test_open_orders_come_first_and_name_their_account(
    alice: Person, alices: ClientSession, faults: Faults
) -> None:
    paths = await store(alice, faults, (paper_key(), "Growth", {"/v2/orders": [order(1, status="new")]}))
    page = await read(alices, "/orders?side=buy")
    shown = page.text()
    assert shown.index("Open orders") < shown.index("Recent orders")
    assert "Growth" in shown
    assert f"{paths['Growth']}/orders/{order(1)['id']}" in [link.get("href") for link in page.attributes("a")]
    only = (await read(alices, "/orders?status=open")).text()
    assert "Recent orders" not in only


async def test_activity_of_all_accounts_is_merged_by_time(alice: Person, alices: ClientSession, faults: Faults) -> None:
    fills = [
        {**FILL, "id": f"2026112{day}::{day}", "transaction_time": f"2026-11-2{day}T15:00:00Z", "symbol": symbol}
        for day, symbol in ((1, "MSFT"), (2, "NVDA"), (3, "TSLA"))
    ]
    await store(
        alice, faults, (paper_key(), "Growth", {"/v2/account/activities": [fills[2], fills[0]]}),
        (paper_key(), "Wheel", {"/v2/account/activities": [fills[1]]}),
    )  # fmt: skip
    page = await read(alices, "/activity")
    shown = page.text()
    assert shown.index("TSLA") < shown.index("NVDA") < shown.index("MSFT")
    assert any((link.get("href") or "").startswith("/api/activities.csv") for link in page.attributes("a"))


@pytest.mark.parametrize("path", ["/holdings", "/orders?side=buy", "/activity"])
async def test_each_page_links_to_its_file(alice: Person, alices: ClientSession, path: str) -> None:
    await alice.store()
    links = [link.get("href") or "" for link in (await read(alices, path)).attributes("a")]
    (file,) = [link for link in links if ".csv?account_type=paper" in link]
    async with alices.get(file) as answer:
        assert (answer.status, answer.content_type) == (200, "text/csv"), file


@pytest.mark.parametrize("path", ["/holdings", "/orders", "/activity"])
async def test_without_accounts_the_pages_say_so(bobs: ClientSession, path: str) -> None:
    assert "No accounts yet." in (await read(bobs, path)).text()


@pytest.mark.parametrize("path", ["/orders", "/activity"])
async def test_a_cursor_of_another_list_leads_to_the_first_page(
    alice: Person, alices: ClientSession, path: str
) -> None:
    await alice.store()
    page = await read(alices, f"{path}?cursor=abc")
    assert "First page" in page.text()


async def test_lists_that_can_change_follow_the_stream(alice: Person, alices: ClientSession, faults: Faults) -> None:
    """A page names its accounts; further pages of a list and days that are over stay as they are."""
    lists = {**positions(LONG), "/v2/orders": [order(1)], "/v2/account/activities": [FILL]}
    paths = await store(alice, faults, (live_key(), "Real", lists), (paper_key(), "Play", lists))
    shown = {"data-money": "live", "data-accounts": paths["Real"].removeprefix("/accounts/")}
    for path, name in [("/holdings?q=a", "holdings"), ("/orders?to=2026-11-01", "orders"), ("/activity", "activity")]:
        (live,) = await _live_parts(alices, path)
        assert shown | {"data-live": name} == {key: live[key] for key in ("data-live", *shown)}
    for path in ("/orders?cursor=abc", "/orders?to=nothing", "/activity?to=2026-11-01", "/activity?cursor=abc"):
        assert await _live_parts(alices, path) == []


async def _live_parts(browser: ClientSession, path: str) -> list[dict[str, str | None]]:
    return [one for one in (await read(browser, path)).attributes("div") if "data-accounts" in one]


async def test_rows_have_names_by_which_they_are_found_again(
    alice: Person, alices: ClientSession, faults: Faults
) -> None:
    lists = {**positions(LONG, CALL, COIN), "/v2/orders": [order(1)], "/v2/account/activities": [FILL]}
    await store(alice, faults, (paper_key(), "Growth", lists), (paper_key(), "Wheel", positions(SHORT, LONG)))
    for path, names in [
        ("/holdings?split=AAPL", {"AAPL", "AAPL:short", "BTC/USD", CALL["symbol"]}),
        ("/orders?status=closed", {order(1)["id"]}),
        ("/activity", {FILL["id"]}),
    ]:
        rows = (await read(alices, path)).attributes("tr")
        found = [row.get("data-row") or row.get("data-order") for row in rows]
        named = [one for one in found if one]
        assert names <= set(named)
        assert len(named) == len(set(named))
