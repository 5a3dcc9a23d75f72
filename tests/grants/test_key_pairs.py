"""The form of a grant's key pair: found by scanners, told from Alpaca's, and wrong after any slip of the keyboard."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from corral.grants.key_pairs import SECRET_FORM, new_key_id
from corral.identity.tokens import is_well_formed, new_token
from corral.logs import redact

_steady = settings(derandomize=True, database=None, deadline=None, max_examples=100)
_SCANNER = re.compile(r"\bcorral_grant_[0-9A-Za-z]{43}\b")
_ALPACA = re.compile(r"(PK|AK|CK)[A-Z0-9]{14,24}|[0-9A-Za-z/+]{40,44}")


def test_a_secret_scanner_finds_a_secret_in_a_file_of_settings() -> None:
    for _ in range(100):
        secret = SECRET_FORM.new()
        assert _SCANNER.findall(f'{{"APCA-API-SECRET-KEY": "{secret}"}}') == [secret]
        assert _ALPACA.fullmatch(secret) is None
        assert not is_well_formed(secret)
        assert not SECRET_FORM.is_well_formed(new_token())


def test_a_key_id_has_its_own_form_and_no_two_are_alike() -> None:
    made = {new_key_id() for _ in range(500)}
    assert len(made) == 500
    for key_id in made:
        assert re.fullmatch(r"CG[A-Z2-7]{24}", key_id)
        assert _ALPACA.fullmatch(key_id) is None
    assert {character for key_id in made for character in key_id[2:]} == set("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")


def test_no_log_line_keeps_a_secret() -> None:
    for _ in range(100):
        secret = SECRET_FORM.new()
        assert secret not in redact(f"GET /alpaca/v2/account?key={secret}")
        assert secret[20:] not in redact(f"b'{secret}'")


@_steady
@given(st.integers(0, 55), st.characters())
def test_a_secret_with_one_other_character_is_not_well_formed(place: int, character: str) -> None:
    secret = SECRET_FORM.new()
    changed = secret[:place] + character + secret[place + 1 :]
    assert SECRET_FORM.is_well_formed(changed) == (changed == secret)


@_steady
@given(st.integers(0, 54), st.text(max_size=60))
def test_a_secret_with_two_characters_swapped_or_with_more_is_not_well_formed(place: int, text: str) -> None:
    secret = SECRET_FORM.new()
    swapped = secret[:place] + secret[place + 1] + secret[place] + secret[place + 2 :]
    assert SECRET_FORM.is_well_formed(swapped) == (swapped == secret)
    assert not SECRET_FORM.is_well_formed(text)
    assert SECRET_FORM.is_well_formed(secret + text) == (text == "")
    assert SECRET_FORM.is_well_formed(text + secret) == (text == "")
