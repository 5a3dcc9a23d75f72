"""Accounts as tests set, read and reset them: `/_accounts/{key_id}` and `/_reset`."""

import asyncio
from collections.abc import AsyncGenerator
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import ClientSession

from corral_sandbox.broker.characters import CHARACTERS
from tests.sandbox.account_control import AccountControl, account_control, check_identities
from tests.sandbox.judges import judge, of_the_sdk, sdk
from tests.sandbox.listeners import listening, next_message
from tests.sandbox.people import ALICE, ALICE_LIVE, BOB, keys_of

_CALL, _PUT = "AAPL261218C00250000", "AAPL261218P00230000"
_RESTING = {"symbol": "KO", "qty": "2", "side": "buy", "type": "limit", "limit_price": "5", "time_in_force": "gtc"}
_EXITS: dict[str, Any] = {"take_profit": {"limit_price": "900"}, "stop_loss": {"stop_price": "9", "limit_price": "8"}}

_FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "little cash": {"cash": "2500.50"},
    "no cash": {"cash": 0},
    "cash account": {"cash": "1000", "multiplier": "1", "positions": [{"symbol": "F", "qty": "3"}]},
    "margin loan": {
        "cash": "-5000",
        "multiplier": 2,
        "positions": [{"symbol": "AAPL", "qty": "50", "avg_entry_price": "240.5"}],
    },
    "short": {
        "positions": [{"symbol": "TSLA", "qty": "-10", "avg_entry_price": 380}, {"symbol": "SPY", "qty": "1.25"}]
    },
    "coins": {"positions": [{"symbol": "BTCUSD", "qty": "0.5"}, {"symbol": "ETH/USD", "qty": "1.000000001"}]},
    "covered call": {
        "positions": [{"symbol": "AAPL", "qty": "100"}, {"symbol": _CALL, "qty": "-1", "avg_entry_price": "5"}]
    },
    "cash-secured put": {"cash": "23000", "positions": [{"symbol": _PUT, "qty": "-1"}]},
    "loss": {"cash": "100", "positions": [{"symbol": "KO", "qty": "10", "avg_entry_price": "5000"}]},
    "orders": {
        "orders": [_RESTING, {"symbol": "GLD", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}]
    },
    "changed character": {"character": "margin_borrower", "cash": "12.5", "status": "ACCOUNT_UPDATED"},
    **{character: {"character": character} for character in CHARACTERS},
}


@pytest.fixture
async def control(http: ClientSession) -> AsyncGenerator[AccountControl]:
    async with account_control(http) as opened:
        yield opened


async def test_every_key_opens_the_same_plain_account_with_every_seed(http: ClientSession) -> None:
    accounts: list[dict[str, Any]] = []
    for seed in (0, 7):
        async with account_control(http, seed=seed) as control:
            accounts += [await control.api.get("/v2/account", key_id) for key_id in (ALICE, BOB, "PKANYBODY1")]
    names = ("id", "account_number")
    assert all(len({account[name] for account in accounts}) == 6 for name in names)
    plain = [{name: value for name, value in account.items() if name not in names} for account in accounts]
    assert all(account == plain[0] for account in plain)
    expected = {
        "status": "ACTIVE",
        "currency": "USD",
        "cash": "100000",
        "equity": "100000",
        "last_equity": "100000",
        "buying_power": "400000",
        "multiplier": "4",
        "options_approved_level": 3,
        "options_trading_level": 3,
        "shorting_enabled": True,
        "trading_blocked": False,
        "account_blocked": False,
        "transfers_blocked": False,
        "trade_suspended_by_user": False,
    }
    assert {name: plain[0][name] for name in expected} == expected


