"""Keys in answers are found however they are written, and wherever the answer is divided."""

import json
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote

import pytest

from corral.alpaca.leaks import LeakDetector
from corral.secret import Secret

KEY_ID = "PKCANARY7Q2W9E4R6T8Y"
SECRET_KEY = "cAnArY/5uPeR+sEcReT0aLpAcA1kEy2oNe3tWo4x"

WAYS = {
    "as it is": SECRET_KEY.encode(),
    "the key ID": KEY_ID.encode(),
    "in capitals": SECRET_KEY.upper().encode(),
    "in small letters": SECRET_KEY.lower().encode(),
    "in hexadecimal": SECRET_KEY.encode().hex().encode(),
    "in capital hexadecimal": SECRET_KEY.encode().hex().upper().encode(),
    "as JSON": json.dumps(SECRET_KEY).replace("/", r"\/").encode(),
    "as JSON, all escaped": "".join(rf"\u{ord(character):04X}" for character in SECRET_KEY).encode(),
    "as JSON, partly escaped": SECRET_KEY.replace("A", r"\u0041").encode(),
    "in a URL": quote(SECRET_KEY, safe="").encode(),
    "in a URL, all escaped": "".join(f"%{ord(character):02x}" for character in SECRET_KEY).encode(),
    "in HTML": "".join(f"&#{ord(character)};" for character in SECRET_KEY).encode(),
    "in HTML, hexadecimal": "".join(f"&#x{ord(character):X};" for character in SECRET_KEY).encode(),
    "as UTF-16": SECRET_KEY.encode("utf-16-le"),
    "as UTF-16, big end first": SECRET_KEY.encode("utf-16-be"),
    **{f"in base64 after {n} bytes": b64encode(b"x" * n + SECRET_KEY.encode() + b"yz") for n in range(4)},
    **{f"in URL-safe base64 after {n} bytes": urlsafe_b64encode(b"x" * n + SECRET_KEY.encode()) for n in range(3)},
}


def detector() -> LeakDetector:
    return LeakDetector(Secret(KEY_ID), Secret(SECRET_KEY))


@pytest.mark.parametrize("way", WAYS)
def test_a_key_is_found(way: str) -> None:
    assert detector().finds_in(b"before " * 50 + WAYS[way] + b" after" * 50)


@pytest.mark.parametrize("way", WAYS)
def test_a_key_is_found_across_each_border_of_parts(way: str) -> None:
    text = b"before " + WAYS[way] + b" after"
    for border in range(len(text)):
        divided = detector()
        assert divided.finds_in(text[:border]) or divided.finds_in(text[border:]), border


def test_a_key_is_found_in_many_small_parts() -> None:
    for way, written in WAYS.items():
        divided = detector()
        assert any(divided.finds_in(bytes([byte])) for byte in written + b" "), way


def test_what_has_no_key_is_passed_on() -> None:
    text = f"{KEY_ID[:-1]} {SECRET_KEY[1:]} {b64encode(b'something else entirely').decode()} %41 \\u0041 &#65; &#999;"
    assert not detector().finds_in(text.encode())
