"""The allow-list is made of Alpaca's two documents: nothing is missing in it, and nothing more is in it unnamed."""

import pytest

from corral.gateway.access import check_access
from corral.gateway.operations import OPERATIONS, Host, OperationKind
from corral.gateway.refusals import Reason, Refused
from corral.grants.access import Access
from tests.gateway.official import DOCUMENTED, MARKET_DATA, TRADING

_BY_NAME = {operation.name: operation for operation in OPERATIONS}
_HOSTS = {"paper-api": Host.TRADING, "data": Host.DATA, "stream.data": Host.STREAM}
# Never, whatever is asked of them.
_NEVER = ("/v1/locates", "/v2/tokenization/", "/v2/wallets")


def test_every_operation_of_both_documents_is_listed_and_any_other_names_a_client() -> None:
    documented = [operation.name for operation in DOCUMENTED]
    assert len(OPERATIONS) == len(_BY_NAME)
    assert len(documented) == len(set(documented)) > 100
    assert {name for name, operation in _BY_NAME.items() if operation.client is None} == set(documented)


def test_the_documents_share_no_path_so_that_one_address_serves_both() -> None:
    assert not {operation.path for operation in TRADING} & {operation.path for operation in MARKET_DATA}
    hosts: dict[str, set[Host]] = {}
    for operation in OPERATIONS:
        hosts.setdefault(operation.path, set()).add(operation.host)
    assert all(len(found) == 1 for found in hosts.values())


def test_every_operation_is_listed_as_documented() -> None:
    for documented in DOCUMENTED:
        listed = _BY_NAME[documented.name]
        arrays = {name for name, schema in documented.parameters.items() if schema.get("type") == "array"}
        assert listed.host is _HOSTS[documented.host], documented
        assert listed.is_event_stream == documented.is_event_stream, documented
        assert listed.repeatable == arrays, documented
        if listed.kind in {OperationKind.CLOSE, OperationKind.TRADE}:
            assert listed.query == documented.parameters.keys(), documented


def test_reads_are_get_and_changes_are_not() -> None:
    for operation in OPERATIONS:
        assert (operation.method == "GET") == (
            operation.kind is OperationKind.READ
        ) or operation.kind is OperationKind.NEVER


def test_what_closes_are_the_cancels_and_closes_and_nothing_else() -> None:
    assert {operation.name for operation in OPERATIONS if operation.kind is OperationKind.CLOSE} == {
        "DELETE /v2/orders",
        "DELETE /v2/orders/{order_id}",
        "DELETE /v2/positions",
        "DELETE /v2/positions/{symbol_or_asset_id}",
    }


def test_no_grant_moves_coins_borrows_shares_or_changes_the_account() -> None:
    never = {operation.name for operation in OPERATIONS if operation.path.startswith(_NEVER)}
    assert {operation.name for operation in OPERATIONS if operation.kind is OperationKind.NEVER} == {
        *never,
        "PATCH /v2/account/configurations",
    }


@pytest.mark.parametrize(
    ("access", "allowed"),
    [
        (Access.READ, {OperationKind.READ}),
        (Access.CLOSE_ONLY, {OperationKind.READ, OperationKind.CLOSE}),
        (Access.TRADE, {OperationKind.READ, OperationKind.CLOSE, OperationKind.TRADE}),
    ],
)
def test_a_grant_allows_what_it_is_for(access: Access, allowed: set[OperationKind]) -> None:
    for operation in OPERATIONS:
        if operation.kind in allowed:
            check_access(access, operation)
            continue
        with pytest.raises(Refused) as refused:
            check_access(access, operation)
        assert refused.value.reason is Reason.NOT_GRANTED
