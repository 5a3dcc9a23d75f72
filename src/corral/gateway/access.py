"""Which operations a grant allows."""

from collections.abc import Mapping
from typing import Final

from corral.gateway.operations import Operation, OperationKind
from corral.gateway.refusals import Reason, Refused
from corral.grants.access import Access

_ALLOWED: Final[Mapping[Access, frozenset[OperationKind]]] = {
    Access.READ: frozenset({OperationKind.READ}),
    Access.CLOSE_ONLY: frozenset({OperationKind.READ, OperationKind.CLOSE}),
    Access.TRADE: frozenset({OperationKind.READ, OperationKind.CLOSE, OperationKind.TRADE}),
}
_REFUSALS: Final[Mapping[Access, str]] = {
    Access.READ: "This grant is read-only.",
    Access.CLOSE_ONLY: "This grant can only read, cancel orders and close positions.",
    Access.TRADE: "This operation is not available through a grant.",
}


def check_access(access: Access, operation: Operation) -> None:
    """Raises Refused with a sentence for the client."""
    if operation.kind not in _ALLOWED[access]:
        raise Refused(Reason.NOT_GRANTED, _REFUSALS[access])