async def test_a_plain_account_is_flat_and_always_was(control: AccountControl) -> None:
    assert await control.api.get("/v2/positions") == []
    assert await control.api.get("/v2/orders?status=all") == []
    (deposit,) = await control.api.get("/v2/account/activities")
    assert (deposit["activity_type"], deposit["net_amount"]) == ("CSD", "100000")
    for query in ("", "?period=1D", "?period=5A", "?period=1W&timeframe=1H&intraday_reporting=continuous"):
        history = await control.api.get(f"/v2/account/portfolio/history{query}")
        assert set(history["equity"]) == {100_000}
        assert set(history["profit_loss"]) == {0}


async def test_with_characters_accounts_differ(http: ClientSession) -> None:
    async with account_control(http, characters=True) as control:
        accounts = [await control.state(f"PKCROWD{number:05}") for number in range(40)]
    assert len({account["cash"] for account in accounts}) == 40
    assert {account["multiplier"] for account in accounts} == {"1", "2", "4"}
    assert any(account["restrictions"] for account in accounts)


@pytest.mark.parametrize("name", _FORMS)
async def test_identities_hold_after_every_put(control: AccountControl, official: dict[str, Any], name: str) -> None:
    await control.put(_FORMS[name])
    judge(official, "/v2/account").validate(await check_identities(control))


@pytest.mark.parametrize("name", [name for name in _FORMS if name != "plain"])
async def test_an_account_that_get_returns_can_be_put_back(control: AccountControl, name: str) -> None:
    """Without its history: its positions are then held since before the last close."""
    told = await control.put(_FORMS[name])
    assert await control.state() == told
    await control.put({"cash": "1"})
    again = await control.put(told)
    for history in ("created_at", "last_equity", "buying_power", "orders"):
        told["derived"].pop(history)
        again["derived"].pop(history)
    assert again == told


async def test_what_is_left_out_is_plain(control: AccountControl) -> None:
    plain = await control.everything()
    await control.put(
        {
            "cash": "5",
            "multiplier": "2",
            "status": "ACCOUNT_UPDATED",
            "options_level": 0,
            "daytrade_count": 2,
            "currency": "EUR",
            "restrictions": ["transfers_blocked"],
            "configurations": {"no_shorting": True},
            "watchlists": [{"name": "mine", "symbols": ["AAPL", "BTC/USD"]}],
        }
    )
    assert await control.everything() != plain
    await control.put({})
    assert await control.everything() == plain


async def test_what_is_put_is_what_the_api_returns(control: AccountControl) -> None:
    await control.put(
        {
            "cash": "2500.50",
            "currency": "EUR",
            "multiplier": "2",
            "options_level": 1,
            "daytrade_count": 3,
            "restrictions": ["transfers_blocked"],
            "positions": [{"symbol": "AAPL", "qty": "10", "avg_entry_price": "240"}],
            "orders": [_RESTING],
            "watchlists": [{"name": "mine", "symbols": ["AAPL"]}],
        }
    )
    account, positions, orders, activities, _, _, watchlists = await control.everything()
    told = ("cash", "currency", "multiplier", "options_trading_level", "daytrade_count", "transfers_blocked")
    assert [account[name] for name in told] == ["2500.5", "EUR", "2", 1, 3, True]
    assert [(each["symbol"], each["qty"], each["avg_entry_price"]) for each in positions] == [("AAPL", "10", "240")]
    assert [(order["symbol"], order["status"]) for order in orders] == [("KO", "new"), ("AAPL", "filled")]
    assert {activity["currency"] for activity in activities if activity["activity_type"] == "CSD"} == {"EUR"}
    assert [watchlist["name"] for watchlist in watchlists] == ["mine"]


async def test_positions_exist_since_before_the_last_close(control: AccountControl) -> None:
    await control.put({"positions": [{"symbol": "AAPL", "qty": "10"}]})
    (position,) = await control.api.get("/v2/positions")
    assert position["avg_entry_price"] == position["lastday_price"]
    assert position["unrealized_intraday_pl"] == position["unrealized_pl"]
    account = await control.api.get("/v2/account")
    assert Decimal(account["last_equity"]) == 100_000 + 10 * Decimal(position["lastday_price"])


