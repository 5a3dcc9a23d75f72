"""Says in the log why an answer, or a part of it, could not be used: by kind and field, never by a value."""

from collections.abc import Iterable, Sequence
from typing import Final

import structlog
from structlog.typing import FilteringBoundLogger

from corral.alpaca.environments import Environment
from corral.alpaca.errors import WrongShape
from corral.alpaca.exchange import RawAnswer
from corral.alpaca.items import count_unreadable, faults_of

_log: Final[FilteringBoundLogger] = structlog.get_logger("corral.alpaca")


def log_wrong_shape(environment: Environment, path: str, wrong: WrongShape) -> None:
    _log.warning(
        "alpaca_unusable",
        environment=environment.value,
        path=path,
        status=wrong.status,
        fault=wrong.fault.value,
        field=wrong.field or "other",
        alpaca_request_id=wrong.alpaca_request_id,
    )


def log_unreadable(environment: Environment, path: str, answer: RawAnswer, entries: Sequence[object]) -> None:
    """One line for an answer with items that were left out; none for one that was read whole."""
    if unreadable := count_unreadable(entries):
        _log.warning(
            "alpaca_items_unreadable",
            environment=environment.value,
            path=path,
            items=len(entries),
            unreadable=unreadable,
            faults=_written(entries),
            alpaca_request_id=answer.alpaca_request_id,
        )


def _written(entries: Iterable[object]) -> str:
    return ", ".join(sorted(f"{field} {fault.value}" for field, fault in faults_of(entries).items()))
