"""Whitespace around a pasted Alpaca key is removed; invalid characters in it are named, without a call to Alpaca."""

from typing import Any

import pytest

from tests.conftest import Faults
from tests.people import Person, key_pair, paper_key

AROUND = [" ", "\t", "\n", "\r\n", "\v\f", "\u00a0", "\ufeff", "\u200b", "\u200c", "\u200d", "\u2060"]
INSIDE = [
    (" ", "a space"),
    ("\t", "a tab"),
    ("\n", "a line break"),
    ("\r", "a line break"),
    ("\u00a0", "a no-break space (U+00A0)"),
    ("\ufeff", "a byte order mark (U+FEFF)"),
    ("\u200b", "a zero-width space (U+200B)"),
    ("\u200c", "a zero-width non-joiner (U+200C)"),
    ("\u200d", "a zero-width joiner (U+200D)"),
    ("\u2060", "a word joiner (U+2060)"),
    ("\u00ad", "an invisible character"),
    ("\u202e", "an invisible character"),
    ("\u3000", "a space that is not an ASCII space"),
    ("\u2028", "a space that is not an ASCII space"),
    ("\0", "a control character"),
    ("\u0410", "a character that is not ASCII"),
    ("\ud800", "a character that is not ASCII"),
]
NAMES = {"api_key": "key ID", "secret_key": "secret"}


async def _send(person: Person, method: str, path: str, body: dict[str, str]) -> tuple[int, dict[str, Any]]:
    async with person.client.request(method, f"/api/credentials{path}", json=body) as answer:
        return answer.status, await answer.json(content_type=None)


@pytest.mark.parametrize("field", NAMES)
@pytest.mark.parametrize("blank", AROUND, ids=ascii)
async def test_blanks_around_a_pasted_key_are_removed(alice: Person, bob: Person, blank: str, field: str) -> None:
    key_id = paper_key()
    keys = key_pair(key_id)
    pasted = keys | {field: f"{blank}{keys[field]}{blank}{blank}"}
    status, stored = await _send(alice, "POST", "", {"nickname": "mine", **pasted})
    assert (status, stored["key_hint"]) == (201, f"PK…{key_id[-4:]}")
    status, replaced = await _send(alice, "PATCH", f"/{stored['id']}", pasted)
    assert (status, replaced["key_hint"]) == (200, f"PK…{key_id[-4:]}")
    async with alice.client.get(f"/api/credentials/{stored['id']}/account-data") as answer:
        assert answer.status == 200


@pytest.mark.parametrize("field", NAMES)
@pytest.mark.parametrize(("character", "kind"), INSIDE, ids=lambda text: ascii(text) if len(text) == 1 else "")
async def test_a_character_inside_a_pasted_key_is_named_and_alpaca_is_not_asked(
    alice: Person, bob: Person, faults: Faults, character: str, kind: str, field: str
) -> None:
    stored = await alice.store()
    key_id = paper_key()
    keys = key_pair(key_id)
    pasted = keys | {field: f"{keys[field][:4]}{character}{keys[field][4:]}"}
    for method, path, body in [("POST", "", {"nickname": "x", **pasted}), ("PATCH", f"/{stored['id']}", pasted)]:
        status, problem = await _send(alice, method, path, body)
        assert (status, problem["code"]) == (422, "invalid_request")
        reported = {"loc": ["body", field], "msg": f"The {NAMES[field]} contains {kind}. Copy it again."}
        assert problem["errors"] == [reported]
    assert await faults.calls_of(key_id) == 0
    assert await faults.calls_of(f"{key_id[:4]}{character}{key_id[4:]}") == 0


@pytest.mark.parametrize("field", NAMES)
async def test_a_key_of_blanks_alone_is_missing_and_no_key_may_be_too_long_or_a_number(
    alice: Person, bob: Person, field: str
) -> None:
    for value, message in [
        (" \n\u200b", f"Enter the {NAMES[field]}."),
        ("x" * 1025, "Enter 1 to 1,024 characters."),
        (1, "Enter a text."),
    ]:
        async with alice.client.post(
            "/api/credentials", json={"nickname": "x", **key_pair(paper_key()), field: value}
        ) as answer:
            problem = await answer.json(content_type=None)
        assert (answer.status, problem["errors"]) == (422, [{"loc": ["body", field], "msg": message}])


async def test_a_nickname_a_token_name_and_a_password_are_not_cleaned(alice: Person, bob: Person) -> None:
    """They are a person's own words: what is invisible in a name is refused, and in a password it is part of it."""
    status, problem = await _send(alice, "POST", "", {"nickname": "mi\u200bne", **key_pair(paper_key())})
    assert (status, problem["errors"][0]["loc"]) == (422, ["body", "nickname"])
    async with alice.client.post("/api/tokens", json={"name": "\u2060mine"}) as answer:
        assert answer.status == 422
