"""The vault: the only place where secrets are sealed and opened."""

from corral.vault.keyring import (
    Keyring,
    KeyringFile,
    KeyringMissing,
    KeyringRefused,
    load_keyring,
    make_keyring,
    read_keyring_file,
)
from corral.vault.seal import Context, SealBroken, Vault

__all__ = [
    "Context",
    "Keyring",
    "KeyringFile",
    "KeyringMissing",
    "KeyringRefused",
    "SealBroken",
    "Vault",
    "load_keyring",
    "make_keyring",
    "read_keyring_file",
]
