"""Names of keys: they begin with `corral:1:` and the installation, and are keyed hashes of what they are about.

Who can read the server sees of what kind a key is and how many there are, and nothing else. The hashes have the epoch
of access in them, so that a database that was restored elsewhere from a backup shares nothing with the original.
"""

from functools import lru_cache
from typing import Final, final

from corral.vault import Vault

FORMAT: Final = 1
"""Another release whose values have another form uses another number, and sees nothing of these."""
PREFIX: Final = f"corral:{FORMAT}:"
_INSTALLATION_BYTES: Final = 8
_NAME_BYTES: Final = 16
_MEMBER_BYTES: Final = 8
_MOST_REMEMBERED: Final = 20_000


@final
class ValkeyNames:
    __slots__ = ("_prefix", "_vault", "key", "member")

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._prefix = f"{PREFIX}{vault.access.verifier('valkey/installation')[:_INSTALLATION_BYTES].hex()}"
        # A keyed hash takes longer than the command that it is for.
        self.key = lru_cache(maxsize=_MOST_REMEMBERED)(self.unremembered_key)
        self.member = lru_cache(maxsize=_MOST_REMEMBERED)(self._member)

    def unremembered_key(self, kind: str, *about: str) -> str:
        """Returns the key's name. `kind` is one word, which everybody may read.

        `key` does the same faster, and keeps `about` in memory.
        """
        return f"{self._prefix}:{kind}:{self._hash(kind, *about)[:_NAME_BYTES].hex()}"

    def _member(self, kind: str, *about: str) -> str:
        """Returns a shorter name for a part of one key's value, such as a field of a hash."""
        return self._hash(f"{kind}/member", *about)[:_MEMBER_BYTES].hex()

    def _hash(self, *parts: str) -> bytes:
        return self._vault.access.verifier("valkey/name", *parts)
