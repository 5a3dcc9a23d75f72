"""What a field of a control document or an order takes, and how the rest is refused."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import pytest

from corral_sandbox.http.forms import (
    FormError,
    Reader,
    choice,
    flag,
    list_of,
    mapping_of,
    matching,
    moment,
    number,
    only_true,
    or_blank,
    part,
    read_form,
    text,
    whole_number,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    size: Annotated[int, whole_number(1, 30)]
    note: Annotated[str | None, text] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Car:
    wheels: Annotated[list[Wheel], list_of(part(Wheel), shortest=1, longest=4)]
    colors: Annotated[dict[str, str] | None, mapping_of(choice("red", "blue"))] = None


def test_a_document_is_read_with_its_parts() -> None:
    car = read_form(Car, {"wheels": [{"size": 3}, {"size": Decimal(4), "note": None}], "colors": {"roof": "red"}})
    assert car == Car(wheels=[Wheel(size=3), Wheel(size=4)], colors={"roof": "red"})


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ([], "document: must be a JSON object"),
        ({}, "wheels: is required"),
        ({"wheels": None}, "wheels: must be a list"),
        ({"wheels": []}, "wheels: must have 1 to 4 entries"),
        ({"wheels": [{"size": 1}] * 5}, "wheels: must have 1 to 4 entries"),
        ({"wheels": [{"size": 1}, {}]}, "wheels.1.size: is required"),
        ({"wheels": [{"size": 1}, 2]}, "wheels.1: must be a JSON object"),
        ({"wheels": [{"size": 1, "siez": 2}]}, "wheels.0.siez: unknown field; did you mean size?"),
        ({"wheels": [{"size": 1}], "hood": 1}, "hood: unknown field; there are wheels, colors"),
        ({"wheels": [{"size": 1}], "colors": {"roof": "green"}}, "colors.roof: must be 'red' or 'blue'"),
        ({"wheels": [{"size": 1}], "colors": {"roof": ["red"]}}, "colors.roof: must be 'red' or 'blue'"),
        ({"wheels": [{"size": 1}], "\ud800": 1}, "\\ud800: unknown field; there are wheels, colors"),
    ],
)
def test_a_refusal_names_the_place_and_the_reason(document: object, reason: str) -> None:
    with pytest.raises(FormError) as refused:
        read_form(Car, document)
    assert str(refused.value) == reason


def test_unknown_fields_are_ignored_where_alpaca_ignores_them() -> None:
    assert read_form(Wheel, {"size": 1, "hub": 2}, ignores_unknown=True) == Wheel(size=1)


_price = number(above=0, highest=10**9, decimal_places=2)


@pytest.mark.parametrize(
    ("read", "value", "result"),
    [
        (_price, "1.50", Decimal("1.50")),
        (_price, "1.5000000", Decimal("1.5")),
        (_price, Decimal("1e9"), Decimal(10**9)),
        (_price, 0.25, Decimal("0.25")),
        (_price, 7, Decimal(7)),
        (number(lowest=0, decimal_places=0), "-0.000", Decimal(0)),
        (whole_number(0), Decimal("3.0"), 3),
        (flag, "true", True),
        (flag, False, False),
        (only_true, True, True),
        (or_blank(_price), "", None),
        (matching("[a-z]+", "must be small letters"), "abc", "abc"),
        (moment, "2026-11-24T15:00:00Z", datetime(2026, 11, 24, 15, tzinfo=UTC)),
    ],
)
def test_a_value_that_fits_is_read(read: Reader, value: object, result: Any) -> None:  # noqa: ANN401 - of any kind
    assert read(value) == result


@pytest.mark.parametrize(
    ("read", "value", "reason"),
    [
        (_price, "0", "must be greater than 0"),
        (_price, "1.005", "must have no more than 2 decimal places"),
        (_price, "1e-999999", "must have no more than 2 decimal places"),
        (_price, Decimal("1e999999"), "must be less than or equal to 1000000000"),
        (_price, "NaN", "must be a finite number"),
        (_price, "-Infinity", "must be a finite number"),
        (_price, "a lot", "must be a number"),
        (_price, True, "must be a number"),
        (_price, [], "must be a number"),
        (number(lowest=-1, decimal_places=0), "-2", "must be greater than or equal to -1"),
        (whole_number(0, 9), Decimal("1e999999"), "must be less than or equal to 9"),
        (whole_number(0, 9), Decimal("1.5"), "must be a whole number"),
        (whole_number(0, 9), 1.0, "must be a whole number"),
        (whole_number(0, 9), "1", "must be a whole number"),
        (whole_number(0, 9), True, "must be a whole number"),
        (whole_number(0, 9), -1, "must be greater than or equal to 0"),
        (flag, 1, "must be true or false"),
        (only_true, False, "must be true, or left out"),
        (text, 1, "must be a text"),
        (text, "\ud800", "must be valid Unicode"),
        (matching("[a-z]+", "must be small letters"), "abc\n", "must be small letters"),
        (mapping_of(text), [], "must be a JSON object"),
        (moment, "soon", "must be a time, such as 2026-11-24T10:00-05:00"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_the_reason(read: Reader, value: object, reason: str) -> None:
    with pytest.raises(FormError) as refused:
        read(value)
    assert refused.value.reason == reason
