"""The pages of one account, for its owner and for others."""

import json
import re
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from aiohttp import ClientSession

from corral.web.static_files import HAS_CHART
from corral_sandbox import secret_of
from tests.conftest import Faults
from tests.people import Person, key_pair, live_key, paper_key
from tests.web.conftest import Visit
from tests.web.parsed_html import Parsed, read_page

PAGES = ["", "?span=1D", "?span=1W", "?span=3M", "?span=1A", "?span=all", "/orders", "/activities"]
PAYLOAD = '"><script>alert(1)</script><img src=x onerror=alert(2)>'

_HISTORY: dict[str, object] = {
    "timestamp": [1732222800, 1732309200],
    "equity": [100, 101.5],
    "profit_loss": [0, 1.5],
    "profit_loss_pct": [0, 0.015],
    "base_value": 100,
    "timeframe": "1D",
}


@pytest.mark.parametrize("page", PAGES)
async def test_account_pages_have_the_usual_headers_and_structure(visit: Visit, page: str) -> None:
    async with visit.browser.get(visit.path + page) as answer:
        assert answer.status == 200
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
        parsed = Parsed(await answer.text())
    assert "Growth" in parsed.title()
    assert not parsed.attributes("style")
    assert all(script["src"] for script in parsed.attributes("script"))
    names = {name for _, attributes in parsed.tags for name in attributes}
    assert not {name for name in names if name.startswith("on") or name == "style"}
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all(form["method"] == "get" for form in parsed.attributes("form") if "action" not in form)


@pytest.mark.parametrize("page", ["", "/orders", "/activities", "/details"])
async def test_alices_account_is_not_found_for_bob(
    alice: Person, bobs: ClientSession, alices: ClientSession, page: str
) -> None:
    credential = await alice.store()
    await read_page(alices, f"/accounts/{credential['id']}{page}")
    reported = [
        await _problem_page(bobs, f"/accounts/{wanted}{page}") for wanted in (credential["id"], uuid4(), "no-id-at-all")
    ]
    assert reported[0] == reported[1] == reported[2]
    assert "Account not found" in reported[0]


@pytest.mark.parametrize("page", ["", "/orders", "/activities", "/details"])
async def test_account_pages_redirect_to_sign_in_and_back(alice: Person, visitor: ClientSession, page: str) -> None:
    path = f"/accounts/{(await alice.store())['id']}{page}"
    async with visitor.get(path, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["location"]) == (303, f"/sign-in?next={path}")


async def test_an_api_token_cannot_open_pages(alice: Person) -> None:
    async with alice.client.get(f"/accounts/{(await alice.store())['id']}") as answer:
        assert answer.status == 403


@pytest.mark.parametrize(("key_id", "kind"), [(paper_key(), "paper"), (live_key(), "live")], ids=["paper", "live"])
async def test_paper_and_live_differ_in_text_shape_and_color(
    alice: Person, alices: ClientSession, key_id: str, kind: str
) -> None:
    credential = await alice.store(key_id)
    parsed = await read_page(alices, f"/accounts/{credential['id']}")
    assert parsed.attributes("body")[0]["class"] == f"about-{kind}"
    assert [one["class"] for one in parsed.attributes("span") if "badge" in (one.get("class") or "")] == [
        f"badge {kind}"
    ]
    assert kind.upper() in parsed.text()


async def test_the_page_shows_the_figures_of_the_api(visit: Visit) -> None:
    account = {"equity": "103820.56", "cash": "-23140.2", "buying_power": "262113.632"}
    body = _account_of(visit)
    await visit.answer("/v2/account", body | account)
    parsed = await visit.read()
    values = [one["value"] for one in parsed.attributes("data") if one.get("class") == "money"][:3]
    assert values == list(account.values())
    assert "\N{MINUS SIGN}$23,140.20" in parsed.text()


async def test_account_details_show_every_figure(visit: Visit) -> None:
    figures = {"regt_buying_power": "48151.10", "initial_margin": 16.2342, "sma": None, "long_market_value": "0"}
    reported = {
        "last_equity": "100",
        "multiplier": "2",
        "options_trading_level": 2,
        "created_at": "2024-01-05T14:30:00Z",
    }
    body = _account_of(visit)
    await visit.answer(
        "/v2/account",
        body | {"equity": "101", "cash": "1", "buying_power": "2", "currency": "EUR"} | figures | reported,
    )
    html = await visit.html()
    assert 'data-detail="regt_buying_power"><data class="money" value="48151.10" data-currency="EUR"' in html
    assert 'data-detail="initial_margin"><data class="money" value="16.2342"' in html
    assert 'data-detail="long_market_value"' in html
    assert 'data-detail="sma"' not in html
    text = Parsed(html).text()
    assert "+€1.00 (+1.00%) today" in text
    for words in ("PA3000000001", "Paper, margin 2\N{MULTIPLICATION SIGN}", "level 2", "Jan 5, 2024"):
        assert words in text


