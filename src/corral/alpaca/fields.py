"""Reads the fields of Alpaca's JSON without trusting them."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from datetime import date as calendar_date
from typing import Any, Final, Never, TypeVar, cast

import orjson

from corral.alpaca.errors import Fault, WrongShape

# RFC 3339 §5.6, seconds of at most nine digits. Leap seconds are not supported.
_MOMENT: Final = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_SECONDS: Final = len("YYYY-MM-DDTHH:MM:SS")
_MILLISECONDS: Final = _SECONDS + len(".fff")
_NANOSECONDS: Final = len(".fffffffff")


def in_utc(text: str) -> str | None:
    """Returns the time as `YYYY-MM-DDTHH:MM:SS[.fraction]Z`, with the same fraction digits; None if it is invalid."""
    if (found := _MOMENT.fullmatch(text)) is None:
        return None
    date, time, fraction, zone = found.groups()
    try:
        # Also for times in UTC, because February 30 has to be rejected.
        whole = datetime.fromisoformat(f"{date}T{time}{'+00:00' if zone in 'Zz' else zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return whole.isoformat()[:_SECONDS] + (fraction or "") + "Z"


def since_1970(seconds: int) -> str | None:
    """Formats Unix seconds like `in_utc`; returns None beyond the year 9999."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()[:_SECONDS] + "Z"
    except (ValueError, OverflowError, OSError):
        return None


def written_in_utc(moment: datetime) -> str:
    """Formats a time in UTC like `in_utc`, with microseconds."""
    return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def instant(moment: str) -> str:
    """A sort key for a time in UTC, because fractions differ in length."""
    fraction = moment[_SECONDS:-1] or "."
    return moment[:_SECONDS] + fraction.ljust(_NANOSECONDS, "0")


def millisecond(moment: str) -> str:
    """The time, truncated to milliseconds."""
    return instant(moment)[:_MILLISECONDS]


LONGEST_TEXT: Final = 64
Fields = Mapping[str, Any]
Value = TypeVar("Value")
Read = Callable[[Fields, str], Value | None]

# Exponents end at three digits: "1e999999999" is a decimal as well, but writing it out would exhaust the memory.
_DECIMAL: Final = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d{1,3})?", re.ASCII)
_COUNT: Final = re.compile(r"(\d{1,6})(\.0{1,6})?", re.ASCII)
_DATE: Final = re.compile(r"(\d{4}-\d\d-\d\d)(?:[Tt ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:[Zz]|[+-]\d\d:?\d\d)?)?", re.ASCII)
_BOOLEANS: Final[Mapping[object, bool]] = {"true": True, "false": False}
# Values for "no date": MySQL's zero date and the zero value of Go's time.Time.
_NO_DAYS: Final = frozenset({"0000-00-00", "0001-01-01"})


def read_object(body: bytes) -> Fields:
    """Parses a JSON object, with numbers as written; returns an empty one for anything else."""
    value = _decoded(body)
    return cast("Fields", value) if isinstance(value, dict) else {}


def read_array(body: bytes) -> Sequence[Fields]:
    """Parses a JSON array of objects. Raises WrongShape."""
    value = _decoded(body)
    if value is None:
        raise WrongShape(Fault.NOT_JSON)
    return objects(value)


def objects(value: object, name: str | None = None) -> Sequence[Fields]:
    """Returns the value if it is an array of objects. Raises WrongShape."""
    if not isinstance(value, list):
        raise WrongShape(Fault.NOT_A_LIST, name)
    items = cast("list[object]", value)
    if not all(isinstance(item, dict) for item in items):
        raise WrongShape(Fault.NOT_AN_OBJECT, name)
    return cast("list[Fields]", items)


def _decoded(body: bytes) -> object:
    # The parser's exception is neither re-raised nor kept as context, because it contains the whole body.
    with suppress(ValueError, RecursionError):
        return _DECODER.decode(body.decode("utf-8"))
    return None


def read_documents(body: bytes) -> Sequence[Fields]:
    """Parses a JSON array of objects, or one object, to be written again as they are. Raises WrongShape."""
    try:
        value: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = None
    if value is None:
        raise WrongShape(Fault.NOT_JSON)
    return [cast("Fields", value)] if isinstance(value, dict) else objects(value)


class NumberAsWritten(str):
    """A JSON number as it was written; never converted to a float, so no digit changes."""

    __slots__ = ()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("duplicate name: parsers differ in which value they use")
    return fields


def _refuse_constant(_constant: str) -> Never:
    raise ValueError("NaN and Infinity are not JSON")


# The standard library's parser, because only it can keep numbers as written and detect duplicate
# names. With further passes over the bytes for both, orjson is no faster (6 µs for an account).
_DECODER: Final = json.JSONDecoder(
    parse_float=NumberAsWritten,
    parse_int=NumberAsWritten,
    parse_constant=_refuse_constant,
    object_pairs_hook=_unique,
)


