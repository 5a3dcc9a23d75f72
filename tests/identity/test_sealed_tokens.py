"""The form of tokens, sessions and links."""

import re
import string
import zlib

from hypothesis import given, settings
from hypothesis import strategies as st

from corral.identity.tokens import is_well_formed, new_token

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_steady = settings(derandomize=True, database=None, deadline=None, max_examples=300)


def _base62(text: str) -> int:
    number = 0
    for digit in text:
        number = number * 62 + ALPHABET.index(digit)
    return number


def test_a_new_token_is_a_prefix_32_characters_and_the_crc32_of_them() -> None:
    for _ in range(200):
        found = re.fullmatch(r"corral_([0-9A-Za-z]{32})([0-9A-Za-z]{6})", new_token())
        assert found
        assert _base62(found[2]) == zlib.crc32(found[1].encode())


def test_no_two_tokens_are_alike_and_every_character_is_used() -> None:
    tokens = {new_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert {character for token in tokens for character in token[7:39]} == set(ALPHABET)


@_steady
@given(st.text(alphabet=ALPHABET, min_size=32, max_size=32))
def test_every_secret_with_its_checksum_is_well_formed(secret: str) -> None:
    number = zlib.crc32(secret.encode())
    checksum = "".join(ALPHABET[number // 62**place % 62] for place in reversed(range(6)))
    assert is_well_formed(f"corral_{secret}{checksum}")


@_steady
@given(st.integers(0, 44), st.characters())
def test_a_token_with_one_other_character_is_not_well_formed(place: int, character: str) -> None:
    token = new_token()
    changed = token[:place] + character + token[place + 1 :]
    assert is_well_formed(changed) == (changed == token)


@_steady
@given(st.text(max_size=60))
def test_an_invalid_token_is_not_well_formed(text: str) -> None:
    token = new_token()
    assert not is_well_formed(text)
    assert is_well_formed(token + text) == (text == "")
    assert is_well_formed(text + token) == (text == "")


@_steady
@given(st.integers(0, 43))
def test_a_token_with_two_characters_swapped_is_not_well_formed(place: int) -> None:
    token = new_token()
    exchanged = token[:place] + token[place + 1] + token[place] + token[place + 2 :]
    assert is_well_formed(exchanged) == (exchanged == token)