async def test_no_change_is_shown_without_a_previous_close(visit: Visit) -> None:
    body = _account_of(visit)
    await visit.answer("/v2/account", body | {"equity": "101", "cash": "1", "buying_power": "2"})
    html = await visit.html()
    assert "since-close" not in html
    assert "data-change" not in html
    assert "$101.00" in html


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"account_blocked": True}, "Alpaca has blocked this account"),
        ({"trading_blocked": True}, "Alpaca has blocked trading"),
        ({"transfers_blocked": True}, "Alpaca has blocked transfers"),
        ({"trade_suspended_by_user": True}, "suspended in the account's settings"),
        ({"status": "ACTION_REQUIRED"}, "Account status: ACTION_REQUIRED."),
    ],
)
async def test_restrictions_are_explained(visit: Visit, changes: dict[str, object], words: str) -> None:
    body = _account_of(visit) | {"equity": "1", "cash": "1", "buying_power": "2"}
    await visit.answer("/v2/account", body)
    assert not _warnings(await visit.read())
    await visit.answer("/v2/account", body | changes)
    parsed = await visit.read()
    assert len(_warnings(parsed)) == 1
    assert words in parsed.text()


async def test_details_use_the_last_response_and_make_no_call(visit: Visit, faults: Faults) -> None:
    before = await faults.calls_of(visit.key_id)
    assert json.loads(await visit.html("/details")) is None
    assert await faults.calls_of(visit.key_id) == before
    body = _account_of(visit) | {"equity": "1", "cash": "1", "buying_power": "2", "transfers_blocked": True}
    await visit.answer("/v2/account", body | {"last_equity": "48151.62342", "sma": "16.23"})
    await visit.read()
    asked = await faults.calls_of(visit.key_id)
    assert asked == before + 3  # the account, its positions, its history
    reported = json.loads(await visit.html("/details"))
    assert reported["last_equity"] == "48151.62342"
    assert reported["figures"] == {"sma": "16.23"}
    assert "blocked transfers" in reported["blocks"][0]
    assert await faults.calls_of(visit.key_id) == asked


async def test_details_are_dropped_with_the_keys_that_loaded_them(visit: Visit) -> None:
    path = visit.path.replace("/accounts/", "/api/credentials/")
    await visit.read()
    assert json.loads(await visit.html("/details"))["figures"]
    async with visit.person.client.patch(path, json=key_pair(visit.key_id)) as answer:
        assert answer.status == 200
    assert json.loads(await visit.html("/details")) is None
    await visit.read()
    assert json.loads(await visit.html("/details"))["figures"]
    async with visit.person.client.patch(path, json={"is_active": False}) as answer:
        assert answer.status == 200
    assert "This account is paused." in await visit.html("/details", status=400)
    async with visit.person.client.delete(path) as answer:
        assert answer.status == 204
    assert "Account not found" in await visit.html("/details", status=404)


async def test_a_response_that_contains_the_keys_is_not_shown(visit: Visit) -> None:
    body = _account_of(visit) | {"equity": "1", "cash": "1", "buying_power": "2"}
    for echoed in ({"status": visit.key_id}, {"crypto_status": secret_of(visit.key_id)}):
        await visit.answer("/v2/account", body | echoed)
        html = await visit.html()
        assert "Alpaca returned an error." in html
        assert str(*echoed.values()) not in html


async def test_the_last_point_of_the_history_is_the_equity_above_it(visit: Visit) -> None:
    account = _account_of(visit) | {"equity": "101.9", "cash": "1", "buying_power": "2"}
    await visit.answer_all({"/v2/account": account, "/v2/account/portfolio/history": _HISTORY})
    html = await visit.html()
    assert "+$1.90 +1.90% past month $101.90" in Parsed(html).text()
    assert 'data-equity="101.9"' in html


async def test_orders_show_their_prices_and_the_roles_of_their_legs(visit: Visit) -> None:
    leg = {"group_role": "take_profit", "status": "held", "type": "stop_limit", "stop_price": "9", "limit_price": "8.5"}
    trailing = {"type": "trailing_stop", "trail_percent": "5", "qty": "3", "filled_qty": "1.5"}
    orders = [_order(1) | {"order_class": "bracket", "legs": [_order(2) | leg]}, _order(3) | trailing]
    await visit.answer("/v2/orders", orders)
    text = (await visit.read("/orders")).text()
    assert "take profit" in text
    assert "limit $8.50 stop $9.00" in text
    assert "1.5 of 3" in text
    assert "trail 5 %" in text


