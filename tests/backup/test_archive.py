"""The file of a backup is read completely as it was written, or refused in one sentence."""

import json
import os
import secrets
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest

from corral import __version__
from corral.backup.archive import Archive
from corral.backup.problems import FileUnusable, NotABackup
from corral.vault import Keyring, Vault, make_keyring
from tests.backup.archives import TABLES, make_archive, read_archive, rewrite

CHANGED = "was changed or damaged after it was made: use another copy of it"


@pytest.fixture
async def backup(tmp_path: Path, vault: Vault) -> Path:
    path = tmp_path / "corral.backup"
    await make_archive(path, vault)
    return path


def refusal(path: Path, vault: Vault) -> str:
    with pytest.raises((NotABackup, FileUnusable)) as refused:
        read_archive(path, vault)
    assert "\n" not in str(refused.value)
    return str(refused.value).removeprefix(f"{path} ")


def test_what_was_written_is_read(backup: Path, vault: Vault) -> None:
    assert read_archive(backup, vault) == TABLES


def test_a_file_that_was_cut_off_anywhere_is_refused(backup: Path, vault: Vault) -> None:
    whole = backup.read_bytes()
    for length in [*range(0, len(whole) - 1, 37), len(whole) - 1]:
        backup.write_bytes(whole[:length])
        assert "use another copy of it" in refusal(backup, vault)


def test_no_changed_byte_goes_unnoticed(backup: Path, vault: Vault) -> None:
    """Times and such in the headers of the members may change. What is read does not."""
    whole, refused = backup.read_bytes(), 0
    for position in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[position] ^= 0x5A
        backup.write_bytes(changed)
        try:
            assert read_archive(backup, vault) == TABLES, position
        except NotABackup:
            refused += 1
    assert refused > len(whole) / 3 / 2


@pytest.mark.parametrize("text", [b"", b"PK", b"-- a dump\nCREATE TABLE x ();\n" * 50, b"\x00" * 5000])
def test_another_kind_of_file_is_refused(text: bytes, tmp_path: Path, vault: Vault) -> None:
    path = tmp_path / "corral.backup"
    path.write_bytes(text)
    assert refusal(path, vault) == "is not a backup of Corral, or was cut off: use another copy of it"


def test_an_archive_of_something_else_is_refused(tmp_path: Path, vault: Vault) -> None:
    path = tmp_path / "corral.backup"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("holiday.txt", "sun")
    assert refusal(path, vault) == "is not a backup of Corral: it has no manifest.json"
    for text in (b"[]", b"{}", b"sun", b'{"format": "x", "corral": "1"}', b"\xff", b'{"format": 1, "corral": "1"}'):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("manifest.json", text)
        assert refusal(path, vault) in {"is not a backup of Corral: its manifest cannot be read", CHANGED}


def test_a_folder_a_pipe_and_a_file_that_is_not_there_are_refused(tmp_path: Path, vault: Vault) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert refusal(pipe, vault) == "is not a regular file: name the file of the backup"
    assert refusal(tmp_path, vault) == "is not a regular file: name the file of the backup"
    assert refusal(tmp_path / "none", vault) == "cannot be read: no such file or directory"


def test_another_keyring_is_told_from_a_changed_file(backup: Path, vault: Vault, stranger: Vault) -> None:
    assert refusal(backup, stranger).startswith(
        f"the keyring does not belong to {backup}, a backup of 2026-11-24 14:30:00 UTC: name the one that was used then"
    )
    manifest = _manifest(backup)
    rewrite(backup, {"manifest.json": json.dumps(manifest | {"postgresql": "17"}).encode()})
    assert refusal(backup, vault) == CHANGED


def test_half_of_another_keyring_is_refused(backup: Path, keyring: Keyring, tmp_path: Path) -> None:
    ours, theirs = keyring, make_keyring(tmp_path / "theirs.json")
    for mixed in (Keyring(theirs.sealing, ours.verifying), Keyring(ours.sealing, theirs.verifying)):
        assert "the keyring does not belong to" in refusal(backup, Vault(mixed))


@pytest.mark.parametrize("probe", ["00", "0", "abc"])
def test_a_probe_that_is_not_one_is_refused(probe: str, backup: Path, vault: Vault) -> None:
    manifest = _manifest(backup) | {"keyring": probe}
    rewrite(backup, {"manifest.json": json.dumps(manifest).encode()}, vault)
    assert "the keyring does not belong to" in refusal(backup, vault)


