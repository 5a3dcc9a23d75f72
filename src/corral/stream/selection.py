"""Which events of which accounts a stream is about."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from corral.stream.events import Kind

SELECTABLE: Final = (Kind.ACCOUNT_DATA, Kind.POSITION, Kind.ORDER)
"""The other kinds are part of every selection: they say whether the selected ones are complete and current."""


@dataclass(frozen=True, slots=True)
class StreamSelection:
    """None selects all, including accounts that are added later."""

    kinds: frozenset[Kind] | None = None
    credential_ids: frozenset[UUID] | None = None

    def includes(self, kind: Kind, credential_id: UUID | None) -> bool:
        """An event without an account is about the stream itself, and part of every selection."""
        if credential_id is None:
            return True
        if self.credential_ids is not None and credential_id not in self.credential_ids:
            return False
        return self.kinds is None or kind in self.kinds or kind not in SELECTABLE


EVERYTHING: Final = StreamSelection()
