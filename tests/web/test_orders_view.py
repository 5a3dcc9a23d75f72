"""How orders are described in rows, titles and words."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from corral.accounts.schemas import OrderLegResponse, OrderResponse
from corral.web.rendering import load_templates
from corral.web.view.orders import (
    humanize,
    is_open,
    leg_ratio,
    leg_role,
    order_class_name,
    order_kind,
    order_symbol,
    order_tag,
    price_terms,
    status_meaning,
    time_in_force_meaning,
    time_in_force_name,
)
from tests.web.displaying import HIDING, displaying
from tests.web.parsed_html import Parsed

YEAR = datetime.now(UTC).year
CALL = f"SPY{YEAR % 100}1218C00600000"
PUT = f"SPY{YEAR % 100}1218P00590000"


def order(*legs: OrderLegResponse, **fields: Any) -> OrderResponse:  # noqa: ANN401 - fields of any type
    unknown = dict.fromkeys(OrderResponse.model_fields)
    required = {"id": "1", "status": "new", "order_class": "simple", "extended_hours": False, "legs": list(legs)}
    return OrderResponse.model_validate(unknown | required | fields)


def leg(**fields: Any) -> OrderLegResponse:  # noqa: ANN401 - fields of any type
    return OrderLegResponse.model_validate(order(**fields).model_dump(exclude={"legs"}))


def rows(shown: OrderResponse, **arguments: object) -> list[str]:
    """The text of each row, with bars between its cells, from the symbol on."""
    template = load_templates().from_string(
        '{% import "order_macros.html" as m %}{{ m.rows(order, "USD", "/accounts/7", **arguments) }}'
    )
    html = template.render(order=shown, arguments=arguments)
    every = [re.split(r"</t[hd]>", row)[:-1] for row in html.split("</tr>")[:-1]]
    return [" | ".join(" ".join(Parsed(cell).text().split()) for cell in cells[1:]) for cells in every]


def title(shown: OrderResponse) -> str:
    template = load_templates().from_string('{% import "order_macros.html" as m %}{{ m.title(order, "USD") }}')
    return template.render(order=shown)


_BUY: dict[str, Any] = {
    "symbol": "AAPL",
    "side": "buy",
    "qty": "10",
    "time_in_force": "day",
    "asset_class": "us_equity",
}
_FILLED: dict[str, Any] = {"status": "filled", "filled_qty": "10", "filled_avg_price": "179.5"}

EVERY_KIND: list[tuple[str, OrderResponse, str, str]] = [
    ("market", order(**_BUY, **_FILLED, type="market"),
     "AAPL | Buy market | 10 |  | $179.50 | Day | Filled", "Buy 10 AAPL, market"),
    ("limit, filled", order(**_BUY, **_FILLED, type="limit", limit_price="180"),
     "AAPL | Buy limit | 10 | limit $180.00 | $179.50 | Day | Filled", "Buy 10 AAPL, limit $180.00"),
    ("stop limit", order(**_BUY | {"side": "sell"}, type="stop_limit", stop_price="9", limit_price="8.5"),
     "AAPL | Sell stop limit | 0 of 10 | limit $8.50 stop $9.00 |  | Day | New",
     "Sell 10 AAPL, limit $8.50, stop $9.00"),
    ("trailing stop", order(**_BUY | {"side": "sell", "time_in_force": "gtc"}, type="trailing_stop", trail_percent="5",
                            stop_price="171.2", hwm="180.21"),
     "AAPL | Sell trailing stop | 0 of 10 | stop $171.20 trail 5 % |  | GTC | New",
     "Sell 10 AAPL, trail 5%"),
    ("trailing stop to buy", order(**_BUY, type="trailing_stop", trail_price="2.5", hwm="150"),
     "AAPL | Buy trailing stop | 0 of 10 | trail $2.50 |  | Day | New", "Buy 10 AAPL, trail $2.50"),
    ("notional", order(**_BUY | {"qty": None}, type="market", notional="500.505", filled_qty="0.5"),
     "AAPL | Buy market | 0.5 for $500.505 |  |  | Day | New", "Buy $500.505 of AAPL, market"),
    ("extended hours", order(**_BUY, type="limit", limit_price="180", extended_hours=True),
     "AAPL | Buy limit extended hours | 0 of 10 | limit $180.00 |  | Day | New", "Buy 10 AAPL, limit $180.00"),
    ("coins", order(**_BUY | {"symbol": "BTCUSD", "qty": "0.25", "time_in_force": "gtc", "asset_class": "crypto"},
                    type="limit", limit_price="60000.125"),
     "BTC/USD | Buy limit | 0 of 0.25 | limit $60,000.125 |  | GTC | New", "Buy 0.25 BTC/USD, limit $60,000.125"),
    ("an option", order(**_BUY | {"symbol": CALL, "qty": "2", "asset_class": "us_option"}, type="limit",
                        limit_price="3.05", position_intent="buy_to_open"),
     "SPY $600 Call, Dec 18 | Buy to open limit | 0 of 2 | limit $3.05 |  | Day | New",
     "Buy to open 2 SPY $600 Call, Dec 18, limit $3.05"),
    ("a leg that is listed alone", order(**_BUY | {"side": "sell"}, type="limit", limit_price="190",
                                         order_class="bracket", group_role="take_profit", status="held"),
     "AAPL | Sell limit take profit | 0 of 10 | limit $190.00 |  | Day | Held", "Sell 10 AAPL, limit $190.00"),
    ("with new words", order(**_BUY | {"time_in_force": "gtx"}, type="iceberg", status="pending_moon"),
     "AAPL | Buy iceberg | 0 of 10 |  |  | GTX | Pending moon", "Buy 10 AAPL, iceberg"),
]  # fmt: skip


@pytest.mark.parametrize(("shown", "row", "name"), [one[1:] for one in EVERY_KIND], ids=[one[0] for one in EVERY_KIND])
def test_a_row_says_what_the_order_is_and_what_became_of_it(shown: OrderResponse, row: str, name: str) -> None:
    assert rows(shown) == [row]
    assert title(shown) == name


def _multi_leg(price: str | None, average: str | None = None) -> OrderResponse:
    legs = [
        leg(id="2", symbol=CALL, side="buy", ratio_qty="1", qty="3", asset_class="us_option", order_class="mleg"),
        leg(id="3", symbol=PUT, side="sell", ratio_qty="2", qty="6", asset_class="us_option", order_class="mleg"),
    ]
    fields = {"type": "limit", "qty": "3", "limit_price": price, "filled_avg_price": average, "filled_qty": "0"}
    return order(*legs, order_class="mleg", **fields)


def test_a_multi_leg_order_names_its_legs_with_ratio_and_side() -> None:
    main, first, second = rows(_multi_leg("1.28"))
    assert main == "SPY, 2 legs | Limit multi-leg | 0 of 3 | limit $1.28 debit |  |  | New"
    assert first.startswith("+1 SPY $600 Call, Dec 18 | Buy |")
    assert second.startswith("\N{MINUS SIGN}2 SPY $590 Put, Dec 18 | Sell |")
    assert title(_multi_leg("1.28")) == "3 \N{MULTIPLICATION SIGN} SPY, 2 legs, limit $1.28 debit"


@pytest.mark.parametrize(
    ("price", "text"),
    [
        # Alpaca's sign is that of what is paid (alpacahq/alpaca-py#633). Elsewhere a credit became a negative debit
        # (QuantConnect/Lean.Brokerages.Tastytrade#15), or was refused (joemccann/radon#18).
        ("1.28", "limit $1.28 debit"),
        ("-1.28", "limit $1.28 credit"),
        ("0", "limit $0.00"),
        ("-0.00", "limit $0.00"),
    ],
)
def test_a_net_price_is_a_debit_or_a_credit_and_never_negative(price: str, text: str) -> None:
    main = rows(_multi_leg(price, average=price))[0]
    assert f"| {text} | {text.removeprefix('limit ')} |" in main


def test_a_single_option_that_is_sold_has_no_net_price() -> None:
    (term,) = price_terms(order(symbol=CALL, side="sell", limit_price="2", type="limit"))
    assert (term.amount, term.effect) == ("2", "")


def test_legs_of_a_bracket_have_their_roles_and_prices() -> None:
    target = leg(id="2", type="limit", symbol="AAPL", side="sell", limit_price="190", status="held", qty="10")
    stop = leg(id="3", type="stop", symbol="AAPL", side="sell", stop_price="170", status="held", qty="10")
    main, first, second = rows(order(target, stop, **_BUY, type="market", order_class="bracket"))
    assert "| Buy market bracket |" in main
    assert "| Sell limit take profit | 0 of 10 | limit $190.00 |" in first
    assert "| Sell stop stop loss | 0 of 10 | stop $170.00 |" in second


def test_a_row_links_to_the_page_of_its_order_and_may_name_its_account() -> None:
    template = load_templates().from_string(
        '{% import "order_macros.html" as m %}{{ m.rows(order, "USD", "/accounts/7", "Growth") }}'
    )
    parsed = Parsed(template.render(order=order(leg(id="9", symbol="AAPL"), **_BUY, type="market")))
    links = {link["href"] for link in parsed.attributes("a")}
    assert links >= {"/accounts/7/orders/1", "/accounts/7/orders/9"}
    assert "Growth" in parsed.text()


def test_texts_of_alpaca_are_escaped() -> None:
    payload = "<script>alert(1)</script>"
    hostile = order(**_BUY | {"symbol": payload, "time_in_force": payload}, type=payload, status=payload)
    template = load_templates().from_string(
        '{% import "order_macros.html" as m %}{{ m.rows(order, "USD", "/a") }}{{ m.title(order, "USD") }}'
    )
    assert "<script" not in template.render(order=hostile)


def test_hidden_amounts_are_hidden_in_rows_and_titles() -> None:
    shown = order(**_BUY | {"qty": "1234"}, type="limit", limit_price="180", filled_qty="567")
    with displaying(HIDING):
        assert "1234" not in title(shown).replace(",", "")
        assert "567" not in Parsed(rows(shown)[0]).text()
        assert "$180.00" in title(shown)


@pytest.mark.parametrize(
    ("symbols", "expected"),
    [
        (["SPY270115P00500000", "SPY270115C00520000"], "SPY, 2 legs"),
        (["SPY270115P00500000", "SPY"], "SPY, 2 legs"),
        (["SPXW270115P05000000", "SPX270115C05200000"], "SPX, 2 legs"),
        (["SPY270115P00500000", "QQQ270115P00400000"], "2 legs"),
        (["AAPL"], "AAPL, 1 leg"),
        ([None], "1 leg"),
        ([], ""),
    ],
)
def test_a_multi_leg_order_has_the_symbol_of_its_legs(symbols: list[str | None], expected: str) -> None:
    assert order_symbol(order(*[leg(symbol=symbol) for symbol in symbols], order_class="mleg")) == expected


def test_other_orders_have_their_own_symbol() -> None:
    assert order_symbol(order(leg(symbol="MSFT"), symbol="AAPL")) == "AAPL"
    assert order_symbol(leg(symbol="AAPL")) == "AAPL"


@pytest.mark.parametrize(
    ("order_class", "fields", "role"),
    [
        ("bracket", {"type": "limit"}, "Take profit"),
        ("bracket", {"type": "stop_limit"}, "Stop loss"),
        ("oco", {"type": "stop"}, "Stop loss"),
        ("bracket", {"type": "limit", "group_role": "stop_loss"}, "Stop loss"),
        ("mleg", {"type": "limit"}, "Leg"),
    ],
)
def test_legs_have_a_role(order_class: str, fields: dict[str, str], role: str) -> None:
    assert leg_role(order(order_class=order_class), leg(**fields)) == role


def test_order_classes_have_the_names_that_brokers_use() -> None:
    names = [order_class_name(one) for one in ("mleg", "oco", "oto", "bracket", "fan_out")]
    assert names == ["multi-leg", "OCO", "OTO", "bracket", "fan out"]
    assert order_tag(order(order_class="oco", group_role="take_profit")) == "OCO take profit"
    assert order_tag(order(order_class="bracket", group_role="entry")) == "bracket"
    assert order_tag(order()) == ""


@pytest.mark.parametrize(
    ("code", "name"), [("day", "Day"), ("gtc", "GTC"), ("opg", "At the open"), ("new_one", "NEW_ONE"), (None, "")]
)
def test_times_in_force_have_the_names_that_brokers_use(code: str | None, name: str) -> None:
    assert time_in_force_name(order(time_in_force=code)) == name
    assert bool(time_in_force_meaning(order(time_in_force=code))) == (name in {"Day", "GTC", "At the open"})


def test_codes_become_words() -> None:
    assert humanize("done_for_day") == "Done for day"
    assert humanize(None) == ""
    assert order_kind(leg(side="sell_short", type=None)) == "Sell short"
    assert status_meaning("held") == "Waits until the order it belongs to is filled."
    assert status_meaning("filled") == ""
    assert [is_open(order(status=status)) for status in ("new", "pending_moon", "filled")] == [True, True, False]


@pytest.mark.parametrize(
    ("fields", "ratio"),
    [
        ({"side": "buy", "ratio_qty": "1"}, "+1"),
        ({"side": "sell", "ratio_qty": "10.0"}, "\N{MINUS SIGN}10"),
        ({"side": None, "ratio_qty": "2"}, "2"),
        ({"side": "buy", "ratio_qty": None}, ""),
    ],
)
def test_a_ratio_has_a_sign(fields: dict[str, str | None], ratio: str) -> None:
    assert leg_ratio(leg(**fields)) == ratio