def required(read: Read[Value], fields: Fields, name: str) -> Value:
    """Returns what `read` returns. Raises WrongShape also for None."""
    value = read(fields, name)
    if value is None:
        raise WrongShape(Fault.MISSING, name)
    return value


def if_readable(read: Read[Value], fields: Fields, name: str) -> Value | None:
    """Returns what `read` returns; None for an unreadable value. Only for values that are displayed."""
    try:
        return read(fields, name)
    except WrongShape:
        return None


def read_table(fields: Fields, table: Mapping[str, Read[object]]) -> dict[str, Any]:
    """Returns the value of each reader in the table by name. Raises WrongShape."""
    return {name: read(fields, name) for name, read in table.items()}


def read_table_if_readable(fields: Fields, table: Mapping[str, Read[object]]) -> dict[str, Any]:
    """Like `read_table`, with None for unreadable values."""
    return {name: if_readable(read, fields, name) for name, read in table.items()}


def text(fields: Fields, name: str, *, longest: int = LONGEST_TEXT) -> str | None:
    """A short text of Alpaca: an id, a name, or an enumeration value, of which Alpaca may add more."""
    value = _given(fields, name)
    if value is None:
        return None
    # isprintable() also rejects lone surrogates, which cannot be encoded as UTF-8.
    if type(value) is not str or not value.isprintable():
        raise WrongShape(Fault.NOT_A_TEXT, name)
    if len(value) > longest:
        raise WrongShape(Fault.TOO_LONG, name)
    return value


def free_text(fields: Fields, name: str, *, longest: int) -> str | None:
    """A text from a user or a user's program, including control characters."""
    value = _given(fields, name)
    if value is None:
        return None
    if type(value) is not str or any("\ud800" <= char <= "\udfff" for char in value):
        raise WrongShape(Fault.NOT_A_TEXT, name)
    if len(value) > longest:
        raise WrongShape(Fault.TOO_LONG, name)
    return value


def decimal(fields: Fields, name: str) -> str | None:
    """A number, as a string or a JSON number, digit for digit."""
    value = _given(fields, name)
    return None if value is None else as_decimal(value, name)


def as_decimal(value: object, name: str) -> str:
    """Returns the number, digit for digit. Raises WrongShape."""
    if not isinstance(value, str) or len(value) > LONGEST_TEXT or not _DECIMAL.fullmatch(value):
        raise WrongShape(Fault.NOT_A_NUMBER, name)
    return str(value)


def array(fields: Fields, name: str) -> Sequence[object]:
    """An array of any values; empty for null. Raises WrongShape for anything else."""
    value = _given(fields, name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise WrongShape(Fault.NOT_A_LIST, name)
    return cast("list[object]", value)


def flag(fields: Fields, name: str) -> bool | None:
    value = _given(fields, name)
    if value is None or isinstance(value, bool):
        return value
    if type(value) is not str or value not in _BOOLEANS:
        raise WrongShape(Fault.NOT_A_FLAG, name)
    return _BOOLEANS[value]


def is_set(fields: Fields, name: str) -> bool:
    """False if missing. Raises WrongShape for a blank, because a wrong "not blocked" costs more than an error."""
    if fields.get(name) == "":
        raise WrongShape(Fault.NOT_A_FLAG, name)
    return flag(fields, name) or False


def count(fields: Fields, name: str) -> int | None:
    """A whole number of at most six digits."""
    value = _given(fields, name)
    if value is None:
        return None
    if not isinstance(value, str) or not (whole := _COUNT.fullmatch(value)):
        raise WrongShape(Fault.NOT_A_NUMBER, name)
    return int(whole[1])


def moment(fields: Fields, name: str) -> str | None:
    """An RFC 3339 time of any zone, in UTC with `Z` and the same fraction digits; None for a zero time."""
    value = _given(fields, name)
    if value is None:
        return None
    if type(value) is str:
        if value[:10] in _NO_DAYS:
            return None
        if (at := in_utc(value)) is not None:
            return at
    raise WrongShape(Fault.NOT_A_TIME, name)


def date(fields: Fields, name: str) -> str | None:
    """A date `YYYY-MM-DD`, also taken from a timestamp; None for a zero date."""
    value = _given(fields, name)
    if value is None:
        return None
    found = _DATE.fullmatch(value) if type(value) is str else None
    if found is None:
        raise WrongShape(Fault.NOT_A_DATE, name)
    if found[1] in _NO_DAYS:
        return None
    try:
        calendar_date.fromisoformat(found[1])
    except ValueError:
        raise WrongShape(Fault.NOT_A_DATE, name) from None
    return found[1]


def _given(fields: Fields, name: str) -> Any:  # noqa: ANN401 - whatever was sent
    value = fields.get(name)
    return None if value == "" else value
