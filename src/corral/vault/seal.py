"""Authenticated encryption bound to a context, and keyed hashes for values that are only compared.

The context is the associated data of Tink's AEAD: it is not stored with the ciphertext but must be
given again, so a sealed value that was moved to another user, another row, another field or from
paper to live does not open (Tink: "Bind ciphertext to its context").
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hmac import compare_digest
from typing import Final, final
from uuid import UUID

import tink
from tink import prf

from corral.secret import Secret
from corral.vault.keyring import Keyring

VERIFIER_BYTES = 32


class SealBroken(Exception):  # noqa: N818 - a condition
    """The sealed value does not open in this context: it was altered, moved, or is of another keyring."""


@dataclass(frozen=True, slots=True)
class Context:
    """Everything that identifies a sealed value; each part is authenticated."""

    purpose: str
    parts: tuple[str, ...]

    def to_bytes(self) -> bytes:
        return framed("corral/seal/v1", self.purpose, *self.parts)


@final
class Verifiers:
    """Keyed hashes of values that are only compared."""

    __slots__ = ("_beginning", "_prfs")

    def __init__(self, prfs: Sequence[prf.Prf], epoch: UUID | None) -> None:
        self._prfs = prfs  # the primary first
        self._beginning = framed("corral/verifier/v1") if epoch is None else framed("corral/verifier/v2", str(epoch))

    def verifier(self, purpose: str, *parts: str) -> bytes:
        """Returns a keyed hash by the primary key, which cannot be computed without the keyring."""
        return self._prfs[0].compute(self._beginning + framed(purpose, *parts), VERIFIER_BYTES)

    def verify(self, verifier: bytes, purpose: str, *parts: str) -> bool:
        """Whether it is the keyed hash of these parts by any key of the keyring. Compares in constant time."""
        return any(compare_digest(verifier, one) for one in self.verifiers(purpose, *parts))

    def verifiers(self, purpose: str, *parts: str) -> list[bytes]:
        """Returns the keyed hash by each key of the keyring, the primary's first, for values from before a rotation."""
        text = self._beginning + framed(purpose, *parts)
        return [prf.compute(text, VERIFIER_BYTES) for prf in self._prfs]


@final
class Vault:
    """Seals and opens with the keyring. Lives as long as the process; knows no user, row or request.

    `access` makes the keyed hashes of everything that lets somebody in: sessions, links, invitations, API tokens and
    grants. They contain the epoch of access, which each restore of a backup sets anew, so that none made before
    matches any more. The vault's own keyed hashes are for what outlives a restore.
    """

    __slots__ = ("_aead", "_lasting", "access", "access_epoch")

    def __init__(self, keyring: Keyring, access_epoch: UUID | None = None) -> None:
        self._aead = keyring.sealing
        prfs = keyring.verifying
        primary = prfs.primary_id()
        ordered = [key for _, key in sorted(prfs.all().items(), key=lambda entry: entry[0] != primary)]
        self._lasting = Verifiers(ordered, None)
        self.access: Final = Verifiers(ordered, access_epoch)
        self.access_epoch: Final = access_epoch

    def seal(self, context: Context, secret: Secret) -> bytes:
        return self._aead.encrypt(secret.reveal().encode(), context.to_bytes())

    def open(self, context: Context, sealed: bytes) -> Secret:
        """Raises SealBroken, whose text has no details, because clients must not get any."""
        try:
            return Secret(self._aead.decrypt(sealed, context.to_bytes()).decode())
        except (tink.TinkError, UnicodeDecodeError):
            raise SealBroken("a sealed value does not open") from None

    def verifier(self, purpose: str, *parts: str) -> bytes:
        """As `Verifiers.verifier`."""
        return self._lasting.verifier(purpose, *parts)

    def verify(self, verifier: bytes, purpose: str, *parts: str) -> bool:
        """As `Verifiers.verify`."""
        return self._lasting.verify(verifier, purpose, *parts)

    def verifiers(self, purpose: str, *parts: str) -> list[bytes]:
        """As `Verifiers.verifiers`."""
        return self._lasting.verifiers(purpose, *parts)


def framed(*parts: str) -> bytes:
    """Joins the parts, each after its length, because plain joining is ambiguous: "ab" + "c" is "a" + "bc"."""
    return b"".join([len(encoded).to_bytes(4, "big") + encoded for encoded in map(str.encode, parts)])