@of_the_sdk
async def test_the_sdk_reads_a_seeded_account(control: AccountControl) -> None:
    await control.put({**_FORMS["margin loan"], "orders": [_RESTING], "daytrade_count": 1})
    with sdk(control.sandbox.paper_url, ALICE) as client:
        account: Any = await asyncio.to_thread(client.get_account)
        positions: Any = await asyncio.to_thread(client.get_all_positions)
        orders: Any = await asyncio.to_thread(client.get_orders)
    assert (account.cash, account.multiplier, account.daytrade_count) == ("-5000", "2", 1)
    assert [(each.symbol, each.qty, each.avg_entry_price) for each in positions] == [("AAPL", "50", "240.5")]
    assert [(order.symbol, order.limit_price) for order in orders] == [("KO", "5")]


async def test_one_keys_account_is_its_own(control: AccountControl) -> None:
    await control.put({"cash": "7", "orders": []}, BOB)
    await control.place(key_id=BOB, qty="0.05")
    before = await control.everything(BOB)
    await control.put({"character": "short_seller", "orders": [_RESTING], "watchlists": [{"name": "mine"}]})
    await control.put({"cash": "3"}, ALICE_LIVE)
    await control.delete()
    assert await control.everything(BOB) == before
    assert (await control.state(ALICE_LIVE))["cash"] == "3"


async def test_delete_opens_the_account_anew(control: AccountControl) -> None:
    plain = await control.everything()
    first = await control.place()
    await control.api.ask("/v2/watchlists", method="POST", body={"name": "mine"})
    await control.api.ask("/v2/account/configurations", method="PATCH", body={"suspend_trade": True})
    assert await control.everything() != plain
    assert (await control.delete())["cash"] == "100000"
    assert await control.everything() == plain
    assert await control.place() == first


async def test_with_characters_delete_gives_the_character_back_and_put_a_plain_account(http: ClientSession) -> None:
    async with account_control(http, characters=True) as control:
        opened = await control.state()
        assert (await control.put({}))["cash"] == "100000"
        assert await control.delete() == opened
        assert await control.put({"character": "any"}) == opened


async def test_a_reset_is_for_everything(control: AccountControl) -> None:
    plain = [await control.everything(key_id) for key_id in (ALICE, BOB)]
    await control.put({"cash": "7"})
    await control.place(key_id=BOB)
    await control.ask("PUT", "/_faults", {"faults": [{"status": 503}]})
    await control.reset()
    assert await control.ask("GET", "/_faults") == (200, {"faults": []})
    assert (await control.ask("GET", "/_requests"))[1]["requests"] == 0
    assert [await control.everything(key_id) for key_id in (ALICE, BOB)] == plain


async def test_a_socket_sees_nothing_of_a_put_but_what_happens_later(
    control: AccountControl, http: ClientSession
) -> None:
    async with listening(http, control.sandbox, ALICE) as socket:
        await control.place(**_RESTING)
        assert [(await next_message(socket))["data"]["event"] for _ in range(2)] == ["pending_new", "new"]
        order = {"symbol": "KO", "qty": "3", "side": "buy", "type": "market", "time_in_force": "day"}
        await control.put({"orders": [order, {**_RESTING, "qty": "4"}]})
        await control.api.ask("/v2/orders", method="DELETE")
        message = await next_message(socket)
        assert (message["data"]["event"], message["data"]["order"]["qty"]) == ("canceled", "4")
        for reset in (control.delete, control.reset):
            await reset()
            await control.place(qty="5")
            assert (await next_message(socket))["data"]["order"]["qty"] == "5"
            assert [(await next_message(socket))["data"]["event"] for _ in range(2)] == ["new", "fill"]


