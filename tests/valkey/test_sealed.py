"""What is sealed opens in its place and in its time only."""

from pathlib import Path
from uuid import uuid4

import pytest

from corral.secret import Secret
from corral.valkey.names import PREFIX, ValkeyNames
from corral.valkey.sealed import SealedValues
from corral.vault import Context, Vault, make_keyring

NOW = 1_795_521_600_000
ABOUT = ("owner", "credential", "7", "PA123")


@pytest.fixture(name="sealed")
def _sealed(vault: Vault) -> SealedValues:
    return SealedValues(vault)


def test_a_value_opens_with_its_age(sealed: SealedValues) -> None:
    written = sealed.seal("answer", ABOUT, {"cash": "1.50"}, moment_ms=NOW)
    opened = sealed.open("answer", ABOUT, written, now_ms=NOW + 400, most_ms=1000)
    assert opened is not None
    assert (opened.value, opened.age_ms) == ({"cash": "1.50"}, 400)
    assert b"1.50" not in written


@pytest.mark.parametrize(
    ("kind", "about"),
    [
        ("event", ABOUT),
        ("answer", ("another", *ABOUT[1:])),
        ("answer", (*ABOUT[:2], "8", ABOUT[3])),
        ("answer", (*ABOUT[:3], "PA124")),
        ("answer", ABOUT[:3]),
        ("answer", ("ownercredential", "", *ABOUT[2:])),
    ],
)
def test_in_another_place_it_does_not_open(sealed: SealedValues, kind: str, about: tuple[str, ...]) -> None:
    written = sealed.seal("answer", ABOUT, 1, moment_ms=NOW)
    assert sealed.open(kind, about, written, now_ms=NOW, most_ms=1000) is None


@pytest.mark.parametrize(("passed_ms", "opens"), [(-1_001, False), (-1_000, True), (1_000, True), (1_001, False)])
def test_one_that_is_too_old_or_from_the_future_is_not_there(
    sealed: SealedValues, passed_ms: int, *, opens: bool
) -> None:
    written = sealed.seal("answer", ABOUT, 1, moment_ms=NOW)
    assert (sealed.open("answer", ABOUT, written, now_ms=NOW + passed_ms, most_ms=1000) is not None) == opens


def test_what_others_wrote_is_not_there(sealed: SealedValues, vault: Vault, tmp_path: Path) -> None:
    foreign = SealedValues(Vault(make_keyring(tmp_path / "keyring.json")))
    written = sealed.seal("answer", ABOUT, 1, moment_ms=NOW)
    altered = written[:-1] + bytes([written[-1] ^ 1])
    newer = vault.seal(Context("valkey", ("answer", *ABOUT)), Secret(f"[2,{NOW},1]"))
    for value in (foreign.seal("answer", ABOUT, 1, moment_ms=NOW), altered, newer, b"", b"[1,0,1]"):
        assert sealed.open("answer", ABOUT, value, now_ms=NOW, most_ms=1000) is None


def test_names_begin_with_the_installation_and_tell_nothing(vault: Vault) -> None:
    names = ValkeyNames(vault)
    name = names.key("budget", "paper", "PA123456")
    assert name.startswith(PREFIX)
    assert PREFIX == "corral:1:"
    assert name.split(":")[3] == "budget"
    assert "PA123456" not in name
    assert name == ValkeyNames(vault).key("budget", "paper", "PA123456")
    assert len({name, names.key("budget", "live", "PA123456"), names.key("lease", "paper", "PA123456")}) == 3


def test_installations_that_share_a_server_share_no_names(tmp_path: Path) -> None:
    keyring = make_keyring(tmp_path / "keyring.json")
    one, restored = Vault(keyring, uuid4()), Vault(keyring, uuid4())
    another = Vault(make_keyring(tmp_path / "another.json"))
    prefixes = {ValkeyNames(vault).key("budget", "a").split(":")[2] for vault in (one, restored, another)}
    assert len(prefixes) == 3
