"""Who is asking."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from corral.identity.scopes import Scope


@dataclass(frozen=True, slots=True)
class AuthUser:
    """A person, or a program of theirs, as this one request proved it. Never kept beyond the request."""

    id: UUID
    email: str
    scopes: frozenset[Scope]
    authenticated_by: Literal["session", "token"]
    session_or_token_id: UUID
    expires_at: datetime | None  # of the session or token
    lookup: bytes = field(repr=False)  # the keyed hash by which its row is found again
    is_administrator: bool = False  # in this request; a token's never is

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes
