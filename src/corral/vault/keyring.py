"""Where the master key lives: a Tink keyring file, apart from the database and from its backups.

The file is a JSON object `{"corral_keyring": 1, "sealing": …, "verifying": …}` whose two members are
Tink keysets in Tink's own JSON form: AES-256-GCM for sealing, HMAC-SHA256 (a PRF) for verifiers.
Each may hold several keys, so rotation needs no other format.
"""

import json
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import tink
from tink import (
    aead,
    json_proto_keyset_format,  # pyright: ignore[reportMissingModuleSource]  # the library makes it up at import
    prf,
    secret_key_access,
)

FORMAT = 1

aead.register()
prf.register()


class KeyringRefused(Exception):  # noqa: N818 - a condition, as everywhere in Corral
    """The keyring may not be used. One line: what is wrong, and the way out."""


class KeyringMissing(KeyringRefused):
    """There is no keyring file."""


@dataclass(frozen=True, slots=True)
class Keyring:
    """The opened master keys, as what they can do. Tink's objects show no key material in their repr."""

    sealing: aead.Aead
    verifying: prf.PrfSet


@dataclass(frozen=True, slots=True)
class _Keysets:
    sealing: tink.KeysetHandle
    verifying: tink.KeysetHandle


def make_keyring(path: Path) -> Keyring:
    """Writes a new keyring with mode 0600, complete or not at all, and never over an existing file.

    Raises FileExistsError when another process made one in the meantime.
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


def load_keyring(path: Path) -> Keyring:
    """Reads the keyring; refuses one that others can read, or that is not whole."""
    try:
        with path.open("rb") as file:
            _refuse_readable_by_others(path, os.fstat(file.fileno()))
            text = file.read()
    except FileNotFoundError:
        raise KeyringMissing(f"there is no keyring at {path}") from None
    except OSError as error:
        raise KeyringRefused(f"the keyring {path} cannot be read ({error.strerror}); mend its owner or mode") from None
    try:
        return _opened(_from_json(json.loads(text)))
    except (ValueError, KeyError, TypeError, tink.TinkError):
        # Nothing of the parser's message is passed on: it may quote key material.
        raise KeyringRefused(
            f"the keyring {path} is not a whole Corral keyring; restore it from your backup of it"
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
    """Raises TinkError for a keyset that is of the wrong kind or has no usable key."""
    return Keyring(sealing=keysets.sealing.primitive(aead.Aead), verifying=keysets.verifying.primitive(prf.PrfSet))


def _refuse_readable_by_others(path: Path, status: os.stat_result) -> None:
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyringRefused(f"the keyring {path} is open to others; run: chmod 600 {path}")
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
