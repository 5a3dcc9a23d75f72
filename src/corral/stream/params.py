"""Query parameters of the stream. Unknown ones are rejected, so that a typo is noticed."""

from typing import Final
from uuid import UUID

from pydantic import BaseModel, Field

from corral.accounts.params import CREDENTIAL_IDS_PATTERN
from corral.errors import InvalidRequest
from corral.stream.events import Kind
from corral.stream.selection import SELECTABLE, StreamSelection

_KINDS: Final = {kind.value: kind for kind in SELECTABLE}
_ANY: Final = "|".join(_KINDS)


class StreamParams(BaseModel, extra="forbid"):
    events: str | None = Field(
        None,
        description="Only these events, comma-separated: `account-data`, `position`, `order`. `problem`, `gap` and "
        "`heartbeat` are always sent",
        json_schema_extra={"pattern": f"^({_ANY})(,({_ANY}))*$"},
        examples=["account-data,order"],
    )
    credential_ids: str | None = Field(
        None,
        pattern=CREDENTIAL_IDS_PATTERN,
        description="Only these accounts, comma-separated. For one that isn't an active account of yours, the state "
        "at the beginning has a `problem`",
        examples=["7313be74-76ad-4323-84be-e7895b777296"],
    )

    def selection(self) -> StreamSelection:
        """Raises InvalidRequest."""
        ids = None if self.credential_ids is None else frozenset(map(UUID, self.credential_ids.split(",")))
        return StreamSelection(self._kinds(), ids)

    def _kinds(self) -> frozenset[Kind] | None:
        if self.events is None:
            return None
        names = self.events.split(",")
        if not _KINDS.keys() >= set(names):
            words = "Enter one or more of account-data, position and order, separated by commas."
            raise InvalidRequest(words, errors=[{"loc": ["query", "events"], "msg": words}])
        return frozenset(_KINDS[name] for name in names)
