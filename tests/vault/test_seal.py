"""Sealing has laws; each is tried on many inputs."""

import pickle
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.secret import Secret
from corral.vault import Context, Keyring, SealBroken, Vault, make_keyring
from corral.vault.seal import framed


@pytest.fixture(scope="module")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    return make_keyring(tmp_path_factory.mktemp("keyring") / "keyring.json")


@pytest.fixture(scope="module")
def vault(keyring: Keyring) -> Vault:
    return Vault(keyring)


parts = st.lists(st.text(max_size=20), max_size=4).map(tuple)


@given(text=st.text(max_size=4096), purpose=st.text(max_size=20), parts=parts)
def test_a_sealed_value_opens_in_its_own_context(vault: Vault, text: str, purpose: str, parts: tuple[str, ...]) -> None:
    context = Context(purpose, parts)
    sealed = vault.seal(context, Secret(text))
    assert vault.open(context, sealed).reveal() == text
    assert len(text) < 8 or text.encode() not in sealed


@given(mine=st.tuples(st.text(max_size=9), parts), other=st.tuples(st.text(max_size=9), parts))
def test_a_sealed_value_opens_in_no_other_context(
    vault: Vault, mine: tuple[str, tuple[str, ...]], other: tuple[str, tuple[str, ...]]
) -> None:
    sealed = vault.seal(Context(*mine), Secret("secret"))
    if mine == other:
        assert vault.open(Context(*other), sealed).reveal() == "secret"
    else:
        with pytest.raises(SealBroken):
            vault.open(Context(*other), sealed)


def test_a_changed_or_shortened_value_does_not_open(vault: Vault) -> None:
    context = Context("test", (str(uuid4()),))
    sealed = vault.seal(context, Secret("0123456789" * 4))
    altered = [
        sealed[:index] + bytes([sealed[index] ^ 1 << bit]) + sealed[index + 1 :]
        for index in range(len(sealed))
        for bit in range(8)
    ]
    for broken in [*altered, *(sealed[:length] for length in range(len(sealed))), sealed + b"\0", b""]:
        with pytest.raises(SealBroken):
            vault.open(context, broken)


def test_the_same_secret_sealed_twice_is_two_different_values(vault: Vault) -> None:
    context = Context("test", ())
    assert len({vault.seal(context, Secret("same")) for _ in range(1000)}) == 1000


def test_another_keyring_opens_no_value(vault: Vault, tmp_path_factory: pytest.TempPathFactory) -> None:
    stranger = Vault(make_keyring(tmp_path_factory.mktemp("other") / "keyring.json"))
    context = Context("test", ())
    with pytest.raises(SealBroken):
        stranger.open(context, vault.seal(context, Secret("mine")))
    assert stranger.verifier("x", "y") != vault.verifier("x", "y")


def test_a_sealed_value_that_is_not_text_is_refused(keyring: Keyring, vault: Vault) -> None:
    context = Context("test", ())
    raw = keyring.sealing.encrypt(b"\xff\xfe", context.to_bytes())
    with pytest.raises(SealBroken):
        vault.open(context, raw)


@given(a=parts, b=parts)
def test_framing_keeps_different_parts_apart(a: tuple[str, ...], b: tuple[str, ...]) -> None:
    assert (framed(*a) == framed(*b)) == (a == b)


def test_a_verifier_depends_on_purpose_and_on_every_part(vault: Vault) -> None:
    made = {vault.verifier("p", "ab", "c"), vault.verifier("p", "a", "bc"), vault.verifier("q", "ab", "c")}
    assert len(made) == 3
    assert all(len(one) == 32 for one in made)
    assert vault.verifiers("p", "ab", "c")[0] == vault.verifier("p", "ab", "c")


def test_a_secret_cannot_be_printed_pickled_or_compared() -> None:
    secret = Secret("hunter2hunter2")
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret!r:>20}", "%s" % secret, repr([secret])):  # noqa: UP031 - all the ways to format
        assert "hunter2" not in shown
    for misuse in (pickle.dumps, hash, vars, secret.__eq__, secret.__ne__):
        with pytest.raises(TypeError):
            misuse(secret)
    assert secret.reveal() == "hunter2hunter2"
