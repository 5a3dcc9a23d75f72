"""The vault: the only place where secrets are sealed and opened."""

from corral.vault.keyring import Keyring, KeyringMissing, KeyringRefused, load_keyring, make_keyring
from corral.vault.seal import Context, SealBroken, Vault

__all__ = [
    "Context",
    "Keyring",
    "KeyringMissing",
    "KeyringRefused",
    "SealBroken",
    "Vault",
    "load_keyring",
    "make_keyring",
]
