"""Every operation of Alpaca's two documents, asked for over HTTP with a grant of each kind."""

import re
from typing import Any, Final

import pytest

from corral.gateway.operations import OPERATIONS, Host, Operation, OperationKind
from corral_sandbox import Sandbox
from tests.conftest import Faults, Service
from tests.gateway.conftest import LIMIT_ORDER, Json, program_of
from tests.gateway.official import DOCUMENTED
from tests.grants.conftest import GrantOwner

ALLOWED: Final = {
    "read": {OperationKind.READ},
    "close_only": {OperationKind.READ, OperationKind.CLOSE},
    "trade": {OperationKind.READ, OperationKind.CLOSE, OperationKind.TRADE},
}
_ID: Final = "904837e3-3b76-47ec-b432-046db621571b"
_IN_PATHS: Final = {
    "activity_type": "FILL",
    "loc": "us",
    "market": "NYSE",
    "market_type": "stocks",
    "symbol": "AAPL",
    "symbol_or_asset_id": "AAPL",
    "symbol_or_contract_id": "AAPL261218C00250000",
    "symbol_or_id": "AAPL261218C00250000",
    "ticktype": "trade",
    "underlying_symbol": "AAPL",
}
_QUERIES: Final = {"by_name": "?name=mine", "by_client_order_id": "?client_order_id=mine"}
_BODIES: Final[dict[str, Json]] = {
    "POST /v2/orders": LIMIT_ORDER,
    "PATCH /v2/orders/{order_id}": {"qty": "2"},
    "POST /v2/watchlists": {"name": "mine"},
    "PUT /v2/watchlists/{watchlist_id}": {"name": "mine"},
    "PUT /v2/watchlists:by_name": {"name": "mine"},
    "POST /v2/watchlists/{watchlist_id}": {"symbol": "AAPL"},
    "POST /v2/watchlists:by_name": {"symbol": "AAPL"},
}


def target(operation: Operation) -> str:
    """A path of the operation, with the query that it cannot be asked without."""
    path = re.sub(r"\{(\w+)\}", lambda found: _IN_PATHS.get(found[1], _ID), operation.path)
    if operation.is_event_stream:
        return f"{path}?since=2026-01-01T00:00:00Z&until=2026-01-02T00:00:00Z"  # so that it ends
    return path + _QUERIES.get(path.partition(":")[2], "")


@pytest.mark.parametrize("access", ALLOWED)
async def test_a_grant_reaches_what_it_is_for_and_nothing_else(
    access: str, carol: GrantOwner, service: Service, sandbox: Sandbox, faults: Faults
) -> None:
    assert {operation.name for operation in OPERATIONS} >= {documented.name for documented in DOCUMENTED}
    expected: list[tuple[str, str]] = []
    async with program_of(carol, service, sandbox, faults, access=access) as program:
        for operation in OPERATIONS:
            is_allowed = operation.kind in ALLOWED[access] and operation.host is not Host.STREAM
            prefix = "/alpaca/data" if operation.host is Host.DATA else "/alpaca"
            asked: dict[str, Any] = {"json": _BODIES[operation.name]} if operation.name in _BODIES else {}
            answered = await program.call(operation.method, prefix + target(operation), **asked)
            if is_allowed:
                expected.append((operation.method, target(operation).partition("?")[0]))
                assert "grant" not in str(answered.body), operation
            else:
                assert answered.refusal == (403, 40310000), operation
                assert "grant" in answered.json["message"], operation
        assert [(each["method"], each["path"]) for each in await program.seen()] == expected
