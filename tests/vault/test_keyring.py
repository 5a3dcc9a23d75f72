"""The keyring file: made once, refused unless it is whole and ours."""

import json
import os
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from corral.secret import Secret
from corral.vault import Context, KeyringMissing, KeyringRefused, Vault, load_keyring, make_keyring
from tests.machine import ROOT

CONTEXT = Context("test", ("x",))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "keyring.json"


def test_a_new_keyring_is_private_and_opens_what_it_sealed(path: Path) -> None:
    sealed = Vault(make_keyring(path)).seal(CONTEXT, Secret("text"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Vault(load_keyring(path)).open(CONTEXT, sealed).reveal() == "text"
    assert [file.name for file in path.parent.iterdir()] == ["keyring.json"]


def test_an_existing_keyring_is_never_overwritten(path: Path) -> None:
    make_keyring(path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        make_keyring(path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["keyring.json"]


def test_a_missing_keyring_has_its_own_error(path: Path) -> None:
    with pytest.raises(KeyringMissing):
        load_keyring(path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602])
def test_a_keyring_readable_by_others_is_refused_with_what_to_do(path: Path, mode: int) -> None:
    make_keyring(path)
    path.chmod(mode)
    with pytest.raises(KeyringRefused, match=f"chmod 600 {path}"):
        load_keyring(path)


def test_a_keyring_of_another_user_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_keyring(path)
    if ROOT.is_here:
        os.chown(path, 12345, 12345)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(KeyringRefused, match="chown"):
        load_keyring(path)


def test_an_unreadable_keyring_is_refused(path: Path) -> None:
    make_keyring(path)
    with pytest.raises(KeyringRefused, match="cannot be read"):
        load_keyring(path / "below")


def _a_directory(path: Path) -> None:
    path.mkdir()


def _a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def _a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [_a_directory, _a_socket, _a_device])
def test_a_keyring_that_is_not_a_regular_file_is_refused(make: Callable[[Path], None], path: Path) -> None:
    path.parent.mkdir()
    make(path)
    kind = make.__name__.removeprefix("_a_")
    with pytest.raises(KeyringRefused, match=f"{path} is a {kind} and not a regular file"):
        load_keyring(path)


def test_a_named_pipe_is_refused_without_waiting_for_its_writer(path: Path) -> None:
    make_keyring(path)
    whole = path.read_bytes()
    path.unlink()
    os.mkfifo(path, 0o600)
    # It writes as soon as the pipe is opened for reading, like the shell's <(…).
    writer = threading.Thread(target=path.write_bytes, args=(whole,))
    writer.start()
    try:
        with pytest.raises(KeyringRefused, match="is a named pipe and not a regular file"):
            load_keyring(path)
        assert writer.is_alive(), "nobody opened it"
    finally:
        path.read_bytes()
        writer.join()


def test_a_keyring_replaced_by_a_named_pipe_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_keyring(path)
    as_it_was = path.stat()
    path.unlink()
    os.mkfifo(path, 0o600)

    def stat_of_before(_: Path) -> os.stat_result:
        return as_it_was

    monkeypatch.setattr(Path, "stat", stat_of_before)
    with pytest.raises(KeyringRefused, match="is a named pipe"):
        load_keyring(path)


def test_only_a_bounded_part_of_a_large_file_is_read(path: Path) -> None:
    make_keyring(path)
    with path.open("ab") as file:
        file.truncate(1024**4)  # a terabyte of nothing
    with pytest.raises(KeyringRefused, match="not a complete"):
        load_keyring(path)


@pytest.mark.parametrize("cut", [0, 1, 10, 200, -3])
def test_an_incomplete_keyring_is_refused_without_quoting_it(path: Path, cut: int) -> None:
    make_keyring(path)
    whole = path.read_text()
    path.write_text(whole[:cut])
    with pytest.raises(KeyringRefused, match="not a complete") as refused:
        load_keyring(path)
    assert refused.value.__cause__ is None
    assert "typeUrl" not in str(refused.value)


Ring = dict[str, Any]


def _another_format(ring: Ring) -> None:
    ring["corral_keyring"] = 2


def _no_sealing_keys(ring: Ring) -> None:
    del ring["sealing"]


def _no_verifying_keys(ring: Ring) -> None:
    del ring["verifying"]


def _an_empty_keyset(ring: Ring) -> None:
    ring["sealing"]["key"] = []


def _a_short_key(ring: Ring) -> None:
    ring["sealing"]["key"][0]["keyData"]["value"] = "AAAA"


def _a_missing_primary_key(ring: Ring) -> None:
    ring["sealing"]["primaryKeyId"] = 1


def _a_sealing_key_that_only_verifies(ring: Ring) -> None:
    ring["sealing"] = ring["verifying"]


def _a_verifying_key_that_seals(ring: Ring) -> None:
    ring["verifying"] = ring["sealing"]


@pytest.mark.parametrize(
    "spoil",
    [
        _another_format, _no_sealing_keys, _no_verifying_keys, _an_empty_keyset, _a_short_key,
        _a_missing_primary_key, _a_sealing_key_that_only_verifies, _a_verifying_key_that_seals,
    ],
)  # fmt: skip
def test_a_damaged_keyring_is_refused_when_it_is_loaded(path: Path, spoil: Callable[[Ring], None]) -> None:
    make_keyring(path)
    ring = json.loads(path.read_text())
    spoil(ring)
    path.write_text(json.dumps(ring))
    with pytest.raises(KeyringRefused):
        load_keyring(path)


@pytest.mark.parametrize("document", ["[]", '"text"', "null", "{}", "not json"])
def test_other_files_are_refused_as_a_keyring(path: Path, document: str) -> None:
    path.parent.mkdir()
    path.write_text(document)
    path.chmod(0o600)
    with pytest.raises(KeyringRefused):
        load_keyring(path)