@pytest.mark.parametrize("how", ["put", "delete", "reset"])
async def test_orders_of_a_replaced_account_do_not_go_on(
    control: AccountControl, http: ClientSession, how: str
) -> None:
    control.hands.move_to("2026-11-25T12:00:00Z")  # before the exchange opens
    async with listening(http, control.sandbox, ALICE) as socket:
        await control.place()
        assert (await next_message(socket))["data"]["event"] == "accepted"
        await {"put": lambda: control.put({}), "delete": control.delete, "reset": control.reset}[how]()
        control.hands.move_to("2026-11-25T15:00:00Z")
        await asyncio.sleep(0.2)
        await control.place(symbol="ETH/USD", qty="0.1", time_in_force="gtc")
        assert (await next_message(socket))["data"]["order"]["symbol"] == "ETH/USD"
    assert [order["symbol"] for order in await control.api.get("/v2/orders?status=all")] == ["ETH/USD"]


_ORDERS: dict[str, dict[str, Any]] = {
    "limit": {"type": "limit", "limit_price": "5", "time_in_force": "gtc", "client_order_id": "mine"},
    "stop": {"type": "stop", "stop_price": "900"},
    "stop limit": {"type": "stop_limit", "stop_price": "900", "limit_price": "901"},
    "trailing": {"side": "sell", "type": "trailing_stop", "trail_percent": "5"},
    "extended hours": {"type": "limit", "limit_price": "5", "extended_hours": True},
    "notional": {"qty": None, "notional": "50", "type": "limit", "limit_price": "5"},
    "bracket": {"type": "limit", "limit_price": "10", "order_class": "bracket", **_EXITS},
    "oco": {"side": "sell", "type": "limit", "order_class": "oco", **_EXITS},
    "oto": {"type": "limit", "limit_price": "10", "order_class": "oto", "stop_loss": {"stop_price": "9"}},
    "coin": {"symbol": "BTC/USD", "qty": "0.1", "type": "limit", "limit_price": "10", "time_in_force": "gtc"},
    "option": {"symbol": _CALL, "type": "limit", "limit_price": "0.01"},
    "spread": {
        "symbol": None,
        "type": "limit",
        "limit_price": "-900",
        "order_class": "mleg",
        "legs": [
            {"symbol": _CALL, "side": "buy", "ratio_qty": "1"},
            {"symbol": "AAPL261218C00260000", "side": "sell", "ratio_qty": "1"},
        ],
    },
}


@pytest.mark.parametrize("name", _ORDERS)
async def test_open_orders_are_told_as_they_can_be_placed(control: AccountControl, name: str) -> None:
    common = {"symbol": "KO", "qty": "2", "side": "buy", "time_in_force": "day"}
    order = {field: value for field, value in {**common, **_ORDERS[name]}.items() if value is not None}
    told = await control.put({"positions": [{"symbol": "KO", "qty": "10"}], "orders": [order]})
    assert told["orders"] == [order]
    placed = await control.api.get("/v2/orders?nested=true")
    assert await control.put(told) == told
    assert await control.api.get("/v2/orders?nested=true") == placed


async def test_the_exits_of_a_filled_bracket_are_told_as_an_oco(control: AccountControl) -> None:
    await control.place(order_class="bracket", qty="3", **_EXITS)
    told = await control.state()
    (order,) = told["orders"]
    assert (order["order_class"], order["side"], order["qty"]) == ("oco", "sell", "3")
    assert {name: order[name] for name in _EXITS} == _EXITS
    assert (await control.put(told))["orders"] == told["orders"]


async def test_an_open_order_may_stand_in_a_blocked_account(control: AccountControl) -> None:
    await control.put({"restrictions": ["trading_blocked"], "orders": [_RESTING]})
    status, refused = await control.api.ask("/v2/orders", method="POST", body=_RESTING)
    assert (status, refused["message"]) == (403, "account is restricted from trading")
    assert (await control.api.ask("/v2/orders", method="DELETE"))[0] == 207


