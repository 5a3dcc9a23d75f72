"""Reads JSON into dataclasses. Each field says in its annotation what it takes:

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Drip:
        bytes: Annotated[int, whole_number(1, 65_536)]
        every_ms: Annotated[int, whole_number(0)] = 0

A field without a default is required; null counts as left out. Numbers may be int, float or Decimal.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from datetime import datetime
from decimal import Decimal, DecimalException
from difflib import get_close_matches
from functools import cache
from typing import Any, NamedTuple, TypeVar, cast, get_type_hints

Form = TypeVar("Form")
Reader = Callable[[object], Any]


class FormError(Exception):
    """A value is refused: `place` leads to it, from the outermost member, and `reason` completes "NAME: …"."""

    def __init__(self, reason: str, place: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.place = place

    def __str__(self) -> str:
        text = f"{'.'.join(self.place) or 'document'}: {self.reason}"
        return text.encode("utf-8", "backslashreplace").decode()  # a name may hold half a surrogate pair


class MissingFieldError(FormError):
    pass


class UnknownFieldError(FormError):
    pass


def read_form(kind: Callable[..., Form], document: object, *, ignores_unknown: bool = False, **also: object) -> Form:
    """Returns a dataclass of this kind, with further fields in `also`. Raises FormError."""
    if not isinstance(document, dict):
        raise FormError("must be a JSON object")
    given = cast("dict[str, object]", document)
    described = _fields_of(kind)
    values = also
    for name, value in given.items():
        field = described.get(name)
        if field is None:
            if not ignores_unknown:
                raise UnknownFieldError(_why_unknown(name, described), (name,))
        elif value is not None or field.is_required:
            values[name] = _at(name, field.read, value)
    for name, field in described.items():
        if field.is_required and name not in given:
            raise MissingFieldError("is required", (name,))
    return kind(**values)


def part(kind: Callable[..., object], *, ignores_unknown: bool = False) -> Reader:
    """Takes an object of this kind."""
    return lambda value: read_form(kind, value, ignores_unknown=ignores_unknown)


def list_of(read: Reader, *, shortest: int = 0, longest: int | None = None) -> Reader:
    def read_all(value: object) -> list[Any]:
        if not isinstance(value, list):
            raise FormError("must be a list")
        items = cast("list[object]", value)
        if len(items) < shortest or (longest is not None and len(items) > longest):
            raise FormError(f"must have {shortest} to {longest} entries")
        return [_at(str(index), read, item) for index, item in enumerate(items)]

    return read_all


def mapping_of(read: Reader, read_name: Reader | None = None) -> Reader:
    read_name = read_name or text

    def read_all(value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise FormError("must be a JSON object")
        members = cast("dict[str, object]", value)
        return {_at(name, read_name, name): _at(name, read, member) for name, member in members.items()}

    return read_all


def text(value: object) -> str:
    if not isinstance(value, str):
        raise FormError("must be a text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise FormError("must be valid Unicode") from None
    return value


def matching(pattern: str, reason: str) -> Reader:
    """Takes a text that the whole pattern fits."""
    fits = re.compile(pattern).fullmatch

    def read(value: object) -> str:
        if fits(text(value)) is None:
            raise FormError(reason)
        return text(value)

    return read


def choice(*values: str) -> Reader:
    *most, last = map(repr, values)
    reason = f"must be {', '.join(most)} or {last}"

    def read(value: object) -> object:
        if value not in values:
            raise FormError(reason)
        return value

    return read


def flag(value: object) -> bool:
    if value in ("true", "false"):
        return value == "true"
    if not isinstance(value, bool):
        raise FormError("must be true or false")
    return value


def only_true(value: object) -> bool:
    if value is not True:
        raise FormError("must be true, or left out")
    return True


def whole_number(lowest: int, highest: int | None = None) -> Reader:
    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise FormError("must be a whole number")
        _check_range(value, lowest=lowest, highest=highest)
        if isinstance(value, Decimal) and value != value.to_integral_value():
            raise FormError("must be a whole number")
        return int(value)

    return read


def number(
    *, above: int | None = None, lowest: int | None = None, highest: int | None = None, decimal_places: int
) -> Reader:
    """Takes a number, or a text that is one."""

    def read(value: object) -> Decimal:
        exact = _exact(value)
        if above is not None and exact <= above:
            raise FormError(f"must be greater than {above}")
        _check_range(exact, lowest=lowest, highest=highest)
        if _places_of(exact) > decimal_places:
            raise FormError(f"must have no more than {decimal_places} decimal places")
        return exact

    return read


def moment(value: object) -> datetime:
    try:
        return datetime.fromisoformat(text(value))
    except ValueError:
        raise FormError("must be a time, such as 2026-11-24T10:00-05:00") from None


def or_blank(read: Reader) -> Reader:
    """Takes an empty text for None, as Alpaca does."""
    return lambda value: None if value == "" else read(value)


class _Field(NamedTuple):
    read: Reader
    is_required: bool


@cache
def _fields_of(kind: Callable[..., object]) -> dict[str, _Field]:
    hints = get_type_hints(kind, include_extras=True)
    return {
        field.name: _Field(
            hints[field.name].__metadata__[0], field.default is MISSING and field.default_factory is MISSING
        )
        for field in fields(cast("Any", kind))
        if hasattr(hints[field.name], "__metadata__")
    }


def _why_unknown(name: str, described: Mapping[str, object]) -> str:
    close = get_close_matches(name, described, 1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(described)}"
    return f"unknown field; {hint}"


def _at(name: str, read: Reader, value: object) -> Any:  # noqa: ANN401 - what the reader returns
    try:
        return read(value)
    except FormError as error:
        error.place = (name, *error.place)
        raise


def _exact(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise FormError("must be a number")
    try:
        exact = value if isinstance(value, Decimal) else Decimal(str(value))
    except DecimalException:
        raise FormError("must be a number") from None
    if not exact.is_finite():
        raise FormError("must be a finite number")
    return exact


def _check_range(value: int | Decimal, *, lowest: int | None, highest: int | None) -> None:
    if lowest is not None and value < lowest:
        raise FormError(f"must be greater than or equal to {lowest}")
    if highest is not None and value > highest:
        raise FormError(f"must be less than or equal to {highest}")


def _places_of(exact: Decimal) -> int:
    """Returns how many decimal places a number needs: none for 1.00."""
    _, digits, exponent = exact.as_tuple()
    places = -cast("int", exponent)
    for digit in reversed(digits):
        if places <= 0 or digit:
            break
        places -= 1
    return places if exact else 0
