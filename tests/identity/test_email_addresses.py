"""One form of each address, in which people are stored, found and throttled."""

from contextlib import suppress
from unicodedata import normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corral.edge.field_types import canonical_email

_steady = settings(derandomize=True, database=None, deadline=None, max_examples=500)


@_steady
@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_the_canonical_form_is_idempotent(local: str, domain: str) -> None:
    with suppress(ValueError):
        email = canonical_email(f"{local}@{domain}")
        assert canonical_email(email) == email
        assert canonical_email(f" {email.upper()} ") == canonical_email(email.upper())


def test_the_canonical_form_of_every_folding_character_is_idempotent() -> None:
    folding = [
        character for character in map(chr, range(0x110000)) if normalize("NFKC", character).casefold() != character
    ]
    assert len(folding) > 5000
    for character in folding:
        for marks in ("", "\u0301", "\u0345\u0301"):
            with suppress(ValueError):
                email = canonical_email(f"a{character}{marks}@corral.example")
                assert canonical_email(email) == email, ascii(character)


@pytest.mark.parametrize(
    "other",
    ["ALICE@CORRAL.EXAMPLE", " alice@corral.example\n", "alice＠corral.example", "ａlice@corral.example"],  # noqa: RUF001
)
def test_spellings_of_one_email_have_the_same_canonical_form(other: str) -> None:
    assert canonical_email(other) == "alice@corral.example"


@pytest.mark.parametrize(
    "no_address",
    [
        "",
        "@",
        "alice",
        "alice@",
        "@corral.example",
        "al ice@corral.example",
        "a\0@b",
        "a\u202e@b",
        "a\ud800@b",
        "a@" + "b" * 253,
    ],
)
def test_an_invalid_email_is_refused(no_address: str) -> None:
    with pytest.raises(ValueError, match="Enter a valid email address"):
        canonical_email(no_address)
