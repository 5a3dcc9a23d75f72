"""Wire models of the audit trail."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from corral.audit.models import AuditEntry
from corral.audit.queries import Filters
from corral.audit.reading import MOST_ENTRIES
from corral.edge.field_types import UtcTime


class AuditParams(BaseModel):
    model_config = ConfigDict(extra="forbid")

    after: int | None = Field(None, ge=1, le=2**63 - 1, description="`next_cursor` of the previous page")
    actor: Annotated[str, Field(pattern=r"^[a-z]{1,20}(:[0-9a-f-]{36})?$")] | None = Field(
        None, description="A kind, such as `grant`, or one of a kind, such as `grant:` and its id"
    )
    action: Annotated[str, Field(pattern=r"^[a-z_.]{1,40}$")] | None = Field(None, examples=["order.submit"])
    credential_id: UUID | None = None
    limit: int = Field(100, ge=1, le=MOST_ENTRIES)

    @property
    def filters(self) -> Filters:
        return Filters(self.after, self.actor, self.action, self.credential_id)


class AuditItem(BaseModel):
    """One entry. What is sent to Alpaca has two: `begun`, and another one that says how it ended."""

    seq: int = Field(description="Counts from 1, without gaps")
    at: UtcTime
    actor: str = Field(examples=["session:7d4c0c3e-9d0e-4f27-8a43-1f3f6d1c8f50", "operator"])
    action: str = Field(examples=["order.submit"])
    result: str = Field(description="`begun`, `done`, `refused`, `failed` or `unknown`")
    credential_id: UUID | None
    grant_id: UUID | None
    object_id: str | None = Field(description="The id of the order, token or person, for example")
    details: dict[str, str]
    address: str | None = Field(description="The client's network address; null if it is unknown or a local proxy's")
    concludes: int | None = Field(description="`seq` of the entry whose outcome this is")


class AuditList(BaseModel):
    items: list[AuditItem]
    next_cursor: str | None


def item_of(entry: AuditEntry) -> AuditItem:
    return AuditItem(
        seq=entry.seq,
        at=entry.at,
        actor=entry.actor,
        action=entry.action,
        result=entry.result,
        credential_id=entry.credential_id,
        grant_id=entry.grant_id,
        object_id=entry.object_id,
        details=dict(entry.details),
        address=entry.address or None,
        concludes=entry.concludes,
    )