def test_what_was_edited_with_a_program_for_archives_is_refused(backup: Path, vault: Vault) -> None:
    """Each edit has the right checksums of the archive."""
    whole = backup.read_bytes()
    users = TABLES["users"]
    manifest = _manifest(backup)
    more_rows = [table | {"rows": 3} if table["name"] == "users" else table for table in manifest["tables"]]
    edits: list[dict[str, bytes | None]] = [
        {"tables/users.copy": users.replace(b"bob", b"eve")},
        {"tables/users.copy": users + b"3\teve@corral.example\n"},
        {"tables/users.copy": users[:10]},
        {"tables/users.copy": b""},
        {"tables/users.copy": None},
        {"tables/more.copy": b"1\n"},
        {"../../etc/cron.d/eve": b"* * * * * root true\n"},
        {"manifest.mac": b"00" * 32},
        {"manifest.mac": b"no hash at all"},
        {"manifest.mac": b"00" * 4000},
        {"manifest.mac": b"\xff\xff"},
        {"manifest.json": json.dumps(manifest | {"tables": more_rows}).encode()},
    ]
    for edit in edits:
        backup.write_bytes(whole)
        rewrite(backup, edit)
        assert refusal(backup, vault) == CHANGED, edit
    backup.write_bytes(whole)
    rewrite(backup, {"manifest.mac": None})
    assert refusal(backup, vault) == "is not a backup of Corral: it has no manifest.mac"


@pytest.mark.parametrize(
    "name", ["../users", "users/../../x", "/etc/passwd", "Users", "a" * 64, "", "x\x00y", 'u"; --']
)
def test_a_name_that_is_no_name_of_a_table_is_refused_even_if_it_is_signed(
    name: str, backup: Path, vault: Vault
) -> None:
    manifest = _manifest(backup)
    manifest["tables"][0]["name"] = name
    rewrite(backup, {"manifest.json": json.dumps(manifest).encode()}, vault)
    assert refusal(backup, vault) == "is not a backup of Corral: its manifest cannot be read"


def test_a_member_that_is_there_twice_is_refused(backup: Path, vault: Vault) -> None:
    with zipfile.ZipFile(backup, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("tables/empty.copy", b"")
    assert refusal(backup, vault) == CHANGED


def test_a_table_that_unpacks_to_more_than_it_says_is_read_no_further(backup: Path, vault: Vault) -> None:
    rewrite(backup, {"tables/users.copy": bytes(64 * 1024 * 1024)})
    with Archive.open(backup) as opened:
        manifest = opened.read_manifest(vault)
        (table,) = (table for table in manifest.tables if table.name == "users")
        read: list[int] = []
        with pytest.raises(NotABackup):
            read.extend(opened.verify(table))
    assert sum(read) <= table.size


def test_a_manifest_that_unpacks_to_too_much_is_read_no_further(backup: Path, vault: Vault) -> None:
    rewrite(backup, {"manifest.json": b" " * (17 * 1024 * 1024)})
    assert refusal(backup, vault) == CHANGED


def test_a_member_that_is_encrypted_or_packed_in_an_unknown_way_is_refused(backup: Path, vault: Vault) -> None:
    whole = backup.read_bytes()
    directory = whole.index(b"PK\x01\x02")
    for offset, value in ((8, 1), (10, 99)):  # flags, and the method, in the directory's entry of the first member
        changed = bytearray(whole)
        struct.pack_into("<H", changed, directory + offset, value)
        backup.write_bytes(changed)
        assert refusal(backup, vault) == CHANGED


async def test_a_newer_form_and_a_newer_schema_name_the_release_to_install(tmp_path: Path, vault: Vault) -> None:
    path = tmp_path / "corral.backup"
    newer = f"was made by a newer release of Corral than this one ({__version__})"
    await make_archive(path, vault, format=2, corral="7.1.0")
    assert refusal(path, vault) == f"{newer}: install release 7.1.0 or newer"
    migrations = ("0001_people_and_credentials", "0999_from_the_future")
    await make_archive(path, vault, migrations=migrations, corral="7.1.0")
    assert refusal(path, vault) == f"{newer}, with the migration 0999_from_the_future: install release 7.1.0 or newer"


async def test_the_text_for_copy_is_verified_again(backup: Path, vault: Vault) -> None:
    text = secrets.token_hex(500_000).encode()
    await make_archive(backup, vault, {"users": text})
    with Archive.open(backup) as archive:
        (table,) = archive.read_manifest(vault).tables
        assert b"".join([part async for part in archive.text_of(table)]) == text
        with backup.open("r+b") as other:  # in place, as a copy over it does
            other.seek(200_000)
            other.write(bytes(100))
        with pytest.raises(NotABackup):
            [part async for part in archive.text_of(table)]


def _manifest(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("manifest.json"))