async def test_positions_show_weights_gains_and_exact_totals(visit: Visit) -> None:
    await visit.answer("/v2/positions", [_position("AAA", "300.10", "0.1"), _position("BBB", "-100", "0.2", qty="-1")])
    text = (await visit.read()).text()
    assert "75.01%" in text
    assert "24.99%" in text
    assert "100.00%" in text
    assert "+$0.30" in text
    assert "short" in text


async def test_options_are_grouped_under_their_underlying_with_sums(visit: Visit) -> None:
    call, put = "SPY991218C00600000", "SPY991218P00550000"
    await visit.answer(
        "/v2/positions",
        [
            _position(call, "30", "1"),
            _position("AAA", "50", "2"),
            _position("SPY", "40", "3"),
            _position(put, "5", "4"),
        ],
    )
    html = await visit.html("?sort=-value")
    assert re.findall(r'/positions/(\w+)"', html) == ["SPY", call, put, "AAA"]
    assert html.count("data-group>") == 1
    assert re.search(r'<tr class="sums">\s*<th scope="rowgroup" data-phone="1-start">SPY</th>', html)
    assert re.search(r'data-group-sum="market_value"><data class="money" value="75"', html)
    text = Parsed(html).text()
    assert "SPY $600 Call, Dec 18, 2099" in text
    assert re.search(r"Dec 18, 2099 \d+ days", text)


@pytest.mark.parametrize(
    ("sort", "symbols"),
    [("symbol", ["AAA", "BBB", "CCC"]), ("-value", ["CCC", "AAA", "BBB"]), ("profit", ["BBB", "CCC", "AAA"])],
)
async def test_column_links_sort_positions(visit: Visit, sort: str, symbols: list[str]) -> None:
    held = [_position("BBB", "1", "-5"), _position("CCC", "30", "-1"), _position("AAA", "2.5", "7")]
    await visit.answer("/v2/positions", held)
    html = await visit.html(f"?sort={sort}")
    assert re.findall(r'data-asset="asset-(\w+)"', html) == symbols
    assert html.count("aria-sort=") == 1


async def test_column_links_keep_the_period_and_reverse_the_order(visit: Visit) -> None:
    await visit.answer("/v2/positions", [_position("AAA", "1", "1")])
    links = await _links(visit, "?span=1W&sort=-profit")
    assert "?sort=profit&span=1W#positions" in links
    assert "?sort=-return&span=1W#positions" in links
    assert "?sort=-profit&span=1D#equity" in links


async def test_texts_from_outside_are_escaped(visit: Visit) -> None:
    path = visit.path.replace("/accounts/", "/api/credentials/")
    async with visit.person.client.patch(path, json={"nickname": PAYLOAD}) as answer:
        assert answer.status == 200
    await visit.answer("/v2/positions", [_position(PAYLOAD, "1", "1")])
    for page in ("", "/orders", "/activities"):
        html = await visit.html(page)
        assert "<script>alert" not in html
        assert "<img src=x" not in html
        assert Parsed(html).text().count("<script>alert(1)</script>") >= 1


async def test_a_slow_section_does_not_delay_the_page(visit: Visit) -> None:
    await visit.misbehave(path="/v2/positions", latency_ms=1_000)
    parsed = await read_page(visit.browser, f"{visit.path}?span=1W")
    assert "Loading positions…" in parsed.text()
    wait_link = next(str(link["href"]) for link in parsed.attributes("a") if "data-wait" in link)
    assert parse_qs(wait_link.removeprefix("?")) == {"span": ["1W"], "wait": ["true"]}
    assert "Loading positions" not in (await read_page(visit.browser, visit.path + wait_link)).text()


async def test_a_failed_section_shows_the_problem_and_the_rest_loads(visit: Visit) -> None:
    await visit.misbehave(path="/v2/positions", status=500)
    text = (await visit.read()).text()
    assert "Alpaca returned an error (500)." in text
    assert "Buying power" in text


async def test_a_paused_account_says_so_once_and_can_be_resumed(visit: Visit) -> None:
    path = visit.path.replace("/accounts/", "/api/credentials/")
    async with visit.person.client.patch(path, json={"is_active": False}) as answer:
        assert answer.status == 200
    for page in ("", "/orders", "/activities"):
        html = await visit.html(page)
        assert html.count("This account is paused.") == 1
        assert f'href="{visit.path.replace("/accounts/", "/keys/")}/switch-on"' in html
        assert "Buying power" not in html