async def test_an_account_that_is_not_active_places_no_order(control: AccountControl) -> None:
    await control.put({"status": "ACCOUNT_CLOSED"})
    assert (await control.api.get("/v2/account"))["status"] == "ACCOUNT_CLOSED"
    assert (await control.api.ask("/v2/orders", method="POST", body=_RESTING))[0] == 403


async def test_seeded_options_expire(control: AccountControl) -> None:
    positions = [{"symbol": "AAPL261218C00150000", "qty": "1"}, {"symbol": "AAPL261218C00340000", "qty": "1"}]
    await control.put({"positions": positions})
    control.hands.move_to("2026-12-21T15:00:00Z")
    (position,) = await control.api.get("/v2/positions")
    assert (position["symbol"], position["qty"], position["avg_entry_price"]) == ("AAPL", "100", "150")
    assert (await control.api.get("/v2/account"))["cash"] == "85000"
    kinds = [activity["activity_type"] for activity in await control.api.get("/v2/account/activities")]
    assert {"OPEXC", "OPTRD", "OPEXP"} <= set(kinds)


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"equity": "5"}, "equity follows from cash and positions"),
        ({"buying_power": "5"}, "buying_power follows from cash, positions and multiplier"),
        ({"csah": "5"}, "csah: unknown field; did you mean cash?"),
        ({"nonsense": "5"}, "nonsense: unknown field; there are character, cash,"),
        ({"trading_blocked": True}, "trading_blocked is an entry of the list restrictions"),
        ({"positions": [{"symbol": "AAPL", "qty": "1", "market_value": "5"}]}, "positions.0.market_value follows from"),
        ({"positions": [{"symbol": "AAPL", "qty": "1", "price": "5"}]}, "positions.0.price: unknown field"),
        ({"positions": [{"symbol": "AAPL"}]}, "positions.0.qty: is required"),
        ({"positions": [{"symbol": "AAPL", "qty": "0"}]}, "positions.0.qty: 0 is no position"),
        ({"positions": [{"symbol": "AAPL", "qty": "1", "avg_entry_price": "-5"}]}, "must be greater than 0"),
        ({"positions": [{"symbol": "ZZZZZ", "qty": "1"}]}, "positions.0.symbol: there is no ZZZZZ"),
        ({"positions": [{"symbol": "AAPL251219C00250000", "qty": "1"}]}, "has expired, or is not listed yet"),
        ({"positions": [{"symbol": "AAPL", "qty": "1"}] * 2}, "positions.1.symbol: AAPL is there twice"),
        ({"positions": [{"symbol": "GME", "qty": "1.5"}]}, "GME is held in whole units only"),
        ({"positions": [{"symbol": "GME", "qty": "-1"}]}, "GME cannot be sold short"),
        ({"positions": [{"symbol": "BTC/USD", "qty": "-1"}]}, "BTC/USD cannot be sold short"),
        ({"positions": [{"symbol": "AAPL", "qty": "-1.5"}]}, "fractions of a share cannot be sold short"),
        ({"positions": [{"symbol": _CALL, "qty": "-1"}]}, "1 short calls on AAPL are uncovered"),
        (
            {"cash": "22999.99", "positions": [{"symbol": _PUT, "qty": "-1"}]},
            "short puts are uncovered, which Alpaca does not allow: their shares would cost 23000",
        ),
        ({"cash": "-1"}, "equity = cash + long_market_value + short_market_value = -1 + 0 + 0 = -1 is below 0"),
        (
            {"cash": "-1", "multiplier": 1, "positions": [{"symbol": "AAPL", "qty": "1"}]},
            "with multiplier 1 buying_power = cash, which is never below 0",
        ),
        (
            {"multiplier": "1", "positions": [{"symbol": "AAPL", "qty": "-1"}]},
            "with multiplier 1 shorting_enabled is false and short_market_value = 0",
        ),
        (
            {"cash": "-9", "positions": [{"symbol": "AAPL", "qty": "1", "avg_entry_price": "1"}]},
            "cash + what the positions cost = what was deposited = -8 is below 0",
        ),
        ({"cash": True}, "cash: must be a number"),
        ({"cash": "a lot"}, "cash: must be a number"),
        ({"cash": "NaN"}, "cash: must be a finite number"),
        ({"cash": "1e400"}, "cash: must be less than or equal to 1000000000000"),
        ({"multiplier": "3"}, "multiplier: must be '1', '2' or '4'"),
        ({"status": "OPEN"}, "status: must be"),
        ({"currency": "dollars"}, "currency: must be a code of three capital letters, such as USD"),
        ({"options_level": 4}, "options_level: must be less than or equal to 3"),
        ({"daytrade_count": -1}, "daytrade_count: must be greater than or equal to 0"),
        ({"restrictions": ["blocked"]}, "restrictions.0: must be 'trading_blocked'"),
        ({"character": "gambler"}, "character: must be 'any', 'investor'"),
        ({"configurations": {"no_shorts": True}}, "configurations.no_shorts: unknown field"),
        ({"configurations": {"no_shorting": "yes"}}, "configurations: no_shorting must be true or false"),
        ({"watchlists": [{"name": "mine", "symbols": ["ZZZZZ"]}]}, "watchlists.0: asset not found for ZZZZZ"),
        ({"watchlists": [{"name": "mine"}, {"name": "mine"}]}, "watchlists.1: watchlist name must be unique"),
        ({"orders": {}}, "orders: must be a list"),
        (
            {"orders": [_RESTING, {**_RESTING, "qty": "1000000"}]},
            "orders.1: Alpaca would refuse it: insufficient buying power",
        ),
        ({"orders": [{**_RESTING, "symbol": "ZZZZZ"}]}, "orders.0: Alpaca would refuse it: could not find"),
        ({"cash": "1", "multiplier": 1, "orders": [{**_RESTING, "side": "sell"}]}, "account is not allowed to short"),
        (
            {"options_level": 0, "orders": [{**_RESTING, "symbol": _CALL, "time_in_force": "day"}]},
            "not eligible to trade this",
        ),
        (b"[]", "an account is a JSON object"),
        (b"{", "an account is a JSON object"),
    ],
)
async def test_a_bad_account_is_refused_by_name_and_changes_nothing(
    control: AccountControl,
    form: object,
    words: str,
) -> None:
    await control.put({"cash": "777", "orders": [_RESTING], "watchlists": [{"name": "old"}]})
    before = await control.everything()
    assert words in await control.refusal(form)
    assert await control.everything() == before


