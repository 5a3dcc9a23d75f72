"""JSON that somebody else wrote: each value is what it should be, or the whole is refused.

The functions that take a field by its name raise WrongShape for a value of another form. Null and a
missing field are the same.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Never, TypeVar, cast

from corral.alpaca.errors import WrongShape
from corral.alpaca.moments import in_utc

LONGEST_TEXT: Final = 64
Fields = Mapping[str, Any]
Value = TypeVar("Value")

# Exponents end at three digits: "1e999999999" is a decimal as well, but whoever writes it out runs out of memory.
_DECIMAL: Final = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d{1,3})?", re.ASCII)
_COUNT: Final = re.compile(r"(\d{1,6})(\.0{1,6})?", re.ASCII)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_BOOLEANS: Final[Mapping[object, bool]] = {"true": True, "false": False}


def read_object(body: bytes) -> Fields:
    """Reads a JSON object, numbers as the texts they were written as; empty for anything else."""
    value = _decoded(body)
    return cast("Fields", value) if isinstance(value, dict) else {}


def read_list(body: bytes, read: Callable[[Fields], Value]) -> tuple[Value, ...]:
    """Reads a JSON array of objects, each by `read`. Raises WrongShape."""
    return tuple(read(fields) for fields in objects(_decoded(body)))


def objects(value: object) -> Sequence[Fields]:
    """The same value, if it is an array of objects. Raises WrongShape."""
    if not isinstance(value, list):
        raise WrongShape
    items = cast("list[object]", value)
    if not all(isinstance(item, dict) for item in items):
        raise WrongShape
    return cast("list[Fields]", items)


def _decoded(body: bytes) -> object:
    # No exception of the parser is passed on or becomes a context: it would carry the whole body.
    with suppress(ValueError, RecursionError):
        return _DECODER.decode(body.decode("utf-8"))
    return None


class _NumberAsWritten(str):
    """A JSON number that was never a float: no digit is lost, and none is computed."""

    __slots__ = ()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name stands twice: parsers differ in which value they believe")
    return fields


def _refuse_constant(_constant: str) -> Never:
    raise ValueError("NaN and Infinity are not JSON")


# The standard library's parser, because it alone can keep numbers as written and see a name that stands
# twice. With both done for it by further passes over the bytes, orjson is no faster (6 µs for an account).
_DECODER: Final = json.JSONDecoder(
    parse_float=_NumberAsWritten,
    parse_int=_NumberAsWritten,
    parse_constant=_refuse_constant,
    object_pairs_hook=_unique,
)


def present(value: Value | None) -> Value:
    """The same value. Raises WrongShape for none, and for an empty text."""
    if value is None or value == "":
        raise WrongShape
    return value


def text(fields: Fields, name: str, *, longest: int = LONGEST_TEXT) -> str | None:
    """A word of Alpaca's: an id, a name, a value of an enumeration, to which Alpaca may add."""
    value = fields.get(name)
    if value is None:
        return None
    # isprintable() also keeps out lone surrogates, which no UTF-8 answer of ours could hold.
    if type(value) is not str or len(value) > longest or not value.isprintable():
        raise WrongShape
    return value


def free_text(fields: Fields, name: str, *, longest: int) -> str | None:
    """What a person or a program of theirs wrote, control characters and all."""
    value = fields.get(name)
    if value is None:
        return None
    if type(value) is not str or len(value) > longest or any("\ud800" <= char <= "\udfff" for char in value):
        raise WrongShape
    return value


def decimal(fields: Fields, name: str) -> str | None:
    """A number, as a text or as JSON's own, digit for digit."""
    value = fields.get(name)
    return None if value is None else _as_decimal(value)


def decimals(fields: Fields, name: str) -> Sequence[str | None]:
    """An array of numbers and nulls, each digit for digit. Raises WrongShape for anything else, and for none."""
    values = fields.get(name)
    if not isinstance(values, list):
        raise WrongShape
    return [None if value is None else _as_decimal(value) for value in cast("list[object]", values)]


def _as_decimal(value: object) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT or not _DECIMAL.fullmatch(value):
        raise WrongShape
    return str(value)


def flag(fields: Fields, name: str) -> bool | None:
    value = fields.get(name)
    if value is None or isinstance(value, bool):
        return value
    if type(value) is not str or value not in _BOOLEANS:
        raise WrongShape
    return _BOOLEANS[value]


def count(fields: Fields, name: str) -> int | None:
    """A whole number of at most six digits."""
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not (whole := _COUNT.fullmatch(value)):
        raise WrongShape
    return int(whole[1])


def moment(fields: Fields, name: str) -> str | None:
    """An RFC 3339 time of whatever zone, in UTC with `Z`, its fraction digit for digit."""
    value = fields.get(name)
    if value is None:
        return None
    if type(value) is not str or (at := in_utc(value)) is None:
        raise WrongShape
    return at


def date(fields: Fields, name: str) -> str | None:
    """A day, `YYYY-MM-DD`."""
    value = text(fields, name)
    if value is not None and not _DATE.fullmatch(value):
        raise WrongShape
    return value
