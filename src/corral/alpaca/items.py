"""Reads lists in which an item may be unreadable: it is counted, and the other items are used.

Logs why a response or an item could not be used: by kind and field, never with a value.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar, cast, final

import structlog
from structlog.typing import FilteringBoundLogger

from corral.alpaca.calls import RawAnswer
from corral.alpaca.environments import Environment
from corral.alpaca.errors import Fault, WrongShape
from corral.alpaca.fields import Fields, Read, required

Item = TypeVar("Item")


@final
@dataclass(frozen=True, slots=True)
class UnreadableItem:
    """An item with an unreadable field. It is known to exist, but must not be used in computations.

    `cells` are the readable fields; `faults` are the others, by their names in Corral, and why.
    """

    id: str
    cells: Mapping[str, object]
    faults: Mapping[str, Fault]


Entry = Item | UnreadableItem


@final
@dataclass(frozen=True, slots=True)
class ItemForm(Generic[Item]):
    """How one item of a list is read, field by field.

    `identity` are the fields that identify an item: if one of them is unreadable, the whole list is. The first one is
    the id.
    """

    make: Callable[..., Item]
    identity: Mapping[str, Read[object]]
    fields: Mapping[str, Read[object]]

    def read(self, fields: Fields) -> Item | UnreadableItem:
        """Raises WrongShape for an item without a readable identity."""
        cells: dict[str, object] = {name: read(fields, name) for name, read in self.identity.items()}
        faults: dict[str, Fault] = {}
        for name, read in self.fields.items():
            try:
                cells[name] = read(fields, name)
            except WrongShape as wrong:
                faults[name] = wrong.fault
        if faults:
            return UnreadableItem(str(next(iter(cells.values()))), cells, faults)
        return self.make(**cells)

    def read_whole(self, fields: Fields) -> Item:
        """Raises WrongShape for an item with any unreadable field."""
        item = self.read(fields)
        if isinstance(item, UnreadableItem):
            name, fault = next(iter(item.faults.items()))
            raise WrongShape(fault, name)
        return item


def needed(read: Callable[[Fields, str], object]) -> Read[object]:
    """A required field of an item."""
    return lambda fields, name: required(read, fields, name)


def read_items(
    many: Iterable[Fields], read: Callable[[Fields], Item | UnreadableItem]
) -> tuple[Item | UnreadableItem, ...]:
    """Reads every item. Raises WrongShape if more than half are unreadable: then the parser is most likely wrong."""
    entries = tuple(map(read, many))
    if 2 * count_unreadable(entries) > len(entries):
        raise WrongShape(Fault.MOSTLY_UNREADABLE, _first_fault(entries))
    return entries


def readable(entries: Sequence[Item | UnreadableItem]) -> Sequence[Item]:
    return [cast("Item", entry) for entry in entries if not isinstance(entry, UnreadableItem)]


def count_unreadable(entries: Iterable[object]) -> int:
    return sum(isinstance(entry, UnreadableItem) for entry in entries)


def faults_of(entries: Iterable[object]) -> Mapping[str, Fault]:
    """The unreadable fields and why, for the log."""
    return {name: fault for one in entries if isinstance(one, UnreadableItem) for name, fault in one.faults.items()}


def _first_fault(entries: Iterable[object]) -> str | None:
    return next(iter(faults_of(entries)), None)


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
    """Writes one line for a response with unreadable items, and none for one without."""
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