@pytest.mark.parametrize("key_id", ["PK123", "XKALICE00001", "pkalice00001", f"PK{'A' * 39}", "PKALICE00001x"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_another_form_of_key_id_is_refused(control: AccountControl, key_id: str, method: str) -> None:
    status, answer = await control.ask(method, f"/_accounts/{key_id}", {})
    assert status == 400
    assert "6 to 38 capital letters or digits" in answer["message"]


async def test_other_paths_and_methods_are_refused(control: AccountControl, http: ClientSession) -> None:
    for path in ("/_accounts", "/_accounts/", f"/_accounts/{ALICE}/cash", "/_reset/accounts"):
        assert (await control.ask("GET", path))[0] == 404
    assert (await control.ask("POST", f"/_accounts/{ALICE}"))[0] == 405
    assert (await control.ask("GET", "/_reset"))[0] == 405
    url = f"{control.sandbox.url}/_accounts/{ALICE}"
    async with http.put(url, headers={"Origin": "https://example.com"}, json={"cash": "1"}) as response:
        assert response.status == 403
    assert (await control.state())["cash"] == "100000"


async def test_keys_do_not_matter_to_control_calls(control: AccountControl, http: ClientSession) -> None:
    """A client library may send them everywhere."""
    async with http.get(f"{control.sandbox.url}/_accounts/{BOB}", headers=keys_of(ALICE)) as response:
        assert (await response.json())["derived"]["key_id"] == BOB
