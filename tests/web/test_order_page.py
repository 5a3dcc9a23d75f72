"""The page of one order, and the filters of the lists."""

from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from aiohttp import ClientSession

from tests.accounts.alpaca_lists import FILL, order
from tests.people import Person
from tests.web.conftest import Visit

_ID = str(UUID(int=7))
_PATH = f"/v2/orders/{_ID}"


async def test_the_page_of_an_order_tells_its_life(visit: Visit) -> None:
    fields = {"qty": "20", "filled_qty": "20", "type": "limit", "limit_price": "240.5", "status": "filled"}
    shown = order(7, **fields, replaces=str(UUID(int=6)), expires_at=None)
    fills = [
        {**FILL, "id": "20261123::1", "order_id": _ID, "qty": "5", "cum_qty": "5", "price": "240",
         "type": "partial_fill", "transaction_time": "2026-11-23T14:31:04.7Z"},
        {**FILL, "id": "20261123::2", "order_id": _ID, "qty": "15", "cum_qty": "20", "price": "240.1",
         "transaction_time": "2026-11-23T14:31:05.024916Z"},
    ]  # fmt: skip
    await visit.answer_all({_PATH: shown, "/v2/account/activities": fills})
    parsed = await visit.read(f"/orders/{_ID}")
    text = parsed.text()
    assert "Buy 20 AAPL, limit $240.50 · Growth" in parsed.title()
    assert "Filled 20 Average fill price $240.10 Limit price $240.50 Time in force Good for the day" in text
    assert "5680c4bc-9ac1-4a12-a44c-df427ba53032" in text
    timeline = text[text.index("Timeline") :]
    assert timeline.index("Submitted") < timeline.index("Bought 5 at $240.00 5 of 20 filled")
    assert timeline.index("5 of 20 filled") < timeline.index("Bought 15 at $240.10 20 of 20 filled")
    assert timeline.count("Corral was not watching this account then") == 1
    links = [str(link["href"]) for link in parsed.attributes("a")]
    assert f"{visit.path}/orders/{UUID(int=6)}" in links
    assert f"{visit.path}/activities?order_id={_ID}" in links


async def test_a_multi_leg_order_shows_its_legs_and_their_fills(visit: Visit) -> None:
    call = {"symbol": "SPY261218C00600000", "side": "buy", "ratio_qty": "1", "type": "", "order_class": "mleg"}
    put = {"symbol": "SPY261218P00590000", "side": "sell", "ratio_qty": "2", "type": "", "order_class": "mleg"}
    legs = [order(8, **call), order(9, **put)]
    net = {"symbol": "", "side": "", "qty": "1", "limit_price": "-1.25", "filled_avg_price": "-1.3", "type": "limit"}
    sold = {**FILL, "id": "x::9", "order_id": legs[1]["id"], "symbol": put["symbol"], "side": "sell", "qty": "2"}
    shown = order(7, order_class="mleg", legs=legs, **net)
    await visit.answer_all({_PATH: shown, "/v2/account/activities": [sold]})
    text = (await visit.read(f"/orders/{_ID}")).text()
    assert "1 \N{MULTIPLICATION SIGN} SPY, 2 legs, limit $1.25 credit" in text
    assert "Net limit price $1.25 credit" in text
    assert "+1 SPY $600 Call, Dec 18" in text
    assert "\N{MINUS SIGN}2 SPY $590 Put, Dec 18" in text
    assert text.count("Sold 2 at $174.78") == 1  # though the fills are asked for the order and for each leg


async def test_an_order_is_shown_without_fills_that_cannot_be_loaded(visit: Visit) -> None:
    await visit.answer_all({_PATH: order(7, qty="20"), "/v2/account/activities": {"not": "a list"}})
    text = (await visit.read(f"/orders/{_ID}")).text()
    assert "The fills could not be loaded. Alpaca's response could not be read." in text
    assert "Filled 20 of 20 filled" in text


@pytest.mark.parametrize("wanted", [str(UUID(int=404)), "no-id-at-all", f"{_ID}x"])
async def test_an_unknown_order_is_not_found(visit: Visit, wanted: str) -> None:
    assert "Order not found" in await visit.html(f"/orders/{wanted}", status=404)


