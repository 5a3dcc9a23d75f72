"""The master key: a Tink keyring file, separate from the database and its backups.

The file is a JSON object `{"corral_keyring": 1, "sealing": …, "verifying": …}` whose two members are
Tink keysets in Tink's own JSON form: AES-256-GCM for sealing, HMAC-SHA256 (a PRF) for verifiers.
Each may contain several keys, so rotation needs no other format.
"""

import json
import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import tink
from tink import (
    aead,
    json_proto_keyset_format,  # pyright: ignore[reportMissingModuleSource]  # the library makes it up at import
    prf,
    secret_key_access,
)

from corral.errors import OperatorError

FORMAT = 1

_LARGEST_BYTES = 1024 * 1024  # a keyset has less than 1 KiB for each of its keys
_KINDS = {
    stat.S_IFDIR: "directory",
    stat.S_IFIFO: "named pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}

aead.register()
prf.register()


class KeyringRefused(OperatorError):  # noqa: N818 - a condition, as everywhere in Corral
    """The keyring must not be used. One line: what is wrong, and what to do."""


class KeyringMissing(KeyringRefused):
    """There is no keyring file."""


@dataclass(frozen=True, slots=True)
class Keyring:
    """The opened master keys, as Tink primitives, whose repr shows no key material."""

    sealing: aead.Aead
    verifying: prf.PrfSet


@dataclass(frozen=True, slots=True)
class _Keysets:
    sealing: tink.KeysetHandle
    verifying: tink.KeysetHandle


def make_keyring(path: Path) -> Keyring:
    """Writes a new keyring atomically with mode 0600, and never overwrites a file.

    Raises FileExistsError if another process has created one meanwhile.
    """
    keysets = _Keysets(
        sealing=tink.new_keyset_handle(aead.aead_key_templates.AES256_GCM),
        verifying=tink.new_keyset_handle(prf.prf_key_templates.HMAC_SHA256),
    )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        _write_durably(draft, _to_json(keysets))
        os.link(draft, path)  # unlike a rename, this never replaces
    finally:
        draft.unlink(missing_ok=True)
    _sync_folder(path.parent)
    return _opened(keysets)


@dataclass(frozen=True, slots=True)
class KeyringFile:
    """`text` is the file's content, to be copied as it is."""

    text: bytes = field(repr=False)
    keyring: Keyring


def load_keyring(path: Path) -> Keyring:
    """Reads the keyring. Refuses anything but a regular file, and one that others can read or that is incomplete."""
    return read_keyring_file(path).keyring


def read_keyring_file(path: Path, *, is_private: bool = True) -> KeyringFile:
    """The same. Unless it has to be private, its mode does not matter: many USB sticks have none."""
    try:
        text = _read_file(path, is_private=is_private)
    except FileNotFoundError:
        raise KeyringMissing(f"there is no keyring at {path}") from None
    except OSError as error:
        raise KeyringRefused(
            f"the keyring {path} cannot be read ({error.strerror}): fix its owner or permissions"
        ) from None
    try:
        return KeyringFile(text, _opened(_from_json(json.loads(text))))
    except (ValueError, KeyError, TypeError, tink.TinkError):
        # The parser's message is discarded, because it may quote key material.
        raise KeyringRefused(
            f"the keyring {path} is not a complete Corral keyring: put your copy of it there"
        ) from None


def _to_json(keysets: _Keysets) -> bytes:
    def keyset(handle: tink.KeysetHandle) -> object:
        return json.loads(json_proto_keyset_format.serialize(handle, secret_key_access.TOKEN))

    document = {
        "corral_keyring": FORMAT,
        "sealing": keyset(keysets.sealing),
        "verifying": keyset(keysets.verifying),
    }
    return json.dumps(document, indent=1).encode()


def _from_json(document: object) -> _Keysets:
    members = cast("dict[str, Any]", document)
    if members["corral_keyring"] != FORMAT:
        raise ValueError("another format")

    def handle(name: str) -> tink.KeysetHandle:
        return json_proto_keyset_format.parse(json.dumps(members[name]), secret_key_access.TOKEN)

    return _Keysets(sealing=handle("sealing"), verifying=handle("verifying"))


def _opened(keysets: _Keysets) -> Keyring:
    """Raises TinkError for a keyset of the wrong type or without a usable key."""
    return Keyring(sealing=keysets.sealing.primitive(aead.Aead), verifying=keysets.verifying.primitive(prf.PrfSet))


def _read_file(path: Path, *, is_private: bool) -> bytes:
    """Checks the file before opening it, because opening a device may have effects, and again after, as it may differ.

    O_NONBLOCK: opening a named pipe would otherwise wait for a writer.
    """
    _refuse_unfit(path, path.stat(), is_private=is_private)
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), "rb") as file:
        _refuse_unfit(path, os.fstat(file.fileno()), is_private=is_private)
        return file.read(_LARGEST_BYTES)


def _refuse_unfit(path: Path, status: os.stat_result, *, is_private: bool) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyringRefused(
            f"the keyring {path} is a {_KINDS[stat.S_IFMT(status.st_mode)]} and not a regular file: "
            "copy the keyring to a file, and name that with CORRAL_KEYRING=file:PATH"
        )
    if is_private:
        _refuse_readable_by_others(path, status)


def _refuse_readable_by_others(path: Path, status: os.stat_result) -> None:
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyringRefused(f"the keyring {path} is readable by other users; run: chmod 600 {path}")
    if status.st_uid not in {0, os.geteuid()}:
        raise KeyringRefused(f"the keyring {path} belongs to another user; run: chown {os.geteuid()} {path}")


def _write_durably(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
