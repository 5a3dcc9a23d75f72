"""How orders are named in the list."""

from typing import Any

import pytest

from corral.accounts.schemas import OrderLegResponse, OrderResponse
from corral.web.view.orders import leg_role, order_class_name, order_symbol


def order(*legs: OrderLegResponse, **fields: Any) -> OrderResponse:  # noqa: ANN401 - fields of any type
    unknown = dict.fromkeys(OrderResponse.model_fields)
    required = {"id": "1", "status": "new", "order_class": "simple", "extended_hours": False, "legs": list(legs)}
    return OrderResponse.model_validate(unknown | required | fields)


def leg(**fields: Any) -> OrderLegResponse:  # noqa: ANN401 - fields of any type
    return OrderLegResponse.model_validate(order(**fields).model_dump(exclude={"legs"}))


@pytest.mark.parametrize(
    ("symbols", "expected"),
    [
        (["SPY270115P00500000", "SPY270115C00520000"], "SPY, 2 legs"),
        (["SPY270115P00500000", "SPY"], "SPY, 2 legs"),
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
        ("bracket", {"type": "limit"}, "take profit"),
        ("bracket", {"type": "stop_limit"}, "stop loss"),
        ("oco", {"type": "stop"}, "stop loss"),
        ("bracket", {"type": "limit", "group_role": "stop_loss"}, "stop loss"),
        ("mleg", {"type": "limit"}, "leg"),
    ],
)
def test_legs_have_a_role(order_class: str, fields: dict[str, str], role: str) -> None:
    assert leg_role(order(order_class=order_class), leg(**fields)) == role


def test_order_classes_have_the_names_that_brokers_use() -> None:
    names = [order_class_name(one) for one in ("mleg", "oco", "oto", "bracket")]
    assert names == ["multi-leg", "OCO", "OTO", "bracket"]