async def test_an_order_is_not_found_for_others(alice: Person, bobs: ClientSession) -> None:
    path = f"/accounts/{(await alice.store())['id']}/orders/{_ID}"
    async with bobs.get(path) as answer:
        assert answer.status == 404
        assert "Account not found" in await answer.text()


async def test_filters_are_sent_to_alpaca_and_to_the_file_and_can_be_removed(visit: Visit) -> None:
    query = "?status=closed&symbol=aapl%2C%20btc%2Fusd&side=buy&type=limit&asset=us_equity&since=2026-11-03"
    await visit.answer("/v2/orders", [order(1, type="limit"), order(2, type="market")])
    parsed = await visit.read(f"/orders{query}")
    assert [row["data-order"] for row in parsed.attributes("tr") if "data-order" in row] == [str(UUID(int=1))]
    links = [str(link["href"]) for link in parsed.attributes("a")]
    csv = parse_qs(urlsplit(next(link for link in links if "orders.csv" in link)).query)
    expected = {"symbols": ["AAPL,BTC/USD"], "side": ["buy"], "type": ["limit"], "asset_class": ["us_equity"]}
    assert csv.items() >= expected.items()
    chips = [str(one["href"]) for one in parsed.attributes("a") if "chip" in (one.get("class") or "")]
    assert len(chips) == 7
    assert "side=" not in next(link for link in chips if "side=" not in link)
    assert chips[-1] == "?"
    text = parsed.text()
    for words in ("Status: Closed", "Symbol: AAPL, BTC/USD", "Side: Buy", "Type: Limit", "Stocks", "From Nov 3"):
        assert words in text


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("/orders?symbol=%3Cscript%3E", "Enter a symbol, like AAPL or BTC/USD."),
        ("/orders?symbol=A%00B", "Enter a symbol"),
        ("/orders?since=2026-13-01", "Enter a date, like 2026-11-24."),
        ("/activities?to=20261101", "Enter a date"),
        ("/orders?since=2026-11-03&to=2026-11-01", "“From” must not be later than “To”."),
    ],
)
async def test_a_wrong_filter_is_explained_at_its_field(visit: Visit, query: str, error: str) -> None:
    html = await visit.html(query)
    assert f">{error}" in html
    assert 'aria-invalid="true"' in html
    assert "<script>" not in html
    assert "orders.csv" not in html


async def test_activities_are_words_with_amounts_and_lead_to_their_orders(visit: Visit) -> None:
    fills = [
        {**FILL, "id": "a::1", "symbol": "SPY261218C00600000", "qty": "2", "price": "3.055", "side": "buy"},
        {**FILL, "id": "a::2", "symbol": "ETH/BTC", "qty": "0.5", "price": "0.0344", "side": "sell"},
        {**FILL, "id": "a::3", "symbol": "TSLA1261218C00250000", "qty": "1", "price": "1", "side": "sell_short"},
        {"id": "a::4", "activity_type": "OPEXC", "date": "2026-11-20", "symbol": "SPY261218C00600000", "qty": "-2"},
        {"id": "a::5", "activity_type": "DIV", "activity_sub_type": "CDIV", "net_amount": "1.5", "date": "2026-11-19"},
        {"id": "a::6", "activity_type": "BRAND_NEW", "date": "2026-11-18", "status": "canceled"},
    ]
    await visit.answer("/v2/account/activities", fills)
    parsed = await visit.read("/activities")
    text = parsed.text().replace(", 2026", "")  # which a day has in other years
    for words in (
        "Bought SPY $600 Call, Dec 18 2 $3.055 \N{MINUS SIGN}$611.00",  # 100 shares each
        "Sold ETH/BTC 0.5 0.0344 BTC 0.0172 BTC",
        "Sold short TSLA1 $250 Call, Dec 18 1 $1.00",
        "Option exercise SPY $600 Call, Dec 18 \N{MINUS SIGN}2",
        "Dividend , cash dividend",
        "Brand new canceled",
        "Nov 20",
    ):
        assert words in text
    links = [str(link["href"]) for link in parsed.attributes("a")]
    assert links.count(f"{visit.path}/orders/{FILL['order_id']}") == 3