async def test_orders_are_filtered_and_paginated(visit: Visit) -> None:
    orders = [_order(number) for number in range(60)]
    await visit.answer("/v2/orders", orders)
    parsed = await visit.read("/orders?status=closed&since=2026-11-01&to=2026-11-30&direction=asc")
    rows = [one["data-order"] for one in parsed.attributes("tr") if "data-order" in one]
    assert rows == [order["id"] for order in orders[:50]]
    links = [str(link["href"]) for link in parsed.attributes("a")]
    following = parse_qs(urlsplit(next(link for link in links if "cursor=" in link)).query)
    assert following["status"] == ["closed"]
    assert following["since"] == ["2026-11-01"]
    csv = parse_qs(urlsplit(next(link for link in links if "orders.csv" in link)).query)
    assert csv == {
        "status": ["closed"],
        "direction": ["asc"],
        "time_zone": ["America/New_York"],
        "after": ["2026-11-01T03:59:59.999999Z"],  # the day before in New York ends
        "until": ["2026-12-01T05:00:00Z"],  # in winter time
    }


async def test_an_invalid_cursor_is_reported(alice: Person, alices: ClientSession) -> None:
    path = f"/accounts/{(await alice.store())['id']}/activities"
    async with alices.get(path + "?cursor=rubbish") as answer:
        assert answer.status == 200
        assert "This cursor is invalid" in await answer.text()


async def test_csv_links_work_with_a_session(visit: Visit) -> None:
    for page, name in [("", "positions"), ("/orders", "orders"), ("/activities?kind=FEE%2CCFEE", "activities")]:
        link = next(link for link in await _links(visit, page) if f"{name}.csv" in link)
        async with visit.browser.get(link) as answer:
            assert answer.status == 200
            assert answer.content_type == "text/csv"


@pytest.mark.parametrize("query", ["?span=2D", "?sort=secret", "/orders?status=odd"])
async def test_invalid_parameters_are_ignored_and_named(visit: Visit, query: str) -> None:
    assert re.search(r"The [\w “”]+ in this link is invalid, so it is ignored\.", await visit.html(query))


@pytest.mark.parametrize(
    "query", ["/orders?since=2026-11-03&to=2026-11-01", "/activities?since=2026-11-03&to=2026-11-01"]
)
async def test_dates_in_the_wrong_order_are_explained(visit: Visit, query: str) -> None:
    assert "“From” must not be later than “To”" in await visit.html(query)


async def test_the_same_date_twice_is_a_single_day(visit: Visit) -> None:
    assert "must not be later" not in await visit.html("/orders?since=2026-11-03&to=2026-11-03")


async def test_filters_submitted_unchanged_show_everything(visit: Visit) -> None:
    for page in ("/orders?status=all&since=&to=&direction=desc", "/activities?kind=&since=&to=&direction=desc"):
        assert (await visit.read(page)).title()


async def test_the_chart_needs_its_library_and_the_table_is_always_shown(visit: Visit) -> None:
    parsed = await visit.read()
    scripts = {str(script["src"]).rpartition("/")[2] for script in parsed.attributes("script")}
    assert ("equity_chart.js" in scripts) is HAS_CHART
    assert any("data-equity-table" in one and "open" in one for one in parsed.attributes("details"))
    assert any("data-plot" in one for one in parsed.attributes("div")) is HAS_CHART


async def test_empty_positions_and_history_are_explained(visit: Visit) -> None:
    await visit.answer("/v2/positions", [])
    assert "No open positions." in (await visit.read()).text()
    empty: dict[str, object] = {key: [] for key in ("timestamp", "equity", "profit_loss", "profit_loss_pct")}
    await visit.answer("/v2/account/portfolio/history", {**empty, "base_value": None, "timeframe": "1D"})
    assert "No history for this period." in (await visit.read()).text()


def _warnings(parsed: Parsed) -> list[str]:
    return [str(one["class"]) for one in parsed.attributes("p") if "warning" in (one.get("class") or "")]


async def _links(visit: Visit, page: str) -> list[str]:
    return [str(link["href"]) for link in (await visit.read(page)).attributes("a")]


async def _problem_page(session: ClientSession, path: str) -> str:
    async with session.get(path) as answer:
        assert answer.status == 404
        return re.sub(r"<code>[0-9a-f]{32}</code>", "", await answer.text())


def _account_of(visit: Visit) -> dict[str, object]:
    return {
        "id": visit.account_id,
        "account_number": "PA3000000001",
        "status": "ACTIVE",
        "currency": "USD",
        "trading_blocked": False,
        "account_blocked": False,
    }


def _position(symbol: str, value: str, profit: str, qty: str = "1") -> dict[str, object]:
    return {
        "asset_id": f"asset-{symbol[:3]}",
        "symbol": symbol,
        "side": "short" if qty.startswith("-") else "long",
        "qty": qty,
        "market_value": value,
        "unrealized_pl": profit,
        "unrealized_intraday_pl": profit,
    }


def _order(number: int) -> dict[str, object]:
    at = f"2026-11-10T15:{number:02}:00Z"
    return {"id": str(uuid4()), "status": "filled", "symbol": "AAPL", "submitted_at": at, "created_at": at}
