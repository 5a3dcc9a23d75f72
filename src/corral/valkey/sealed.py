"""Values that only this installation can read, in the place and for the time for which they were written."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import orjson

from corral.secret import Secret
from corral.valkey.names import FORMAT
from corral.vault import Context, SealBroken, Vault

_PURPOSE: Final = "valkey"
_AHEAD_MS: Final = 1_000  # how far the time may have gone back since, as it may in a fail-over


@dataclass(frozen=True, slots=True)
class OpenedEnvelope:
    """`age_ms` is how old it is by the server's TIME, at least 0."""

    value: Any  # of JSON's types
    age_ms: int


@final
class SealedValues:
    """Seals JSON values. What doesn't open is as if it were not there: somebody moved, altered or kept it."""

    __slots__ = ("_vault",)

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def seal(self, kind: str, about: Sequence[str], value: object, *, moment_ms: int) -> bytes:
        """`about` says which value it is: account, revision, position. `moment_ms` is of the server's TIME."""
        text = orjson.dumps([FORMAT, moment_ms, value]).decode()
        return self._vault.seal(_context(kind, about), Secret(text))

    def open(
        self, kind: str, about: Sequence[str], sealed: bytes, *, now_ms: int, most_ms: int
    ) -> OpenedEnvelope | None:
        """Returns None for one that is of another kind, about something else, older than `most_ms` or not ours.

        `now_ms` is the server's TIME.
        """
        try:
            text = self._vault.open(_context(kind, about), sealed).reveal()
        except SealBroken:
            return None
        form, moment_ms, value = orjson.loads(text)
        age_ms = now_ms - moment_ms
        if form != FORMAT or not -_AHEAD_MS <= age_ms <= most_ms:
            return None
        return OpenedEnvelope(value, max(age_ms, 0))


def _context(kind: str, about: Sequence[str]) -> Context:
    return Context(_PURPOSE, (kind, *about))
