"""GET and PATCH /v2/account/configurations."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from corral_sandbox.answers import Document
from corral_sandbox.configurations import configured
from corral_sandbox.parameters import Invalid
from corral_sandbox.requests import JsonValue, Request

_Reader = Callable[[str, JsonValue], bool | int | str]


def configurations_page(request: Request) -> Document:
    return request.customer.configurations.document()


def change_configurations(request: Request) -> Document:
    """Leaves what is null or unknown as it is: Alpaca's SDK for Python sends back whole objects, nulls and all."""
    changes: dict[str, Any] = {
        name: _READERS[name](name, value)
        for name, value in request.document().items()
        if name in _READERS and value is not None
    }
    customer = request.customer
    customer.configurations = replace(customer.configurations, **changes)
    customer.account = customer.book.account = configured(customer.opened, customer.configurations)
    return customer.configurations.document()


def _flag(name: str, value: JsonValue) -> bool:
    if not isinstance(value, bool):
        raise Invalid(f"{name} must be true or false")
    return value


def _multiplier(name: str, value: JsonValue) -> str:
    if not isinstance(value, str) or value not in {"1", "2", "4"}:
        raise Invalid(f"{name} must be 1, 2 or 4")
    return value


def _level(name: str, value: JsonValue) -> int:
    if not isinstance(value, Decimal) or value not in {0, 1, 2, 3}:
        raise Invalid(f"{name} must be 0, 1, 2 or 3")
    return int(value)


def _email(name: str, value: JsonValue) -> str:
    if not isinstance(value, str) or value not in {"all", "none"}:
        raise Invalid(f"{name} must be all or none")
    return value


_READERS: Mapping[str, _Reader] = {
    "disable_overnight_trading": _flag,
    "fractional_trading": _flag,
    "max_margin_multiplier": _multiplier,
    "max_options_trading_level": _level,
    "no_shorting": _flag,
    "ptp_no_exception_entry": _flag,
    "suspend_trade": _flag,
    "trade_confirm_email": _email,
}
